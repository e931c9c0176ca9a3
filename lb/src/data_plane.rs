//! The data plane: sockets around the [`Switch`](crate::switch::Switch).
//!
//! This is the seam: the rest of the balancer hands over a listener and a [`DataPlane`], and is
//! asked for picks and told outcomes; only here and in the switch is it known how bytes move. One
//! thread, one runtime, one switch, one set of connections to the endpoints each: a connection is
//! dealt to a thread when it is accepted and never moves.

mod director;
mod flush;
mod socket;
mod worker;

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use strife_runtime::{Failure, Security, Shutdown, executor};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
};
use tracing::warn;

use self::worker::Worker;
use crate::{balancer::Balancer, config::Limits, metrics::Metrics, records::Recorders};

/// Accepted connections that may wait for their thread.
const HANDOVER_QUEUE: usize = 256;
/// How long accepting pauses when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the data plane is made of.
pub(crate) struct DataPlane {
    pub(crate) balancer: Arc<Balancer>,
    pub(crate) security: Security,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
}

/// An accepted connection on its way to a thread. The permit is its place among
/// `max_connections`.
struct Arrival {
    stream: std::net::TcpStream,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
}

/// Carries calls until shutdown, then lets those under way end, for a bounded time. `recorders`: one
/// for each thread.
pub(crate) async fn serve(
    listener: TcpListener,
    data_plane: DataPlane,
    recorders: Vec<Recorders>,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let max_connections = data_plane.limits.max_connections;
    let data_plane = Arc::new(data_plane);
    let mut workers = Vec::new();
    let mut ends = Vec::new();
    for (number, recorders) in recorders.into_iter().enumerate() {
        let (arrivals, ended) = spawn_worker(number, &data_plane, recorders, &shutdown)?;
        workers.push(arrivals);
        ends.push(ended);
    }
    tokio::select! {
        () = accept(listener, &workers, max_connections) => {}
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
    data_plane: &Arc<DataPlane>,
    recorders: Recorders,
    shutdown: &Shutdown,
) -> Result<(mpsc::Sender<Arrival>, WorkerEnd), Failure> {
    let (arrivals, received) = mpsc::channel(HANDOVER_QUEUE);
    let (end, ended) = oneshot::channel();
    let (data_plane, shutdown) = (data_plane.clone(), shutdown.clone());
    let body = move || {
        let carried = executor::block_on_local(async move {
            Worker::new(number, &data_plane, recorders).run(received, shutdown).await
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
        // A place in a thread's queue first: whoever is accepted is never dropped.
        let Some(worker) = turns.next() else { return };
        let Ok(place) = worker.reserve().await else { return };
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
            Ok((stream, address)) => {
                place.send(Arrival { stream, address, permit });
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
