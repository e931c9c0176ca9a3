//! The listener of the metrics page: HTTP/1.1 in plain text, meant for a scraper nearby.
//!
//! `GET /metrics` answers the page, `GET /healthz` whether the balancer takes calls. A connection
//! carries one request and then ends; how many there are, and for how long, is bounded.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use strife_runtime::Shutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time,
};
use tracing::{debug, warn};

use super::Metrics;
use crate::balancer::Balancer;

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 16;
/// What a request's headers may take, in bytes (the least that hyper allows) and in time.
const MAX_HEADER_BYTES: usize = 8 * 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take altogether.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Between attempts to accept when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is answered from.
struct Page {
    metrics: Arc<Metrics>,
    balancer: Arc<Balancer>,
    shutdown: Shutdown,
}

/// Answers until dropped: also while the balancer drains, and says so.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    balancer: Arc<Balancer>,
    shutdown: Shutdown,
) {
    let page = Arc::new(Page { metrics, balancer, shutdown });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = page.clone();
                connections.spawn(async move {
                    page.answer(stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept connections to the metrics page");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Page {
    /// One request, then the end of the connection.
    async fn answer(&self, stream: TcpStream) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.respond(&request)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        match time::timeout(CONNECTION_TIMEOUT, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "connection to the metrics page failed"),
            Err(_) => debug!("connection to the metrics page took too long"),
        }
    }

    fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        const PLAIN: &str = "text/plain; charset=utf-8";
        const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET only\n");
            let allowed = header::HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allowed);
            return response;
        }
        match request.uri().path() {
            "/metrics" => response(StatusCode::OK, EXPOSITION, self.metrics.render(&self.balancer)),
            "/healthz" if self.shutdown.is_requested() => {
                response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "draining\n")
            }
            "/healthz" => response(StatusCode::OK, PLAIN, "ready\n"),
            _ => response(StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /healthz\n"),
        }
    }
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests;
