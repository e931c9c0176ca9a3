//! Two banks and a gateway that can be crashed: it runs on a runtime of its own, which is thrown away.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use strife_proto::{
    common::v1::Money,
    gateway::v1::{
        AccountRef, Decision, DecisionRequest, GetPaymentRequest, HistoryRequest, HistoryResponse,
        PaymentRequest, PaymentResponse, PaymentState,
        decision_service_client::DecisionServiceClient,
        payment_gateway_client::PaymentGatewayClient,
    },
};
use strife_runtime::{Security, Server, Shutdown, connect, load::LoadTracker, tls::Expected};
use strife_store::{Limits, StoreError};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::{Code, Status, transport::Channel};

use super::fake_bank::{FakeBank, NEVER};
use crate::{
    banks::Banks,
    coordinator::{Coordinator, Settings},
    retry::Backoff,
    service::{
        GatewayService,
        banks::{BankClients, BankRoutes},
    },
    services,
    store::{Embedded, Store},
    users::Users,
};

pub(super) const USERS: &str = "username,bank,account_id\n\
    john,icici,J1\njohn,icici,J2\njohn,sbi,J3\njane,sbi,A1\njane,icici,A2\n";

/// Everything a test needs.
pub(super) struct System {
    pub(super) icici: FakeBank,
    pub(super) sbi: FakeBank,
    pub(super) settings: Settings,
    /// The users file, read at every boot.
    pub(super) users: String,
    pub(super) security: Security,
    directory: TempDir,
    gateway: Option<Gateway>,
}

struct Gateway {
    runtime: Runtime,
    coordinator: Arc<Coordinator<BankClients, Embedded>>,
    address: String,
}

pub(super) fn quick() -> Settings {
    Settings {
        // As good as never: what waits for a timeout asks for a short one.
        payment_timeout: NEVER,
        attempt_timeout: Duration::from_secs(2),
        backoff: Backoff { first: Duration::from_millis(1), most: Duration::from_millis(5) },
        look_again: Backoff { first: Duration::from_millis(1), most: Duration::from_millis(5) },
        lease: Duration::from_millis(500),
        payments_max: 100,
        payments_per_bank_max: 50,
        phase_two_max: 100,
        phase_two_attempts: 2,
        sweep_interval: Duration::from_millis(5),
        outbox_max: 1_000,
        queue_max: 50,
        queue_backoff: Backoff { first: Duration::from_millis(1), most: Duration::from_millis(20) },
        queue_attempts_max: 8,
        queue_interval: Duration::from_millis(5),
    }
}

impl System {
    pub(super) async fn start() -> Self {
        let plain = || Security::Plaintext;
        Self::start_with(quick(), plain(), [plain(), plain()]).await
    }

    pub(super) async fn start_with(
        settings: Settings,
        security: Security,
        bank_securities: [Security; 2],
    ) -> Self {
        let accounts = [("J1", 1_000), ("J2", 0), ("A2", 0)];
        let icici = FakeBank::start(&accounts, &bank_securities[0]).await;
        let sbi = FakeBank::start(&[("J3", 0), ("A1", 500)], &bank_securities[1]).await;
        let directory = TempDir::new().unwrap();
        let users = USERS.to_owned();
        let mut system = Self { icici, sbi, settings, users, security, directory, gateway: None };
        system.boot().await;
        system
    }

    async fn boot(&mut self) {
        let (routes, settings, users) = (self.routes(), self.settings, self.users.clone());
        let (security, directory) = (self.security.clone(), self.directory.path().to_owned());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let booted = runtime.spawn(async move {
            let path = directory.join("users.csv");
            std::fs::write(&path, users).unwrap();
            let users = Users::read(&path).unwrap();
            let banks = BankClients::new(users.banks(), routes, &security).unwrap();
            let store = open(&directory).await;
            let coordinator = Arc::new(
                Coordinator::start(store, banks, "gateway", settings, None).await.unwrap(),
            );
            let server = Server::bind("127.0.0.1:0", "", &security).await.unwrap();
            let address = server.address().to_string();
            let service = GatewayService::new(coordinator.clone(), Arc::new(users));
            let services = services(service, LoadTracker::new(0));
            tokio::spawn(server.serve(services, Shutdown::manual()));
            (coordinator, address)
        });
        let (coordinator, address) = booted.await.unwrap();
        self.gateway = Some(Gateway { runtime, coordinator, address });
    }

    fn routes(&self) -> BankRoutes {
        let address = |bank: &FakeBank| bank.address.to_string();
        let direct = BTreeMap::from([
            ("icici".to_owned(), address(&self.icici)),
            ("sbi".to_owned(), address(&self.sbi)),
        ]);
        BankRoutes { balancer: None, direct, coordinator: "gateway".to_owned() }
    }

    /// Ends the gateway at whatever it is doing; nothing is left of it but the store.
    pub(super) fn crash(&mut self) {
        let Gateway { runtime, coordinator, .. } = self.gateway.take().unwrap();
        drop(coordinator);
        runtime.shutdown_background();
    }

    /// After a crash.
    pub(super) async fn boot_again(&mut self) {
        self.boot().await;
    }

    pub(super) async fn restart(&mut self) {
        self.crash();
        self.boot().await;
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("the gateway runs")
    }

    fn channel(&self) -> Channel {
        self.channel_as(&self.security)
    }

    pub(super) fn client(&self) -> PaymentGatewayClient<Channel> {
        PaymentGatewayClient::new(self.channel())
    }

    /// A client with an identity of its own.
    pub(super) fn client_as(&self, security: &Security) -> PaymentGatewayClient<Channel> {
        PaymentGatewayClient::new(self.channel_as(security))
    }

    pub(super) fn channel_as(&self, security: &Security) -> Channel {
        connect::direct(&self.gateway().address, Expected::GATEWAY, security).unwrap()
    }

    pub(super) async fn pay(&self, request: PaymentRequest) -> Result<PaymentResponse, Status> {
        Ok(self.client().process_payment(request).await?.into_inner())
    }

    pub(super) async fn known(
        &self,
        payment_id: &str,
        user: &str,
    ) -> Result<PaymentResponse, Status> {
        let (payment_id, user) = (payment_id.to_owned(), user.to_owned());
        let request = GetPaymentRequest { payment_id, user };
        Ok(self.client().get_payment(request).await?.into_inner())
    }

    pub(super) async fn decision(&self, transaction_id: &str) -> Result<Decision, Status> {
        let request = DecisionRequest { transaction_id: transaction_id.to_owned() };
        let answer = DecisionServiceClient::new(self.channel()).get_decision(request).await?;
        Ok(answer.into_inner().decision())
    }

    pub(super) async fn history(
        &self,
        user: &str,
        page_size: u32,
        page_token: &str,
    ) -> Result<HistoryResponse, Status> {
        let (user, page_token) = (user.to_owned(), page_token.to_owned());
        let request = HistoryRequest { user, page_size, page_token, ..HistoryRequest::default() };
        Ok(self.client().get_transaction_history(request).await?.into_inner())
    }

    /// Waits until the payment's row is durable; its transaction id.
    pub(super) async fn until_initiated(&self, payment_id: &str) -> String {
        let look = async {
            loop {
                if let Some(transaction_id) = self.initiated(payment_id).await {
                    return transaction_id;
                }
            }
        };
        tokio::time::timeout(NEVER, look).await.expect("the row is never written")
    }

    /// The transaction id of a payment that is under way, once its row is durable.
    async fn initiated(&self, payment_id: &str) -> Option<String> {
        let payments = self.history("john", 0, "").await.unwrap().payments;
        let payment = payments.into_iter().find(|payment| payment.payment_id == payment_id)?;
        assert_eq!(payment.state(), PaymentState::Initiated);
        Some(payment.transaction_id)
    }

    /// A client in a hurry, who gets no answer for want of time and asks again until the gateway has taken the
    /// payment on: on a busy machine the first call may end before it gets there. The transaction's id.
    pub(super) async fn hurry(&self, payment: PaymentRequest) -> String {
        let asking = async {
            loop {
                let mut request = tonic::Request::new(payment.clone());
                request.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
                let hurried = self.client().process_payment(request).await.unwrap_err();
                let code = hurried.code();
                assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{hurried}");
                if let Some(transaction_id) = self.initiated(&payment.payment_id).await {
                    return transaction_id;
                }
            }
        };
        tokio::time::timeout(NEVER, asking).await.expect("the payment is never taken on")
    }

    /// Whether the gateway takes this bank to be away.
    pub(super) fn is_away(&self, bank: &str) -> bool {
        self.gateway().coordinator.banks().is_away(bank)
    }

    /// Waits until the gateway takes this bank to be away.
    pub(super) async fn until_away(&self, bank: &str) {
        let away = async {
            while !self.is_away(bank) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(NEVER, away).await.expect("the bank is there");
    }

    /// How many payments are in the queue.
    pub(super) async fn queued(&self) -> u64 {
        self.gateway().coordinator.queued().await.unwrap()
    }

    /// Waits until nothing is left to be done.
    pub(super) async fn idle(&self) {
        let idle = self.gateway().coordinator.idle();
        tokio::time::timeout(NEVER, idle).await.expect("the gateway never rests");
    }

    /// Waits until every commit is acknowledged by both banks.
    pub(super) async fn settled(&self) {
        let settled = async {
            let coordinator = &self.gateway().coordinator;
            let (store, run) = (coordinator.store(), coordinator.run().number);
            while !store.unfinished(run, None, 1).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(NEVER, settled).await.expect("a bank is never told");
    }

    /// All money there is, which never changes at rest.
    pub(super) fn total(&self) -> i64 {
        let sum = |bank: &FakeBank| bank.read(|state| state.balances.values().sum::<i64>());
        sum(&self.icici) + sum(&self.sbi)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if self.gateway.is_some() {
            self.crash();
        }
    }
}

/// The old gateway may still be letting go of its file.
async fn open(directory: &Path) -> Embedded {
    let opening = async {
        loop {
            match Embedded::open(directory, Limits::default()) {
                Err(StoreError::InUse { .. }) => tokio::task::yield_now().await,
                opened => return opened.unwrap(),
            }
        }
    };
    tokio::time::timeout(NEVER, opening).await.expect("the store is never let go of")
}

/// John pays Jane, icici to sbi.
pub(super) fn to_jane(payment_id: &str, amount: i64) -> PaymentRequest {
    payment(payment_id, "john", ("icici", "J1"), ("sbi", "A1"), amount)
}

/// John pays from one account at icici to another there.
pub(super) fn to_himself(payment_id: &str, amount: i64) -> PaymentRequest {
    payment(payment_id, "john", ("icici", "J1"), ("icici", "J2"), amount)
}

pub(super) fn payment(
    payment_id: &str,
    user: &str,
    from: (&str, &str),
    to: (&str, &str),
    amount: i64,
) -> PaymentRequest {
    let account = |(bank, id): (&str, &str)| {
        Some(AccountRef { bank: bank.to_owned(), account_id: id.to_owned() })
    };
    PaymentRequest {
        payment_id: payment_id.to_owned(),
        user: user.to_owned(),
        from: account(from),
        to: account(to),
        amount: Some(Money { minor_units: amount, currency: "INR".to_owned() }),
        queue_for_s: 0,
    }
}
