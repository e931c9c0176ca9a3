//! What happens to every call before a handler sees it, and after: who is calling and whether they
//! may ([`Caller`]), the load it adds and the report of it in its trailers, and one log line when it ends. A
//! request that is too large is answered alike by every service.
//!
//! Behind the balancer the connection is the balancer's; the caller's identity then travels in
//! `x-forwarded-client-cert`, which is believed from the balancer only.

mod caller;
mod log;
mod peer;
mod too_large;
mod trailers;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::warn;

use self::{caller::caller_of, log::CallLog};
use crate::{
    access::{self, AccessTable},
    load::{LoadTracker, Piggyback},
};

pub(crate) use self::peer::Accepted;
pub use self::{
    caller::{Caller, FORWARDED_ADDRESS, FORWARDED_IDENTITY},
    peer::Peer,
    too_large::AT_FAULT,
};

/// Checks, counts and logs every call of a server.
#[derive(Clone)]
pub struct CallLayer {
    pub(crate) table: AccessTable,
    pub(crate) tracked: Option<(&'static [&'static str], Arc<LoadTracker>)>,
    /// Puts load reports into the trailers of the tracked calls.
    pub(crate) piggyback: Option<Arc<Piggyback>>,
    pub(crate) logged: &'static [&'static str],
}

/// [`CallLayer`] around a service.
#[derive(Clone)]
pub struct Calls<S> {
    inner: S,
    layer: CallLayer,
}

impl<S> Layer<S> for CallLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls { inner, layer: self.clone() }
    }
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        let caller = caller_of(&request);
        let path = request.uri().path();
        if let Some(identity) = &caller.identity
            && !access::is_allowed(self.layer.table, path, identity)
        {
            warn!(method = path, client = %identity, address = %caller.address, "call denied");
            let status = Status::permission_denied(format!("{identity} may not call {path}"));
            return Box::pin(std::future::ready(Ok(status.into_http())));
        }
        let among = |services: &[&str]| services.iter().any(|service| path.starts_with(service));
        let guard = self.layer.tracked.as_ref().filter(|(services, _)| among(services));
        let guard = guard.map(|(_, tracker)| tracker.started());
        let piggyback = self.layer.piggyback.clone().filter(|_| guard.is_some());
        let log = among(self.layer.logged) && tracing::enabled!(tracing::Level::INFO);
        let log = log.then(|| CallLog::new(path, &caller, started));
        request.extensions_mut().insert(caller);
        let answer = self.inner.call(request);
        // Dropped unfinished, the guard counts the call and the log tells of it.
        Box::pin(async move {
            let mut response = answer.await?;
            let mut code = unary_code(&response);
            if let Some(guard) = guard {
                guard.finish(is_server_failure(code));
            }
            if code == Code::OutOfRange
                && let Some(status) = Status::from_header_map(response.headers())
                && let Some(instead) = too_large::instead_of(&status)
            {
                (response, code) = (instead, Code::ResourceExhausted);
            }
            if let Some(log) = log {
                log.finish(code, &response);
            }
            Ok(match piggyback.and_then(|piggyback| piggyback.due(Instant::now())) {
                Some(report) => trailers::with(response, report),
                None => response,
            })
        })
    }
}

/// The status of a call as its response headers tell it: tonic answers every failed unary call
/// with trailers only.
fn unary_code(response: &Response<Body>) -> Code {
    Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}

fn is_server_failure(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests;
