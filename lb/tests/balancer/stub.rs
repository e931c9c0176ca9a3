//! A gRPC server to stand behind the balancer: a thread and a runtime of its own, so that it can be
//! killed as a process is.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    thread,
};

use strife_proto::bank::v1::{
    AccountRecord, AccountRequest, AccountResponse, AccountState, BalanceRequest, BalanceResponse,
    CommandBatch, ResultBatch, TransactionRequest, TransactionResponse,
    bank_service_server::{BankService, BankServiceServer},
    bank_store_server::{BankStore, BankStoreServer},
};
use strife_runtime::{
    AccessTable, Caller, Role, Rule, Security, Server, Services, Shutdown, executor,
};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::fleet::PATIENCE;

/// Largest message the stub takes.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// The batch that makes the stub end the stream with an error.
pub(crate) const FATAL_BATCH: u64 = u64::MAX;

const EVERYONE: AccessTable = &[
    Rule { path: "/strife.bank.v1.BankService/", roles: ALL },
    Rule { path: "/strife.bank.v1.BankStore/", roles: ALL },
];
const ALL: &[Role] =
    &[Role::Lb, Role::Bank, Role::Gateway, Role::Client, Role::Loadgen, Role::Admin];

/// A running stub.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    kill: Shutdown,
    thread: Option<thread::JoinHandle<()>>,
    events: mpsc::Receiver<Hanging>,
    health: Arc<AtomicU8>,
}

impl Stub {
    /// On any free port.
    pub(crate) fn start(security: &Security) -> Self {
        Self::start_at("127.0.0.1:0", security)
    }

    pub(crate) fn start_at(address: &str, security: &Security) -> Self {
        let (address, security) = (address.to_owned(), security.clone());
        let (kill, killed) = (Shutdown::manual(), Shutdown::manual());
        let kill_wish = kill.clone();
        let health = Arc::<AtomicU8>::default();
        let service_health = health.clone();
        let (bound, address_bound) = std::sync::mpsc::channel();
        let (tell, events) = mpsc::channel(16);
        let body = move || {
            let served = executor::block_on(1, async {
                let server = Server::bind(&address, "--port", &security).await?;
                bound.send(server.address()).expect("the test waits");
                let stub =
                    Service { address: server.address(), events: tell, health: service_health };
                let services = Services::new(EVERYONE)
                    .add(
                        BankServiceServer::new(stub.clone()).max_decoding_message_size(MAX_MESSAGE),
                    )
                    .add(BankStoreServer::new(stub));
                tokio::select! {
                    served = server.serve(services, killed) => served,
                    () = kill_wish.requested() => Ok(()),
                }
            });
            served.expect("the stub serves");
        };
        let thread = Some(thread::spawn(body));
        let address = address_bound.recv().expect("the stub binds");
        Self { address, kill, thread, events, health }
    }

    /// Answers account validations with this status from now on; `Ok`: as it should.
    pub(crate) fn answer_with(&self, code: Code) {
        self.health.store(code as u8, Relaxed);
    }

    /// Every connection ends at once, whatever was under way.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// What became of hanging calls next.
    pub(crate) async fn hanging(&mut self) -> Hanging {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        event.expect("something becomes of it").expect("the stub runs")
    }

    fn end(&mut self) {
        self.kill.request();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the stub ends");
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the stub serves.
#[derive(Clone)]
pub(crate) struct Service {
    address: SocketAddr,
    events: mpsc::Sender<Hanging>,
    /// A status code.
    health: Arc<AtomicU8>,
}

impl Service {
    /// For a server that is not a [`Stub`].
    pub(crate) fn alone(address: SocketAddr) -> Self {
        Self { address, events: mpsc::channel(1).0, health: Arc::default() }
    }
}

/// What becomes of a call that hangs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hanging {
    Arrived,
    Cancelled,
}

/// Tells when it is made and when it is dropped.
struct HangGuard(mpsc::Sender<Hanging>);

impl HangGuard {
    fn new(events: mpsc::Sender<Hanging>) -> Self {
        let _ = events.try_send(Hanging::Arrived);
        Self(events)
    }
}

impl Drop for HangGuard {
    fn drop(&mut self) {
        let _ = self.0.try_send(Hanging::Cancelled);
    }
}

#[tonic::async_trait]
impl BankService for Service {
    /// Answers who the stub is and who it thinks is calling: `identity|address|raw header`.
    async fn validate_account(
        &self,
        request: Request<AccountRequest>,
    ) -> Result<Response<AccountResponse>, Status> {
        match Code::from(i32::from(self.health.load(Relaxed))) {
            Code::Ok => {}
            code => return Err(Status::new(code, "as told")),
        }
        let caller = Caller::of(&request);
        let identity = caller.identity.map(|identity| identity.to_string()).unwrap_or_default();
        let raw = request.metadata().get(strife_runtime::calls::FORWARDED_IDENTITY);
        let raw = raw.and_then(|raw| raw.to_str().ok()).unwrap_or_default();
        let account_id = self.address.to_string();
        let currency = format!("{identity}|{}|{raw}", caller.address);
        Ok(Response::new(AccountResponse {
            account_id,
            state: AccountState::Active.into(),
            currency,
        }))
    }

    /// Echoes the id, however long.
    async fn process_transaction(
        &self,
        request: Request<TransactionRequest>,
    ) -> Result<Response<TransactionResponse>, Status> {
        let transaction_id = request.into_inner().transaction_id;
        Ok(Response::new(TransactionResponse { transaction_id, ..TransactionResponse::default() }))
    }

    /// Never finds anything; fails, or never answers, when asked for that.
    async fn get_account_balance(
        &self,
        request: Request<BalanceRequest>,
    ) -> Result<Response<BalanceResponse>, Status> {
        match request.get_ref().account_id.as_str() {
            "break" => Err(Status::internal("broken as asked")),
            "hang" => {
                let _guard = HangGuard::new(self.events.clone());
                std::future::pending().await
            }
            id => Err(Status::not_found(format!("no account `{id}` – nowhere"))),
        }
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
        let (results, answer) = mpsc::channel(4);
        let mut batches = request.into_inner();
        tokio::spawn(async move {
            while let Some(Ok(CommandBatch { batch_id, .. })) = batches.next().await {
                let result = match batch_id {
                    FATAL_BATCH => Err(Status::data_loss("fatal batch")),
                    _ => Ok(ResultBatch { batch_id, results: Vec::new() }),
                };
                if results.send(result).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answer))))
    }

    async fn get_account(
        &self,
        _: Request<AccountRequest>,
    ) -> Result<Response<AccountRecord>, Status> {
        Err(Status::unimplemented("a stub"))
    }
}

/// Shared by tests that need no TLS.
pub(crate) fn plain_stubs(count: usize) -> Vec<Stub> {
    (0..count).map(|_| Stub::start(&Security::Plaintext)).collect()
}

/// `ADDR,ADDR…` of these stubs.
pub(crate) fn list(stubs: &[Stub]) -> String {
    let addresses: Vec<_> = stubs.iter().map(|stub| stub.address.to_string()).collect();
    addresses.join(",")
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}
