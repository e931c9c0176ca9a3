//! The balancer's streams on one connection: states, windows and lengths (RFC 9113, sections 5.1,
//! 6.9 and 8.1).

use std::collections::HashMap;

use super::{Role, message};
use crate::{
    frames::{DATA, DEFAULT_WINDOW, Frame, HEADERS, MAX_WINDOW, RST_STREAM, WINDOW_UPDATE},
    hpack::{Decoder, Field},
};

/// One stream.
#[derive(Debug, Default)]
struct Stream {
    /// What the balancer may send, beyond the initial window.
    credit: i64,
    /// What we may send, beyond the balancer's initial window.
    granted: i64,
    /// The balancer's message: its head has come; it has ended; it was reset.
    has_head: bool,
    has_ended: bool,
    is_reset: bool,
    /// Ours has ended, or we reset it.
    is_ours_ended: bool,
    is_ours_reset: bool,
    /// The request was a HEAD: no length of the answer is to be believed.
    is_head: bool,
    content_length: Option<u64>,
    received: u64,
}

impl Stream {
    fn is_open(&self) -> bool {
        !(self.is_reset || self.is_ours_reset || self.has_ended && self.is_ours_ended)
    }
}

/// All streams of a connection.
pub(super) struct Streams {
    role: Role,
    streams: HashMap<u32, Stream>,
    /// Of what we send; only to know the methods.
    sent: Decoder,
    /// What a stream begins with, by our settings and by the balancer's.
    initial_window: i64,
    their_initial_window: i64,
    connection_credit: i64,
    connection_granted: i64,
    max: usize,
    last_opened: u32,
    highest_ours: u32,
    /// The balancer has read our GOAWAY.
    is_closing: bool,
}

impl Streams {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            streams: HashMap::new(),
            sent: Decoder::new(),
            initial_window: DEFAULT_WINDOW,
            their_initial_window: DEFAULT_WINDOW,
            connection_credit: DEFAULT_WINDOW,
            connection_granted: DEFAULT_WINDOW,
            max: usize::MAX,
            last_opened: 0,
            highest_ours: 0,
            is_closing: false,
        }
    }

    /// A frame of ours.
    pub(super) fn sent(&mut self, frame: &Frame) {
        let increment = i64::from(frame.number(0));
        if frame.kind == WINDOW_UPDATE && frame.stream == 0 {
            self.connection_credit += increment;
        }
        if !matches!(frame.kind, DATA | HEADERS | RST_STREAM | WINDOW_UPDATE) || frame.stream == 0 {
            return;
        }
        let stream = self.streams.entry(frame.stream).or_default();
        match frame.kind {
            WINDOW_UPDATE => stream.credit += increment,
            RST_STREAM => stream.is_ours_reset = true,
            DATA => {
                let length = i64::try_from(frame.payload.len()).expect("a frame's length");
                stream.granted -= length;
                self.connection_granted -= length;
            }
            HEADERS => {
                self.highest_ours = self.highest_ours.max(frame.stream);
                let fields = frame.content().and_then(|block| self.sent.decode(block));
                stream.is_head |= fields.is_ok_and(|fields| {
                    fields.iter().any(|field| field.name == b":method" && field.value == b"HEAD")
                });
            }
            _ => {}
        }
        stream.is_ours_ended |= frame.ends_stream();
    }

    /// We sent this initial window: a larger one may be used before it is acknowledged.
    pub(super) fn offer_initial_window(&mut self, window: u32) {
        self.initial_window = self.initial_window.max(window.into());
    }

    pub(super) fn set_initial_window(&mut self, window: u32) {
        self.initial_window = window.into();
    }

    /// The balancer's own initial window, for what we send.
    pub(super) fn set_their_initial_window(&mut self, window: u32) {
        self.their_initial_window = window.into();
    }

    /// The balancer has read our GOAWAY.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// The last stream that was opened by us; a server opens none.
    pub(super) fn highest_ours(&self) -> u32 {
        match self.role {
            Role::Server => self.highest_ours,
            Role::Client => 0,
        }
    }

    pub(super) fn headers(&mut self, frame: &Frame, fields: &[Field]) -> Result<(), String> {
        let id = frame.stream;
        let is_new = !self.streams.contains_key(&id);
        if self.role == Role::Client && is_new {
            self.open(id)?;
        }
        if self.role == Role::Server && id > self.highest_ours {
            return Err("5.1.1: a response on a stream that is idle".to_owned());
        }
        let stream = self.streams.entry(id).or_default();
        if stream.is_reset || stream.has_ended {
            return Err("5.1: HEADERS after the end of the stream".to_owned());
        }
        let is_trailer = stream.has_head;
        let head = match (self.role, is_trailer) {
            (_, true) => message::trailers(frame, fields).map(|()| None),
            (Role::Client, false) => message::request(fields).map(Some),
            (Role::Server, false) => message::response(frame, fields),
        }?;
        if let Some(head) = head {
            stream.has_head = true;
            stream.content_length = head.content_length.filter(|_| !stream.is_head);
        }
        stream.finish(frame)
    }

    /// The balancer opens a stream.
    fn open(&mut self, id: u32) -> Result<(), String> {
        if id.is_multiple_of(2) || id <= self.last_opened {
            return Err(format!("5.1.1: stream {id} opened after {}", self.last_opened));
        }
        if self.is_closing {
            return Err("6.8: a new stream after GOAWAY".to_owned());
        }
        self.last_opened = id;
        let open = self.streams.values().filter(|stream| stream.is_open()).count();
        if open >= self.max {
            return Err(format!("5.1.2: a stream beyond the {} allowed", self.max));
        }
        Ok(())
    }

    pub(super) fn data(&mut self, frame: &Frame) -> Result<(), String> {
        let length = frame.payload.len();
        let cost = i64::try_from(length).expect("a frame's length");
        let (initial, content) = (self.initial_window, frame.content()?.len());
        let stream = self.streams.get_mut(&frame.stream).ok_or("5.1: DATA on an idle stream")?;
        if stream.is_reset || stream.has_ended || !stream.has_head {
            return Err("5.1, 8.1: DATA before the head or after the end".to_owned());
        }
        self.connection_credit -= cost;
        stream.credit -= cost;
        if cost > 0 && (self.connection_credit < 0 || initial + stream.credit < 0) {
            return Err("6.9.1: DATA past the window".to_owned());
        }
        stream.received += u64::try_from(content).expect("a frame's length");
        stream.finish(frame)
    }

    pub(super) fn reset(&mut self, id: u32) -> Result<(), String> {
        let is_idle = match self.role {
            Role::Client => !self.streams.contains_key(&id),
            Role::Server => id > self.highest_ours && !self.streams.contains_key(&id),
        };
        if is_idle {
            return Err("6.4: RST_STREAM on an idle stream".to_owned());
        }
        let stream = self.streams.entry(id).or_default();
        if std::mem::replace(&mut stream.is_reset, true) {
            return Err("5.1: a second RST_STREAM".to_owned());
        }
        Ok(())
    }

    /// The balancer lets us send more.
    pub(super) fn credit(&mut self, frame: &Frame) -> Result<(), String> {
        let increment = i64::from(frame.number(0) & 0x7fff_ffff);
        if increment == 0 {
            return Err("6.9: an increment of 0".to_owned());
        }
        let window = if frame.stream == 0 {
            self.connection_granted += increment;
            self.connection_granted
        } else {
            let stream = self
                .streams
                .get_mut(&frame.stream)
                .ok_or("5.1: WINDOW_UPDATE on an idle stream")?;
            if stream.is_reset {
                return Err("5.1: WINDOW_UPDATE after RST_STREAM".to_owned());
            }
            stream.granted += increment;
            self.their_initial_window + stream.granted
        };
        match window > MAX_WINDOW {
            true => Err("6.9.1: a window past 2^31-1".to_owned()),
            false => Ok(()),
        }
    }
}

impl Stream {
    /// Notes an END_STREAM.
    fn finish(&mut self, frame: &Frame) -> Result<(), String> {
        if !frame.ends_stream() {
            return match self.content_length {
                Some(length) if self.received > length => {
                    Err(format!("8.1.1: more than the content-length {length}"))
                }
                _ => Ok(()),
            };
        }
        self.has_ended = true;
        match self.content_length {
            Some(length) if length != self.received => Err(format!(
                "8.1.1: content-length {length}, but {} octets of content",
                self.received
            )),
            _ => Ok(()),
        }
    }
}
