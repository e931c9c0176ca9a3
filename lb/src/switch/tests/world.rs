//! Everything around a switch, in memory: sockets as byte queues, a clock that is set, dials that
//! succeed or fail as told.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::SmallRng};

use super::{
    director::Fake,
    peer::{Asked, Block, Peer, Piece},
};
use crate::{
    config::Limits,
    metrics::{CloseReason, ThreadMetrics},
    switch::{Peer as Caller, Switch, call::Stage},
};

/// Rounds after which a world that still moves is taken to go in circles.
const MAX_ROUNDS: usize = 20_000;
pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// One connection.
pub(super) struct Pipe {
    pub(super) peer: Peer,
    pub(super) link: usize,
    /// `None`: of a client.
    pub(super) endpoint: Option<usize>,
    pub(super) is_open: bool,
    /// The peer reads what arrives.
    pub(super) reads: bool,
    /// It lets the switch send as much more.
    pub(super) gives_windows: bool,
}

/// A switch and all its peers.
pub(super) struct World {
    pub(super) switch: Switch<Fake>,
    pub(super) metrics: Arc<ThreadMetrics>,
    pub(super) now: Duration,
    pub(super) pipes: Vec<Pipe>,
    dialing: Vec<usize>,
    /// Whether the next dials fail; those beyond succeed.
    pub(super) dials_fail: VecDeque<bool>,
    /// What new endpoints ask for.
    pub(super) endpoints_ask: Asked,
    /// Everybody but the first client keeps to no rules, and hears what is due to that.
    pub(super) hostile: bool,
    connections_of: Vec<usize>,
}

/// Small enough to be reached.
pub(super) fn limits() -> Limits {
    Limits {
        max_connections: 100,
        max_streams: 100,
        max_header_list_bytes: 128 * 1024,
        stream_window_bytes: 64 * 1024,
        max_buffer_bytes: 64 << 20,
        connections_per_server: 2,
        streams_per_connection: 100,
        max_calls_per_server: None,
        max_attempts: 3,
        retry_budget_percent: 20,
        min_retries_per_second: 3,
        ready_timeout: MS * 500,
        connect_timeout: SECOND * 3,
        handshake_timeout: SECOND * 5,
        stall_timeout: SECOND * 60,
        keepalive: SECOND * 30,
        keepalive_timeout: SECOND * 20,
        max_connection_age: None,
        drain_timeout: SECOND * 10,
        health_interval: SECOND,
        health_timeout: SECOND,
    }
}

pub(super) fn fields(fields: &[(&str, &str)]) -> Block {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The head of a gRPC call to this path.
pub(super) fn request(path: &str, more: &[(&str, &str)]) -> Block {
    let pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", path)];
    let mut head = fields(&pseudo);
    head.extend(fields(&[("content-type", "application/grpc"), ("te", "trailers")]));
    head.extend(fields(more));
    head
}

/// A whole answer.
pub(super) fn answer(body: &[u8]) -> [Piece; 3] {
    let head = fields(&[(":status", "200"), ("content-type", "application/grpc")]);
    [
        Piece::Block(head, false),
        Piece::Data(body.to_vec(), false),
        Piece::Block(fields(&[("grpc-status", "0")]), true),
    ]
}

impl World {
    pub(super) fn new(limits: Limits, endpoints: usize) -> Self {
        let metrics = Arc::new(ThreadMetrics::default());
        let rng = SmallRng::seed_from_u64(7);
        let now = SECOND;
        let director = Fake::new(endpoints);
        let switch = Switch::new(director, limits, metrics.clone(), rng, now);
        Self {
            switch,
            metrics,
            now,
            pipes: Vec::new(),
            dialing: Vec::new(),
            dials_fail: VecDeque::new(),
            endpoints_ask: Asked::default(),
            hostile: false,
            connections_of: vec![0; endpoints],
        }
    }

    /// A client connects; its number among the pipes.
    pub(super) fn client(&mut self, asked: Asked) -> usize {
        let address = SocketAddr::from(([10, 0, 0, 1], 1000));
        let link = self.switch.accept(self.now, Caller::new(address, None));
        self.pipe(Peer::new(true, asked), link, None)
    }

    /// This client connects.
    pub(super) fn client_of(&mut self, caller: Caller) -> usize {
        let link = self.switch.accept(self.now, caller);
        self.pipe(Peer::new(true, Asked::default()), link, None)
    }

    fn pipe(&mut self, peer: Peer, link: usize, endpoint: Option<usize>) -> usize {
        let pipe = Pipe { peer, link, endpoint, is_open: true, reads: true, gives_windows: true };
        self.pipes.push(pipe);
        self.pipes.len() - 1
    }

    /// Bytes travel from a peer to the switch.
    pub(super) fn deliver(&mut self, pipe: usize, most: usize) -> bool {
        let Pipe { peer, link, is_open, .. } = &mut self.pipes[pipe];
        let length = most.min(peer.out.len());
        if !*is_open || length == 0 {
            return false;
        }
        let bytes: Vec<_> = peer.out.drain(..length).collect();
        self.switch.receive(self.now, *link, &bytes);
        true
    }

    /// Bytes travel from the switch to a peer.
    pub(super) fn write(&mut self, pipe: usize, most: usize) -> bool {
        let Pipe { peer, link, is_open, reads, .. } = &mut self.pipes[pipe];
        let output = self.switch.output(*link);
        let length = most.min(output.len());
        if !*is_open || !*reads || length == 0 {
            return false;
        }
        if self.hostile && pipe > 0 {
            peer.skim(&output[..length]);
        } else {
            peer.hear(&output[..length]);
        }
        self.switch.written(self.now, *link, length);
        true
    }

    /// What happens when all bytes that are there are read.
    pub(super) fn settle(&mut self) {
        self.switch.settle(self.now);
        self.dialing.extend(self.switch.take_connects());
        self.switch.take_dirty(&mut Vec::new());
        for pipe in 0..self.pipes.len() {
            if self.pipes[pipe].is_open && self.switch.is_over(self.pipes[pipe].link) {
                self.hang_up(pipe);
            }
        }
    }

    /// Dials end.
    pub(super) fn dial(&mut self) -> bool {
        let dialing = std::mem::take(&mut self.dialing);
        for endpoint in &dialing {
            self.connections_of[*endpoint] += 1;
            if self.dials_fail.pop_front().unwrap_or(false) {
                self.switch.connect_failed(self.now, *endpoint, "refused");
            } else {
                let link = self.switch.connected(self.now, *endpoint);
                self.pipe(Peer::new(false, self.endpoints_ask), link, Some(*endpoint));
            }
        }
        !dialing.is_empty()
    }

    /// A socket is closed.
    pub(super) fn hang_up(&mut self, pipe: usize) {
        if std::mem::replace(&mut self.pipes[pipe].is_open, false) {
            self.switch.closed(self.now, self.pipes[pipe].link, CloseReason::PeerClosed);
        }
    }

    /// Carries everything that waits once. Whether there was anything.
    pub(super) fn round(&mut self) -> bool {
        let mut moved = false;
        for pipe in 0..self.pipes.len() {
            moved |= self.deliver(pipe, usize::MAX);
        }
        self.settle();
        moved |= self.dial();
        for pipe in 0..self.pipes.len() {
            moved |= self.write(pipe, usize::MAX);
        }
        self.settle();
        moved
    }

    /// Everybody says what they can, until nothing moves any more.
    pub(super) fn run(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let mut moved = self.round();
            for pipe in self.pipes.iter_mut().filter(|pipe| pipe.is_open) {
                moved |= pipe.peer.say_all();
                moved |= pipe.gives_windows && pipe.peer.give_windows();
            }
            if !moved {
                return;
            }
        }
        panic!("it goes in circles");
    }

    /// A client and an endpoint of number 0, connected by a call that was answered.
    pub(super) fn acquainted(limits: Limits) -> (Self, usize, usize) {
        let mut world = Self::new(limits, 1);
        let client = world.client(Asked::default());
        world.run();
        let id = world.call(client, "/hello", &[], b"");
        world.run();
        world.answer_all(b"");
        world.run();
        assert_eq!(world.status(client, id), Some("0"));
        let endpoint = world.connections(0)[0];
        (world, client, endpoint)
    }

    /// A client calls; the stream's id.
    pub(super) fn call(
        &mut self,
        client: usize,
        path: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> u32 {
        let head = Piece::Block(request(path, more), false);
        self.peer(client).open([head, Piece::Data(body.to_vec(), true)])
    }

    /// Endpoints answer all requests that they have not begun to answer.
    pub(super) fn answer_all(&mut self, body: &[u8]) {
        for pipe in self.pipes.iter_mut().filter(|pipe| pipe.endpoint.is_some()) {
            for stream in pipe.peer.streams.values_mut() {
                if !stream.is_closed() && !stream.said_end && stream.plan.is_empty() {
                    stream.plan.extend(answer(body));
                }
            }
        }
    }

    /// The `grpc-status` that a stream ended with, if it has.
    pub(super) fn status(&self, pipe: usize, id: u32) -> Option<&str> {
        let stream = &self.pipes[pipe].peer.streams[&id];
        let last = stream.blocks.last().filter(|_| stream.ended)?;
        last.iter().find(|(name, _)| name == "grpc-status").map(|(_, value)| value.as_str())
    }

    /// Time passes in steps of the switch's clock; nothing else does.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            let step = self.switch.next_tick().unwrap_or(SECOND);
            self.now = until.min(self.now + step);
            self.switch.tick(self.now);
        }
    }

    /// The connections of an endpoint that are open.
    pub(super) fn connections(&self, endpoint: usize) -> Vec<usize> {
        let of = |pipe: &Pipe| pipe.endpoint == Some(endpoint) && pipe.is_open;
        (0..self.pipes.len()).filter(|number| of(&self.pipes[*number])).collect()
    }

    /// Dials to an endpoint so far.
    pub(super) fn dials(&self, endpoint: usize) -> usize {
        self.connections_of[endpoint]
    }

    pub(super) fn peer(&mut self, pipe: usize) -> &mut Peer {
        &mut self.pipes[pipe].peer
    }

    pub(super) fn held_bytes(&self) -> u64 {
        self.metrics.buffered_bytes.get()
    }

    /// No call has left anything behind.
    pub(super) fn assert_idle(&self) {
        let switch = &self.switch;
        let stages: Vec<_> = switch.calls.iter().map(|(_, call)| call.stage).collect();
        assert_eq!(stages, Vec::<Stage>::new(), "calls that never end");
        assert_eq!(self.held_bytes(), 0, "bytes held for nobody");
        assert_eq!(switch.wheel.next_look(), None, "timers of calls that ended");
        assert!(switch.director.in_flight.iter().all(|one| *one == 0), "{:?}", switch.director);
        let open = self.pipes.iter().filter(|pipe| pipe.is_open).count();
        assert_eq!(switch.links.len(), open, "links");
    }
}
