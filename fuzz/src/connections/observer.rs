//! What one side may put on the wire, told from the frames it sent and heard alone (RFC 9113,
//! sections 3.4, 5.1, 6.8, 6.9 and 6.10).

use std::collections::BTreeMap;

use strife_wire::{
    Config,
    frame::{FrameHeader, HEADER_LEN, MAX_PAYLOAD, PREFACE, flag, kind, setting},
};

use super::world::CLIENT;

const INITIAL_WINDOW: i64 = 65_535;

#[derive(Debug, Default)]
struct Stream {
    /// What the side may send.
    window: i64,
    /// What it let the other send again, less what it heard: never more than nothing.
    given: i64,
    ended: bool,
    peer_ended: bool,
    reset: bool,
    peer_reset: bool,
}

impl Stream {
    fn is_closed(&self) -> bool {
        self.reset || self.peer_reset || (self.ended && self.peer_ended)
    }
}

/// Reads along at one side.
#[derive(Debug)]
pub(super) struct Observer {
    side: usize,
    streams: BTreeMap<u32, Stream>,
    connection_window: i64,
    /// What the side lets the other send on all streams.
    connection_given: i64,
    max_connection_given: i64,
    initial_window: i64,
    max_streams: usize,
    open_block: Option<u32>,
    last_goaway: Option<u32>,
    greeted: bool,
    settings_heard: usize,
    settings_acknowledged: usize,
    preface_left: usize,
    peer_preface_left: usize,
    /// The header of the frame that is arriving has been seen.
    is_charged: bool,
    /// Of what was heard, less than a frame.
    partial: Vec<u8>,
}

fn number(payload: &[u8], at: usize) -> i64 {
    let bytes = payload[at..at + 4].try_into().expect("four bytes");
    i64::from(u32::from_be_bytes(bytes) & 0x7fff_ffff)
}

impl Observer {
    pub(super) fn new(side: usize, config: &Config) -> Self {
        let preface = |is_there| if is_there { PREFACE.len() } else { 0 };
        Self {
            side,
            streams: BTreeMap::new(),
            connection_window: INITIAL_WINDOW,
            connection_given: INITIAL_WINDOW,
            max_connection_given: INITIAL_WINDOW.max(i64::from(config.connection_window)),
            initial_window: INITIAL_WINDOW,
            max_streams: usize::MAX,
            open_block: None,
            last_goaway: None,
            greeted: false,
            settings_heard: 0,
            settings_acknowledged: 0,
            preface_left: preface(side == CLIENT),
            peer_preface_left: preface(side != CLIENT),
            is_charged: false,
            partial: Vec::new(),
        }
    }

    /// Streams that are not closed, as this side knows it.
    fn open_streams(&self) -> usize {
        self.streams.values().filter(|stream| !stream.is_closed()).count()
    }

    /// The side learned that a stream will not be served.
    pub(super) fn forget(&mut self, id: u32) {
        self.streams.entry(id).or_default().peer_reset = true;
    }

    /// The side appended these bytes to its output: whole frames.
    pub(super) fn sent(&mut self, mut bytes: &[u8]) {
        if self.preface_left > 0 && !bytes.is_empty() {
            let (preface, rest) = bytes.split_at(self.preface_left);
            assert_eq!(preface, PREFACE);
            (self.preface_left, bytes) = (0, rest);
        }
        while !bytes.is_empty() {
            let header = FrameHeader::parse(bytes).expect("output is whole frames");
            assert!(header.length <= MAX_PAYLOAD);
            let (payload, rest) = bytes[HEADER_LEN..].split_at(header.length);
            self.sent_frame(header, payload);
            bytes = rest;
        }
    }

    fn sent_frame(&mut self, header: FrameHeader, payload: &[u8]) {
        let id = header.stream;
        assert!(self.greeted || (header.kind == kind::SETTINGS && !header.has(flag::ACK)));
        self.greeted = true;
        if let Some(open) = self.open_block {
            assert_eq!((header.kind, id), (kind::CONTINUATION, open));
        }
        match header.kind {
            kind::DATA => {
                let stream = self.streams.get_mut(&id).expect("DATA on a stream");
                assert!(!stream.ended && !stream.reset, "DATA after the end of {id}");
                stream.window -= payload.len() as i64;
                self.connection_window -= payload.len() as i64;
                if !payload.is_empty() {
                    assert!(stream.window >= 0, "the window of {id} is exceeded");
                    assert!(self.connection_window >= 0, "the connection's window is exceeded");
                }
                stream.ended = header.has(flag::END_STREAM);
            }
            kind::HEADERS => self.sent_headers(header),
            kind::CONTINUATION => {
                assert_eq!(self.open_block, Some(id));
                self.open_block = (!header.has(flag::END_HEADERS)).then_some(id);
            }
            kind::RST_STREAM => {
                assert_eq!(payload.len(), 4);
                let stream = self.streams.get_mut(&id).expect("RST_STREAM on a stream");
                assert!(!stream.reset, "{id} is reset twice");
                stream.reset = true;
            }
            kind::SETTINGS if header.has(flag::ACK) => {
                assert!(payload.is_empty() && id == 0);
                self.settings_acknowledged += 1;
                assert!(self.settings_acknowledged <= self.settings_heard);
            }
            kind::SETTINGS => assert!(payload.len().is_multiple_of(6) && id == 0),
            kind::PING => assert!(payload.len() == 8 && id == 0),
            kind::GOAWAY => {
                let last = number(payload, 0) as u32;
                assert!(self.last_goaway.is_none_or(|before| last <= before), "GOAWAY rises");
                self.last_goaway = Some(last);
            }
            kind::WINDOW_UPDATE => {
                assert_eq!(payload.len(), 4);
                self.sent_window_update(id, number(payload, 0));
            }
            other => panic!("a frame of type {other}"),
        }
    }

    fn sent_window_update(&mut self, id: u32, increment: i64) {
        assert!(increment > 0);
        if id == 0 {
            self.connection_given += increment;
            assert!(self.connection_given <= self.max_connection_given, "more than configured");
            return;
        }
        let stream = self.streams.get_mut(&id).expect("WINDOW_UPDATE on a stream");
        assert!(!stream.reset);
        stream.given += increment;
        assert!(stream.given <= 0, "more than the window of {id}");
    }

    fn sent_headers(&mut self, header: FrameHeader) {
        let id = header.stream;
        if self.side == CLIENT && !self.streams.contains_key(&id) {
            let last = self.streams.keys().next_back().copied().unwrap_or(0);
            assert!(id % 2 == 1 && id > last, "stream ids rise");
            assert!(self.open_streams() < self.max_streams, "more streams than the peer allows");
            self.streams.insert(id, Stream { window: self.initial_window, ..Stream::default() });
        }
        let stream = self.streams.get_mut(&id).expect("HEADERS on a stream");
        assert!(!stream.ended && !stream.reset, "HEADERS after the end of {id}");
        stream.ended = header.has(flag::END_STREAM);
        self.open_block = (!header.has(flag::END_HEADERS)).then_some(id);
    }

    /// The side is about to be given these bytes.
    pub(super) fn heard(&mut self, bytes: &[u8]) {
        let preface = self.peer_preface_left.min(bytes.len());
        self.peer_preface_left -= preface;
        self.partial.extend_from_slice(&bytes[preface..]);
        let heard = std::mem::take(&mut self.partial);
        let mut rest = &heard[..];
        while let Some(header) = FrameHeader::parse(rest) {
            if !std::mem::replace(&mut self.is_charged, true) && header.kind == kind::DATA {
                self.charge(header);
            }
            if rest.len() < HEADER_LEN + header.length {
                break;
            }
            self.is_charged = false;
            let (frame, after) = rest.split_at(HEADER_LEN + header.length);
            self.heard_frame(header, &frame[HEADER_LEN..]);
            rest = after;
        }
        self.partial = rest.to_vec();
    }

    /// A DATA frame counts from its header on.
    fn charge(&mut self, header: FrameHeader) {
        self.connection_given -= header.length as i64;
        self.streams.entry(header.stream).or_default().given -= header.length as i64;
    }

    fn heard_frame(&mut self, header: FrameHeader, payload: &[u8]) {
        let id = header.stream;
        match header.kind {
            kind::HEADERS | kind::DATA => {
                let window = self.initial_window;
                let stream = self.streams.entry(id);
                let stream = stream.or_insert(Stream { window, ..Stream::default() });
                stream.peer_ended |= header.has(flag::END_STREAM);
            }
            kind::RST_STREAM => self.streams.entry(id).or_default().peer_reset = true,
            kind::WINDOW_UPDATE if id == 0 => self.connection_window += number(payload, 0),
            kind::WINDOW_UPDATE => {
                self.streams.entry(id).or_default().window += number(payload, 0);
            }
            kind::SETTINGS if !header.has(flag::ACK) => {
                self.settings_heard += 1;
                payload.chunks_exact(6).for_each(|entry| self.heard_setting(entry));
            }
            _ => {}
        }
    }

    fn heard_setting(&mut self, entry: &[u8]) {
        let value = number(entry, 2);
        match u16::from_be_bytes([entry[0], entry[1]]) {
            setting::INITIAL_WINDOW_SIZE => {
                let change = value - self.initial_window;
                self.initial_window = value;
                self.streams.values_mut().for_each(|stream| stream.window += change);
            }
            setting::MAX_CONCURRENT_STREAMS => self.max_streams = value as usize,
            _ => {}
        }
    }
}
