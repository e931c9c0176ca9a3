//! Anything at all into a connection whose owner behaves as a balancer would: no panic, and nothing
//! that grows beyond its bound.

use std::{rc::Rc, time::Duration};

use strife_wire::{
    BufferPool, Code, Config, Connection, Event, Role,
    frame::{FrameHeader, PREFACE, kind},
};

use crate::input::Input;

const CONFIG_STREAMS: u32 = 8;
/// Beyond this much output a connection must have given the peer up.
const MOST_OUTPUT: usize = 2 << 20;

/// Bytes, raw or put into frames, at a server or a client.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let role = input.pick(&[Role::Server, Role::Client]);
    let framed = input.flag();
    let config = Config {
        max_streams: CONFIG_STREAMS,
        stream_window: input.pick(&[65_536, 100, 1 << 20]),
        max_header_list: input.pick(&[16_384, 200]),
        ..Config::default()
    };
    let now = Duration::from_secs(1);
    let connection = Connection::new(role, config, Rc::new(BufferPool::new()), now);
    let mut owner = Owner { connection, role, config, now, waiting: Vec::new() };
    if !framed {
        owner.hear(input.rest());
        return;
    }
    if role == Role::Server {
        owner.hear(PREFACE);
    }
    owner.hear(&[0, 0, 0, kind::SETTINGS, 0, 0, 0, 0, 0]);
    while !input.is_empty() && !owner.connection.has_failed() {
        match input.byte() {
            0..0xd0 => {
                let frame = frame(&mut input);
                owner.hear(&frame);
            }
            0xd0..0xe0 => owner.open(),
            0xe0..0xe8 => owner.reset(u32::from(input.byte())),
            0xe8..0xf0 => owner.send(u32::from(input.byte()), input.number()),
            0xf0..0xf8 => owner.wait(Duration::from_millis(input.number() as u64)),
            0xf8.. => owner.write(input.number()),
        }
    }
}

/// A frame of any type on a stream near the beginning, its payload as long as its header says, or not.
fn frame(input: &mut Input<'_>) -> Vec<u8> {
    let kind = input.byte() % 11;
    let (flags, stream) = (input.byte(), u32::from(input.byte()));
    let length = usize::from(input.byte());
    let payload = input.bytes(length);
    let mut frame = Vec::new();
    let zeros = if input.byte() == 0xff { input.number() } else { 0 };
    let length = payload.len() + zeros;
    FrameHeader { length, kind, flags, stream }.write(&mut frame);
    frame.extend_from_slice(payload);
    frame.resize(frame.len() + zeros, 0);
    frame
}

struct Owner {
    connection: Connection<()>,
    role: Role,
    config: Config,
    now: Duration,
    waiting: Vec<u8>,
}

impl Owner {
    fn hear(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        let waiting = std::mem::take(&mut self.waiting);
        let mut input = &waiting[..];
        loop {
            let before = input.len();
            let received = self.connection.receive(self.now, &mut input);
            assert!(input.len() <= before);
            match received {
                Ok(Some(event)) => self.answer(event),
                Ok(None) => break,
                Err(error) => {
                    assert!(self.connection.has_failed() && !error.why.is_empty());
                    assert!(self.connection.output_len() > 0, "a GOAWAY is said");
                    input = &[];
                    break;
                }
            }
        }
        // Less than a frame is left.
        assert!(input.len() < 9 + 16_384);
        self.waiting = input.to_vec();
        self.check();
    }

    /// Answers requests at once, reads everything, drops what is too large.
    fn answer(&mut self, event: Event<'_, ()>) {
        match event {
            Event::Headers { stream, block, .. } => {
                let _ = (block.head.authority(), block.head.path(), block.head.content_length());
                if self.role == Role::Server {
                    self.connection.send_headers(stream, b"\x88", false);
                    self.connection.send_data(stream, b"hello", false);
                    self.connection.send_headers(stream, b"\x00\x0bgrpc-status\x010", true);
                }
            }
            Event::HeadersTooLarge { stream, .. } => {
                self.connection.reset(stream, Code::ENHANCE_YOUR_CALM);
            }
            Event::Data { stream, payload, .. } => self.connection.release(stream, payload.len()),
            Event::GoAway { last, .. } => drop(self.connection.take_unprocessed(last)),
            _ => {}
        }
    }

    fn open(&mut self) {
        self.connection.open(0, b"\x83\x86\x84", false, false);
        self.check();
    }

    fn reset(&mut self, stream: u32) {
        self.connection.reset(stream, Code::CANCEL);
        self.check();
    }

    fn send(&mut self, stream: u32, length: usize) {
        let taken = self.connection.send_data(stream, &vec![0; length], length % 2 == 1);
        assert!(taken <= length);
        self.check();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.connection.check(self.now).is_err() {
            self.connection.close(Code::NO_ERROR);
        }
        self.check();
    }

    fn write(&mut self, bytes: usize) {
        let bytes = bytes.min(self.connection.output_len());
        self.connection.written(self.now, bytes);
        self.check();
    }

    fn check(&self) {
        assert!(self.connection.open_streams() <= self.config.max_streams as usize);
        assert!(self.connection.output_len() <= MOST_OUTPUT);
        assert_eq!(self.connection.tags().len(), self.connection.open_streams());
    }
}
