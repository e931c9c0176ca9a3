//! gRPC over the simulated network: tonic's servers and channels on turmoil's sockets.

use std::{
    io,
    net::Ipv4Addr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::{
    Channel, Endpoint, Server, Uri,
    server::{Connected, Router},
};
use tower::service_fn;
use turmoil::net::{TcpListener, TcpStream};

/// Where every host serves.
const PORT: u16 = 1;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// How often a connection is pinged, and how long the answer may take: a segment that is lost here is
/// never sent again, so that a connection which lost one is of no more use.
const KEEPALIVE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(200));

/// A simulated connection, as tonic likes it.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl Connected for Socket {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A server to which services are added.
pub fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
}

/// Serves on this host until it crashes.
pub async fn serve(services: Router) -> turmoil::Result {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    services.serve_with_incoming(incoming(listener)).await?;
    Ok(())
}

fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<Socket>> {
    stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await;
        Some((accepted.map(|(stream, _)| Socket(stream)), listener))
    })
}

/// A channel to a host, which connects on first use and again after a loss.
pub fn channel(host: &'static str) -> Channel {
    Endpoint::from_shared(format!("http://{host}"))
        .unwrap()
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(service_fn(move |_: Uri| async move {
            let connecting = TcpStream::connect((host, PORT));
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
            let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok::<_, io::Error>(TokioIo::new(Socket(stream)))
        }))
}
