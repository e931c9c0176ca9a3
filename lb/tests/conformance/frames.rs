//! Frames by hand (RFC 9113, sections 4.1 and 6): valid ones briefly, invalid ones as easily.

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

pub(crate) const NONE: u8 = 0;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITIZED: u8 = 0x20;
/// A header block in one frame that is the whole message.
pub(crate) const WHOLE: u8 = END_HEADERS | END_STREAM;

pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const ENABLE_PUSH: u16 = 2;
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_FRAME_SIZE: u16 = 5;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;

/// What a client begins with (section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Largest payload that everybody takes (section 4.2).
pub(crate) const DEFAULT_FRAME_SIZE: usize = 16_384;
/// Every window before anybody says otherwise (section 6.9.2).
pub(crate) const DEFAULT_WINDOW: i64 = 65_535;
/// No window may be larger (section 6.9.1).
pub(crate) const MAX_WINDOW: i64 = 0x7fff_ffff;

/// A frame as it was read; of a header block in several frames, the whole.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// With the reserved bit, if somebody set it.
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.has(END_STREAM)
    }

    /// The big-endian number at this offset of the payload; 0 past its end.
    pub(crate) fn number(&self, offset: usize) -> u32 {
        let bytes = self.payload.get(offset..offset + 4);
        bytes.map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes")))
    }

    /// The code of an RST_STREAM or GOAWAY.
    pub(crate) fn error_code(&self) -> u32 {
        self.number(if self.kind == GOAWAY { 4 } else { 0 })
    }

    /// The payload without padding and priority, or why there is none.
    pub(crate) fn content(&self) -> Result<&[u8], String> {
        let mut content = &self.payload[..];
        if self.has(PADDED) && matches!(self.kind, DATA | HEADERS | PUSH_PROMISE) {
            let (&padding, rest) = content.split_first().ok_or("padded without a length")?;
            let length = rest.len().checked_sub(padding.into()).ok_or("more padding than frame")?;
            content = &rest[..length];
        }
        if self.kind == HEADERS && self.has(PRIORITIZED) {
            content = content.get(5..).ok_or("too short for its priority")?;
        }
        Ok(content)
    }

    /// Takes the first whole frame from the front of `bytes`.
    pub(crate) fn split_off(bytes: &mut Vec<u8>) -> Option<Self> {
        let head = bytes.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes(head[5..9].try_into().expect("four bytes"));
        let payload = bytes.get(9..9 + length)?.to_vec();
        bytes.drain(..9 + length);
        Some(Self { kind, flags, stream, payload })
    }

    pub(crate) fn settings(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        self.payload.chunks_exact(6).map(|setting| {
            let value = setting[2..].try_into().expect("four bytes");
            (u16::from_be_bytes([setting[0], setting[1]]), u32::from_be_bytes(value))
        })
    }

    /// For a report.
    pub(crate) fn describe(&self) -> String {
        const NAMES: [&str; 10] = [
            "DATA",
            "HEADERS",
            "PRIORITY",
            "RST_STREAM",
            "SETTINGS",
            "PUSH_PROMISE",
            "PING",
            "GOAWAY",
            "WINDOW_UPDATE",
            "CONTINUATION",
        ];
        let name = NAMES.get(usize::from(self.kind)).copied().unwrap_or("unknown");
        let (stream, length) = (self.stream, self.payload.len());
        match self.kind {
            RST_STREAM => format!("{name}({stream}, code {})", self.error_code()),
            GOAWAY => format!("{name}(last {}, code {})", self.number(0), self.error_code()),
            WINDOW_UPDATE => format!("{name}({stream}, +{})", self.number(0)),
            SETTINGS if self.has(ACK) => format!("{name} ACK"),
            PING if self.has(ACK) => format!("{name} ACK"),
            _ => format!("{name}({stream}, flags {:#x}, {length} B)", self.flags),
        }
    }
}

/// Any frame at all.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length");
    let head = [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()];
    [&head.concat(), payload].concat()
}

pub(crate) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

pub(crate) fn continuation(stream: u32, flags: u8, fragment: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, flags, stream, fragment)
}

pub(crate) fn data(stream: u32, flags: u8, content: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, content)
}

pub(crate) fn priority(stream: u32, depends_on: u32) -> Vec<u8> {
    frame(PRIORITY, NONE, stream, &[&depends_on.to_be_bytes()[..], &[15]].concat())
}

pub(crate) fn rst_stream(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, NONE, stream, &code.to_be_bytes())
}

pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    frame(SETTINGS, NONE, 0, &settings_payload(values))
}

pub(crate) fn settings_payload(values: &[(u16, u32)]) -> Vec<u8> {
    let one = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    values.iter().flat_map(one).collect()
}

pub(crate) fn settings_ack() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, &[])
}

pub(crate) fn ping(flags: u8, content: &[u8; 8]) -> Vec<u8> {
    frame(PING, flags, 0, content)
}

pub(crate) fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, NONE, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, NONE, stream, &increment.to_be_bytes())
}
