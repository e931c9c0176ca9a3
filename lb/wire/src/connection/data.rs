//! DATA (RFC 9113, section 6.1), passed on as it arrives: a frame need not be whole for its first
//! bytes to travel on, so no connection ever holds one.

use super::{Connection, Ended, Event};
use crate::{
    error::ConnectionError,
    frame::{Code, FrameHeader, HEADER_LEN, flag, kind},
};

/// What the next bytes belong to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Incoming {
    /// A frame header.
    None,
    /// The payload of a DATA frame.
    Data(Progress),
}

/// A DATA frame whose payload has not all arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    stream: u32,
    left: usize,
    padding: usize,
    end_stream: bool,
    /// Nobody wants it.
    discard: bool,
}

/// What stands against a DATA frame.
enum Objection {
    /// Its stream is gone, by our doing.
    Ignored,
    Stream(Code),
}

impl<T> Connection<T> {
    /// The header of a DATA frame. `Ok(None)`: nothing to tell yet, or more bytes are needed, when
    /// `input` is as it was.
    pub(super) fn begin_data<'i>(
        &mut self,
        header: FrameHeader,
        input: &mut &'i [u8],
    ) -> Result<Option<Event<'i, T>>, ConnectionError> {
        if header.stream == 0 {
            return Err(ConnectionError::protocol("DATA on stream 0 (RFC 9113, 6.1)"));
        }
        let mut padding = 0;
        let mut overhead = 0;
        if header.has(flag::PADDED) {
            if header.length == 0 {
                let why = "PADDED without a pad length (RFC 9113, 6.1)";
                return Err(ConnectionError::new(Code::FRAME_SIZE_ERROR, why));
            }
            let Some(length) = input.get(HEADER_LEN) else { return Ok(None) };
            (padding, overhead) = (usize::from(*length), 1);
            if padding >= header.length {
                return Err(ConnectionError::protocol("more padding than payload (RFC 9113, 6.1)"));
            }
        }
        *input = &input[HEADER_LEN + overhead..];
        let left = header.length - overhead - padding;
        let end_stream = header.has(flag::END_STREAM);
        self.charge_connection(header.length)?;
        let progress =
            Progress { stream: header.stream, left, padding, end_stream, discard: false };
        let Err(objection) = self.admit(&progress, header.length)? else {
            if left == 0 && !end_stream {
                self.guard.control(self.now, 1)?;
            } else {
                self.guard.useful();
            }
            // Padding was never ours to hold.
            self.release(header.stream, padding + overhead);
            self.incoming = Incoming::Data(progress);
            return Ok(None);
        };
        // What was on its way is soon over; what goes on is a flood.
        let is_ignored = matches!(objection, Objection::Ignored);
        if !(is_ignored && self.was_on_its_way(header.length)) {
            self.guard.control(self.now, 1)?;
        }
        self.incoming = Incoming::Data(Progress { discard: true, ..progress });
        match objection {
            Objection::Ignored => Ok(None),
            Objection::Stream(code) => self.stream_error(header.stream, code),
        }
    }

    /// Takes what is there of the payload.
    pub(super) fn more_data<'i>(
        &mut self,
        mut progress: Progress,
        input: &mut &'i [u8],
    ) -> Option<Event<'i, T>> {
        let (payload, rest) = input.split_at(progress.left.min(input.len()));
        progress.left -= payload.len();
        let ended = progress.left == 0 && progress.end_stream && !progress.discard;
        let mut rest = rest;
        if progress.left == 0 {
            let skipped = progress.padding.min(rest.len());
            rest = &rest[skipped..];
            progress.padding -= skipped;
        }
        let discard = progress.discard;
        *input = rest;
        self.incoming = if progress.left == 0 && progress.padding == 0 {
            Incoming::None
        } else {
            // What is left after the end is padding.
            Incoming::Data(Progress { discard: discard || ended, ..progress })
        };
        if discard || (payload.is_empty() && !ended) {
            return None;
        }
        let id = progress.stream;
        // The owner may have reset it between two pieces.
        let stream = self.streams.get_mut(id).filter(|stream| !stream.abandoned)?;
        let tag = stream.tag;
        if ended {
            stream.remote_ended = true;
            self.end_if_whole(id);
        }
        Some(Event::Data { stream: id, tag, payload, end_stream: ended })
    }

    /// Takes it off the connection's window, which is given back at once: what bounds memory is the
    /// window of the stream.
    fn charge_connection(&mut self, length: usize) -> Result<(), ConnectionError> {
        self.recv_window -= length as i64;
        if self.recv_window < 0 {
            let why = "more DATA than the connection's window (RFC 9113, 6.9.1)";
            return Err(ConnectionError::new(Code::FLOW_CONTROL_ERROR, why));
        }
        if self.recv_window < i64::from(self.config.connection_window / 2) {
            self.grant_connection_window();
        }
        Ok(())
    }

    pub(super) fn grant_connection_window(&mut self) {
        let increment = i64::from(self.config.connection_window) - self.recv_window;
        if increment > 0 {
            self.recv_window += increment;
            self.frame(kind::WINDOW_UPDATE, 0, 0, &(increment as u32).to_be_bytes());
        }
    }

    /// Whether a stream takes this frame (RFC 9113, sections 5.1, 6.9.1 and 8.1.1).
    fn admit(
        &mut self,
        progress: &Progress,
        length: usize,
    ) -> Result<Result<(), Objection>, ConnectionError> {
        let id = progress.stream;
        if self.is_idle(id) {
            return Err(ConnectionError::protocol("DATA on an idle stream (RFC 9113, 5.1)"));
        }
        let Some(stream) = self.streams.get_mut(id) else {
            return match self.streams.ended(id) {
                Some(Ended::ByUs) => Ok(Err(Objection::Ignored)),
                Some(Ended::Whole | Ended::ByPeer) => {
                    Ok(Err(Objection::Stream(Code::STREAM_CLOSED)))
                }
                // Perhaps we reset it, long ago.
                None if self.streams.has_forgotten() => Ok(Err(Objection::Ignored)),
                // Never used: closed when a later one was opened (RFC 9113, section 5.1.1).
                None => Ok(Err(Objection::Stream(Code::STREAM_CLOSED))),
            };
        };
        if stream.abandoned {
            return Ok(Err(Objection::Ignored));
        }
        if stream.remote_ended {
            return Ok(Err(Objection::Stream(Code::STREAM_CLOSED)));
        }
        if !stream.got_head {
            return Ok(Err(Objection::Stream(Code::PROTOCOL_ERROR)));
        }
        stream.recv_window -= length as i64;
        if length > 0 && stream.recv_window < 0 {
            return Ok(Err(Objection::Stream(Code::FLOW_CONTROL_ERROR)));
        }
        if let Some(expected) = &mut stream.content_left {
            let short = progress.end_stream && *expected != progress.left as u64;
            if short || *expected < progress.left as u64 {
                return Ok(Err(Objection::Stream(Code::PROTOCOL_ERROR)));
            }
            *expected -= progress.left as u64;
        }
        Ok(Ok(()))
    }
}
