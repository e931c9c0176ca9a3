//! Calls in memory: through the switch, and with the same two ends but no switch between them.
//!
//! A [`Loopback`] is a client's core, the switch and a server's core; [`BackToBack`] is the two cores
//! alone. What the loopback costs beyond that is the switch.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use clap::Parser;
use strife_lb::{LbArgs, Loopback};
use strife_wire::{Config, Connection, Event, Role, hpack::encode};

type Core = Connection<()>;

/// The head of a typical gRPC request, in order.
pub(crate) const REQUEST_HEAD: [(&str, &str); 8] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/strife.bank.v1.BankService/GetAccountBalance"),
    (":authority", "bank.icici"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("user-agent", "grpc-rust/1.0"),
    ("grpc-timeout", "10S"),
];

/// Fields, encoded.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        encode(&mut block, name.as_bytes(), value.as_bytes(), false);
    }
    block
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: LbArgs,
}

/// A client, the switch and a server, with the limits that the balancer has unless told otherwise.
pub(crate) fn through() -> Loopback {
    let arguments = ["lb", "--pool", "default=127.0.0.1:9101"];
    let config = Command::parse_from(arguments).args.config();
    Loopback::new(config.expect("valid flags").limits)
}

/// What a side still has to send: a stream, and how much of its message is sent.
type Unsent = VecDeque<(u32, usize)>;

/// A client's connection to a server's.
pub(crate) struct BackToBack {
    client: Core,
    server: Core,
    now: Duration,
    head: Vec<u8>,
    answer_head: Vec<u8>,
    trailers: Vec<u8>,
    requests: Unsent,
    answers: Unsent,
}

impl BackToBack {
    /// Connected.
    pub(crate) fn new() -> Self {
        let now = Duration::from_secs(1);
        let core = |role| Core::new(role, Config::default(), Rc::default(), now);
        let mut cores = Self {
            client: core(Role::Client),
            server: core(Role::Server),
            now,
            head: block(&REQUEST_HEAD),
            answer_head: block(&[(":status", "200"), ("content-type", "application/grpc")]),
            trailers: block(&[("grpc-status", "0")]),
            requests: Unsent::new(),
            answers: Unsent::new(),
        };
        cores.round(&[], &[]);
        cores.round(&[], &[]);
        cores
    }

    /// `calls` unary calls side by side, as `Loopback::calls` makes them; how many were answered with
    /// status 0.
    pub(crate) fn calls(&mut self, calls: usize, request: &[u8], answer: &[u8]) -> usize {
        for _ in 0..calls {
            let stream = self.client.open(0, &self.head, false, false);
            self.requests.push_back((stream.expect("fewer calls than streams"), 0));
        }
        let mut answered = 0;
        while answered < calls {
            let before = answered;
            answered += self.round(request, answer);
            let moved = self.client.output_len() + self.server.output_len() > 0;
            assert!(answered > before || moved, "calls move");
        }
        answered
    }

    /// All bytes go one step on; how many calls were answered.
    fn round(&mut self, request: &[u8], answer: &[u8]) -> usize {
        self.now += Duration::from_micros(50);
        while let Some((stream, sent)) = self.requests.front_mut() {
            *sent += self.client.send_data(*stream, &request[*sent..], true);
            if *sent < request.len() {
                break;
            }
            self.requests.pop_front();
        }
        self.serve();
        while let Some((stream, sent)) = self.answers.front_mut() {
            *sent += self.server.send_data(*stream, &answer[*sent..], false);
            if *sent < answer.len() {
                break;
            }
            self.server.send_headers(*stream, &self.trailers, true);
            self.answers.pop_front();
        }
        self.count_answers()
    }

    fn serve(&mut self) {
        let mut input = self.client.output();
        let length = input.len();
        while let Some(event) = self.server.receive(self.now, &mut input).expect("no error") {
            let Event::Data { stream, payload, end_stream, .. } = event else { continue };
            self.server.release(stream, payload.len());
            if end_stream {
                self.server.send_headers(stream, &self.answer_head, false);
                self.answers.push_back((stream, 0));
            }
        }
        self.client.written(self.now, length);
    }

    fn count_answers(&mut self) -> usize {
        let mut answered = 0;
        let mut input = self.server.output();
        let length = input.len();
        while let Some(event) = self.client.receive(self.now, &mut input).expect("no error") {
            match event {
                Event::Headers { block, end_stream: true, .. } => {
                    answered += usize::from(block.head.grpc_status() == Some(0));
                }
                Event::Data { stream, payload, .. } => self.client.release(stream, payload.len()),
                _ => {}
            }
        }
        self.server.written(self.now, length);
        answered
    }
}
