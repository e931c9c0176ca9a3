//! What a peer hears, frame by frame, and what the switch may not say.

use strife_wire::{
    Code,
    frame::{FrameHeader, HEADER_LEN, MAX_PAYLOAD, PREFACE, flag, kind, setting},
    hpack::{Fields, Limits},
};

use super::Peer;

impl Peer {
    /// Bytes arrive from the switch.
    pub(in super::super) fn hear(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        if self.preface_left > 0 {
            let length = self.preface_left.min(rest.len());
            let begin = PREFACE.len() - self.preface_left;
            assert_eq!(rest[..length], PREFACE[begin..begin + length], "the preface");
            self.preface_left -= length;
            rest = &rest[length..];
        }
        while let Some(header) = FrameHeader::parse(rest) {
            assert!(header.length <= MAX_PAYLOAD, "a frame of {} bytes", header.length);
            let whole = HEADER_LEN + header.length;
            if rest.len() < whole {
                break;
            }
            self.frame_heard(header, &rest[HEADER_LEN..whole]);
            rest = &rest[whole..];
        }
        self.inbox = rest.to_vec();
    }

    /// Bytes arrive at somebody who breaks rules, so what they say is not judged.
    pub(in super::super) fn skim(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        let skipped = self.preface_left.min(self.inbox.len());
        self.inbox.drain(..skipped);
        self.preface_left -= skipped;
        while let Some(header) = FrameHeader::parse(&self.inbox) {
            let whole = HEADER_LEN + header.length;
            if self.inbox.len() < whole {
                break;
            }
            self.inbox.drain(..whole);
            match header.kind {
                kind::SETTINGS if !header.has(flag::ACK) => {
                    self.frame(kind::SETTINGS, flag::ACK, 0, &[]);
                }
                kind::HEADERS if !self.is_client => {
                    let stream = self.new_stream();
                    self.streams.entry(header.stream).or_insert(stream);
                }
                _ => {}
            }
        }
    }

    fn frame_heard(&mut self, header: FrameHeader, payload: &[u8]) {
        assert!(self.heard_settings || header.kind == kind::SETTINGS, "SETTINGS come first");
        if let Some((id, ..)) = &self.open_block {
            let continues = header.kind == kind::CONTINUATION && header.stream == *id;
            assert!(continues, "a header block is interrupted by {header:?}");
        }
        let u32_at = |at| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match header.kind {
            kind::SETTINGS => self.settings_heard(header, payload),
            kind::PING if !header.has(flag::ACK) && self.answers_probes => {
                self.frame(kind::PING, flag::ACK, 0, payload);
            }
            kind::PING => {}
            kind::GOAWAY => {
                let why = String::from_utf8_lossy(&payload[8..]).into_owned();
                self.goaways.push((u32_at(0), Code(u32_at(4)), why));
            }
            kind::WINDOW_UPDATE => {
                assert!(u32_at(0) > 0, "a window raised by nothing");
                let increment = i64::from(u32_at(0));
                match (header.stream, self.streams.get_mut(&header.stream)) {
                    (0, _) => self.send_window += increment,
                    (_, Some(stream)) => stream.send_window += increment,
                    _ => panic!("WINDOW_UPDATE on an idle stream"),
                }
            }
            kind::HEADERS => {
                let end = header.has(flag::END_STREAM);
                self.open_block = Some((header.stream, end, payload.to_vec()));
                self.look_whether_block_is_whole(header);
            }
            kind::CONTINUATION => {
                self.open_block.as_mut().expect("a block begun").2.extend_from_slice(payload);
                self.look_whether_block_is_whole(header);
            }
            kind::DATA => self.data_heard(header, payload),
            kind::RST_STREAM => {
                let stream =
                    self.streams.get_mut(&header.stream).expect("RST_STREAM of an idle one");
                assert!(stream.reset.is_none(), "reset twice");
                stream.reset = Some(Code(u32_at(0)));
                stream.plan.clear();
            }
            other => panic!("frame of kind {other}"),
        }
    }

    fn settings_heard(&mut self, header: FrameHeader, payload: &[u8]) {
        if header.has(flag::ACK) {
            let asked = self.asked.pop_front().expect("SETTINGS that were sent");
            if let Some(window) = asked.window {
                let change = i64::from(window) - self.our_window;
                self.our_window = i64::from(window);
                self.streams.values_mut().for_each(|stream| stream.recv_window += change);
            }
            self.our_max_streams = asked.max_streams.unwrap_or(self.our_max_streams);
            return;
        }
        let is_probe = std::mem::replace(&mut self.heard_settings, true);
        if is_probe {
            // Servers are asked for a sign of life so, since gRPC's take pings ill.
            assert!(!self.is_client, "clients are pinged");
        }
        for entry in payload.chunks_exact(6) {
            let id = u16::from_be_bytes([entry[0], entry[1]]);
            let value = u32::from_be_bytes(entry[2..].try_into().unwrap());
            match id {
                setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - self.their_window;
                    assert!(!is_probe || change == 0, "the switch's settings do not change");
                    self.their_window += change;
                    self.streams.values_mut().for_each(|stream| stream.send_window += change);
                }
                setting::MAX_CONCURRENT_STREAMS => self.their_max_streams = value,
                _ => {}
            }
        }
        if !is_probe || self.answers_probes {
            self.frame(kind::SETTINGS, flag::ACK, 0, &[]);
        }
    }

    fn look_whether_block_is_whole(&mut self, header: FrameHeader) {
        if !header.has(flag::END_HEADERS) {
            return;
        }
        let (id, end, bytes) = self.open_block.take().expect("a block begun");
        let mut fields = Fields::new();
        let limits = Limits { max_list_bytes: 1 << 20, max_decoded_bytes: 1 << 20 };
        self.decoder.decode(&bytes, &limits, &mut fields).expect("a block that decodes");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let block = fields.iter().map(|field| (text(field.name), text(field.value))).collect();
        if !self.is_client && !self.streams.contains_key(&id) {
            assert!(id % 2 == 1 && id >= self.next_id, "stream {id} after {}", self.next_id);
            self.next_id = id + 2;
            let open = self.open_streams();
            assert!(open < self.our_max_streams as usize, "stream {id} beside {open} others");
            let stream = self.new_stream();
            self.streams.insert(id, stream);
        }
        let stream = self.streams.get_mut(&id).expect("HEADERS on an idle stream");
        assert!(!stream.ended && stream.reset.is_none(), "HEADERS on stream {id} that ended");
        stream.blocks.push(block);
        stream.ended = end;
    }

    fn data_heard(&mut self, header: FrameHeader, payload: &[u8]) {
        let id = header.stream;
        let stream = self.streams.get_mut(&id).expect("DATA on an idle stream");
        assert!(!stream.ended && stream.reset.is_none(), "DATA on stream {id} that ended");
        assert!(!stream.blocks.is_empty(), "DATA before HEADERS");
        let length = payload.len() as i64;
        stream.recv_window -= length;
        self.recv_window -= length;
        let windows = (stream.recv_window, self.recv_window);
        assert!(
            length == 0 || (windows.0 >= 0 && windows.1 >= 0),
            "beyond its window: {windows:?}"
        );
        stream.unread += length;
        self.unread += length;
        stream.body.extend_from_slice(payload);
        stream.ended = header.has(flag::END_STREAM);
    }
}
