//! Answers every request as its path says, within the windows it is given.
//!
//! `/` is answered when it is complete, with [`CONTENT`]; `/early` at once; `/hang` never, nor is
//! its content given room for; `/bytes/N` with N octets; `/trailers` with trailers; `/length` with
//! a content-length.

use std::collections::HashMap;

use tokio::sync::watch;

use super::{Record, Request};
use crate::{
    connection::{Connection, Event},
    frames::{
        DATA, DEFAULT_FRAME_SIZE, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, NO_ERROR, NONE,
        RST_STREAM, WHOLE, data, headers, settings, window_update,
    },
    hpack::{Field, block, literal, ok, ok_with},
};

/// What most requests are answered.
pub(crate) const CONTENT: &[u8] = b"hello";

/// Says of every health check that the protocol is unknown, which is well enough.
pub(super) async fn answer_health_checks(mut connection: Connection) {
    if !connection.preface().await {
        return;
    }
    connection.send(&settings(&[])).await;
    loop {
        match connection.next().await {
            Event::Frame(frame, _) if frame.ends_stream() => {
                let fields = [("content-type", "application/grpc"), ("grpc-status", "12")];
                let answer = [ok(), block(&fields)].concat();
                connection.send(&headers(frame.stream, WHOLE, &answer)).await;
            }
            Event::Frame(..) | Event::Silence => {}
            Event::Closed | Event::Torn => return,
        }
    }
}

/// Content that waits for room.
#[derive(Default)]
struct Answer {
    content: Vec<u8>,
    trailers: Vec<u8>,
}

/// One connection.
struct Automat {
    connection: Connection,
    recorder: watch::Sender<Record>,
    /// Where in the record a stream's request is.
    places: HashMap<u32, usize>,
    answers: HashMap<u32, Answer>,
    /// Violations that are in the record.
    reported: usize,
}

pub(super) async fn answer(mut connection: Connection, recorder: watch::Sender<Record>) {
    if !connection.preface().await {
        return;
    }
    connection.send(&settings(&[])).await;
    let (places, answers) = (HashMap::new(), HashMap::new());
    Automat { connection, recorder, places, answers, reported: 0 }.run().await;
}

impl Automat {
    async fn run(&mut self) {
        loop {
            let event = self.connection.next().await;
            self.report();
            match event {
                Event::Frame(frame, fields) => self.frame(frame, fields).await,
                Event::Silence => {}
                Event::Closed | Event::Torn => return,
            }
        }
    }

    fn report(&mut self) {
        let new = self.connection.violations()[self.reported..].to_vec();
        self.reported += new.len();
        if !new.is_empty() {
            self.recorder.send_modify(|record| record.violations.extend(new));
        }
    }

    async fn frame(&mut self, frame: Frame, fields: Vec<Field>) {
        let stream = frame.stream;
        if stream != 0 {
            self.record(&frame, fields);
        }
        if frame.kind == GOAWAY && frame.error_code() != NO_ERROR {
            let blamed = format!("{} to a server that did nothing wrong", frame.describe());
            self.recorder.send_modify(|record| record.violations.push(blamed));
        }
        if frame.kind == RST_STREAM {
            self.answers.remove(&stream);
        }
        let path = self.field(stream, ":path");
        if frame.kind == DATA && !frame.payload.is_empty() && path != "/hang" {
            let length = u32::try_from(frame.payload.len()).expect("a frame's length");
            let mut room = window_update(0, length);
            if !frame.ends_stream() {
                room.extend(window_update(stream, length));
            }
            self.connection.send(&room).await;
        }
        let is_early = path == "/early" && frame.kind == HEADERS;
        if (frame.ends_stream() || is_early) && path != "/hang" {
            self.begin(stream, &path).await;
        }
        self.flush().await;
    }

    fn record(&mut self, frame: &Frame, fields: Vec<Field>) {
        let place = self.places.get(&frame.stream).copied();
        let recorded = &mut self.places;
        self.recorder.send_modify(|record| {
            let place = place.unwrap_or_else(|| {
                record.requests.push(Request::default());
                recorded.insert(frame.stream, record.requests.len() - 1);
                record.requests.len() - 1
            });
            let request = &mut record.requests[place];
            match frame.kind {
                HEADERS if request.fields.is_empty() => request.fields = fields,
                HEADERS => request.trailers = fields,
                DATA => request.content.extend(frame.content().unwrap_or_default()),
                RST_STREAM => request.reset = Some(frame.error_code()),
                _ => {}
            }
            request.is_complete |= frame.ends_stream();
        });
    }

    fn field(&self, stream: u32, name: &str) -> String {
        let record = self.recorder.borrow();
        let request = self.places.get(&stream).and_then(|place| record.requests.get(*place));
        request.and_then(|request| request.field(name)).unwrap_or_default().to_owned()
    }

    async fn begin(&mut self, stream: u32, path: &str) {
        if self.field(stream, ":method") == "HEAD" {
            let head = ok_with("content-length", "5");
            return self.connection.send(&headers(stream, WHOLE, &head)).await;
        }
        let content = match path.strip_prefix("/bytes/") {
            Some(length) => vec![b'x'; length.parse().unwrap_or_default()],
            None => CONTENT.to_vec(),
        };
        let head = match path {
            "/length" => ok_with("content-length", "5"),
            _ => ok_with("content-type", "text/plain"),
        };
        let trailers = match path {
            "/trailers" => literal("x-trailer", "last"),
            _ => Vec::new(),
        };
        self.connection.send(&headers(stream, END_HEADERS, &head)).await;
        self.answers.insert(stream, Answer { content, trailers });
    }

    /// Sends what the windows allow.
    async fn flush(&mut self) {
        let mut streams: Vec<_> = self.answers.keys().copied().collect();
        streams.sort_unstable();
        for stream in streams {
            while self.send_some(stream).await {}
        }
    }

    /// Whether there may be more.
    async fn send_some(&mut self, stream: u32) -> bool {
        let window = self.connection.window(stream).min(self.connection.connection_window());
        let room = usize::try_from(window).unwrap_or(0).min(DEFAULT_FRAME_SIZE);
        let Some(answer) = self.answers.get_mut(&stream) else { return false };
        let rest = answer.content.split_off(room.min(answer.content.len()));
        let content = std::mem::replace(&mut answer.content, rest);
        if !answer.content.is_empty() {
            if !content.is_empty() {
                self.connection.send(&data(stream, NONE, &content)).await;
            }
            return !content.is_empty();
        }
        let trailers = std::mem::take(&mut answer.trailers);
        self.answers.remove(&stream);
        let mut last = match trailers.is_empty() {
            true => data(stream, END_STREAM, &content),
            false => data(stream, NONE, &content),
        };
        if !trailers.is_empty() {
            last.extend(headers(stream, WHOLE, &trailers));
        }
        self.connection.send(&last).await;
        false
    }
}
