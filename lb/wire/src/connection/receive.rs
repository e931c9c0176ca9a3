//! From bytes to events: frames one after the other, header blocks put together, each frame in its
//! order (RFC 9113, sections 3.4, 4 and 5).

use std::time::Duration;

use super::{
    Closing, Connection, Ended, Event, MOST_OUTPUT, NO_TAG, Part, Role, Stream,
    blocks::{Decoded, OpenBlock},
    data::Incoming,
};
use crate::{
    error::{ConnectionError, Flood},
    frame::{Code, FrameHeader, HEADER_LEN, MAX_31_BIT, MAX_PAYLOAD, PREFACE, flag, kind, u32_at},
    head::BlockKind,
};

/// Bytes of the priority fields in HEADERS (RFC 9113, section 6.2).
const PRIORITY_LEN: usize = 5;
/// Informational answers before the final one.
const MAX_INFORMATIONAL: u8 = 16;

/// What came of a frame.
type Received<'i, T> = Result<Option<Event<'i, T>>, ConnectionError>;

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

    /// A whole header block.
    fn block<'i>(&mut self, open: OpenBlock, bytes: &[u8]) -> Received<'i, T> {
        let id = open.stream;
        let Some(stream) = self.streams.get(id) else {
            return match self.role {
                Role::Server => self.new_request(open, bytes),
                Role::Client => self.late_answer(id, bytes),
            };
        };
        if stream.abandoned {
            let is_over = open.end_stream && stream.local_ended;
            self.blocks.skip(bytes)?;
            if is_over {
                self.streams.end(id, Ended::ByUs);
            }
            return Ok(None);
        }
        if stream.remote_ended {
            self.blocks.skip(bytes)?;
            return self.stream_error(id, Code::STREAM_CLOSED);
        }
        if open.depends_on_itself {
            self.blocks.skip(bytes)?;
            return self.stream_error(id, Code::PROTOCOL_ERROR);
        }
        if stream.got_head { self.trailers(open, bytes) } else { self.answer(open, bytes) }
    }

    /// A client opens a stream (RFC 9113, sections 5.1.1 and 5.1.2).
    fn new_request<'i>(&mut self, open: OpenBlock, bytes: &[u8]) -> Received<'i, T> {
        let id = open.stream;
        if id.is_multiple_of(2) {
            return Err(ConnectionError::protocol(
                "a client opened an even stream (RFC 9113, 5.1.1)",
            ));
        }
        if id <= self.last_peer_stream {
            return self.late_block(id, bytes);
        }
        self.last_peer_stream = id;
        if let Closing::Final(last) = self.closing
            && id > last
        {
            self.guard.control(self.now, 1)?;
            self.streams.remember(id, Ended::ByUs);
            return self.blocks.skip(bytes).map(|()| None);
        }
        if self.streams.len() >= self.config.max_streams as usize {
            self.guard.control(self.now, 1)?;
            self.blocks.skip(bytes)?;
            self.refuse(id, Code::REFUSED_STREAM);
            return Ok(None);
        }
        let decoded = self.blocks.decode(BlockKind::Request, bytes)?;
        let (send, receive) = (self.peer.stream_window, self.recv_stream_window);
        let mut stream = Stream::new(NO_TAG, i64::from(send), i64::from(receive));
        (stream.got_head, stream.remote_ended) = (true, open.end_stream);
        let block = match decoded {
            Decoded::Block(block) if !open.depends_on_itself => block,
            Decoded::TooLarge => {
                self.guard.provoked(self.now)?;
                self.streams.insert(id, stream);
                return Ok(Some(Event::HeadersTooLarge { stream: id, tag: NO_TAG }));
            }
            Decoded::Malformed | Decoded::Block(_) => {
                self.guard.provoked(self.now)?;
                self.refuse(id, Code::PROTOCOL_ERROR);
                return Ok(None);
            }
        };
        stream.content_left = block.head.content_length();
        if open.end_stream && stream.content_left.is_some_and(|left| left > 0) {
            self.guard.provoked(self.now)?;
            self.refuse(id, Code::PROTOCOL_ERROR);
            return Ok(None);
        }
        self.guard.useful();
        self.streams.insert(id, stream);
        let (part, end_stream) = (Part::Request, open.end_stream);
        Ok(Some(Event::Headers { stream: id, tag: NO_TAG, block, part, end_stream }))
    }

    /// A header block from a client on a stream that is no more.
    fn late_block<'i>(&mut self, id: u32, bytes: &[u8]) -> Received<'i, T> {
        match self.streams.ended(id) {
            Some(Ended::ByUs) => {
                self.guard.control(self.now, 1)?;
                self.blocks.skip(bytes).map(|()| None)
            }
            Some(Ended::Whole | Ended::ByPeer) => {
                let why = "HEADERS on a closed stream (RFC 9113, 5.1)";
                Err(ConnectionError::new(Code::STREAM_CLOSED, why))
            }
            // Trailers of a stream that we ended early, long ago.
            None if self.streams.has_forgotten() => {
                self.guard.control(self.now, 1)?;
                self.blocks.skip(bytes).map(|()| None)
            }
            None => Err(ConnectionError::protocol("stream ids must rise (RFC 9113, 5.1.1)")),
        }
    }

    /// A header block from a server on a stream that is not open.
    fn late_answer<'i>(&mut self, id: u32, bytes: &[u8]) -> Received<'i, T> {
        if self.is_idle(id) {
            return Err(ConnectionError::protocol("HEADERS on an idle stream (RFC 9113, 5.1)"));
        }
        if let Some(Ended::Whole | Ended::ByPeer) = self.streams.ended(id) {
            let why = "HEADERS on a closed stream (RFC 9113, 5.1)";
            return Err(ConnectionError::new(Code::STREAM_CLOSED, why));
        }
        self.guard.control(self.now, 1)?;
        self.blocks.skip(bytes).map(|()| None)
    }

    /// A server's header block before its content (RFC 9113, section 8.1).
    fn answer<'i>(&mut self, open: OpenBlock, bytes: &[u8]) -> Received<'i, T> {
        let id = open.stream;
        let block = match self.blocks.decode(BlockKind::Response, bytes)? {
            Decoded::Block(block) => block,
            Decoded::TooLarge => return Ok(self.too_large(id)),
            Decoded::Malformed => return self.stream_error(id, Code::PROTOCOL_ERROR),
        };
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        let tag = stream.tag;
        if block.head.is_informational() {
            stream.informational += 1;
            // An upgrade has no meaning here (RFC 9113, section 8.6).
            if open.end_stream || block.head.status() == 101 {
                return self.stream_error(id, Code::PROTOCOL_ERROR);
            }
            if stream.informational > MAX_INFORMATIONAL {
                return self.stream_error(id, Code::ENHANCE_YOUR_CALM);
            }
            let part = Part::Informational;
            return Ok(Some(Event::Headers { stream: id, tag, block, part, end_stream: false }));
        }
        stream.got_head = true;
        let bodyless = stream.bodyless || matches!(block.head.status(), 204 | 304);
        stream.content_left = block.head.content_length().filter(|_| !bodyless);
        if open.end_stream {
            if stream.content_left.is_some_and(|left| left > 0) {
                return self.stream_error(id, Code::PROTOCOL_ERROR);
            }
            stream.remote_ended = true;
            self.end_if_whole(id);
        }
        self.guard.useful();
        let (part, end_stream) = (Part::Response, open.end_stream);
        Ok(Some(Event::Headers { stream: id, tag, block, part, end_stream }))
    }

    /// The header block at the end of a stream (RFC 9113, section 8.1).
    fn trailers<'i>(&mut self, open: OpenBlock, bytes: &[u8]) -> Received<'i, T> {
        let id = open.stream;
        let block = match self.blocks.decode(BlockKind::Trailers, bytes)? {
            Decoded::Block(block) => block,
            Decoded::TooLarge => return Ok(self.too_large(id)),
            Decoded::Malformed => return self.stream_error(id, Code::PROTOCOL_ERROR),
        };
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        if !open.end_stream || stream.content_left.is_some_and(|left| left > 0) {
            return self.stream_error(id, Code::PROTOCOL_ERROR);
        }
        let tag = stream.tag;
        stream.remote_ended = true;
        self.end_if_whole(id);
        self.guard.useful();
        let part = Part::Trailers;
        Ok(Some(Event::Headers { stream: id, tag, block, part, end_stream: true }))
    }

    fn too_large<'i>(&self, id: u32) -> Option<Event<'i, T>> {
        self.streams.get(id).map(|stream| Event::HeadersTooLarge { stream: id, tag: stream.tag })
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
    fn refuse(&mut self, id: u32, code: Code) {
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
