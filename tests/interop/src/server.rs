//! The test service, listening: in the clear or as whoever a certificate says.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{StreamExt, stream};
use strife_proto::xds::service::orca::v3::open_rca_service_server::OpenRcaServiceServer;
use strife_runtime::{Security, Shutdown, tls};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
    task::JoinHandle,
};
use tonic::transport::server::Connected;

use crate::{
    Events, MAX_HEADER_BYTES, MAX_MESSAGE_BYTES, observe::Observe, orca::OutOfBand,
    pb::test_service_server::TestServiceServer, service::Interop,
};

/// A running server. Ends when dropped; [`Server::stop`] ends it gracefully.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it saw.
    pub events: Events,
    shutdown: Shutdown,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Server {
    /// Serves on `address`; port 0 takes any free one.
    pub async fn start(address: SocketAddr, security: Security) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (events, shutdown) = (Events::default(), Shutdown::manual());
        let load = OutOfBand::default();
        let service = TestServiceServer::new(Interop { load: load.clone() })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let connections = stream::unfold((listener, security), async |(listener, security)| {
            let accepted = async {
                let (stream, _) = listener.accept().await?;
                security.accept(stream).await
            };
            let connection = accepted.await.map(|(stream, _)| Connection(stream));
            Some((connection, (listener, security)))
        });
        // A connection that fails, a scan of the port say, is that connection's affair.
        let connections = connections.filter(|connection| std::future::ready(connection.is_ok()));
        let requested = shutdown.clone();
        let serving = tonic::transport::Server::builder()
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .layer(Observe(events.clone()))
            .add_service(service)
            .add_service(OpenRcaServiceServer::new(load))
            .serve_with_incoming_shutdown(connections, async move { requested.requested().await });
        let serving = tokio::spawn(serving);
        Ok(Self { address, events, shutdown, serving })
    }

    /// Takes no further calls and returns when those under way have ended.
    pub async fn stop(mut self) {
        self.shutdown.request();
        (&mut self.serving).await.unwrap().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A connection as tonic takes it.
struct Connection(tls::Stream);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
