//! A client, the switch and an endpoint in one thread's memory: what a call costs without sockets,
//! for the benchmarks.

use core::net::SocketAddr;
use std::{rc::Rc, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::SmallRng};
use strife_wire::{Config as WireConfig, Connection, Event, Head, Role, hpack::encode};

use super::{Avoid, CallEnd, Director, Peer, Switch, TrailerReport};
use crate::{
    config::Limits,
    metrics::{CallCode, EndpointMetrics, Retry},
};

type Core = Connection<()>;

/// The one endpoint of a [`Loopback`].
#[derive(Default)]
struct OneEndpoint(EndpointMetrics);

impl Director for OneEndpoint {
    fn route(&mut self, _: &str) -> Result<usize, String> {
        Ok(0)
    }

    fn pick(&mut self, _: Duration, _: usize, _: Option<&Head>, _: Avoid<'_>) -> Option<usize> {
        Some(0)
    }

    fn is_idempotent(&self, _: usize, _: &[u8]) -> bool {
        false
    }

    fn has_other(&mut self, _: usize, _: &[usize]) -> bool {
        false
    }

    fn in_flight(&self, _: usize) -> u64 {
        0
    }

    fn started(&mut self, _: usize) {}

    fn retry_denied(&mut self, _: usize) {}

    fn moved(&mut self, _: Duration, _: usize, _: Duration, _: Retry) {}

    fn unavailable(&mut self, _: usize) -> String {
        String::new()
    }

    fn reported(&mut self, _: Duration, _: usize, _: &TrailerReport) {}

    fn ended(&mut self, now: Duration, call: &CallEnd<'_>) {
        let metrics = &self.0;
        metrics.calls_ended.increment(CallCode::of(call.grpc_status));
        metrics.latency.record(now.saturating_sub(call.started).as_micros() as u64);
    }

    fn suspect(&mut self, _: usize) {}

    fn is_draining(&self, _: usize) -> bool {
        false
    }

    fn is_gone(&self, _: usize) -> bool {
        false
    }

    fn released(&mut self, _: usize) {}

    fn metrics(&self, _: usize) -> &EndpointMetrics {
        &self.0
    }

    fn address(&self, _: usize) -> &str {
        "127.0.0.1:9101"
    }

    fn pool_name(&self, _: usize) -> &str {
        "default"
    }
}

/// A client's connection through a switch to an endpoint's.
pub struct Loopback {
    switch: Switch<OneEndpoint>,
    client: Core,
    server: Core,
    client_link: usize,
    server_link: usize,
    now: Duration,
    head: Vec<u8>,
    answer_head: Vec<u8>,
    trailers: Vec<u8>,
    dirty: Vec<usize>,
}

impl Loopback {
    /// Connected on both sides.
    pub fn new(limits: Limits) -> Self {
        let now = Duration::from_secs(1);
        let rng = SmallRng::seed_from_u64(1);
        let mut switch = Switch::new(OneEndpoint::default(), limits, Arc::default(), rng, now);
        let core = |role| Core::new(role, WireConfig::default(), Rc::default(), now);
        let client_link =
            switch.accept(now, Peer::new(SocketAddr::from(([127, 0, 0, 1], 1)), None));
        let server_link = switch.connected(now, 0);
        let mut loopback = Self {
            switch,
            client: core(Role::Client),
            server: core(Role::Server),
            client_link,
            server_link,
            now,
            head: block(&[
                (":method", "POST"),
                (":scheme", "http"),
                (":path", "/strife.bank.v1.BankService/GetAccountBalance"),
                (":authority", "bank.icici"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "grpc-rust/1.0"),
                ("grpc-timeout", "10S"),
            ]),
            answer_head: block(&[(":status", "200"), ("content-type", "application/grpc")]),
            trailers: block(&[("grpc-status", "0")]),
            dirty: Vec::new(),
        };
        loopback.round(&[]);
        loopback.round(&[]);
        loopback
    }

    /// `calls` unary calls side by side, a message of `request` there and of `answer` back each; how
    /// many were answered with status 0.
    pub fn calls(&mut self, calls: usize, request: &[u8], answer: &[u8]) -> usize {
        for _ in 0..calls {
            let stream = self.client.open(0, &self.head, false, false);
            let stream = stream.expect("fewer calls than streams");
            self.client.send_data(stream, request, true);
        }
        let mut answered = 0;
        while answered < calls {
            let before = answered;
            answered += self.round(answer);
            let moved = self.client.output_len() + self.server.output_len() > 0;
            assert!(answered > before || moved, "calls move");
        }
        answered
    }

    /// All bytes go one step on; how many calls were answered.
    fn round(&mut self, answer: &[u8]) -> usize {
        self.now += Duration::from_micros(50);
        for link in [self.client_link, self.server_link] {
            let peer = if link == self.client_link { &mut self.client } else { &mut self.server };
            self.switch.receive(self.now, link, peer.output());
            let length = peer.output_len();
            peer.written(self.now, length);
        }
        self.switch.settle(self.now);
        self.switch.take_dirty(&mut self.dirty);
        self.serve(answer) + self.count_answers()
    }

    fn serve(&mut self, answer: &[u8]) -> usize {
        let mut input = self.switch.output(self.server_link);
        let length = input.len();
        while let Some(event) = self.server.receive(self.now, &mut input).expect("no error") {
            if let Event::Data { stream, end_stream: true, .. } = event {
                self.server.send_headers(stream, &self.answer_head, false);
                self.server.send_data(stream, answer, false);
                self.server.send_headers(stream, &self.trailers, true);
            }
        }
        self.switch.written(self.now, self.server_link, length);
        0
    }

    fn count_answers(&mut self) -> usize {
        let mut answered = 0;
        let mut input = self.switch.output(self.client_link);
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
        self.switch.written(self.now, self.client_link, length);
        answered
    }
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        encode(&mut block, name.as_bytes(), value.as_bytes(), false);
    }
    block
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::LimitArgs;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn all_calls_are_answered() {
        let limits = Flags::parse_from(["lb"]).limits.limits().unwrap();
        let mut loopback = Loopback::new(limits);
        for calls in [1, 1, 100] {
            assert_eq!(loopback.calls(calls, &[1; 105], &[2; 20_000]), calls);
        }
    }
}
