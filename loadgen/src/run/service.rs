//! A bank to be loaded in tests: answers, refuses, hangs or stalls as it is told.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use strife_proto::bank::v1::{
    AccountRequest, AccountResponse, BalanceRequest, BalanceResponse, TransactionRequest,
    TransactionResponse,
    bank_service_server::{BankService, BankServiceServer},
};
use strife_runtime::{Security, Server, Services, Shutdown};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};
use tonic::{Request, Response, Status};

/// An account whose calls are never answered.
pub(crate) const HANGING: &str = "hanging";
/// An account whose calls fail with NOT_FOUND.
pub(crate) const MISSING: &str = "missing";

/// A running server, on threads of its own; gone at once when dropped.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    pub(crate) bank: Arc<Bank>,
    runtime: Option<Runtime>,
}

/// What the server does and has seen.
pub(crate) struct Bank {
    endpoint: Option<&'static str>,
    open: watch::Sender<bool>,
    in_flight: AtomicU32,
    most_in_flight: AtomicU32,
}

impl Stub {
    /// Serves on `address`; names itself `endpoint` in every answer if that is given.
    pub(crate) fn start(address: &str, endpoint: Option<&'static str>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bank = Arc::new(Bank {
            endpoint,
            open: watch::channel(true).0,
            in_flight: AtomicU32::new(0),
            most_in_flight: AtomicU32::new(0),
        });
        let services = Services::new(&[]).add(BankServiceServer::from_arc(bank.clone()));
        let server = runtime.block_on(Server::bind(address, "--port", &Security::Plaintext));
        let server = server.unwrap();
        let address = server.address();
        runtime.spawn(server.serve(services, Shutdown::manual()));
        Self { address, bank, runtime: Some(runtime) }
    }

    /// On any free port.
    pub(crate) fn new() -> Self {
        Self::start("127.0.0.1:0", None)
    }

    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        // Closes every socket, the listener first; waits so that the port is free afterwards.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

impl Bank {
    /// From now on calls wait.
    pub(crate) fn stall(&self) {
        self.open.send_replace(false);
    }

    /// Calls that waited go on.
    pub(crate) fn resume(&self) {
        self.open.send_replace(true);
    }

    /// The most calls that were under way at once.
    pub(crate) fn most_in_flight(&self) -> u32 {
        self.most_in_flight.load(Relaxed)
    }

    async fn answer<T>(&self, account: &str, message: T) -> Result<Response<T>, Status> {
        let in_flight = self.in_flight.fetch_add(1, Relaxed) + 1;
        self.most_in_flight.fetch_max(in_flight, Relaxed);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        match account {
            HANGING => pending().await,
            MISSING => {
                self.in_flight.fetch_sub(1, Relaxed);
                return Err(Status::not_found("no such account"));
            }
            _ => {}
        }
        self.in_flight.fetch_sub(1, Relaxed);
        let mut response = Response::new(message);
        if let Some(endpoint) = self.endpoint {
            response.metadata_mut().insert("x-strife-endpoint", endpoint.parse().unwrap());
        }
        Ok(response)
    }
}

#[tonic::async_trait]
impl BankService for Bank {
    async fn validate_account(
        &self,
        request: Request<AccountRequest>,
    ) -> Result<Response<AccountResponse>, Status> {
        self.answer(&request.into_inner().account_id, AccountResponse::default()).await
    }

    async fn process_transaction(
        &self,
        request: Request<TransactionRequest>,
    ) -> Result<Response<TransactionResponse>, Status> {
        let refusal = Some(strife_proto::bank::v1::Refusal::default());
        let refused = TransactionResponse { refusal, ..Default::default() };
        self.answer(&request.into_inner().from_account_id, refused).await
    }

    async fn get_account_balance(
        &self,
        request: Request<BalanceRequest>,
    ) -> Result<Response<BalanceResponse>, Status> {
        self.answer(&request.into_inner().account_id, BalanceResponse::default()).await
    }
}
