//! Whole header blocks: requests, answers and trailers, each where it may stand (RFC 9113, sections 5.1
//! and 8.1).

use super::{
    Closing, Connection, Ended, Event, NO_TAG, Part, Role, Stream,
    blocks::{Decoded, OpenBlock},
    receive::Received,
};
use crate::{error::ConnectionError, frame::Code, head::BlockKind};

/// Informational answers before the final one.
const MAX_INFORMATIONAL: u8 = 16;

impl<T> Connection<T> {
    /// A whole header block.
    pub(super) fn block<'i>(&mut self, open: OpenBlock, bytes: &[u8]) -> Received<'i, T> {
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
}
