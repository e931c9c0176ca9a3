//! HTTP/2 frames as bytes: the ones the standard allows and the ones it does not.
//!
//! Nothing here checks anything; that is the point. Numbers are those of RFC 9113, section 6 and 7.

use bytes::{BufMut, Bytes, BytesMut};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const HEADER_BYTES: usize = 9;
/// The largest payload every peer takes unless it says otherwise.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 16_384;
/// The window of streams and connections unless settings say otherwise.
pub(crate) const DEFAULT_WINDOW_BYTES: usize = 65_535;

/// Frame types.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
    /// No type of any standard.
    pub(crate) const UNKNOWN: u8 = 0xbb;
}

/// Flags.
pub(crate) mod flag {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
}

/// Error codes.
pub(crate) mod code {
    pub(crate) const NO_ERROR: u32 = 0;
    pub(crate) const PROTOCOL_ERROR: u32 = 1;
    pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
    pub(crate) const STREAM_CLOSED: u32 = 5;
    pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
    pub(crate) const REFUSED_STREAM: u32 = 7;
    pub(crate) const CANCEL: u32 = 8;
    pub(crate) const COMPRESSION_ERROR: u32 = 9;
    pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
}

/// Parameters of SETTINGS.
pub(crate) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
}

/// Frames for a stream.
pub(crate) type ForStream = fn(u32) -> Vec<u8>;

/// A frame as received.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Bytes,
}

impl Frame {
    /// Takes the first frame off `received`, if all of it is there.
    pub(crate) fn take(received: &mut BytesMut) -> Option<Self> {
        let header = received.get(..HEADER_BYTES)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let (kind, flags) = (header[3], header[4]);
        let stream = word(&header[5..]) & (u32::MAX >> 1);
        if received.len() < HEADER_BYTES + length {
            return None;
        }
        let payload = received.split_to(HEADER_BYTES + length).freeze().slice(HEADER_BYTES..);
        Some(Self { kind, flags, stream, payload })
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The error code of a GOAWAY or RST_STREAM.
    pub(crate) fn error_code(&self) -> u32 {
        let skipped = if self.kind == kind::GOAWAY { 4 } else { 0 };
        word(&self.payload[skipped..])
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = announced(payload.len(), kind, flags, stream);
    bytes.extend_from_slice(payload);
    bytes
}

/// A frame's header alone, whatever follows it.
pub(crate) fn announced(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + length);
    bytes.put_uint(length as u64, 3);
    bytes.put_u8(kind);
    bytes.put_u8(flags);
    bytes.put_u32(stream);
    bytes
}

pub(crate) fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flags, stream, payload)
}

/// A header block in a HEADERS frame and as many CONTINUATION frames as it takes.
pub(crate) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(block.len() + 64);
    let mut chunks = block.chunks(MAX_PAYLOAD_BYTES).peekable();
    let first = chunks.next().unwrap_or_default();
    let ends = |is_last: bool| if is_last { flag::END_HEADERS } else { flag::NONE };
    bytes.extend(frame(kind::HEADERS, flags | ends(chunks.peek().is_none()), stream, first));
    while let Some(chunk) = chunks.next() {
        bytes.extend(frame(kind::CONTINUATION, ends(chunks.peek().is_none()), stream, chunk));
    }
    bytes
}

/// A HEADERS frame whose block goes on.
pub(crate) fn open_headers(stream: u32, flags: u8, fragment: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flags, stream, fragment)
}

/// A CONTINUATION frame whose block goes on.
pub(crate) fn continuation(stream: u32, fragment: &[u8]) -> Vec<u8> {
    frame(kind::CONTINUATION, flag::NONE, stream, fragment)
}

pub(crate) fn priority(stream: u32, depends_on: u32) -> Vec<u8> {
    let mut payload = depends_on.to_be_bytes().to_vec();
    payload.push(15);
    frame(kind::PRIORITY, flag::NONE, stream, &payload)
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, flag::NONE, stream, &code.to_be_bytes())
}

pub(crate) fn settings(parameters: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in parameters {
        payload.put_u16(*name);
        payload.put_u32(*value);
    }
    frame(kind::SETTINGS, flag::NONE, 0, &payload)
}

pub(crate) fn settings_ack() -> Vec<u8> {
    frame(kind::SETTINGS, flag::ACK, 0, &[])
}

pub(crate) fn ping(flags: u8, payload: [u8; 8]) -> Vec<u8> {
    frame(kind::PING, flags, 0, &payload)
}

pub(crate) fn goaway(last_stream: u32, code: u32) -> Vec<u8> {
    let payload = [last_stream.to_be_bytes(), code.to_be_bytes()].concat();
    frame(kind::GOAWAY, flag::NONE, 0, &payload)
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, flag::NONE, stream, &increment.to_be_bytes())
}

/// The same bytes again and again, `times` in all.
pub(crate) fn repeated(bytes: &[u8], times: usize) -> Vec<u8> {
    bytes.repeat(times)
}

/// Client streams: 1, 3, 5 …
pub(crate) fn stream_ids() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}
