//! A connection that tells when it is gone.
//!
//! A tonic channel hides its connection; the stream given to it is wrapped here, and whoever drops
//! the stream has lost the connection.

use std::{io, sync::Arc};

use hyper_util::rt::TokioIo;
use strife_runtime::{
    Security,
    tls::{Carrying, Expected},
};
use tokio::sync::Notify;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::config::Limits;

/// One connection to one server.
pub(crate) struct Link {
    pub(crate) channel: Channel,
    lost: Arc<Notify>,
}

impl Link {
    /// Connects, TLS included, or says why not.
    pub(crate) async fn open(
        address: &str,
        expected: &Expected,
        security: &Security,
        limits: &Limits,
    ) -> Result<Self, String> {
        let connecting = security.connect(address, expected);
        let stream = tokio::time::timeout(limits.connect_timeout, connecting)
            .await
            .map_err(|_| format!("no connection in {:?}", limits.connect_timeout))?
            .map_err(|error| format!("cannot connect: {error}"))?;
        let lost = Arc::new(Notify::new());
        let stream = Carrying { stream, carried: Watch(lost.clone()) };
        let mut stream = Some(TokioIo::new(stream));
        // There is one connection to give; a second attempt by the channel finds nothing.
        let connector = service_fn(move |_: Uri| {
            std::future::ready(
                stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)),
            )
        });
        let origin: Uri = format!("{}://{address}", security.scheme())
            .parse()
            .map_err(|error| format!("`{address}` cannot be an authority: {error}"))?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| error.to_string())?
            .origin(origin);
        let channel = endpoint.connect_with_connector(connector).await;
        let channel = channel.map_err(|error| format!("cannot speak HTTP/2: {error}"))?;
        Ok(Self { channel, lost })
    }

    /// Resolves when the connection is gone.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }
}

/// Notifies when the connection that carries it is dropped.
struct Watch(Arc<Notify>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
