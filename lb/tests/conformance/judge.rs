//! Watches everything the balancer sends, in every row, for what RFC 9113 says it must not send:
//! frames out of shape, out of place or past a window, and messages that are malformed.

mod framing;
mod message;
mod streams;

use std::collections::VecDeque;

use crate::{
    frames::{
        ACK, DATA, DEFAULT_FRAME_SIZE, ENABLE_PUSH, Frame, GOAWAY, HEADER_TABLE_SIZE, HEADERS,
        INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, PING, PUSH_PROMISE,
        RST_STREAM, SETTINGS, WINDOW_UPDATE,
    },
    hpack::{Decoder, Field},
};

use self::streams::Streams;

/// What a GOAWAY says that another will follow (RFC 9113, section 6.8).
const LARGEST_STREAM: u32 = 0x7fff_ffff;

/// What the balancer is on the judged connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// One connection, seen from the side that is not the balancer.
pub(crate) struct Judge {
    role: Role,
    violations: Vec<String>,
    decoder: Decoder,
    streams: Streams,
    /// Settings we sent that are not acknowledged.
    unacknowledged: VecDeque<Vec<(u16, u32)>>,
    /// Pings we sent that are not answered, and whether a GOAWAY went before.
    unanswered: VecDeque<(Vec<u8>, bool)>,
    is_goaway_sent: bool,
    max_frame_size: usize,
    has_settings: bool,
    /// Of the last GOAWAY.
    last_stream: Option<u32>,
}

impl Judge {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            violations: Vec::new(),
            decoder: Decoder::new(),
            streams: Streams::new(role),
            unacknowledged: VecDeque::new(),
            unanswered: VecDeque::new(),
            is_goaway_sent: false,
            max_frame_size: DEFAULT_FRAME_SIZE,
            has_settings: false,
            last_stream: None,
        }
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn object(&mut self, violation: String) {
        self.violations.push(violation);
    }

    /// A frame of our side.
    pub(crate) fn sent(&mut self, frame: Frame) {
        match frame.kind {
            SETTINGS if !frame.has(ACK) => {
                let values: Vec<_> = frame.settings().collect();
                for (_, window) in values.iter().filter(|(id, _)| *id == INITIAL_WINDOW_SIZE) {
                    self.streams.offer_initial_window(*window);
                }
                self.unacknowledged.push_back(values);
            }
            PING if !frame.has(ACK) => {
                self.unanswered.push_back((frame.payload, self.is_goaway_sent));
            }
            GOAWAY => self.is_goaway_sent = true,
            _ => self.streams.sent(&frame),
        }
    }

    /// The shape of a frame as it came.
    pub(crate) fn framing(&mut self, frame: &Frame) {
        if let Err(violation) = framing::check(frame, self.max_frame_size) {
            self.object(format!("{}: {violation}", frame.describe()));
        }
        if !std::mem::replace(&mut self.has_settings, true)
            && (frame.kind != SETTINGS || frame.has(ACK))
        {
            self.object(format!("3.4: {} before SETTINGS", frame.describe()));
        }
    }

    /// The meaning of a frame; the fields of a header block.
    pub(crate) fn received(&mut self, frame: &Frame) -> Vec<Field> {
        let judged = match frame.kind {
            SETTINGS => self.settings(frame).map(|()| Vec::new()),
            PING if frame.has(ACK) => self.pong(frame).map(|()| Vec::new()),
            GOAWAY => self.goaway(frame).map(|()| Vec::new()),
            HEADERS => self.headers(frame),
            DATA => self.streams.data(frame).map(|()| Vec::new()),
            RST_STREAM => self.streams.reset(frame.stream).map(|()| Vec::new()),
            WINDOW_UPDATE => self.streams.credit(frame).map(|()| Vec::new()),
            PUSH_PROMISE => Err("8.4: nothing may be pushed".to_owned()),
            _ => Ok(Vec::new()),
        };
        judged.unwrap_or_else(|violation| {
            self.object(format!("{}: {violation}", frame.describe()));
            Vec::new()
        })
    }

    fn headers(&mut self, frame: &Frame) -> Result<Vec<Field>, String> {
        let block = frame.content()?;
        let fields = self.decoder.decode(block).map_err(|why| format!("4.3, RFC 7541: {why}"))?;
        // Whatever is wrong with the message, a row sees its fields.
        if let Err(violation) = self.streams.headers(frame, &fields) {
            self.object(format!("{}: {violation}", frame.describe()));
        }
        Ok(fields)
    }

    fn settings(&mut self, frame: &Frame) -> Result<(), String> {
        if !frame.has(ACK) {
            let pushes = frame.settings().any(|(id, value)| id == ENABLE_PUSH && value != 0);
            if self.role == Role::Server && pushes {
                return Err("6.5.2: a server that says ENABLE_PUSH 1".to_owned());
            }
            for (_, window) in frame.settings().filter(|(id, _)| *id == INITIAL_WINDOW_SIZE) {
                self.streams.set_their_initial_window(window);
            }
            return framing::check_settings(frame);
        }
        let acknowledged = self.unacknowledged.pop_front();
        for (id, value) in acknowledged.ok_or("6.5.3: acknowledges what was not sent")? {
            let size = usize::try_from(value).expect("32 bits");
            match id {
                HEADER_TABLE_SIZE => self.decoder.set_limit(size),
                MAX_FRAME_SIZE => self.max_frame_size = size,
                INITIAL_WINDOW_SIZE => self.streams.set_initial_window(value),
                MAX_CONCURRENT_STREAMS => self.streams.set_max(size),
                _ => {}
            }
        }
        Ok(())
    }

    fn pong(&mut self, frame: &Frame) -> Result<(), String> {
        match self.unanswered.pop_front() {
            Some((content, is_closing)) if content == frame.payload => {
                if is_closing {
                    self.streams.close();
                }
                Ok(())
            }
            other => Err(format!("6.7: answers {:?}, sent was {other:?}", frame.payload)),
        }
    }

    fn goaway(&mut self, frame: &Frame) -> Result<(), String> {
        let last = frame.number(0);
        if self.last_stream.is_some_and(|before| last > before) {
            return Err("6.8: the last stream of a GOAWAY grew".to_owned());
        }
        self.last_stream = Some(last);
        // The first of two may announce that there will be another.
        if last != LARGEST_STREAM && last > self.streams.highest_ours() {
            return Err(format!("6.8: stream {last} cannot have been processed"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
