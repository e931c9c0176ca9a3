//! Over real connections: what is answered, what is refused at the edge, and who is turned away.

use std::time::Duration;

use strife_proto::{
    bank::v1::{
        FinishRequest, PrepareRequest, RefusalReason, TotalsRequest,
        bank_admin_client::BankAdminClient, bank_participant_client::BankParticipantClient,
        bank_service_client::BankServiceClient,
    },
    common::v1::Money,
};
use strife_runtime::{Security, Server, connect, tls::Expected};
use tempfile::TempDir;
use tonic::{Code, transport::Channel};

mod access;
mod accounts;
mod batches;

use super::*;
use crate::{gate::GateConfig, ledger::tests::openings};

/// A bank server of this process, owner of a store of its own.
pub(crate) struct Served {
    pub(crate) address: String,
    pub(crate) store: Embedded,
    _directory: TempDir,
}

fn gate(slots: u32, tracker: &Arc<LoadTracker>) -> Arc<Gate> {
    let service_time = crate::gate::ServiceTime::Constant(Duration::ZERO);
    let config = GateConfig { slots, service_time, slow: 1.0, seed: 1, max_queue: 100 };
    Arc::new(Gate::new(config, tracker.clone()))
}

/// Serves `store` as `bank` at `address`; returns where, and the task.
pub(crate) async fn serve_at(
    address: &str,
    bank: &str,
    store: &Embedded,
    security: &Security,
    shutdown: &Shutdown,
) -> (String, tokio::task::JoinHandle<()>) {
    serve_slots(0, address, bank, store, security, shutdown).await
}

async fn serve_slots(
    slots: u32,
    address: &str,
    bank: &str,
    store: &Embedded,
    security: &Security,
    shutdown: &Shutdown,
) -> (String, tokio::task::JoinHandle<()>) {
    let server = Server::bind(address, "--port", security).await.unwrap();
    let address = server.address().to_string();
    let tracker = LoadTracker::new(slots);
    let services = add_owners(none(), bank, store, shutdown);
    let services = add_admin(services, bank, store.clone());
    let gate = gate(slots, &tracker);
    let services = add_faults(services, gate.clone());
    let services = add_everyones(services, store.clone(), gate, tracker);
    let shutdown = shutdown.clone();
    let task = tokio::spawn(async move { server.serve(services, shutdown).await.unwrap() });
    (address, task)
}

pub(crate) async fn serve(security: &Security) -> Served {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.redb");
    let store = Embedded::create(&path, "icici", &openings()).unwrap();
    let shutdown = Shutdown::manual();
    let (address, _) = serve_at("127.0.0.1:0", "icici", &store, security, &shutdown).await;
    Served { address, store, _directory: directory }
}

fn plain(served: &Served) -> Channel {
    connect::direct(&served.address, Expected::AnyServer, &Security::Plaintext).unwrap()
}

fn rupees(minor_units: i64) -> Option<Money> {
    Some(Money { minor_units, currency: "INR".to_owned() })
}

fn transaction(id: &str, from: &str, to: &str, amount: Option<Money>) -> TransactionRequest {
    TransactionRequest {
        transaction_id: id.to_owned(),
        from_account_id: from.to_owned(),
        to_account_id: to.to_owned(),
        amount,
    }
}

fn prepare(id: &str, account_id: &str, amount: Option<Money>) -> PrepareRequest {
    PrepareRequest {
        transaction_id: id.to_owned(),
        account_id: account_id.to_owned(),
        amount,
        coordinator: "gateway".to_owned(),
        maker: None,
    }
}

fn finish(id: &str) -> FinishRequest {
    FinishRequest { transaction_id: id.to_owned() }
}

#[tokio::test]
async fn accounts_are_told_about() {
    let served = serve(&Security::Plaintext).await;
    let mut bank = BankServiceClient::new(plain(&served));
    for (account_id, state, currency) in [
        ("a", WireState::Active, "INR"),
        ("frozen", WireState::Frozen, "INR"),
        ("nobody", WireState::Unknown, ""),
    ] {
        let request = AccountRequest { account_id: account_id.to_owned() };
        let account = bank.validate_account(request).await.unwrap().into_inner();
        assert_eq!((account.state(), account.currency.as_str()), (state, currency));
    }
    let balance = BalanceRequest { account_id: "a".to_owned() };
    let balance = bank.get_account_balance(balance).await.unwrap().into_inner();
    assert_eq!((balance.available, balance.held), (rupees(100), rupees(0)));
    let unknown = BalanceRequest { account_id: "nobody".to_owned() };
    assert_eq!(bank.get_account_balance(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn transactions_are_answered_refused_and_told_apart() {
    let served = serve(&Security::Plaintext).await;
    let mut bank = BankServiceClient::new(plain(&served));
    for _ in 0..2 {
        let request = transaction("t", "a", "b", rupees(30));
        let answer = bank.process_transaction(request).await.unwrap().into_inner();
        assert_eq!((answer.available, answer.refusal), (rupees(70), None));
    }
    let other_body = transaction("t", "a", "b", rupees(31));
    let status = bank.process_transaction(other_body).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    for (id, from, amount, reason) in [
        ("u", "a", 71, RefusalReason::InsufficientFunds),
        ("v", "nobody", 1, RefusalReason::UnknownAccount),
        ("w", "frozen", 1, RefusalReason::AccountFrozen),
    ] {
        let request = transaction(id, from, "b", rupees(amount));
        let answer = bank.process_transaction(request).await.unwrap().into_inner();
        assert_eq!(answer.refusal.unwrap().reason(), reason);
        assert_eq!(answer.available, None);
    }
}

#[tokio::test]
async fn what_is_malformed_is_refused_at_the_edge() {
    let served = serve(&Security::Plaintext).await;
    let mut bank = BankServiceClient::new(plain(&served));
    let currency = |code: &str| Some(Money { minor_units: 1, currency: code.to_owned() });
    for request in [
        transaction("", "a", "b", rupees(1)),
        transaction(&"x".repeat(65), "a", "b", rupees(1)),
        transaction("t\0", "a", "b", rupees(1)),
        transaction("t", "", "b", rupees(1)),
        transaction("t", "a", "a", rupees(1)),
        transaction("t", "a", "b", None),
        transaction("t", "a", "b", rupees(0)),
        transaction("t", "a", "b", rupees(i64::MIN)),
        transaction("t", "a", "b", currency("rupee")),
        transaction("t", "a", "b", currency("")),
    ] {
        let status = bank.process_transaction(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let mut participant = BankParticipantClient::new(plain(&served));
    let mut nobody_decides = prepare("p", "a", rupees(1));
    nobody_decides.coordinator = "no such/authority".to_owned();
    for request in [prepare("p", "a", None), prepare("", "a", rupees(1)), nobody_decides] {
        let status = participant.prepare_debit(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let status = participant.commit_debit(finish("")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_participant_votes_and_follows() {
    let served = serve(&Security::Plaintext).await;
    let mut bank = BankParticipantClient::new(plain(&served));
    for _ in 0..2 {
        let vote = bank.prepare_debit(prepare("p", "a", rupees(60))).await.unwrap().into_inner();
        assert_eq!(vote.refusal, None);
    }
    let vote = bank.prepare_debit(prepare("p", "a", rupees(61))).await.unwrap().into_inner();
    assert_eq!(vote.refusal.unwrap().reason(), RefusalReason::Conflict);
    let vote = bank.prepare_credit(prepare("p", "b", rupees(60))).await.unwrap().into_inner();
    assert_eq!(vote.refusal, None);

    let mut admin = BankAdminClient::new(plain(&served));
    let totals = admin.get_totals(TotalsRequest {}).await;
    // One account of i64::MAX and others do not sum to 64 bits: said, not wrapped.
    assert_eq!(totals.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(served.store.totals().await.unwrap().in_doubt, 2);

    for _ in 0..2 {
        bank.commit_debit(finish("p")).await.unwrap();
        bank.commit_credit(finish("p")).await.unwrap();
    }
    let late = bank.abort_debit(finish("p")).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition);
    bank.abort_credit(finish("q")).await.unwrap();
    let vote = bank.prepare_credit(prepare("q", "a", rupees(1))).await.unwrap().into_inner();
    assert_eq!(vote.refusal.unwrap().reason(), RefusalReason::Aborted);
    let unprepared = bank.commit_credit(finish("never")).await.unwrap_err();
    assert_eq!(unprepared.code(), Code::FailedPrecondition);
    assert_eq!(served.store.totals().await.unwrap().in_doubt, 0);
}
