//! One end of a connection to the balancer, client's or server's: sends any bytes, reads frames,
//! answers SETTINGS and PING as everybody must, and has every frame that is read judged.

use std::{collections::HashMap, io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    frames::{
        ACK, CONTINUATION, DATA, DEFAULT_WINDOW, END_HEADERS, Frame, HEADERS, INITIAL_WINDOW_SIZE,
        PING, PREFACE, SETTINGS, WINDOW_UPDATE, ping, settings_ack, window_update,
    },
    hpack::Field,
    judge::{Judge, Role},
};

/// How long anything may take that a row waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Lengths of pieces, in turn: no frame's head stays whole.
const PIECES: [usize; 6] = [1, 3, 2, 7, 1, 5];
/// Of one write.
const MOST_PIECES: usize = 24;

/// How bytes are written: a row's result must not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    AtOnce,
    InPieces,
}

/// What is read next.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A frame; a header block in several frames is one, with the fields that it means.
    Frame(Frame, Vec<Field>),
    /// The other side closed the connection.
    Closed,
    /// The connection was torn down; what was sent before may be lost.
    Torn,
    /// Nothing more came in time.
    Silence,
}

/// A connection.
pub(crate) struct Connection {
    socket: TcpStream,
    manner: Manner,
    unread: Vec<u8>,
    /// What was sent and is no whole frame yet.
    unjudged: Vec<u8>,
    judge: Judge,
    /// What was read, for a report.
    pub(crate) seen: Vec<String>,
    /// What the other side lets us send: by its settings, and by stream, 0 for the connection.
    initial_window: i64,
    windows: HashMap<u32, i64>,
    /// DATA frames that room was not given back for: streams and lengths.
    unreturned: Vec<(u32, u32)>,
}

impl Connection {
    /// `role`: the balancer's.
    pub(crate) fn new(socket: TcpStream, role: Role, manner: Manner) -> Self {
        // Frames are sent as they are written: what a row says together arrives together.
        socket.set_nodelay(true).expect("a socket");
        Self {
            socket,
            manner,
            unread: Vec::new(),
            unjudged: Vec::new(),
            judge: Judge::new(role),
            seen: Vec::new(),
            initial_window: DEFAULT_WINDOW,
            windows: HashMap::from([(0, DEFAULT_WINDOW)]),
            unreturned: Vec::new(),
        }
    }

    /// Sends bytes, valid or not. That the other side has closed is seen by reading.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.unjudged.extend_from_slice(bytes);
        if self.unjudged.starts_with(PREFACE) {
            self.unjudged.drain(..PREFACE.len());
        }
        // Part of a preface is no frame yet.
        let is_preface = !self.unjudged.is_empty() && PREFACE.starts_with(&self.unjudged);
        while !is_preface && let Some(frame) = Frame::split_off(&mut self.unjudged) {
            if frame.kind == DATA {
                let length = i64::try_from(frame.payload.len()).expect("a frame's length");
                *self.windows.entry(frame.stream).or_default() -= length;
                *self.windows.entry(0).or_default() -= length;
            }
            self.judge.sent(frame);
        }
        let _ = tokio::time::timeout(PATIENCE, self.write(bytes)).await;
    }

    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut sizes = PIECES.into_iter().cycle();
        while self.manner == Manner::InPieces && !bytes.is_empty() {
            let size = sizes.next().expect("there is always a next one");
            // What is long is not cut so fine: rows end in time.
            let size = size.max(bytes.len() / MOST_PIECES).min(bytes.len());
            let (piece, rest) = bytes.split_at(size);
            self.socket.write_all(piece).await?;
            tokio::task::yield_now().await;
            bytes = rest;
        }
        self.socket.write_all(bytes).await
    }

    /// No more will be sent.
    pub(crate) async fn finish(&mut self) {
        let _ = self.socket.shutdown().await;
    }

    /// Reads the preface of a client; false if the connection ended instead.
    pub(crate) async fn preface(&mut self) -> bool {
        while self.unread.len() < PREFACE.len() {
            if self.fill().await.is_some() {
                return false;
            }
        }
        let rest = self.unread.split_off(PREFACE.len());
        if std::mem::replace(&mut self.unread, rest) != PREFACE {
            self.judge.object("3.4: no preface of a client".to_owned());
        }
        true
    }

    /// The next frame, judged; SETTINGS and PING are answered first.
    pub(crate) async fn next(&mut self) -> Event {
        let frame = match self.frame().await {
            Ok(frame) => frame,
            Err(event) => return event,
        };
        self.seen.push(frame.describe());
        let fields = self.judge.received(&frame);
        self.note_windows(&frame);
        match frame.kind {
            SETTINGS if !frame.has(ACK) => self.send(&settings_ack()).await,
            PING if !frame.has(ACK) => {
                let content = frame.payload.as_slice().try_into().unwrap_or_default();
                self.send(&ping(ACK, &content)).await;
            }
            _ => {}
        }
        Event::Frame(frame, fields)
    }

    /// What may be sent on this stream now, and on the connection.
    pub(crate) fn window(&self, stream: u32) -> i64 {
        self.initial_window + self.windows.get(&stream).copied().unwrap_or_default()
    }

    pub(crate) fn connection_window(&self) -> i64 {
        self.windows[&0]
    }

    /// What the balancer has done that it must not.
    pub(crate) fn violations(&self) -> &[String] {
        self.judge.violations()
    }

    /// Gives room back for every DATA frame that was read, one by one, as some implementations do.
    pub(crate) async fn give_back(&mut self) {
        let unreturned = std::mem::take(&mut self.unreturned);
        let updates = unreturned.into_iter().flat_map(|(stream, length)| {
            [window_update(stream, length), window_update(0, length)].concat()
        });
        let updates: Vec<u8> = updates.collect();
        self.send(&updates).await;
    }

    fn note_windows(&mut self, frame: &Frame) {
        match frame.kind {
            DATA if !frame.payload.is_empty() => {
                let length = u32::try_from(frame.payload.len()).expect("a frame's length");
                self.unreturned.push((frame.stream, length));
            }
            SETTINGS => {
                let initial = frame.settings().filter(|(id, _)| *id == INITIAL_WINDOW_SIZE).last();
                if let Some((_, window)) = initial {
                    self.initial_window = window.into();
                }
            }
            WINDOW_UPDATE => {
                *self.windows.entry(frame.stream).or_default() += i64::from(frame.number(0));
            }
            _ => {}
        }
    }

    /// A frame, with the CONTINUATION frames that follow it.
    async fn frame(&mut self) -> Result<Frame, Event> {
        let mut whole = self.one_frame().await?;
        while whole.kind == HEADERS && !whole.has(END_HEADERS) {
            let next = self.one_frame().await?;
            if next.kind != CONTINUATION || next.stream != whole.stream {
                self.judge.object(format!("{} inside a header block", next.describe()));
                return Ok(next);
            }
            whole.payload.extend_from_slice(&next.payload);
            whole.flags |= next.flags & END_HEADERS;
        }
        Ok(whole)
    }

    async fn one_frame(&mut self) -> Result<Frame, Event> {
        loop {
            if let Some(frame) = Frame::split_off(&mut self.unread) {
                self.judge.framing(&frame);
                return Ok(frame);
            }
            if let Some(end) = self.fill().await {
                return Err(end);
            }
        }
    }

    async fn fill(&mut self) -> Option<Event> {
        match tokio::time::timeout(PATIENCE, self.socket.read_buf(&mut self.unread)).await {
            Err(_) => Some(Event::Silence),
            Ok(Err(_)) => Some(Event::Torn),
            Ok(Ok(0)) => Some(Event::Closed),
            Ok(Ok(_)) => None,
        }
    }
}
