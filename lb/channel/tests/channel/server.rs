//! A gRPC server with a thread and a runtime of its own, so that it can be killed as a process is,
//! and what tests ask of the channel.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use strife_channel::{Channel, Connectivity, ServerStatus};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::{
    Code, Request, Response, Status,
    metadata::{BinaryMetadataValue, MetadataMap},
    transport::{Identity, ServerTlsConfig},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a server is made.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    /// Empty: any free port.
    pub(crate) address: String,
    pub(crate) delay: Duration,
    pub(crate) max_connection_age: Option<Duration>,
    pub(crate) tls: Option<(String, String)>,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: String,
    /// Unary calls that were answered.
    pub(crate) calls: Arc<AtomicU64>,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let calls = Arc::new(AtomicU64::new(0));
        let service = Service { calls: calls.clone(), delay: setup.delay };
        let (kill, killed) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let wanted = if setup.address.is_empty() { "127.0.0.1:0" } else { &setup.address };
                let listener = TcpListener::bind(wanted).await.expect("a free port");
                let address = listener.local_addr().expect("it is bound");
                bound.send(address.to_string()).expect("the test waits");
                let mut server = tonic::transport::Server::builder();
                if let Some(age) = setup.max_connection_age {
                    server = server.max_connection_age(age);
                }
                if let Some((certificate, key)) = setup.tls {
                    let identity = Identity::from_pem(certificate, key);
                    let tls = server.tls_config(ServerTlsConfig::new().identity(identity));
                    server = tls.expect("a certificate and its key");
                }
                let serving = server
                    .add_service(HealthServer::new(service))
                    .serve_with_incoming(TcpListenerStream::new(listener));
                tokio::select! {
                    served = serving => served.expect("it serves"),
                    _ = killed => {}
                }
            });
        });
        let address = address.recv().expect("it binds");
        Self { address, calls, kill: Some(kill), thread: Some(thread) }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Every connection ends at once, whatever was under way.
    pub(crate) fn kill(self) -> String {
        self.address.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill.take();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends");
        }
    }
}

struct Service {
    calls: Arc<AtomicU64>,
    delay: Duration,
}

/// The header in which a test says what ORCA report it wants.
const ORCA: &str = "endpoint-load-metrics-bin";

#[tonic::async_trait]
impl Health for Service {
    /// Does what `service` says: nothing, `hang`, `orca` (fails with the report that was sent), or a
    /// status code to fail with.
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let wish = request.get_ref().service.as_str();
        tokio::time::sleep(self.delay).await;
        self.calls.fetch_add(1, Relaxed);
        match wish {
            "" => Ok(Response::new(HealthCheckResponse { status: 1 })),
            "hang" => std::future::pending().await,
            "orca" => {
                let mut trailers = MetadataMap::new();
                let report = request.metadata().get_bin("report-bin").expect("a report");
                let report = report.to_bytes().expect("base64");
                trailers.insert_bin(ORCA, BinaryMetadataValue::from_bytes(&report));
                Err(Status::with_metadata(Code::NotFound, "as asked", trailers))
            }
            code => Err(Status::new(Code::from_bytes(code.as_bytes()), "as asked")),
        }
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    /// One answer, and no end; with `service`, that many answers and an end.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let answers = request.into_inner().service.parse::<usize>();
        let answer = || Ok(HealthCheckResponse { status: 1 });
        let some = tokio_stream::iter((0..answers.clone().unwrap_or(1)).map(move |_| answer()));
        Ok(Response::new(match answers {
            Ok(_) => Box::pin(some),
            Err(_) => Box::pin(some.chain(tokio_stream::pending())),
        }))
    }
}

pub(crate) fn servers(count: usize) -> Vec<Server> {
    (0..count).map(|_| Server::start()).collect()
}

pub(crate) fn addresses(servers: &[Server]) -> Vec<String> {
    servers.iter().map(|server| server.address.clone()).collect()
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

/// A call that asks for this.
pub(crate) async fn check(channel: &Channel, wish: &str) -> Result<(), Status> {
    let request = HealthCheckRequest { service: wish.to_owned() };
    HealthClient::new(channel.clone()).check(request).await.map(drop)
}

/// Looks at the servers until they are as wanted.
pub(crate) async fn until(channel: &Channel, wanted: impl Fn(&[ServerStatus]) -> bool) {
    let looking = async {
        while !wanted(&channel.servers()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let looked = tokio::time::timeout(PATIENCE, looking).await;
    looked.unwrap_or_else(|_| panic!("not as wanted: {:?}", channel.servers()));
}

/// Waits until so many servers are connected.
pub(crate) async fn until_ready(channel: &Channel, count: usize) {
    let is_ready = |server: &&ServerStatus| server.state == Connectivity::Ready;
    until(channel, |servers| servers.iter().filter(is_ready).count() == count).await;
}

/// Waits until no call is in flight anywhere.
pub(crate) async fn until_idle(channel: &Channel) {
    until(channel, |servers| servers.iter().all(|server| server.in_flight == 0)).await;
}
