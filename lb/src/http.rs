//! A small HTTP listener for what the balancer says about itself: bounded in connections, in what a
//! request's headers may take, and in time, so that nobody who connects holds up the balancer.
//!
//! In the clear it speaks HTTP/1.1, one request a connection; with mutual TLS HTTP/2, as every
//! link that was agreed on in a handshake.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use strife_runtime::{Identity, Security, tls::Stream};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time,
};
use tracing::{debug, warn};

/// Connections at once; more wait to be accepted.
pub(crate) const MAX_CONNECTIONS: usize = 16;
/// What a request's headers may take, in bytes (the least that hyper allows) and in time.
pub(crate) const MAX_HEADER_BYTES: usize = 8 * 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests at once on a connection of HTTP/2.
const MAX_STREAMS: u32 = 8;
/// How long a connection may take altogether. One of HTTP/2 is told to end by then, and gets
/// [`CONNECTION_GRACE`] for what is under way.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_GRACE: Duration = Duration::from_secs(5);
/// Between attempts to accept when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a listener answers.
pub(crate) trait Site: Send + Sync + 'static {
    /// As the log names it: `the metrics page`.
    const NAME: &'static str;

    /// `identity`: who asks; `None` in the clear.
    fn respond(
        &self,
        request: Request<Incoming>,
        identity: Option<&Identity>,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// Answers until dropped.
pub(crate) async fn serve<S: Site>(listener: TcpListener, security: Security, site: Arc<S>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let (security, site) = (security.clone(), site.clone());
                connections.spawn(async move {
                    if let Err(error) = converse(stream, &security, site).await {
                        debug!(%error, "connection to {} failed", S::NAME);
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept connections to {}", S::NAME);
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection from its handshake to its end.
async fn converse<S: Site>(stream: TcpStream, security: &Security, site: Arc<S>) -> io::Result<()> {
    let (stream, identity) = time::timeout(HEADER_TIMEOUT, security.accept(stream)).await??;
    let identity = Arc::new(identity);
    let service = service_fn(move |request| {
        let (site, identity) = (site.clone(), identity.clone());
        async move { Ok::<_, Infallible>(site.respond(request, identity.as_ref().as_ref()).await) }
    });
    if matches!(stream, Stream::Plain(_)) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        return time::timeout(CONNECTION_TIMEOUT, connection).await?.map_err(io::Error::other);
    }
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended.map_err(io::Error::other),
        () = time::sleep(CONNECTION_TIMEOUT) => connection.as_mut().graceful_shutdown(),
    }
    time::timeout(CONNECTION_GRACE, connection).await?.map_err(io::Error::other)
}

/// An answer with a body of this type.
pub(crate) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
