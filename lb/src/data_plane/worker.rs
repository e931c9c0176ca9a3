//! One thread of the data plane: clients' connections as they are dealt to it, connections to the
//! endpoints as the switch asks for them, the clock, and the drain.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use strife_runtime::{Failure, Security, Shutdown, tls::Stream};
use tokio::{
    net::TcpStream,
    sync::{Notify, OwnedSemaphorePermit, mpsc, watch},
    task::{JoinError, JoinSet, coop, spawn_local},
    time::timeout,
};
use tracing::{debug, warn};

use super::{
    Arrival, DataPlane,
    director::PoolDirector,
    flush::Flusher,
    socket::{Sockets, linger},
};
use crate::{
    balancer::Balancer,
    clock::Clock,
    config::Limits,
    metrics::ThreadMetrics,
    records::Recorders,
    switch::{Peer, Switch},
};

/// What is read from a socket at once, bytes: one buffer for all connections of the thread.
const READ_BYTES: usize = 64 * 1024;

/// One thread's part: everything its connections share.
pub(super) struct Worker {
    pub(super) switch: RefCell<Switch<PoolDirector>>,
    pub(super) sockets: Sockets,
    pub(super) flusher: Flusher,
    pub(super) scratch: RefCell<Box<[u8]>>,
    pub(super) clock: Clock,
    balancer: Arc<Balancer>,
    security: Security,
    limits: Limits,
    metrics: Arc<ThreadMetrics>,
    /// How long the clock task sleeps; `None` while it waits to be woken.
    sleeping_for: Cell<Option<Duration>>,
    wake_clock: Notify,
    /// Told when a task of this thread has panicked.
    broken: Notify,
}

impl Worker {
    pub(super) fn new(number: usize, data_plane: &DataPlane, recorders: Recorders) -> Rc<Self> {
        let DataPlane { balancer, security, limits, metrics, .. } = data_plane;
        let metrics = metrics.thread(number);
        let director = PoolDirector::new(balancer.clone(), number, recorders);
        let clock = balancer.clock;
        let rng = rand::make_rng();
        let switch = Switch::new(director, *limits, metrics.clone(), rng, clock.now());
        Rc::new(Self {
            switch: RefCell::new(switch),
            sockets: Sockets::default(),
            flusher: Flusher::default(),
            scratch: RefCell::new(vec![0; READ_BYTES].into()),
            clock,
            balancer: balancer.clone(),
            security: security.clone(),
            limits: *limits,
            metrics,
            sleeping_for: Cell::new(None),
            wake_clock: Notify::new(),
            broken: Notify::new(),
        })
    }

    /// Serves the connections dealt to this thread until shutdown, then drains them. A thread one of
    /// whose tasks has panicked serves nobody well: it ends, and the process with it.
    pub(super) async fn run(
        self: Rc<Self>,
        arrivals: mpsc::Receiver<Arrival>,
        shutdown: Shutdown,
    ) -> Result<(), Failure> {
        self.spawn(coop::unconstrained(self.clone().flush_for_ever()));
        self.spawn(self.clone().keep_time());
        for pool in &self.balancer.pools {
            self.spawn(self.clone().follow(pool.gains()));
        }
        tokio::select! {
            () = self.clone().serve(arrivals, shutdown) => Ok(()),
            () = self.broken.notified() => {
                Err(Failure::new("a data plane thread panicked; see the log"))
            }
        }
    }

    /// Runs a task of this thread.
    pub(super) fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let (worker, task) = (self.clone(), spawn_local(task));
        spawn_local(async move {
            if task.await.is_err_and(|error| error.is_panic()) {
                worker.broken.notify_one();
            }
        });
    }

    async fn serve(self: Rc<Self>, mut arrivals: mpsc::Receiver<Arrival>, shutdown: Shutdown) {
        let draining = async {
            shutdown.requested().await;
            self.switch.borrow_mut().drain(self.clock.now());
            self.flusher.request();
        };
        // Handshakes and last words count: whoever was accepted before is still served.
        let mut clients = JoinSet::new();
        let serving = async {
            loop {
                tokio::select! {
                    arrival = arrivals.recv() => {
                        // None when the listener has ended.
                        let Some(arrival) = arrival else { break };
                        clients.spawn_local(self.clone().serve_client(arrival));
                    }
                    Some(ended) = clients.join_next() => self.look_for_panic(&ended),
                }
            }
        };
        tokio::join!(draining, serving);
        let left = async {
            while let Some(ended) = clients.join_next().await {
                self.look_for_panic(&ended);
            }
        };
        if timeout(self.limits.drain_timeout, left).await.is_err() {
            let connections = clients.len();
            warn!(connections, "calls still under way after the drain timeout were cut off");
        }
    }

    fn look_for_panic(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            self.broken.notify_one();
        }
    }

    async fn serve_client(self: Rc<Self>, arrival: Arrival) {
        let Arrival { stream, address, permit } = arrival;
        let _place: OwnedSemaphorePermit = permit;
        let accepting = async { self.security.accept(TcpStream::from_std(stream)?).await };
        let (stream, identity) = match timeout(self.limits.handshake_timeout, accepting).await {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(error)) => {
                self.metrics.downstream.handshake_failures.increment();
                return debug!(%address, %error, "connection refused");
            }
            Err(_) => {
                self.metrics.downstream.handshake_failures.increment();
                return debug!(%address, "handshake took too long");
            }
        };
        let peer = Peer::new(address, identity.map(|identity| identity.to_string()));
        let link = self.switch.borrow_mut().accept(self.clock.now(), peer);
        self.carry(link, stream).await;
    }

    /// Makes a connection to an endpoint and carries it to its end.
    pub(super) async fn serve_endpoint(self: Rc<Self>, number: usize) {
        let endpoint = self.switch.borrow().director().endpoint(number).clone();
        let connecting = self.security.connect(&endpoint.address, &endpoint.expected);
        let limit = self.limits.connect_timeout;
        let connected = match timeout(limit, connecting).await {
            Ok(connected) => connected.map_err(|error| format!("cannot connect: {error}")),
            Err(_) => Err(format!("no connection in {limit:?}")),
        };
        match connected {
            Ok(stream) => {
                let link = self.switch.borrow_mut().connected(self.clock.now(), number);
                self.carry(link, stream).await;
            }
            Err(why) => {
                debug!(endpoint = endpoint.address, why, "no connection");
                self.switch.borrow_mut().connect_failed(self.clock.now(), number, &why);
                self.flusher.request();
            }
        }
    }

    async fn carry(self: &Rc<Self>, link: usize, stream: Stream) {
        self.sockets.insert(link, stream);
        self.flusher.request();
        let reason = self.read_to_the_end(link).await;
        let ended_by_us = self.switch.borrow().is_over(link);
        let stream = self.sockets.remove(link);
        self.switch.borrow_mut().closed(self.clock.now(), link, reason);
        self.flusher.request();
        if let Some(stream) = stream.filter(|_| ended_by_us) {
            linger(stream).await;
        }
    }

    /// Tells the switch when a pool has endpoints to call that it had not.
    async fn follow(self: Rc<Self>, mut gains: watch::Receiver<()>) {
        while gains.changed().await.is_ok() {
            self.switch.borrow_mut().endpoints_changed(self.clock.now());
            self.flusher.request();
        }
    }

    async fn keep_time(self: Rc<Self>) {
        loop {
            let next = self.switch.borrow().next_tick();
            self.sleeping_for.set(next);
            match next {
                Some(next) => {
                    tokio::select! {
                        () = tokio::time::sleep(next) => {}
                        () = self.wake_clock.notified() => continue,
                    }
                }
                None => {
                    self.wake_clock.notified().await;
                    continue;
                }
            }
            self.switch.borrow_mut().tick(self.clock.now());
            self.flusher.request();
        }
    }

    /// Wakes the clock task if it sleeps longer than it should by now.
    pub(super) fn adjust_clock(&self) {
        let next = self.switch.borrow().next_tick();
        let sleeps_too_long = match (next, self.sleeping_for.get()) {
            (Some(next), Some(sleeping)) => next < sleeping,
            (next, None) => next.is_some(),
            (None, Some(_)) => false,
        };
        if sleeps_too_long {
            self.sleeping_for.set(next);
            self.wake_clock.notify_one();
        }
    }
}
