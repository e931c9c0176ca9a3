//! A client or an endpoint in memory. It shares frame layouts and the HPACK decoder with the switch
//! and nothing else, so it can judge it: it counts every window itself, and panics when the switch
//! breaks a rule of HTTP/2.

mod hear;

use std::collections::{BTreeMap, VecDeque};

use strife_wire::{
    Code,
    frame::{FrameHeader, MAX_31_BIT, MAX_PAYLOAD, PREFACE, flag, kind, setting},
    hpack::Decoder,
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
    pub(super) answers_probes: bool,
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
            answers_probes: true,
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
}
