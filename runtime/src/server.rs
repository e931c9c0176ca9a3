//! A gRPC server: bind, say where, serve until shutdown, drain.
//!
//! Every server answers gRPC health and reflection beside its own services.

mod routes;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{body::Body, server::NamedService};
use tracing::{debug, info, warn};

use self::routes::Routes;
use crate::{
    AccessTable, Failure, Security, Shutdown,
    calls::{Accepted, CallLayer, Peer},
    load::{LoadTracker, Piggyback, Reports},
    shutdown::DRAIN_TIMEOUT,
};

/// Most TLS handshakes under way at once, and how long one may take.
const HANDSHAKES: usize = 256;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections a server has at once, handshakes included; further ones are closed at once, so that
/// whoever opens them looks for another server rather than wait.
const MAX_CONNECTIONS: usize = 10_000;
/// Streams a client may have open at once on one connection.
const MAX_CONCURRENT_STREAMS: u32 = 10_000;

/// What a server serves, and to whom.
pub struct Services {
    routes: Routes,
    health: tonic_health::server::HealthReporter,
    names: Vec<&'static str>,
    calls: CallLayer,
}

impl Services {
    /// No service yet but health and reflection. `table`: who may call what.
    pub fn new(table: AccessTable) -> Self {
        let (health, health_service) = tonic_health::server::health_reporter();
        let mut routes = Routes::default();
        routes.add(health_service);
        Self {
            routes,
            health,
            names: Vec::new(),
            calls: CallLayer { table, tracked: None, piggyback: None, logged: &[] },
        }
    }

    /// Adds a service.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "a service is no operand")]
    pub fn add<S>(mut self, service: S) -> Self
    where
        S: tower::Service<
                http::Request<Body>,
                Response = http::Response<Body>,
                Error = std::convert::Infallible,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add(service);
        self.names.push(S::NAME);
        self
    }

    /// Counts the calls of these services (`/strife.bank.v1.BankService/`) as the server's load.
    #[must_use]
    pub fn tracked(mut self, services: &'static [&'static str], by: Arc<LoadTracker>) -> Self {
        self.calls.tracked = Some((services, by));
        self
    }

    /// Puts load reports into trailers of the tracked calls, as ORCA has it: now and then, not in each.
    #[must_use]
    pub fn reporting(mut self, reports: Arc<Reports>) -> Self {
        self.calls.piggyback = Some(Piggyback::new(reports));
        self
    }

    /// Writes a log line for every call of these services.
    #[must_use]
    pub fn logged(mut self, services: &'static [&'static str]) -> Self {
        self.calls.logged = services;
        self
    }
}

/// A bound listener with its security: who accepts, before anyone is served.
pub struct Server {
    listener: TcpListener,
    security: Security,
    address: SocketAddr,
    max_connections: usize,
    drain_timeout: Duration,
}

/// Binds, or says which port is in use and which `flag` to change.
pub async fn bind(address: &str, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new(format!(
            "{address} is in use by another process; stop it or choose another with {flag} (0 takes any free port)"
        )),
        _ => Failure::usage(format!("cannot listen on {address} ({error}); choose another with {flag}")),
    })
}

/// Tells whoever started us that we serve, as the one line on standard output: `ready ADDRESS`,
/// with further addresses as `name=ADDRESS`.
pub fn announce(address: SocketAddr, others: &[(&str, SocketAddr)]) {
    let mut line = format!("ready {address}");
    for (name, other) in others {
        line.push_str(&format!(" {name}={other}"));
    }
    println!("{line}");
}

impl Server {
    /// Listens on `address`; `flag` is what the user would change if that fails.
    pub async fn bind(address: &str, flag: &str, security: &Security) -> Result<Self, Failure> {
        Self::on(bind(address, flag).await?, security)
    }

    /// Serves on a socket that listens already.
    pub fn on(listener: TcpListener, security: &Security) -> Result<Self, Failure> {
        let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
        let (security, max_connections) = (security.clone(), MAX_CONNECTIONS);
        Ok(Self { listener, security, address, max_connections, drain_timeout: DRAIN_TIMEOUT })
    }

    /// Another time than [`DRAIN_TIMEOUT`] for calls to end in.
    #[must_use]
    pub fn drain_timeout(self, drain_timeout: Duration) -> Self {
        Self { drain_timeout, ..self }
    }

    /// Where it listens; the real port if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until shutdown, then lets calls under way end, for at most [`DRAIN_TIMEOUT`].
    pub async fn serve(self, services: Services, shutdown: Shutdown) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(format!("server: {error}"));
        let reflection = reflection().map_err(|error| failed(&error))?;
        let mut routes = services.routes;
        routes.add(reflection.0);
        routes.add(reflection.1);
        for name in &services.names {
            services.health.set_service_status(name, tonic_health::ServingStatus::Serving).await;
        }
        let (address, drain_timeout) = (self.address, self.drain_timeout);
        let security = self.security.clone();
        let incoming = ReceiverStream::new(accept(self, shutdown.clone()));
        info!(%address, services = services.names.join(","), "serving");
        let server = tonic::transport::Server::builder()
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .http2_max_pending_accept_reset_streams(Some(MAX_CONCURRENT_STREAMS as usize))
            .layer(services.calls)
            .serve_with_incoming_shutdown(routes, incoming, shutdown.clone().wait());
        tokio::select! {
            served = drain_bounded(server, drain_timeout, shutdown) => {
                served.map_err(|error| failed(&error))
            }
            never = security.keep_fresh() => match never {},
        }
    }
}

/// Its listening socket.
impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Shutdown {
    async fn wait(self) {
        self.requested().await;
    }
}

/// Runs `server` to its end, or gives up `drain_timeout` after shutdown was requested.
async fn drain_bounded<E>(
    server: impl Future<Output = Result<(), E>>,
    drain_timeout: Duration,
    shutdown: Shutdown,
) -> Result<(), E> {
    let too_long = async {
        shutdown.requested().await;
        tokio::time::sleep(drain_timeout).await;
    };
    tokio::select! {
        outcome = server => outcome,
        () = too_long => {
            warn!("calls still under way after the drain timeout were cut off");
            Ok(())
        }
    }
}

fn reflection() -> Result<
    (
        tonic_reflection::server::v1::ServerReflectionServer<
            impl tonic_reflection::server::v1::ServerReflection,
        >,
        tonic_reflection::server::v1alpha::ServerReflectionServer<
            impl tonic_reflection::server::v1alpha::ServerReflection,
        >,
    ),
    tonic_reflection::server::Error,
> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(strife_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok((builder().build_v1()?, builder().build_v1alpha()?))
}

/// Accepts until shutdown. Handshakes run side by side, bounded in number and time, so that a slow
/// or silent peer holds up nobody; connections are bounded in number.
fn accept(server: Server, shutdown: Shutdown) -> mpsc::Receiver<io::Result<Accepted>> {
    let Server { listener, security, max_connections, .. } = server;
    let (accepted, incoming) = mpsc::channel(HANDSHAKES);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let places = Arc::new(Semaphore::new(max_connections));
    tokio::spawn(async move {
        let mut full = false;
        loop {
            let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
            let (stream, address) = tokio::select! {
                connection = listener.accept() => match connection {
                    Ok(connection) => connection,
                    Err(error) => {
                        // Out of file descriptors, most likely: wait for some to be closed.
                        warn!(%error, "cannot accept connections");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
                () = shutdown.requested() => return,
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                if !full {
                    warn!(max_connections, "no place for further connections; closing new ones");
                }
                full = true;
                continue;
            };
            full = false;
            let (security, accepted) = (security.clone(), accepted.clone());
            tokio::spawn(async move {
                let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, security.accept(stream));
                match handshake.await {
                    Ok(Ok((stream, identity))) => {
                        let peer = Peer { identity, address };
                        // Fails only when the server is gone.
                        let _ =
                            accepted.send(Ok(Accepted { stream, carried: (peer, place) })).await;
                    }
                    Ok(Err(error)) => debug!(%address, %error, "connection refused"),
                    Err(_) => debug!(%address, "handshake took too long"),
                }
                drop(permit);
            });
        }
    });
    incoming
}

#[cfg(test)]
mod tests;
