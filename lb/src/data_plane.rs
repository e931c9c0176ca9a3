//! The data plane: calls come in, go to the endpoint a pool picks, and answers go back.
//!
//! This is the seam: the rest of the balancer hands over a listener and a [`DataPlane`], and is
//! asked for picks and told outcomes; only here is it known how bytes move (for now by hyper's
//! HTTP/2). One thread, one runtime, one set of connections to the endpoints each: a connection is
//! dealt to a thread when it is accepted and never moves.

mod body;
mod downstream;
mod forward;
mod outcome;
mod upstream;
mod windows;

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use strife_policy::PickContext;
use strife_runtime::{Failure, Security, Shutdown, executor};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};
use tracing::warn;

use self::upstream::Upstreams;
use crate::{balancer::Balancer, config::Limits, endpoint::Endpoint, pool::Pool};

pub use self::forward::ENDPOINT_HEADER;
pub(crate) use self::windows::MAX_STREAMS;

/// Accepted connections that may wait for their thread.
const HANDOVER_QUEUE: usize = 256;
/// How long accepting pauses when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the data plane is made of.
pub(crate) struct DataPlane {
    pub(crate) balancer: Arc<Balancer>,
    pub(crate) security: Security,
    pub(crate) limits: Limits,
    pub(crate) threads: NonZeroUsize,
}

/// One thread's part: everything its connections share.
struct Worker {
    balancer: Arc<Balancer>,
    security: Security,
    limits: Limits,
    upstreams: Upstreams,
    /// Never contended: the thread's own.
    context: Mutex<PickContext>,
}

/// An accepted connection on its way to a thread. The permit is its place among
/// `max_connections`.
struct Arrival {
    stream: std::net::TcpStream,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
}

/// Carries calls until shutdown, then lets those under way end, for a bounded time.
pub(crate) async fn serve(
    listener: TcpListener,
    data_plane: DataPlane,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let mut workers = Vec::new();
    let mut ends = Vec::new();
    for number in 0..data_plane.threads.get() {
        let (arrivals, ended) = spawn_worker(number, &data_plane, &shutdown)?;
        workers.push(arrivals);
        ends.push(ended);
    }
    tokio::select! {
        () = accept(listener, &workers, data_plane.limits.max_connections) => {}
        () = shutdown.requested() => {}
    }
    drop(workers);
    for ended in ends {
        let lost = |_| Failure::new("a data plane thread ended unexpectedly; see the log");
        ended.await.map_err(lost)??;
    }
    Ok(())
}

type WorkerEnd = oneshot::Receiver<Result<(), Failure>>;

fn spawn_worker(
    number: usize,
    data_plane: &DataPlane,
    shutdown: &Shutdown,
) -> Result<(mpsc::Sender<Arrival>, WorkerEnd), Failure> {
    let (arrivals, received) = mpsc::channel(HANDOVER_QUEUE);
    let (end, ended) = oneshot::channel();
    let worker = Arc::new(Worker::new(data_plane));
    let shutdown = shutdown.clone();
    let body = move || {
        let carried = executor::block_on(1, async {
            downstream::serve(worker, received, shutdown).await;
            Ok(())
        });
        // Nobody waits when the balancer is being torn down.
        let _ = end.send(carried);
    };
    thread::Builder::new()
        .name(format!("data-plane-{number}"))
        .spawn(body)
        .map_err(|error| Failure::new(format!("cannot start a data plane thread: {error}")))?;
    Ok((arrivals, ended))
}

/// Accepts for ever and deals connections to the threads in turn.
async fn accept(listener: TcpListener, workers: &[mpsc::Sender<Arrival>], max_connections: usize) {
    let places = Arc::new(Semaphore::new(max_connections));
    let mut turns = workers.iter().cycle();
    loop {
        let Ok(permit) = places.clone().acquire_owned().await else { return };
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
            Ok((stream, address)) => {
                let Some(worker) = turns.next() else { return };
                if worker.send(Arrival { stream, address, permit }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                if !is_the_peers_fault(&error) {
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The connection ended before it was accepted.
fn is_the_peers_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

impl Worker {
    fn new(data_plane: &DataPlane) -> Self {
        let DataPlane { balancer, security, limits, .. } = data_plane;
        let endpoints = balancer.pools.iter().map(|pool| pool.snapshot().members.len()).sum();
        Self {
            balancer: balancer.clone(),
            security: security.clone(),
            limits: *limits,
            upstreams: Upstreams::new(endpoints),
            context: Mutex::new(PickContext { now: Duration::ZERO, rng: rand::make_rng() }),
        }
    }

    /// An endpoint for a call that was `tried` elsewhere; waits a little when none is ready.
    async fn pick(&self, pool: &Pool, tried: &[Arc<Endpoint>]) -> Option<Arc<Endpoint>> {
        if let Some(endpoint) = self.pick_now(pool, tried) {
            return Some(endpoint);
        }
        let deadline = Instant::now() + self.limits.ready_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if !pool.wait_until_ready(left).await {
                pool.count_unavailable();
                return None;
            }
            if let Some(endpoint) = self.pick_now(pool, tried) {
                return Some(endpoint);
            }
        }
    }

    fn pick_now(&self, pool: &Pool, tried: &[Arc<Endpoint>]) -> Option<Arc<Endpoint>> {
        let mut context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        context.now = self.balancer.clock.now();
        let picked = if tried.is_empty() {
            pool.pick(&mut context)
        } else {
            pool.pick_other(&mut context, tried)
        };
        picked.map(|picked| picked.endpoint)
    }
}
