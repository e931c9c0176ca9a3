//! The well-behaved server behind the balancer: tonic as it comes, but that it takes header lists
//! as large as the balancer lets through; on a thread of its own.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use strife_proto::bank::v1::{
    AccountRecord, AccountRequest, AccountResponse, BalanceRequest, BalanceResponse, CommandBatch,
    ResultBatch, TransactionRequest, TransactionResponse,
    bank_service_server::{BankService, BankServiceServer},
    bank_store_server::{BankStore, BankStoreServer},
};
use strife_runtime::Shutdown;
use tonic::{Request, Response, Status, Streaming, transport::server::TcpIncoming};

/// The account whose call never ends.
pub(crate) const HANG: &str = "hang";
/// The account whose call stops the whole server for [`PAUSE`], as a collector of garbage does.
pub(crate) const PAUSING: &str = "pause";
const PAUSE: Duration = Duration::from_millis(200);
/// The metadata that comes back in the answer.
pub(crate) const MARK: &str = "x-mark";
/// An answer's `currency` is as long as the number after this prefix of an account says.
const LARGE: &str = "large:";

/// The balancer's own limit, and room for what it adds.
const MAX_HEADER_LIST_BYTES: u32 = 80 * 1024;

/// A running server; ends when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    calls: Arc<Calls>,
    shutdown: Shutdown,
}

/// Unary calls that reached the server, those of them that ended, and its pauses.
#[derive(Default)]
struct Calls {
    started: AtomicU64,
    ended: AtomicU64,
    pauses: AtomicU64,
}

impl Server {
    pub(crate) fn start() -> Self {
        let calls: Arc<Calls> = Arc::default();
        let service = Service { calls: calls.clone() };
        let shutdown = Shutdown::manual();
        let stop = shutdown.clone();
        let (bound, address) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                bound.send(incoming.local_addr().unwrap()).unwrap();
                let served = tonic::transport::Server::builder()
                    .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
                    .add_service(BankServiceServer::new(service.clone()))
                    .add_service(BankStoreServer::new(service))
                    .serve_with_incoming(incoming);
                tokio::select! {
                    served = served => served.unwrap(),
                    () = stop.requested() => {}
                }
            });
        });
        Self { address: address.recv().unwrap(), calls, shutdown }
    }

    /// Unary calls that reached it.
    pub(crate) fn started(&self) -> u64 {
        self.calls.started.load(Relaxed)
    }

    /// Pauses that have begun.
    pub(crate) fn pauses(&self) -> u64 {
        self.calls.pauses.load(Relaxed)
    }

    /// Unary calls under way.
    pub(crate) fn in_flight(&self) -> u64 {
        let ended = self.calls.ended.load(Relaxed);
        self.started() - ended
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

/// The account whose answer is so long.
pub(crate) fn large(bytes: usize) -> String {
    format!("{LARGE}{bytes}")
}

#[derive(Clone)]
struct Service {
    calls: Arc<Calls>,
}

/// Counts the end of a call, however it ends.
struct UnderWay(Arc<Calls>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

#[tonic::async_trait]
impl BankService for Service {
    /// Echoes the account and the mark.
    async fn validate_account(
        &self,
        request: Request<AccountRequest>,
    ) -> Result<Response<AccountResponse>, Status> {
        self.calls.started.fetch_add(1, Relaxed);
        let _under_way = UnderWay(self.calls.clone());
        let mark = request.metadata().get(MARK).map(|mark| mark.to_str().unwrap().to_owned());
        let account_id = request.into_inner().account_id;
        if account_id == HANG {
            return std::future::pending().await;
        }
        if account_id == PAUSING {
            self.calls.pauses.fetch_add(1, Relaxed);
            thread::sleep(PAUSE);
        }
        let length = account_id.strip_prefix(LARGE).map(|length| length.parse().unwrap());
        let currency = length.map_or(mark.unwrap_or_default(), |length| "x".repeat(length));
        Ok(Response::new(AccountResponse { account_id, currency, state: 0 }))
    }

    async fn process_transaction(
        &self,
        _: Request<TransactionRequest>,
    ) -> Result<Response<TransactionResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_account_balance(
        &self,
        _: Request<BalanceRequest>,
    ) -> Result<Response<BalanceResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[tonic::async_trait]
impl BankStore for Service {
    type ApplyStream = Pin<Box<dyn Stream<Item = Result<ResultBatch, Status>> + Send>>;

    /// Echoes every batch's id.
    async fn apply(
        &self,
        request: Request<Streaming<CommandBatch>>,
    ) -> Result<Response<Self::ApplyStream>, Status> {
        let echo = |batch: Result<CommandBatch, Status>| {
            batch.map(|batch| ResultBatch { batch_id: batch.batch_id, results: Vec::new() })
        };
        Ok(Response::new(Box::pin(request.into_inner().map(echo))))
    }

    async fn get_account(
        &self,
        _: Request<AccountRequest>,
    ) -> Result<Response<AccountRecord>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
