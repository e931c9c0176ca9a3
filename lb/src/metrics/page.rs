//! The metrics page, meant for a scraper nearby.
//!
//! `GET /metrics` answers the page, `GET /healthz` whether the balancer takes calls.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use strife_runtime::{Identity, Security, Shutdown};
use tokio::{net::TcpListener, sync::Mutex, task};

use super::Metrics;
use crate::{
    balancer::Balancer,
    http::{self as listener, response},
};

/// What is answered from.
struct Page {
    metrics: Arc<Metrics>,
    balancer: Arc<Balancer>,
    shutdown: Shutdown,
    /// Held by who renders: one after the other, however many ask, and they are no more than the
    /// listener's connections.
    turn: Arc<Mutex<()>>,
}

/// Answers until dropped: also while the balancer drains, and says so. In plain text.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    balancer: Arc<Balancer>,
    shutdown: Shutdown,
) {
    let page = Arc::new(Page { metrics, balancer, shutdown, turn: Arc::default() });
    listener::serve(listener, Security::Plaintext, page).await;
}

impl Page {
    /// Beside the tasks that must not wait: there may be many endpoints.
    async fn rendered(&self) -> String {
        let turn = self.turn.clone().lock_owned().await;
        let (metrics, balancer) = (self.metrics.clone(), self.balancer.clone());
        let rendered = task::spawn_blocking(move || {
            // Until it is done: who asked may have hung up.
            let _turn = turn;
            metrics.render(&balancer)
        });
        // Fails only when the process is being torn down.
        rendered.await.unwrap_or_default()
    }
}

impl listener::Site for Page {
    const NAME: &'static str = "the metrics page";

    async fn respond(
        &self,
        request: Request<Incoming>,
        _: Option<&Identity>,
    ) -> Response<Full<Bytes>> {
        const PLAIN: &str = "text/plain; charset=utf-8";
        const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET only\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => response(StatusCode::OK, EXPOSITION, self.rendered().await),
            "/healthz" if self.shutdown.is_requested() => {
                response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "draining\n")
            }
            "/healthz" => response(StatusCode::OK, PLAIN, "ready\n"),
            _ => response(StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /healthz\n"),
        }
    }
}

#[cfg(test)]
mod tests;
