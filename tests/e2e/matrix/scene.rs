//! A small fleet, one payment between its two banks, and the check at the end.

use std::time::Duration;

use strife_fleet::{BankSpec, FleetSpec, Totals};
use strife_proto::{
    bank::v1::{TotalsRequest, bank_admin_client::BankAdminClient},
    gateway::v1::{
        HistoryRequest, PaymentRequest, PaymentResponse, PaymentState, StatusRequest,
        gateway_admin_client::GatewayAdminClient,
    },
};
use strife_runtime::{connect, tls::Expected};
use strife_store::postgres::testing::Server;
use tokio::{task::JoinHandle, time::Instant};
use tonic::Status;

use crate::{
    money::balance,
    support::{Booted, PATIENCE, PAYMENT, boot, is_not_there},
};

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Where banks and gateways keep what they know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// A file each.
    Embedded,
    /// One database.
    Postgres,
}

/// A fleet of two banks with one server each, before anything was paid.
pub(super) struct Scene {
    pub(super) booted: Booted,
    store: Store,
    before: Totals,
    opening: i64,
}

impl Scene {
    pub(super) async fn on(store: Store) -> Self {
        Self::with(store, |_| {}).await
    }

    pub(super) async fn with(store: Store, change: impl FnOnce(&mut FleetSpec)) -> Self {
        let database = match store {
            Store::Embedded => None,
            Store::Postgres => Some(Server::shared().create_database().await),
        };
        let booted = boot(|spec| {
            spec.banks = vec![BankSpec::new("icici", 1), BankSpec::new("sbi", 1)];
            spec.database = database;
            change(spec);
        })
        .await;
        let before = booted.fleet.totals().await.unwrap();
        let from = booted.account("icici", 0);
        let opening = balance(&booted, &from.user, &from.account).await;
        Self { booted, store, before, opening }
    }

    /// The process that writes a bank's store when payments are made.
    pub(super) fn writer(&self, bank: &str) -> String {
        match self.store {
            Store::Embedded => bank.to_owned(),
            Store::Postgres => format!("{bank}-1"),
        }
    }

    /// Starts a member again with these failpoints.
    pub(super) async fn arm(&mut self, member: &str, failpoints: &str) {
        let fleet = &mut self.booted.fleet;
        fleet.kill(member).await.unwrap();
        fleet.restart_with(member, &[], &[("FAILPOINTS", failpoints)]).await.unwrap();
        fleet.until_ready(PATIENCE).await.unwrap();
    }

    /// Starts a member again without any.
    pub(super) async fn disarm(&mut self, member: &str) {
        self.booted.fleet.kill(member).await.unwrap();
        self.booted.fleet.restart(member).await.unwrap();
    }

    /// The payment that everything is about.
    pub(super) fn payment(&self) -> PaymentRequest {
        let (from, to) = (self.booted.account("icici", 0), self.booted.account("sbi", 0));
        self.booted.payment("p1", from, to)
    }

    /// Has the payer pay all that he has but what the payment takes.
    pub(super) async fn leave_enough_for_the_payment_only(&mut self) {
        let (from, to) = (self.booted.account("icici", 0), self.booted.account("sbi", 0));
        let mut request = self.booted.payment("all-but-that", from, to);
        let amount = request.amount.as_mut().expect("a payment is of an amount");
        amount.minor_units = self.opening - PAYMENT;
        let answer = self.booted.pay(request).await;
        assert_eq!(answer.state(), PaymentState::Committed, "{answer:?}");
        self.opening = PAYMENT;
        self.until_in_doubt("icici", 0).await;
    }

    /// Asks for the payment once; nobody waits for the answer here. A call that found no gateway was none.
    pub(super) fn ask_once(&self) -> JoinHandle<Result<PaymentResponse, Status>> {
        let (mut gateway, request) = (self.booted.gateway(), self.payment());
        let end = Instant::now() + PATIENCE;
        tokio::spawn(async move {
            loop {
                match gateway.process_payment(request.clone()).await {
                    Err(status) if is_not_there(&status) && Instant::now() < end => {}
                    answer => return Ok(answer?.into_inner()),
                }
            }
        })
    }

    /// Waits until a member has ended by itself.
    pub(super) async fn until_dead(&mut self, member: &str) {
        let dead = async {
            while !self.booted.fleet.has_ended(member).unwrap() {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, dead).await;
        waited.unwrap_or_else(|_| panic!("{member} passes its failpoint"));
    }

    /// Waits until a bank holds so many legs in doubt.
    pub(super) async fn until_in_doubt(&self, bank: &str, legs: u64) {
        let address = self.booted.fleet.address(bank).unwrap();
        let security = self.booted.fleet.security();
        let channel = connect::direct(address, Expected::bank(bank), security).unwrap();
        let mut admin = BankAdminClient::new(channel);
        until(&format!("{bank} has {legs} legs in doubt"), async || {
            let totals = admin.get_totals(TotalsRequest {}).await;
            totals.is_ok_and(|totals| totals.get_ref().in_doubt == legs)
        })
        .await;
    }

    /// Waits until the gateway has made so many durable commits since it was started.
    pub(super) async fn until_committed(&self, commits: u64) {
        let address = self.booted.fleet.address("gateway").unwrap();
        let security = self.booted.fleet.security();
        let channel = connect::direct(address, Expected::GATEWAY, security).unwrap();
        let mut admin = GatewayAdminClient::new(channel);
        until(&format!("the gateway has made {commits} commits"), async || {
            let status = admin.get_status(StatusRequest {}).await;
            status.is_ok_and(|status| status.get_ref().commits == commits)
        })
        .await;
    }

    /// Waits until the payment's row is durable.
    pub(super) async fn until_initiated(&self) {
        let mut gateway = self.booted.gateway();
        let user = self.booted.account("icici", 0).user.clone();
        let request = HistoryRequest { user, ..HistoryRequest::default() };
        until("the payment is in the history", async || {
            let history = gateway.get_transaction_history(request.clone()).await;
            history.is_ok_and(|history| !history.get_ref().payments.is_empty())
        })
        .await;
    }

    /// Waits until a member has said so in its log.
    pub(super) async fn until_said(&self, member: &str, what: &str) {
        let log = self.booted.fleet.spec().dir.join("logs").join(format!("{member}.log"));
        until(&format!("{member} says `{what}`"), async || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.contains(what))
        })
        .await;
    }

    /// The end of every row: the outcome, told twice; what the payer has; nothing held; the sum.
    pub(super) async fn ends(&self, expected: PaymentState) -> PaymentResponse {
        let answer = self.booted.pay(self.payment()).await;
        assert_eq!(answer.state(), expected, "{answer:?}");
        let totals = self.booted.fleet.settled_totals(PATIENCE).await.unwrap();
        totals.check_against(&self.before).unwrap();
        let paid = if expected == PaymentState::Committed { PAYMENT } else { 0 };
        let from = self.booted.account("icici", 0);
        let left = balance(&self.booted, &from.user, &from.account).await;
        assert_eq!(left, self.opening - paid, "moved once or not at all");
        assert_eq!(self.booted.pay(self.payment()).await, answer, "the same for whoever asks");
        answer
    }
}

/// Waits until `holds`.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("in vain: {what}"));
}
