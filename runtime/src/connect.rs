//! Channels: how a Strife process calls a gRPC service, directly or through the balancer.

use std::{io, time::Duration};

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::{
    Failure,
    tls::{Expected, Security},
};

/// How long a TCP connection and its TLS handshake may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often an idle connection is pinged, and how long the answer may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// A channel to `address` (`host:port`) that puts `authority` (`gateway`, `bank.icici`) into every
/// request, by which a balancer routes. Connects on first use and again after a loss, to whoever is
/// `expected` there and nobody else.
pub fn channel(
    address: &str,
    authority: &str,
    expected: Expected,
    security: &Security,
) -> Result<Channel, Failure> {
    let origin: Uri = format!("{}://{authority}", security.scheme()).parse().map_err(|error| {
        Failure::usage(format!("`{authority}` cannot be an authority: {error}"))
    })?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| Failure::usage(format!("`{address}` is not host:port: {error}")))?
        .origin(origin)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .tcp_nodelay(true);
    let (address, security) = (address.to_owned(), security.clone());
    // The connector has its own TLS: tonic sees a plain stream, whatever the scheme.
    Ok(endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
        let (address, expected, security) = (address.clone(), expected.clone(), security.clone());
        async move {
            let connecting = security.connect(&address, &expected);
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
            let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    })))
}

/// A channel to a server that is not behind a balancer.
pub fn direct(address: &str, expected: Expected, security: &Security) -> Result<Channel, Failure> {
    channel(address, address, expected, security)
}
