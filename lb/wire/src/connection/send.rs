//! What is sent: streams opened, header blocks, DATA within both windows, resets; and the output that
//! all of it is appended to.

use std::time::Duration;

use super::{Connection, HIGH_WATER, MAX_OUTPUT, Role, Stream};
use crate::{
    error::ConnectionError,
    frame::{self, Code, FrameHeader, MAX_PAYLOAD, flag, kind},
};

/// HPACK's dynamic table size update to 0 (RFC 7541, section 6.3).
const TABLE_SIZE_ZERO: u8 = 0x20;
/// What the head of an answer and its trailers may take for each stream, bytes.
const HEAD_BYTES: usize = 1024;
/// A stream's window is given back when half of it is due.
const RELEASE_SHARE: u32 = 2;

impl<T> Connection<T> {
    /// Opens a stream with a request's header block, encoded without a table (client). `bodyless`:
    /// the answer has no body whatever its content-length says (HEAD). `None` when no stream may be
    /// opened now.
    pub fn open(
        &mut self,
        tag: u32,
        block: &[u8],
        end_stream: bool,
        bodyless: bool,
    ) -> Option<u32> {
        if self.role != Role::Client || !self.can_open() {
            return None;
        }
        let id = self.next_stream;
        self.next_stream += 2;
        let (send, receive) = (self.peer.stream_window, self.recv_stream_window);
        let mut stream = Stream::new(tag, i64::from(send), i64::from(receive));
        (stream.local_ended, stream.bodyless) = (end_stream, bodyless);
        self.streams.insert(id, stream);
        self.header_frames(id, block, end_stream);
        self.guard.useful();
        Some(id)
    }

    /// Sends a header block, encoded without a table: an answer or trailers. Nothing happens if the
    /// stream is gone.
    pub fn send_headers(&mut self, id: u32, block: &[u8], end_stream: bool) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.local_ended {
            return;
        }
        stream.local_ended = end_stream;
        self.header_frames(id, block, end_stream);
        self.guard.useful();
        if end_stream {
            self.end_if_whole(id);
        }
    }

    fn header_frames(&mut self, stream: u32, block: &[u8], end_stream: bool) {
        let end_stream = if end_stream { flag::END_STREAM } else { 0 };
        let update = std::mem::take(&mut self.table_update_due);
        let prefix: &[u8] = if update { &[TABLE_SIZE_ZERO] } else { &[] };
        let first_length = block.len().min(MAX_PAYLOAD - prefix.len());
        let (first, mut rest) = block.split_at(first_length);
        let end = |rest: &[u8]| if rest.is_empty() { flag::END_HEADERS } else { 0 };
        let length = prefix.len() + first.len();
        let flags = end_stream | end(rest);
        let out = self.out();
        FrameHeader { length, kind: kind::HEADERS, flags, stream }.write(out);
        out.extend_from_slice(prefix);
        out.extend_from_slice(first);
        while !rest.is_empty() {
            let (next, after) = rest.split_at(rest.len().min(MAX_PAYLOAD));
            frame::write(out, kind::CONTINUATION, end(after), stream, next);
            rest = after;
        }
    }

    /// Sends as much of `payload` as the windows and the output have room for, and returns how much.
    /// `end_stream` is sent with the last byte. When not all was taken, [`Event::Writable`],
    /// [`Event::ConnectionWritable`] or [`Connection::written`] says when to go on.
    ///
    /// [`Event::Writable`]: super::Event::Writable
    /// [`Event::ConnectionWritable`]: super::Event::ConnectionWritable
    pub fn send_data(&mut self, id: u32, payload: &[u8], end_stream: bool) -> usize {
        let room = HIGH_WATER.saturating_sub(self.output_len());
        let connection = self.send_window.max(0) as usize;
        let Some(stream) = self.streams.get_mut(id) else { return payload.len() };
        if stream.local_ended {
            return payload.len();
        }
        let window = stream.send_window.max(0) as usize;
        let taken = payload.len().min(window).min(connection).min(room);
        if taken < payload.len() {
            if window == taken {
                stream.starved = true;
            } else {
                self.starved = true;
            }
        }
        let ends = end_stream && taken == payload.len();
        if taken == 0 && !ends {
            return 0;
        }
        stream.send_window -= taken as i64;
        stream.local_ended = ends;
        self.send_window -= taken as i64;
        let mut rest = &payload[..taken];
        loop {
            let (next, after) = rest.split_at(rest.len().min(MAX_PAYLOAD));
            let flags = if ends && after.is_empty() { flag::END_STREAM } else { 0 };
            frame::write(self.out(), kind::DATA, flags, id, next);
            self.guard.useful();
            self.guard.data_sent();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        if ends {
            self.end_if_whole(id);
        }
        taken
    }

    /// The owner is done with `bytes` of a stream's DATA: the peer may send as many more.
    pub fn release(&mut self, id: u32, bytes: usize) {
        let least = self.config.stream_window / RELEASE_SHARE;
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.remote_ended || bytes == 0 {
            return;
        }
        stream.released += bytes as u32;
        if stream.released >= least {
            let increment = std::mem::take(&mut stream.released);
            stream.recv_window += i64::from(increment);
            self.frame(kind::WINDOW_UPDATE, 0, id, &increment.to_be_bytes());
        }
    }

    /// Ends everything: the peer is told why, nothing more is read.
    pub(super) fn fail(&mut self, error: ConnectionError) {
        if !std::mem::replace(&mut self.failed, true) {
            self.write_goaway(self.last_peer_stream, error.code, error.why.as_bytes());
        }
    }

    /// Ends everything for a reason of the owner's.
    pub fn close(&mut self, code: Code) {
        self.fail(ConnectionError::new(code, ""));
    }

    /// Whether nothing more is read: write the output, then close the socket.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn write_goaway(&mut self, last: u32, code: Code, why: &[u8]) {
        let mut payload = Vec::with_capacity(8 + why.len());
        payload.extend_from_slice(&last.to_be_bytes());
        payload.extend_from_slice(&code.0.to_be_bytes());
        payload.extend_from_slice(why);
        self.frame(kind::GOAWAY, 0, 0, &payload);
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        frame::write(self.out(), kind, flags, stream, payload);
    }

    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0 {
            self.output = self.buffers.take();
            self.written_at = self.now;
        }
        &mut self.output
    }

    /// What is to be written next; may be empty.
    pub fn output(&self) -> &[u8] {
        &self.output[self.output_start..]
    }

    /// Bytes of it.
    pub fn output_len(&self) -> usize {
        self.output.len() - self.output_start
    }

    /// Whether a stream found no room on the connection as a whole.
    pub fn is_starved(&self) -> bool {
        self.starved
    }

    /// Whether the peer leaves more unread than any honest one.
    pub fn is_overflowing(&self) -> bool {
        let heads = self.config.max_streams as usize * HEAD_BYTES;
        self.output_len() > MAX_OUTPUT + heads
    }

    /// Drops what was not written: nobody is to see it any more.
    pub fn discard_output(&mut self) {
        self.output_start = 0;
        self.buffers.give(std::mem::take(&mut self.output));
    }

    /// The first `bytes` of the output were written. `true` when a stream that found no room before
    /// can go on.
    pub fn written(&mut self, now: Duration, bytes: usize) -> bool {
        self.now = now;
        self.written_at = now;
        self.output_start += bytes;
        self.appended += bytes as u64;
        if self.output_start == self.output.len() {
            self.output_start = 0;
            self.buffers.give(std::mem::take(&mut self.output));
        } else if self.output_start >= HIGH_WATER {
            self.output.drain(..self.output_start);
            self.output_start = 0;
        }
        if self.starved && self.send_window > 0 && self.output_len() < HIGH_WATER / 2 {
            self.starved = false;
            return true;
        }
        false
    }

    /// Where the next byte of output stands in all that was ever to be written: once
    /// [`Connection::written_bytes`] is beyond it, it has left.
    pub fn position(&self) -> u64 {
        self.appended + self.output_len() as u64
    }

    /// Bytes ever written.
    pub fn written_bytes(&self) -> u64 {
        self.appended
    }
}
