//! What happens to every call before a handler sees it, and after: who is calling and whether they
//! may ([`Caller`]), the load it adds, and one log line when it ends.
//!
//! Behind the balancer the connection is the balancer's; the caller's identity then travels in
//! `x-forwarded-client-cert`, which is believed from the balancer only.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::{Code, Status, body::Body, transport::server::Connected};
use tower::{Layer, Service};
use tracing::{info, warn};

use crate::{
    access::{self, AccessTable},
    identity::{Identity, Role},
    load::LoadTracker,
    tls::Stream,
};

/// Carries the caller's identity across the balancer: `URI=spiffe://strife/client/john_doe`.
pub const FORWARDED_IDENTITY: &str = "x-forwarded-client-cert";
/// Carries the caller's address across the balancer.
pub const FORWARDED_ADDRESS: &str = "x-forwarded-for";

/// Who makes a call. A handler finds it in the request's extensions ([`Caller::of`]).
#[derive(Debug, Clone)]
pub struct Caller {
    /// Proved by a certificate. `None` only where TLS is off.
    pub identity: Option<Identity>,
    /// The caller's own address, as far as it can be known.
    pub address: String,
    /// What the handler adds to the call's log line.
    note: Arc<OnceLock<String>>,
}

impl Caller {
    /// The caller of a request that came through [`CallLayer`].
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(|| Self {
            identity: None,
            address: String::new(),
            note: Arc::default(),
        })
    }

    /// Puts the call's subject (amount, accounts; never a secret) on its log line.
    pub fn note(&self, subject: impl FnOnce() -> String) {
        if tracing::enabled!(tracing::Level::INFO) {
            self.note.get_or_init(subject);
        }
    }
}

/// What a connection knows of its peer; made at accept time.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Proved by a certificate. `None` in the clear.
    pub identity: Option<Identity>,
    /// The other end of the connection.
    pub address: SocketAddr,
}

/// An accepted connection and its peer, as tonic wants it.
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
}

impl Connected for Accepted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Checks, counts and logs every call of a server.
#[derive(Clone)]
pub struct CallLayer {
    pub(crate) table: AccessTable,
    pub(crate) tracked: Option<(&'static [&'static str], Arc<LoadTracker>)>,
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
        let log = among(self.layer.logged) && tracing::enabled!(tracing::Level::INFO);
        let log = log.then(|| (path.to_owned(), caller.clone()));
        request.extensions_mut().insert(caller);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            let code = unary_code(&response);
            if let Some(guard) = guard {
                guard.finish(is_server_failure(code));
            }
            if let Some((method, caller)) = log {
                log_call(&method, &caller, code, &response, started);
            }
            Ok(response)
        })
    }
}

fn caller_of(request: &Request<Body>) -> Caller {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let peer = request.extensions().get::<Peer>();
    let direct = peer.and_then(|peer| peer.identity.clone());
    let mut address = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
    let behind_balancer = direct.as_ref().is_none_or(|identity| identity.role == Role::Lb);
    if behind_balancer && let Some(forwarded) = header(FORWARDED_ADDRESS) {
        address = forwarded.to_owned();
    }
    let identity = match direct {
        Some(balancer) if balancer.role == Role::Lb => {
            let forwarded = header(FORWARDED_IDENTITY).and_then(|text| text.strip_prefix("URI="));
            Some(forwarded.and_then(|uri| uri.parse().ok()).unwrap_or(balancer))
        }
        other => other,
    };
    Caller { identity, address, note: Arc::default() }
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

fn log_call(
    method: &str,
    caller: &Caller,
    code: Code,
    response: &Response<Body>,
    started: Instant,
) {
    let latency_us = started.elapsed().as_micros() as u64;
    let client = caller.identity.as_ref().map_or_else(|| "-".to_owned(), Identity::to_string);
    let subject = caller.note.get().map_or("", String::as_str);
    let (address, result) = (&caller.address, format!("{code:?}"));
    if code == Code::Ok {
        info!(method, client, %address, subject, result, latency_us, "call");
    } else {
        let status = Status::from_header_map(response.headers());
        let error = status.map(|status| status.message().to_owned()).unwrap_or_default();
        warn!(method, client, %address, subject, result, error, latency_us, "call failed");
    }
}

#[cfg(test)]
mod tests;
