//! From bytes to frames, each in its order, and header blocks put together (RFC 9113, sections 3.4, 4
//! and 5). What a whole block means stands in `messages.rs`.

use std::time::Duration;

use super::{Connection, Ended, Event, MOST_OUTPUT, Role, blocks::OpenBlock, data::Incoming};
use crate::{
    error::{ConnectionError, Flood},
    frame::{Code, FrameHeader, HEADER_LEN, MAX_31_BIT, MAX_PAYLOAD, PREFACE, flag, kind, u32_at},
};

/// Bytes of the priority fields in HEADERS (RFC 9113, section 6.2).
const PRIORITY_LEN: usize = 5;

/// What came of a frame.
pub(super) type Received<'i, T> = Result<Option<Event<'i, T>>, ConnectionError>;

impl<T> Connection<T> {
    /// Takes the next event off the front of `input`. `Ok(None)`: no further event in it; what is left
    /// of `input` is to be put before the bytes that arrive next. After an error nothing is read any
    /// more: write the output, then close.
    pub fn receive<'i>(&mut self, now: Duration, input: &mut &'i [u8]) -> Received<'i, T> {
        self.now = now;
        self.received_at = now;
        if self.failed {
            *input = &[];
            return Ok(None);
        }
        let received = self.next_event(input);
        match &received {
            Err(error) => {
                *input = &[];
                self.fail(*error);
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                if matches!(self.incoming, Incoming::Data(_)) {
                    // Slow is not stuck.
                    self.partial_since = Some(now);
                } else if input.is_empty() && self.blocks.open().is_none() {
                    self.partial_since = None;
                } else {
                    self.partial_since.get_or_insert(now);
                }
            }
        }
        received
    }

    fn next_event<'i>(&mut self, input: &mut &'i [u8]) -> Received<'i, T> {
        if self.preface_left > 0 && !self.take_preface(input)? {
            return Ok(None);
        }
        loop {
            if let Incoming::Data(progress) = self.incoming {
                if let Some(event) = self.more_data(progress, input) {
                    return Ok(Some(event));
                }
                if matches!(self.incoming, Incoming::Data(_)) {
                    return Ok(None);
                }
            }
            let Some(header) = FrameHeader::parse(input) else { return Ok(None) };
            self.check_order(header)?;
            if header.kind == kind::DATA {
                let before = input.len();
                if let Some(event) = self.begin_data(header, input)? {
                    return Ok(Some(event));
                }
                if input.len() == before {
                    return Ok(None);
                }
                continue;
            }
            if input.len() < HEADER_LEN + header.length {
                return Ok(None);
            }
            let (frame, rest) = input.split_at(HEADER_LEN + header.length);
            *input = rest;
            let event = self.frame_received(header, &frame[HEADER_LEN..])?;
            if self.blocks.open().is_none() {
                self.partial_since = None;
            }
            if self.is_overflowing() && self.output_len() > MOST_OUTPUT {
                return Err(Flood::Output.into());
            }
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Whether the client's preface is complete (RFC 9113, section 3.4).
    fn take_preface(&mut self, input: &mut &[u8]) -> Result<bool, ConnectionError> {
        let expected = &PREFACE[PREFACE.len() - self.preface_left..];
        let length = expected.len().min(input.len());
        if input[..length] != expected[..length] {
            return Err(ConnectionError::protocol("not an HTTP/2 client (RFC 9113, 3.4)"));
        }
        *input = &input[length..];
        self.preface_left -= length;
        Ok(self.preface_left == 0)
    }

    /// What may not stand here, whatever it says.
    fn check_order(&self, header: FrameHeader) -> Result<(), ConnectionError> {
        if header.length > MAX_PAYLOAD {
            let why = "a frame larger than SETTINGS_MAX_FRAME_SIZE (RFC 9113, 4.2)";
            return Err(ConnectionError::new(Code::FRAME_SIZE_ERROR, why));
        }
        if !self.ready && (header.kind != kind::SETTINGS || header.has(flag::ACK)) {
            return Err(ConnectionError::protocol(
                "the first frame is not SETTINGS (RFC 9113, 3.4)",
            ));
        }
        let expected = self.blocks.open();
        let continues = header.kind == kind::CONTINUATION;
        if expected.is_some_and(|open| !continues || open.stream != header.stream) {
            let why = "a header block is interrupted (RFC 9113, 4.3)";
            return Err(ConnectionError::protocol(why));
        }
        if continues && expected.is_none() {
            let why = "CONTINUATION without a header block (RFC 9113, 6.10)";
            return Err(ConnectionError::protocol(why));
        }
        Ok(())
    }

    fn frame_received<'i>(&mut self, header: FrameHeader, payload: &[u8]) -> Received<'i, T> {
        match header.kind {
            kind::HEADERS => self.headers(header, payload),
            kind::CONTINUATION => self.continuation(header, payload),
            kind::PRIORITY => self.priority(header, payload),
            kind::RST_STREAM => self.rst_stream(header, payload),
            kind::SETTINGS => self.settings(header, payload),
            kind::PUSH_PROMISE => {
                // A server may not be pushed to (8.4), and as clients we have forbidden it (6.6).
                Err(ConnectionError::protocol("PUSH_PROMISE (RFC 9113, 6.6 and 8.4)"))
            }
            kind::PING => self.ping_received(header, payload),
            kind::GOAWAY => self.goaway(header, payload),
            kind::WINDOW_UPDATE => self.window_update(header, payload),
            // Unknown types are ignored (RFC 9113, section 4.1).
            _ => Ok(self.guard.control(self.now, 1).map(|()| None)?),
        }
    }

    fn headers<'i>(&mut self, header: FrameHeader, payload: &[u8]) -> Received<'i, T> {
        if header.stream == 0 {
            return Err(ConnectionError::protocol("HEADERS on stream 0 (RFC 9113, 6.2)"));
        }
        let (fragment, dependency) = strip(header, payload)?;
        let open = OpenBlock {
            stream: header.stream,
            end_stream: header.has(flag::END_STREAM),
            depends_on_itself: dependency == Some(header.stream),
        };
        if header.has(flag::END_HEADERS) {
            return self.block(open, fragment);
        }
        self.guard.control(self.now, 1)?;
        self.blocks.begin(open, fragment);
        Ok(None)
    }

    fn continuation<'i>(&mut self, header: FrameHeader, payload: &[u8]) -> Received<'i, T> {
        self.blocks.add(payload)?;
        self.guard.control(self.now, 1)?;
        if !header.has(flag::END_HEADERS) {
            return Ok(None);
        }
        let (open, fragment) = self.blocks.finish().expect("check_order has seen it");
        self.block(open, &fragment)
    }

    /// Whether nobody has opened this stream yet (RFC 9113, section 5.1).
    pub(super) fn is_idle(&self, id: u32) -> bool {
        match (self.role, id % 2) {
            (Role::Server, 1) => id > self.last_peer_stream,
            (Role::Client, 1) => id >= self.next_stream,
            _ => true,
        }
    }

    /// Ends a stream on which the peer broke a rule (RFC 9113, section 5.4.2).
    pub(super) fn stream_error<'i>(&mut self, id: u32, code: Code) -> Received<'i, T> {
        self.guard.provoked(self.now)?;
        self.frame(kind::RST_STREAM, 0, id, &code.0.to_be_bytes());
        let ended = self.streams.end(id, Ended::ByUs).filter(|stream| !stream.abandoned);
        let Some(stream) = ended else { return Ok(None) };
        Ok(Some(Event::Reset { stream: id, tag: stream.tag, code, by_us: true }))
    }

    /// Resets a stream before it is one.
    pub(super) fn refuse(&mut self, id: u32, code: Code) {
        self.frame(kind::RST_STREAM, 0, id, &code.0.to_be_bytes());
        self.streams.remember(id, Ended::ByUs);
    }
}

/// A HEADERS payload without padding and priority, and the stream it depends on.
fn strip(header: FrameHeader, payload: &[u8]) -> Result<(&[u8], Option<u32>), ConnectionError> {
    let short = || {
        let why = "HEADERS shorter than its fields (RFC 9113, 6.2)";
        ConnectionError::new(Code::FRAME_SIZE_ERROR, why)
    };
    let (mut padding, mut rest) = (0, payload);
    if header.has(flag::PADDED) {
        let (length, after) = rest.split_first().ok_or_else(short)?;
        (padding, rest) = (usize::from(*length), after);
    }
    let mut dependency = None;
    if header.has(flag::PRIORITY) {
        let (priority, after) = rest.split_at_checked(PRIORITY_LEN).ok_or_else(short)?;
        (dependency, rest) = (Some(u32_at(priority, 0) & MAX_31_BIT), after);
    }
    let length = rest.len().checked_sub(padding);
    let why = "more padding than payload (RFC 9113, 6.2)";
    Ok((&rest[..length.ok_or(ConnectionError::protocol(why))?], dependency))
}
