//! Connections to the endpoints: one per endpoint and thread, more only at a stream limit, the
//! endpoint's or [`MAX_STREAMS_PER_CONNECTION`]. When they are all full, a call waits for a stream
//! for a bounded time and is then refused.

mod slot;

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;
use tracing::debug;

use self::slot::{Slot, Stream, Vacancy};
use super::{
    Worker,
    windows::{self, SEND_BUFFER, STREAM_WINDOW},
};
use crate::endpoint::Endpoint;

pub(super) use self::slot::StreamPlace;

/// Connections per endpoint and thread.
const MAX_CONNECTIONS: usize = 8;
/// Streams on one of them, even if the endpoint allows more: the connection is shared by all
/// clients, and its window must have room for all of them stalled.
const MAX_STREAMS_PER_CONNECTION: u32 = 1024;
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

/// Why there is no answer.
pub(super) enum SendError {
    /// There was no connection and none could be made.
    Unconnected {
        /// As it was.
        request: Box<Request<Incoming>>,
        why: String,
    },
    /// No stream was free within the ready timeout.
    Full,
    /// The connection ended before the request was written.
    Unsent {
        /// As it was.
        request: Box<Request<Incoming>>,
    },
    /// The request may have run.
    Broken(hyper::Error),
}

/// Why there is no stream.
enum NoStream {
    Full,
    Unconnected(String),
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
            Err(NoStream::Full) => return Err(SendError::Full),
            Err(NoStream::Unconnected(why)) => {
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

    /// A call to it would have to wait for another to end.
    pub(super) fn is_full(&self, endpoint: &Endpoint) -> bool {
        self.upstreams.0[endpoint.number].is_full()
    }

    async fn stream_to(&self, endpoint: &Arc<Endpoint>) -> Result<Stream, NoStream> {
        let slot = &self.upstreams.0[endpoint.number];
        let deadline = Instant::now() + self.limits.ready_timeout;
        loop {
            let vacancy = tokio::time::timeout_at(deadline, slot.stream_or_room()).await;
            if let Some(stream) = vacancy.map_err(|_| NoStream::Full)? {
                return Ok(stream);
            }
            let failures = slot.failures();
            let _connecting = slot.connecting.lock().await;
            match slot.vacancy() {
                Vacancy::Free(stream) => return Ok(stream),
                Vacancy::Full => continue,
                Vacancy::Room => {}
            }
            if slot.failures() != failures {
                return Err(NoStream::Unconnected(slot.last_failure()));
            }
            return match self.connect(endpoint).await {
                Ok((sender, max_streams)) => Ok(slot.add(sender, max_streams)),
                Err(why) => {
                    slot.note_failure(&why);
                    Err(NoStream::Unconnected(why))
                }
            };
        }
    }

    /// A connection and the number of streams the endpoint allows on it.
    async fn connect(
        &self,
        endpoint: &Arc<Endpoint>,
    ) -> Result<(SendRequest<Incoming>, Arc<AtomicUsize>), String> {
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
        Ok((sender, max_streams))
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
        .initial_connection_window_size(windows::of_connection(MAX_STREAMS_PER_CONNECTION))
        .initial_max_send_streams(STREAMS_BEFORE_SETTINGS)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_concurrent_reset_streams(MAX_REMEMBERED_RESETS)
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1);
    builder
}
