//! Clients' connections: secured, served, and drained when it is time to stop.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use strife_runtime::{
    Identity, Shutdown,
    calls::{FORWARDED_ADDRESS, FORWARDED_IDENTITY},
    shutdown::DRAIN_TIMEOUT,
    tls::Stream,
};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};
use tracing::{debug, warn};

use super::{
    Arrival, Worker,
    forward::forward,
    windows::{self, SEND_BUFFER, STREAM_WINDOW},
};

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Headers of one request, decoded.
const MAX_HEADER_LIST: u32 = 64 * 1024;
/// Streams a client may reset before they were looked at; gRPC clients do cancel in bursts. Beyond
/// that the connection ends (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 1024;
/// How often a silent client is pinged and how long it may take to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// Who is on the other end, as the endpoints are told.
pub(super) struct Peer {
    identity: Option<HeaderValue>,
    address: Option<HeaderValue>,
}

/// Serves the connections dealt to this thread; on shutdown drains them for at most
/// [`DRAIN_TIMEOUT`].
pub(super) async fn serve(
    worker: Arc<Worker>,
    mut arrivals: mpsc::Receiver<Arrival>,
    shutdown: Shutdown,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            arrival = arrivals.recv() => {
                let Some(arrival) = arrival else { break };
                connections.spawn(serve_connection(worker.clone(), arrival, shutdown.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        warn!(
            connections = connections.len(),
            "calls still under way after the drain timeout were cut off"
        );
    }
}

async fn serve_connection(worker: Arc<Worker>, arrival: Arrival, shutdown: Shutdown) {
    let Arrival { stream, address, permit } = arrival;
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, secure(&worker, stream));
    let (stream, identity) = match handshake.await {
        Ok(Ok(secured)) => secured,
        Ok(Err(error)) => return debug!(%address, %error, "connection refused"),
        Err(_) => return debug!(%address, "handshake took too long"),
    };
    let peer = Arc::new(Peer::new(identity.as_ref(), address));
    let max_streams = worker.limits.max_streams;
    let service = service_fn(move |request| forward(worker.clone(), peer.clone(), request));
    let connection = builder(max_streams).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%address, %error, "connection ended");
    }
    drop(permit);
}

async fn secure(
    worker: &Worker,
    stream: std::net::TcpStream,
) -> io::Result<(Stream, Option<Identity>)> {
    worker.security.accept(TcpStream::from_std(stream)?).await
}

fn builder(max_streams: u32) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(windows::of_connection(max_streams))
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_concurrent_streams(max_streams)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .auto_date_header(false);
    builder
}

impl Peer {
    fn new(identity: Option<&Identity>, address: SocketAddr) -> Self {
        let value = |text: String| HeaderValue::try_from(text).ok();
        Self {
            identity: identity.and_then(|identity| value(format!("URI={identity}"))),
            address: value(address.ip().to_string()),
        }
    }

    /// Puts what we know of the client in place of what it says of itself.
    pub(super) fn stamp(&self, headers: &mut HeaderMap) {
        let known = [(FORWARDED_IDENTITY, &self.identity), (FORWARDED_ADDRESS, &self.address)];
        for (name, value) in known {
            headers.remove(name);
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}
