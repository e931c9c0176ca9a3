//! A client or an endpoint in memory. It shares frame layouts and the HPACK decoder with the switch
//! and nothing else, so it can judge it: it counts every window itself, and panics when the switch
//! breaks a rule of HTTP/2.

use std::collections::{BTreeMap, VecDeque};

use strife_wire::{
    Code,
    frame::{FrameHeader, HEADER_LEN, MAX_31_BIT, MAX_PAYLOAD, PREFACE, flag, kind, setting},
    hpack::{Decoder, Fields, Limits},
};

use super::encoder::Encoder;

/// Window of a new connection and of its streams (RFC 9113, section 6.9.2).
const FIRST_WINDOW: i64 = 65_535;

/// The fields of a header block, in order.
pub(super) type Block = Vec<(String, String)>;

/// What is still to be said on a stream.
#[derive(Debug)]
pub(super) enum Piece {
    Block(Block, bool),
    Data(Vec<u8>, bool),
}

/// One stream: what was heard on it, and what is to be said.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) blocks: Vec<Block>,
    pub(super) body: Vec<u8>,
    pub(super) ended: bool,
    pub(super) reset: Option<Code>,
    pub(super) plan: VecDeque<Piece>,
    pub(super) said_end: bool,
    pub(super) said_reset: bool,
    pub(super) send_window: i64,
    recv_window: i64,
    unread: i64,
}

impl Stream {
    pub(super) fn is_closed(&self) -> bool {
        self.said_reset || self.reset.is_some() || (self.ended && self.said_end)
    }
}

/// What SETTINGS of ours ask for, in force when they are acknowledged.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    pub(super) window: Option<u32>,
    pub(super) max_streams: Option<u32>,
}

/// One side of a connection with the switch.
pub(super) struct Peer {
    is_client: bool,
    /// Bytes for the switch.
    pub(super) out: Vec<u8>,
    inbox: Vec<u8>,
    preface_left: usize,
    heard_settings: bool,
    decoder: Decoder,
    pub(super) encoder: Encoder,
    open_block: Option<(u32, bool, Vec<u8>)>,
    pub(super) streams: BTreeMap<u32, Stream>,
    pub(super) next_id: u32,
    send_window: i64,
    their_window: i64,
    pub(super) their_max_streams: u32,
    recv_window: i64,
    unread: i64,
    our_window: i64,
    our_max_streams: u32,
    asked: VecDeque<Asked>,
    /// Last stream, why, and in words.
    pub(super) goaways: Vec<(u32, Code, String)>,
    /// Streams beyond it are not looked at.
    pub(super) last_served: u32,
    pub(super) answers_pings: bool,
}

impl Peer {
    pub(super) fn new(is_client: bool, asked: Asked) -> Self {
        let mut peer = Self {
            is_client,
            out: Vec::new(),
            inbox: Vec::new(),
            preface_left: if is_client { 0 } else { PREFACE.len() },
            heard_settings: false,
            decoder: Decoder::new(4096),
            encoder: Encoder::new(is_client),
            open_block: None,
            streams: BTreeMap::new(),
            next_id: 1,
            send_window: FIRST_WINDOW,
            their_window: FIRST_WINDOW,
            their_max_streams: 0,
            recv_window: FIRST_WINDOW,
            unread: 0,
            our_window: FIRST_WINDOW,
            our_max_streams: u32::MAX,
            asked: VecDeque::new(),
            goaways: Vec::new(),
            last_served: MAX_31_BIT,
            answers_pings: true,
        };
        if is_client {
            peer.out.extend_from_slice(PREFACE);
        }
        peer.ask(asked);
        peer
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        FrameHeader { length: payload.len(), kind, flags, stream }.write(&mut self.out);
        self.out.extend_from_slice(payload);
    }

    pub(super) fn ask(&mut self, asked: Asked) {
        let values = [
            (setting::INITIAL_WINDOW_SIZE, asked.window),
            (setting::MAX_CONCURRENT_STREAMS, asked.max_streams),
        ];
        let mut payload = Vec::new();
        for (id, value) in values {
            if let Some(value) = value {
                payload.extend_from_slice(&id.to_be_bytes());
                payload.extend_from_slice(&value.to_be_bytes());
            }
        }
        self.frame(kind::SETTINGS, 0, 0, &payload);
        self.asked.push_back(asked);
    }

    /// Opens a stream with this to say. Its head is said at once: ids have to rise.
    pub(super) fn open(&mut self, plan: impl IntoIterator<Item = Piece>) -> u32 {
        let id = self.next_id;
        self.next_id += 2;
        let stream = Stream { plan: plan.into_iter().collect(), ..self.new_stream() };
        self.streams.insert(id, stream);
        self.say(id, MAX_PAYLOAD, 0);
        id
    }

    fn new_stream(&self) -> Stream {
        let (send_window, recv_window) = (self.their_window, self.our_window);
        Stream { send_window, recv_window, ..Stream::default() }
    }

    pub(super) fn open_streams(&self) -> usize {
        self.streams.values().filter(|stream| !stream.is_closed()).count()
    }

    pub(super) fn plan(&mut self, id: u32, pieces: impl IntoIterator<Item = Piece>) {
        self.streams.get_mut(&id).expect("an open stream").plan.extend(pieces);
    }

    /// Says the next thing on a stream, content only up to `most` bytes and what the windows allow.
    /// Whether anything was said.
    pub(super) fn say(&mut self, id: u32, most: usize, padding: usize) -> bool {
        let stream = self.streams.get_mut(&id).expect("a stream");
        if stream.said_reset || stream.reset.is_some() {
            stream.plan.clear();
            return false;
        }
        match stream.plan.pop_front() {
            None => false,
            Some(Piece::Block(fields, end)) => {
                stream.said_end |= end;
                self.say_block(id, &fields, end, most);
                true
            }
            Some(Piece::Data(mut bytes, end)) => {
                let room = stream.send_window.min(self.send_window).max(0) as usize;
                let padding = padding.min(room.saturating_sub(2)).min(255);
                let overhead = if padding > 0 { padding + 1 } else { 0 };
                let length = bytes.len().min(most.max(1)).min(MAX_PAYLOAD - overhead);
                let length = length.min(room - overhead);
                if length == 0 && !bytes.is_empty() {
                    stream.plan.push_front(Piece::Data(bytes, end));
                    return false;
                }
                let rest = bytes.split_off(length);
                let ends = end && rest.is_empty();
                stream.said_end |= ends;
                stream.send_window -= (length + overhead) as i64;
                self.send_window -= (length + overhead) as i64;
                if !rest.is_empty() {
                    stream.plan.push_front(Piece::Data(rest, end));
                }
                let mut flags = if ends { flag::END_STREAM } else { 0 };
                if padding > 0 {
                    flags |= flag::PADDED;
                    bytes.insert(0, padding as u8);
                    bytes.resize(bytes.len() + padding, 0);
                }
                self.frame(kind::DATA, flags, id, &bytes);
                true
            }
        }
    }

    /// A header block in one to four frames.
    fn say_block(&mut self, id: u32, fields: &Block, end: bool, most: usize) {
        let block = self.encoder.encode(fields);
        let piece = most.clamp(block.len().div_ceil(4).max(1), MAX_PAYLOAD);
        let pieces: Vec<_> = block.chunks(piece).collect();
        for (place, piece) in pieces.iter().enumerate() {
            let last = if place + 1 == pieces.len() { flag::END_HEADERS } else { 0 };
            let end = if end && place == 0 { flag::END_STREAM } else { 0 };
            let kind = if place == 0 { kind::HEADERS } else { kind::CONTINUATION };
            self.frame(kind, last | end, id, piece);
        }
    }

    pub(super) fn say_all(&mut self) -> bool {
        let ids: Vec<_> = self.streams.keys().copied().collect();
        let mut said = false;
        for id in ids {
            while self.say(id, MAX_PAYLOAD, 0) {
                said = true;
            }
        }
        said
    }

    pub(super) fn say_reset(&mut self, id: u32, code: Code) {
        let stream = self.streams.get_mut(&id).expect("a stream");
        if !stream.is_closed() {
            stream.said_reset = true;
            stream.plan.clear();
            self.frame(kind::RST_STREAM, 0, id, &code.0.to_be_bytes());
        }
    }

    pub(super) fn say_goaway(&mut self, last: u32) {
        self.last_served = self.last_served.min(last);
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend_from_slice(&Code::NO_ERROR.0.to_be_bytes());
        self.frame(kind::GOAWAY, 0, 0, &payload);
    }

    /// Gives back what was read since the last time.
    pub(super) fn give_windows(&mut self) -> bool {
        let mut updates = vec![(0, std::mem::take(&mut self.unread))];
        self.recv_window += updates[0].1;
        for (id, stream) in &mut self.streams {
            let unread = std::mem::take(&mut stream.unread);
            if !stream.ended && !stream.is_closed() {
                stream.recv_window += unread;
                updates.push((*id, unread));
            }
        }
        updates.retain(|(_, increment)| *increment > 0);
        for (id, increment) in &updates {
            self.frame(kind::WINDOW_UPDATE, 0, *id, &(*increment as u32).to_be_bytes());
        }
        !updates.is_empty()
    }

    /// Bytes arrive from the switch.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
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
    pub(super) fn skim(&mut self, bytes: &[u8]) {
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
            kind::PING if !header.has(flag::ACK) && self.answers_pings => {
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
        assert!(!std::mem::replace(&mut self.heard_settings, true), "the switch's do not change");
        for entry in payload.chunks_exact(6) {
            let id = u16::from_be_bytes([entry[0], entry[1]]);
            let value = u32::from_be_bytes(entry[2..].try_into().unwrap());
            match id {
                setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - self.their_window;
                    self.their_window += change;
                    self.streams.values_mut().for_each(|stream| stream.send_window += change);
                }
                setting::MAX_CONCURRENT_STREAMS => self.their_max_streams = value,
                _ => {}
            }
        }
        self.frame(kind::SETTINGS, flag::ACK, 0, &[]);
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
