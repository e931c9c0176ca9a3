//! One connection to a server, one attempt, and the word that it is gone.
//!
//! tonic's channel hides its connection and makes another by itself. Here it is given one stream:
//! whoever drops that stream has lost the connection, and a second attempt finds nothing, which
//! tells a call that it was never sent.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};
use tonic::transport::{self, Uri};
use tower::{BoxError, service_fn};

use crate::{builder::MakeEndpoint, retry::causes};

/// How connections are made.
#[derive(Clone)]
pub(crate) struct Dial {
    pub(crate) endpoint: MakeEndpoint,
    pub(crate) timeout: Duration,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) channel: transport::Channel,
    lost: Arc<Notify>,
}

/// The connection ended, or takes no more calls; this one was not sent.
#[derive(Debug, Error)]
#[error("the connection was lost")]
pub(crate) struct Gone;

impl Dial {
    /// Connects, TLS included, or says why not.
    pub(crate) async fn connect(&self, address: &str) -> Result<Connection, String> {
        let endpoint = (self.endpoint)(address).map_err(|error| reason(&error))?;
        let lost = Arc::new(Notify::new());
        let (notify, host) = (lost.clone(), address.to_owned());
        let mut attempts = 0;
        let connector = service_fn(move |_: Uri| {
            attempts += 1;
            let (notify, host) = (notify.clone(), host.clone());
            async move {
                if attempts > 1 {
                    notify.notify_one();
                    return Err(Gone.into());
                }
                let stream = TcpStream::connect(&host).await?;
                stream.set_nodelay(true)?;
                Ok::<_, BoxError>(TokioIo::new(Watched { stream, _notify: NotifyLost(notify) }))
            }
        });
        let connecting = endpoint.connect_with_connector(connector);
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(Ok(channel)) => Ok(Connection { channel, lost }),
            Ok(Err(error)) => Err(format!("cannot connect: {}", reason(&error))),
            Err(_) => Err(format!("no connection in {:?}", self.timeout)),
        }
    }
}

impl Connection {
    /// Resolves when it takes no more calls.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }
}

/// The root of an error: what tonic wraps around it says `transport error` only.
fn reason(error: &transport::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

struct NotifyLost(Arc<Notify>);

impl Drop for NotifyLost {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A stream whose end is told.
struct Watched {
    stream: TcpStream,
    _notify: NotifyLost,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
