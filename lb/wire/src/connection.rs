//! One HTTP/2 connection, either side, without a socket.
//!
//! Bytes that arrive go to [`Connection::receive`], which gives one [`Event`] at a time; what is to be
//! sent is appended to [`Connection::output`]. Events borrow the bytes they were made of, so a
//! payload is copied once: into the output of the connection it goes to. Whoever owns the
//! connection says what the time is and when it is done with received bytes ([`Connection::release`]):
//! flow control runs from end to end.

mod blocks;
mod control;
mod data;
mod guard;
mod health;
mod messages;
mod receive;
mod resets;
mod send;
mod settings;
mod streams;

use std::{rc::Rc, time::Duration};

pub use self::{blocks::Block, health::Expired};
use self::{
    blocks::Blocks,
    data::Incoming,
    guard::Guard,
    resets::Resets,
    settings::{DEFAULT_HEADER_TABLE, DEFAULT_WINDOW, PeerSettings},
    streams::{Ended, Stream, Streams},
};
use crate::{
    buffer::BufferPool,
    frame::{Code, MAX_31_BIT, PREFACE, kind, setting},
};

/// The tag of a stream whose owner has not set one.
pub const NO_TAG: u32 = u32::MAX;
/// Output beyond which no further DATA is taken until the peer has read some, bytes: a batch of calls
/// fits, and a slow reader costs no more.
const HIGH_WATER: usize = 256 * 1024;
/// Output, besides a small head for every stream, at which a connection is given up that takes no more: DATA and requests stop at the
/// high water, so these are answers to control frames, and heads of answers, that the peer does not
/// read.
const MAX_OUTPUT: usize = HIGH_WATER + 1024 * 1024;
/// The same, however little time there was to write any of it.
const MOST_OUTPUT: usize = 4 * MAX_OUTPUT;

/// Which side of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// We opened it and send requests.
    Client,
    /// We accepted it and answer.
    Server,
}

/// Bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Streams the peer may have open (server), or we do whatever it allows (client).
    pub max_streams: u32,
    /// What one stream may send ahead of [`Connection::release`], bytes, at most 2^31-1.
    pub stream_window: u32,
    /// What the peer may send on all streams before it hears from us, bytes. Given back on arrival:
    /// memory is bounded by the streams' windows, and no stream ever waits for another.
    pub connection_window: u32,
    /// Decoded size of one header block (RFC 9113, section 6.5.2), bytes.
    pub max_header_list: u32,
    /// For the preface and SETTINGS, and for a frame or header block once begun.
    pub handshake_timeout: Duration,
    /// Silence after which the peer is pinged, and how long it may take to answer.
    pub keepalive: (Duration, Duration),
    /// How long the peer may read nothing of what is to be sent.
    pub stall_timeout: Duration,
    /// Id of the first stream we open: odd.
    pub first_stream: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_streams: 1024,
            stream_window: 64 * 1024,
            connection_window: 4 << 20,
            max_header_list: 64 * 1024,
            handshake_timeout: Duration::from_secs(5),
            keepalive: (Duration::from_secs(30), Duration::from_secs(20)),
            stall_timeout: Duration::from_secs(60),
            first_stream: 1,
        }
    }
}

/// What arrived. `tag` is the owner's mark of the stream.
#[derive(Debug)]
pub enum Event<'i, T> {
    /// The peer's first SETTINGS: the connection is in use.
    Ready,
    /// Later SETTINGS: there may be more room for streams and on streams.
    Changed,
    /// A whole, valid header block: a request (server), an answer (client), or trailers.
    Headers {
        /// On which stream.
        stream: u32,
        /// Its mark; [`NO_TAG`] on a new one.
        tag: u32,
        /// What it says.
        block: Rc<Block<T>>,
        /// What it is.
        part: Part,
        /// Nothing follows.
        end_stream: bool,
    },
    /// A header block larger than allowed. Nothing of it is kept.
    HeadersTooLarge {
        /// On which stream.
        stream: u32,
        /// Its mark.
        tag: u32,
    },
    /// A piece of content. The owner must [`Connection::release`] it.
    Data {
        /// On which stream.
        stream: u32,
        /// Its mark.
        tag: u32,
        /// Not necessarily a whole frame; may be empty at the end.
        payload: &'i [u8],
        /// Nothing follows.
        end_stream: bool,
    },
    /// The stream is gone.
    Reset {
        /// Which stream.
        stream: u32,
        /// Its mark.
        tag: u32,
        /// Why.
        code: Code,
        /// The peer broke a rule and we reset it; otherwise the peer did.
        by_us: bool,
    },
    /// A stream that wanted to send more than its window can go on.
    Writable {
        /// Which stream.
        stream: u32,
        /// Its mark.
        tag: u32,
    },
    /// The connection's own window was empty and is not any more.
    ConnectionWritable,
    /// The peer takes no further streams; those of ours beyond `last` were not processed.
    GoAway {
        /// Last stream that may have been processed.
        last: u32,
        /// Why.
        code: Code,
    },
}

/// What a header block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Of a request.
    Request,
    /// Of an answer, with a status of 200 or more.
    Response,
    /// Before an answer: 100 to 199.
    Informational,
    /// At the end.
    Trailers,
}

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    /// The first, harmless GOAWAY is out, since then; the final one follows the answer to a ping.
    Announced(Duration),
    /// No stream beyond this one is taken.
    Final(u32),
}

/// One connection. `T` is what its owner derives from a header block and wants to find again when
/// the same block arrives again ([`Block::memo`]).
#[derive(Debug)]
pub struct Connection<T> {
    role: Role,
    config: Config,
    buffers: Rc<BufferPool>,
    now: Duration,
    opened_at: Duration,

    // What arrives.
    preface_left: usize,
    ready: bool,
    incoming: Incoming,
    blocks: Blocks<T>,
    partial_since: Option<Duration>,
    received_at: Duration,
    recv_window: i64,
    recv_stream_window: u32,
    unacknowledged_settings: u32,
    settings_applied: bool,

    // Streams.
    streams: Streams,
    /// The last the peer opened.
    last_peer_stream: u32,
    /// The next we open.
    next_stream: u32,
    peer: PeerSettings,
    /// The peer's GOAWAY.
    gone_away: Option<u32>,
    closing: Closing,
    guard: Guard,
    ping_sent_at: Option<Duration>,
    resets: Resets,
    failed: bool,

    // What is sent.
    output: Vec<u8>,
    output_start: usize,
    appended: u64,
    written_at: Duration,
    send_window: i64,
    starved: bool,
    table_update_due: bool,
}

impl<T> Connection<T> {
    /// A new connection; its SETTINGS (and preface) are in the output.
    pub fn new(role: Role, config: Config, buffers: Rc<BufferPool>, now: Duration) -> Self {
        let mut connection = Self {
            role,
            config,
            buffers,
            now,
            opened_at: now,
            preface_left: if role == Role::Server { PREFACE.len() } else { 0 },
            ready: false,
            incoming: Incoming::None,
            blocks: Blocks::new(config.max_header_list as usize, DEFAULT_HEADER_TABLE as usize),
            partial_since: None,
            received_at: now,
            recv_window: i64::from(DEFAULT_WINDOW),
            recv_stream_window: DEFAULT_WINDOW,
            unacknowledged_settings: 1,
            settings_applied: false,
            streams: Streams::default(),
            last_peer_stream: 0,
            next_stream: config.first_stream,
            peer: PeerSettings::new(),
            gone_away: None,
            closing: Closing::Open,
            guard: Guard::new(now),
            ping_sent_at: None,
            resets: Resets::default(),
            failed: false,
            output: Vec::new(),
            output_start: 0,
            appended: 0,
            written_at: now,
            send_window: i64::from(DEFAULT_WINDOW),
            starved: false,
            table_update_due: false,
        };
        connection.introduce();
        connection
    }

    /// Preface, SETTINGS, and the window of the connection.
    fn introduce(&mut self) {
        let Config { max_streams, stream_window, connection_window, max_header_list, .. } =
            self.config;
        let mut ours = vec![
            (setting::INITIAL_WINDOW_SIZE, stream_window),
            (setting::MAX_HEADER_LIST_SIZE, max_header_list),
        ];
        match self.role {
            Role::Client => {
                self.out().extend_from_slice(PREFACE);
                // Without a table, header blocks are whole in themselves and can be recognised.
                ours.push((setting::HEADER_TABLE_SIZE, 0));
                ours.push((setting::ENABLE_PUSH, 0));
            }
            Role::Server => ours.push((setting::MAX_CONCURRENT_STREAMS, max_streams)),
        }
        let payload = settings::encode(&ours);
        self.frame(kind::SETTINGS, 0, 0, &payload);
        if connection_window > DEFAULT_WINDOW {
            self.grant_connection_window();
        }
    }

    /// Streams that are open.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether the peer's SETTINGS have arrived.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether a stream could be opened now (client).
    pub fn can_open(&self) -> bool {
        self.takes_streams() && (self.streams.len() as u64) < self.stream_limit() && self.has_room()
    }

    /// Whether there is so little output that more can be added.
    pub fn has_room(&self) -> bool {
        self.output_len() < HIGH_WATER
    }

    /// Whether streams can be opened as soon as others end: not going away, and ids are left
    /// (RFC 9113, section 5.1.1).
    pub fn takes_streams(&self) -> bool {
        self.ready
            && !self.failed
            && self.gone_away.is_none()
            && self.closing == Closing::Open
            && self.next_stream <= MAX_31_BIT
    }

    fn stream_limit(&self) -> u64 {
        u64::from(self.peer.max_streams.min(self.config.max_streams))
    }

    /// Sets the owner's mark of a stream.
    pub fn set_tag(&mut self, stream: u32, tag: u32) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.tag = tag;
        }
    }

    /// The marks of all open streams.
    pub fn tags(&self) -> Vec<u32> {
        let open = self.streams.iter().filter(|(_, stream)| !stream.abandoned);
        open.map(|(_, stream)| stream.tag).collect()
    }

    /// Takes out all open streams, as nothing will be heard of them any more, and returns their marks.
    pub fn abandon(&mut self) -> Vec<u32> {
        let tags = self.tags();
        self.streams = Streams::default();
        tags
    }

    /// Takes out the streams beyond `last`, which the peer says it did not process, and returns their
    /// marks.
    pub fn take_unprocessed(&mut self, last: u32) -> Vec<u32> {
        let beyond = self.streams.iter().filter(|(id, _)| *id > last);
        let beyond: Vec<_> = beyond.map(|(id, stream)| (id, stream.tag)).collect();
        for (id, _) in &beyond {
            self.streams.end(*id, Ended::ByPeer);
        }
        beyond.into_iter().map(|(_, tag)| tag).filter(|tag| *tag != NO_TAG).collect()
    }

    /// Ends streams that both sides are done with.
    fn end_if_whole(&mut self, id: u32) {
        let whole = |stream: &Stream| stream.remote_ended && stream.local_ended;
        if self.streams.get(id).is_some_and(whole) {
            self.streams.end(id, Ended::Whole);
        }
    }
}

#[cfg(test)]
mod tests;
