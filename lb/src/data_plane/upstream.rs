//! Connections to the endpoints: one per endpoint and thread, more only at the endpoint's stream
//! limit.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tracing::debug;

use super::Worker;
use crate::endpoint::Endpoint;

/// Connections per endpoint and thread; at their stream limits, calls wait in the last one.
const MAX_CONNECTIONS: usize = 8;
/// Answer bytes a stream may hold here before its client took them, and all streams of a
/// connection together: slow clients stall their own streams, not the connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;
/// Request bytes that wait for the endpoint, per stream.
const SEND_BUFFER: usize = 256 * 1024;
/// Headers of one answer, decoded.
const MAX_HEADER_LIST: u32 = 64 * 1024;
/// Cancelled streams remembered, so that late frames for them are known for what they are.
const MAX_REMEMBERED_RESETS: usize = 1024;
/// How often a silent endpoint is pinged and how long it may take to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// What is assumed before the endpoint's SETTINGS arrive. No server asks for this number, so a
/// change says that they have.
const STREAMS_BEFORE_SETTINGS: usize = 97;
/// How long a new connection waits for SETTINGS, and how often it looks.
const SETTINGS_TIMEOUT: Duration = Duration::from_millis(100);
const SETTINGS_POLL: Duration = Duration::from_millis(1);

/// One thread's connections, by endpoint number.
pub(super) struct Upstreams(Vec<Slot>);

/// The connections to one endpoint.
#[derive(Default)]
struct Slot {
    connections: Mutex<Vec<Connection>>,
    /// Held by whoever connects; the others wait for what it gets.
    connecting: tokio::sync::Mutex<()>,
    failures: AtomicU64,
    last_failure: Mutex<String>,
}

/// One connection and how much of it is in use.
#[derive(Clone)]
struct Connection {
    sender: SendRequest<Incoming>,
    streams: Arc<AtomicUsize>,
    max_streams: Arc<AtomicUsize>,
}

/// A stream in use on a connection; given back when dropped.
pub(super) struct StreamPlace(Arc<AtomicUsize>);

/// Why there is no answer.
pub(super) enum SendError {
    /// There was no connection and none could be made.
    Unconnected {
        /// As it was.
        request: Box<Request<Incoming>>,
        why: String,
    },
    /// The connection ended before the request was written.
    Unsent {
        /// As it was.
        request: Box<Request<Incoming>>,
    },
    /// The request may have run.
    Broken(hyper::Error),
}

impl Upstreams {
    pub(super) fn new(endpoints: usize) -> Self {
        Self((0..endpoints).map(|_| Slot::default()).collect())
    }
}

impl Worker {
    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        endpoint: &Arc<Endpoint>,
        request: Request<Incoming>,
    ) -> Result<(Response<Incoming>, StreamPlace), SendError> {
        let (mut sender, place) = match self.stream_to(endpoint).await {
            Ok(stream) => stream,
            Err(why) => {
                return Err(SendError::Unconnected { request: Box::new(request), why });
            }
        };
        match sender.try_send_request(request).await {
            Ok(response) => Ok((response, place)),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => SendError::Unsent { request: Box::new(request) },
                None => SendError::Broken(error.into_error()),
            }),
        }
    }

    async fn stream_to(
        &self,
        endpoint: &Arc<Endpoint>,
    ) -> Result<(SendRequest<Incoming>, StreamPlace), String> {
        let slot = &self.upstreams.0[endpoint.number];
        if let Some(stream) = slot.free_stream() {
            return Ok(stream);
        }
        let failures = slot.failures.load(Relaxed);
        let _connecting = slot.connecting.lock().await;
        if let Some(stream) = slot.free_stream() {
            return Ok(stream);
        }
        if slot.failures.load(Relaxed) != failures {
            return Err(lock(&slot.last_failure).clone());
        }
        match self.connect(endpoint).await {
            Ok(connection) => {
                let stream = connection.stream();
                lock(&slot.connections).push(connection);
                Ok(stream)
            }
            Err(why) => {
                lock(&slot.last_failure).clone_from(&why);
                slot.failures.fetch_add(1, Relaxed);
                Err(why)
            }
        }
    }

    async fn connect(&self, endpoint: &Arc<Endpoint>) -> Result<Connection, String> {
        let timeout = self.limits.connect_timeout;
        let connecting = self.security.connect(&endpoint.address, &endpoint.expected);
        let stream = tokio::time::timeout(timeout, connecting)
            .await
            .map_err(|_| format!("no connection in {timeout:?}"))?
            .map_err(|error| format!("cannot connect: {error}"))?;
        let (sender, connection) = builder()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("cannot speak HTTP/2: {error}"))?;
        wait_for_settings(|| connection.current_max_send_streams()).await;
        let max_streams = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let (endpoint, limit) = (endpoint.clone(), max_streams.clone());
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                limit.store(connection.current_max_send_streams(), Relaxed);
                polled
            });
            if let Err(error) = ended.await {
                debug!(endpoint = endpoint.address, %error, "connection ended");
            }
            endpoint.suspect();
        });
        Ok(Connection { sender, streams: Arc::default(), max_streams })
    }
}

/// Without them, a burst of calls would open more connections than the endpoint's limit asks for.
async fn wait_for_settings(max_streams: impl Fn() -> usize) {
    let arrived = async {
        while max_streams() == STREAMS_BEFORE_SETTINGS {
            tokio::time::sleep(SETTINGS_POLL).await;
        }
    };
    // An endpoint that is late is used within the assumed limit.
    let _ = tokio::time::timeout(SETTINGS_TIMEOUT, arrived).await;
}

fn builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(STREAMS_BEFORE_SETTINGS)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_concurrent_reset_streams(MAX_REMEMBERED_RESETS)
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1);
    builder
}

impl Slot {
    /// A stream on a connection that has one free; on the least used one if there may be no more
    /// connections.
    fn free_stream(&self) -> Option<(SendRequest<Incoming>, StreamPlace)> {
        let mut connections = lock(&self.connections);
        connections.retain(|connection| !connection.sender.is_closed());
        let free = connections.iter().find(|connection| connection.has_free_stream());
        let least_used = || {
            let all = connections.iter().filter(|_| connections.len() >= MAX_CONNECTIONS);
            all.min_by_key(|connection| connection.streams.load(Relaxed))
        };
        free.or_else(least_used).map(Connection::stream)
    }
}

impl Connection {
    fn has_free_stream(&self) -> bool {
        self.streams.load(Relaxed) < self.max_streams.load(Relaxed)
    }

    fn stream(&self) -> (SendRequest<Incoming>, StreamPlace) {
        self.streams.fetch_add(1, Relaxed);
        (self.sender.clone(), StreamPlace(self.streams.clone()))
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Every critical section leaves whole data behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
