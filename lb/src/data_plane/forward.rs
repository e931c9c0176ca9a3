//! One call: routed, sent to an endpoint, answered.
//!
//! A call is sent to another endpoint only when it cannot have run: no connection, or the
//! connection ended before the request was written and gave it back. Everything else the client
//! must decide. An endpoint whose streams are all in use is passed over; the last one tried is
//! waited for, and the call is refused when no stream is free in time.

use std::{error::Error, sync::Arc};

use http::{HeaderName, HeaderValue, Request, Response, Uri, header::HOST, uri::Scheme};
use hyper::body::Incoming;
use strife_policy::Outcome;
use tonic::Status;
use tracing::debug;

use super::{
    Worker,
    body::AnswerBody,
    downstream::Peer,
    outcome::{self, SentCall},
    upstream::{SendError, StreamPlace},
};
use crate::{endpoint::Endpoint, error::LbError, pool::Pool};

/// Names the endpoint that answered, in the response headers (which are the trailers of an answer
/// that has trailers only).
pub const ENDPOINT_HEADER: HeaderName = HeaderName::from_static("x-strife-endpoint");

/// Endpoints a call is tried on.
const MAX_ATTEMPTS: usize = 3;

/// Answers one request. An error resets the client's stream with the code it carries.
pub(super) async fn forward(
    worker: Arc<Worker>,
    peer: Arc<Peer>,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, hyper::Error> {
    let pool = match route(&worker, &mut request) {
        Ok(pool) => pool,
        Err(error) => return Ok(Status::from(error).into_http()),
    };
    peer.stamp(request.headers_mut());
    let mut tried: Vec<Arc<Endpoint>> = Vec::new();
    loop {
        let Some(endpoint) = worker.pick(&pool, &tried).await else {
            return Ok(Status::from(LbError::NoReadyEndpoint(pool.name.clone())).into_http());
        };
        let is_last = tried.len() + 1 >= MAX_ATTEMPTS;
        if !is_last && worker.is_full(&endpoint) {
            tried.push(endpoint);
            continue;
        }
        let call = SentCall::new(endpoint.clone(), worker.balancer.clock);
        match worker.send(&endpoint, request).await {
            Ok((response, place)) => return Ok(answer(response, call, &endpoint, place)),
            Err(SendError::Unconnected { request: unsent, why }) => {
                call.finish(Outcome::Failed);
                endpoint.suspect();
                debug!(endpoint = endpoint.address, why, "no connection");
                if is_last {
                    return Ok(unavailable(&endpoint, &why));
                }
                request = *unsent;
            }
            Err(SendError::Full) => {
                drop(call);
                let full = LbError::NoFreeStream(endpoint.address.clone());
                return Ok(Status::from(full).into_http());
            }
            Err(SendError::Unsent { request: unsent }) => {
                // The endpoint has not failed the call: it never saw it.
                drop(call);
                if is_last {
                    return Ok(unavailable(&endpoint, "its connections keep ending"));
                }
                request = *unsent;
            }
            Err(SendError::Broken(error)) => {
                call.finish(Outcome::Failed);
                endpoint.suspect();
                if was_reset_by_peer(&error) {
                    return Err(error);
                }
                return Ok(unavailable(&endpoint, &format!("the connection was lost: {error}")));
            }
        }
        tried.push(endpoint);
    }
}

fn route(worker: &Worker, request: &mut Request<Incoming>) -> Result<Arc<Pool>, LbError> {
    if request.uri().authority().is_none() {
        take_authority_from_host(request);
    }
    let authority = request.uri().authority().map_or("", |authority| authority.as_str());
    worker.balancer.route(authority).cloned()
}

/// HTTP/2 allows `host` in place of `:authority` (RFC 9113, section 8.3.1); upstream it becomes one.
fn take_authority_from_host(request: &mut Request<Incoming>) {
    let host = request.headers_mut().remove(HOST);
    let authority = host.and_then(|host| host.as_bytes().try_into().ok());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.authority =
        Some(authority.unwrap_or_else(|| http::uri::Authority::from_static("default")));
    parts.scheme.get_or_insert(Scheme::HTTP);
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

fn answer(
    mut response: Response<Incoming>,
    call: SentCall,
    endpoint: &Endpoint,
    place: StreamPlace,
) -> Response<AnswerBody> {
    if let Ok(address) = HeaderValue::try_from(endpoint.address.as_str()) {
        response.headers_mut().insert(ENDPOINT_HEADER, address);
    }
    let without_trailers = outcome::without_trailers(response.status(), response.headers());
    let call = match outcome::told_by(response.headers()) {
        Some(outcome) => {
            call.finish(outcome);
            None
        }
        None => Some(call),
    };
    response.map(|incoming| AnswerBody::new(incoming, call, without_trailers, place))
}

fn unavailable(endpoint: &Endpoint, why: &str) -> Response<AnswerBody> {
    Status::unavailable(format!("server {}: {why}", endpoint.address)).into_http()
}

/// The endpoint reset this stream, the connection lives on: the client is told the same code.
fn was_reset_by_peer(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_reset() && error.is_remote();
        }
        source = error.source();
    }
    false
}
