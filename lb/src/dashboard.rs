//! The dashboard: one page that shows every pool and server over the last minutes, and lets
//! operators switch policies and drain servers.
//!
//! `GET /` is the page, `GET /api/state` what it draws, asked for every second; `POST /api/policy`
//! and `POST /api/drain` are what its buttons do, by the same [`Operator`] as `strife admin`. On a
//! loopback address it is served in the clear to this machine, on any other with mutual TLS to
//! operators ([`guard`]).

mod answer;
mod files;
mod guard;
mod history;
mod query;
mod state;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use strife_runtime::{Failure, Identity, Security, Shutdown};
use tokio::{
    net::TcpListener,
    task,
    time::{MissedTickBehavior, interval},
};
use tracing::info;

use self::{
    answer::{JSON, Refusal, guarded},
    guard::Audience,
    history::History,
    query::Query,
};
use crate::{
    balancer::Balancer,
    http::{self as listener, response},
    membership::{Drain, Writer},
    operator::{Drained, Operator},
};

/// What a request's body may take.
const MAX_BODY_BYTES: usize = 4 * 1024;

/// A socket to serve the dashboard on, and to whom.
pub(crate) struct Place {
    listener: TcpListener,
    address: SocketAddr,
    audience: Audience,
}

impl Place {
    /// Refuses to serve strangers in the clear. `security`: the balancer's.
    pub(crate) fn new(listener: TcpListener, security: &Security) -> Result<Self, Failure> {
        let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
        let audience = match (address.ip().to_canonical().is_loopback(), security) {
            (true, _) => Audience::ThisMachine,
            (false, Security::Mutual(_)) => Audience::Operators,
            (false, Security::Plaintext) => {
                return Err(Failure::usage(format!(
                    "--dashboard {address} would let anyone who reaches it drain servers: listen on \
                     127.0.0.1, or leave out --plaintext, so that only operators get in by their \
                     certificates"
                )));
            }
        };
        Ok(Self { listener, address, audience })
    }

    /// The real port if 0 was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What is answered from.
struct Dashboard {
    balancer: Arc<Balancer>,
    operator: Operator,
    history: Arc<Mutex<History>>,
    audience: Audience,
    shutdown: Shutdown,
}

/// Samples and answers until dropped: also while the balancer drains. `writers`: one per pool, in
/// the balancer's order.
pub(crate) async fn serve(
    place: Place,
    security: Security,
    balancer: Arc<Balancer>,
    writers: Vec<Writer>,
    shutdown: Shutdown,
) {
    let Place { listener, audience, .. } = place;
    let history = Arc::new(Mutex::new(History::new(balancer.clone())));
    let security = match audience {
        Audience::ThisMachine => Security::Plaintext,
        Audience::Operators => security,
    };
    let sampled = sample(balancer.clone(), history.clone());
    let operator = Operator::new(balancer.clone(), writers);
    let dashboard = Arc::new(Dashboard { balancer, operator, history, audience, shutdown });
    tokio::join!(sampled, listener::serve(listener, security, dashboard));
}

/// Takes samples for ever, beside the tasks that must not wait: there may be many endpoints.
async fn sample(balancer: Arc<Balancer>, history: Arc<Mutex<History>>) {
    let mut ticks = interval(history::PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (balancer, history) = (balancer.clone(), history.clone());
        let sampled = task::spawn_blocking(move || {
            let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
            history.sample(balancer.clock.now());
        });
        // Fails only when the process is being torn down.
        let _ = sampled.await;
    }
}

impl listener::Site for Dashboard {
    const NAME: &'static str = "the dashboard";

    async fn respond(
        &self,
        request: Request<Incoming>,
        identity: Option<&Identity>,
    ) -> Response<Full<Bytes>> {
        guarded(self.answer(request, identity).await.unwrap_or_else(Refusal::into_response))
    }
}

/// The body of `POST /api/policy`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPolicy {
    pool: String,
    /// With its parameters, as in `--policy`.
    policy: String,
}

/// The body of `POST /api/drain`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetDrain {
    pool: String,
    address: String,
    drain: bool,
    force: bool,
}

impl Dashboard {
    async fn answer(
        &self,
        request: Request<Incoming>,
        identity: Option<&Identity>,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let (uri, headers) = (request.uri(), request.headers());
        guard::check_reader(self.audience, uri, headers, identity)?;
        let path = uri.path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET | &Method::HEAD, "/api/state") => {
                Ok(self.state(Query::parse(uri.query().unwrap_or_default())).await)
            }
            (&Method::GET | &Method::HEAD, path) => match files::find(path) {
                Some((kind, text)) => Ok(response(StatusCode::OK, kind, text)),
                None => Err(not_found()),
            },
            (&Method::POST, "/api/policy" | "/api/drain") => {
                guard::check_writer(self.audience, uri, headers)?;
                let body = body(request.into_body()).await?;
                let by = identity.map_or_else(|| "this machine".to_owned(), ToString::to_string);
                match path.as_str() {
                    "/api/policy" => self.set_policy(read(&body)?, &by).await,
                    _ => self.drain(read(&body)?, &by).await,
                }
            }
            (&Method::POST, _) => Err(not_found()),
            _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "GET and POST only")),
        }
    }

    /// Beside the tasks that must not wait, as sampling is.
    async fn state(&self, query: Query) -> Response<Full<Bytes>> {
        let (history, now) = (self.history.clone(), self.balancer.clock.now());
        let is_stopping = self.shutdown.is_requested();
        let rendered = task::spawn_blocking(move || {
            let history = history.lock().unwrap_or_else(PoisonError::into_inner);
            state::render(&history, &query, now, is_stopping)
        });
        // Fails only when the process is being torn down.
        response(StatusCode::OK, JSON, rendered.await.unwrap_or_default())
    }

    async fn set_policy(
        &self,
        SetPolicy { pool, policy }: SetPolicy,
        by: &str,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        check_named(&pool)?;
        info!(by, pool, policy, "policy asked for on the dashboard");
        self.operator.set_policy(&pool, &policy).await?;
        Ok(response(StatusCode::OK, JSON, json!({ "pool": pool, "policy": policy }).to_string()))
    }

    async fn drain(
        &self,
        SetDrain { pool, address, drain, force }: SetDrain,
        by: &str,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        check_named(&pool)?;
        info!(by, pool, endpoint = address, drain, force, "drain asked for on the dashboard");
        let drain = Drain { address, draining: drain, force };
        let Drained { in_flight, .. } = self.operator.drain(&pool, drain).await?;
        Ok(response(StatusCode::OK, JSON, json!({ "in_flight": in_flight }).to_string()))
    }
}

/// The page shows one pool at a time, and changes that one.
fn check_named(pool: &str) -> Result<(), Refusal> {
    if pool.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "name a pool"));
    }
    Ok(())
}

fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such page; the dashboard is at /")
}

async fn body(body: Incoming) -> Result<Bytes, Refusal> {
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    body.map(|body| body.to_bytes())
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("no usable body: {error}")))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let malformed = |error| format!("not what is expected: {error}");
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, malformed(error)))
}

#[cfg(test)]
mod tests;
