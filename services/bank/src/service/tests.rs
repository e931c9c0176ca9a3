//! Over real connections: what is answered, what is refused at the edge, and who is turned away.

use std::time::Duration;

use strife_proto::{
    bank::v1::{
        Command as WireCommand, FinishLeg, FinishRequest, Leg as WireLeg, LegBatch, PrepareLeg,
        PrepareRequest, RefusalReason, SetFaultRequest, TotalsRequest,
        bank_admin_client::BankAdminClient, bank_faults_client::BankFaultsClient,
        bank_participant_client::BankParticipantClient, bank_service_client::BankServiceClient,
        bank_store_client::BankStoreClient, command::Command as Kind,
    },
    common::v1::Money,
};
use strife_runtime::{Identity, Security, Server, TlsArgs, certs, connect, tls::Expected};
use tempfile::TempDir;
use tonic::{Code, transport::Channel};

mod accounts;

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

fn batch(commands: Vec<Kind>) -> LegBatch {
    let commands = commands.into_iter().map(|command| WireCommand { command: Some(command) });
    LegBatch { commands: commands.collect(), coordinator: "gateway".to_owned(), maker: None }
}

fn prepare_leg(leg: WireLeg, mut request: PrepareRequest) -> Kind {
    request.coordinator = String::new();
    Kind::Prepare(PrepareLeg { leg: leg.into(), request: Some(request) })
}

fn commit_leg(leg: WireLeg, id: &str) -> Kind {
    Kind::Commit(FinishLeg { leg: leg.into(), transaction_id: id.to_owned() })
}

#[tokio::test]
async fn a_batch_is_one_commit_and_has_a_result_per_command() {
    let served = serve(&Security::Plaintext).await;
    let mut bank = BankParticipantClient::new(plain(&served));
    let commits = served.store.commits().count();
    let answer = bank.apply(batch(vec![
        prepare_leg(WireLeg::Debit, prepare("p", "a", rupees(60))),
        prepare_leg(WireLeg::Debit, prepare("q", "a", rupees(60))),
        prepare_leg(WireLeg::Debit, prepare("malformed", "a", rupees(0))),
        commit_leg(WireLeg::Debit, "p"),
        commit_leg(WireLeg::Credit, "never"),
        Kind::Transfer(transaction("t", "b", "a", rupees(1))),
        prepare_leg(WireLeg::Credit, prepare("p", "b", rupees(60))),
    ]));
    let results = answer.await.unwrap().into_inner().results;
    assert_eq!(served.store.commits().count(), commits + 1);
    let refused = |at: usize| results[at].refusal.as_ref().map(|refusal| refusal.reason());
    let none = [None; 3];
    assert_eq!([refused(0), refused(3), refused(6)], none);
    assert_eq!(refused(1), Some(RefusalReason::InsufficientFunds));
    assert_eq!(refused(4), Some(RefusalReason::NotPrepared));
    assert_eq!(results[5].available, rupees(99));
    let failure = results[2].failure.clone().unwrap();
    assert_eq!(Code::from_i32(failure.code), Code::InvalidArgument, "{failure:?}");
    assert_eq!(results.iter().filter(|result| result.failure.is_some()).count(), 1);
    // The legs know whom to ask.
    let in_doubt = served.store.in_doubt(u64::MAX, 10, |_| true).await.unwrap();
    let coordinators = in_doubt.iter().map(|found| found.leg.body.as_ref().unwrap());
    assert_eq!(coordinators.map(|body| body.coordinator.as_str()).collect::<Vec<_>>(), ["gateway"]);
    let nothing = bank.apply(batch(Vec::new())).await.unwrap().into_inner();
    assert!(nothing.results.is_empty());
}

#[tokio::test]
async fn an_oversized_batch_is_refused_whole() {
    let served = serve(&Security::Plaintext).await;
    let mut bank = BankParticipantClient::new(plain(&served));
    let transfer = |n: usize| Kind::Transfer(transaction(&format!("t{n}"), "a", "b", rupees(1)));
    let refused = bank.apply(batch((0..1_025).map(transfer).collect())).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("1025 commands"), "{refused}");
    assert_eq!(served.store.account("a").await.unwrap().unwrap().available, 100);
    let taken = bank.apply(batch((0..1_024).map(transfer).collect())).await.unwrap().into_inner();
    let refusals = taken.results.iter().filter(|result| result.refusal.is_some()).count();
    assert_eq!((taken.results.len(), refusals), (1_024, 924));
}

#[tokio::test]
async fn a_server_with_slots_has_its_calls_balanced_one_by_one() {
    let directory = TempDir::new().unwrap();
    let store = Embedded::create(&directory.path().join("l.redb"), "icici", &openings()).unwrap();
    let (plaintext, shutdown) = (Security::Plaintext, Shutdown::manual());
    let (address, _) = serve_slots(4, "127.0.0.1:0", "icici", &store, &plaintext, &shutdown).await;
    let channel = connect::direct(&address, Expected::AnyServer, &plaintext).unwrap();
    let prepared = prepare_leg(WireLeg::Debit, prepare("p", "a", rupees(60)));
    let refused = BankParticipantClient::new(channel).apply(batch(vec![prepared])).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

struct Authority {
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let banks = ["icici".to_owned(), "sbi".to_owned()];
        let mut wanted = certs::Wanted::for_fleet(&banks, &["john_doe".to_owned()], &[]);
        wanted.identities.push(Identity::new(Role::Gateway, "2"));
        certs::init(directory.path(), &wanted).unwrap();
        Self { directory }
    }

    fn security(&self, role: Role, name: &str) -> Security {
        let certs = self.directory.path().to_owned();
        Security::load(&TlsArgs { certs, plaintext: false }, role, name).unwrap()
    }
}

#[tokio::test]
async fn everyone_may_call_what_the_table_says_and_nothing_else() {
    let authority = Authority::new();
    let served = serve(&authority.security(Role::Bank, "icici")).await;
    for (role, name, service, participant, store, admin) in [
        (Role::Gateway, "1", Code::Ok, Code::Ok, Code::PermissionDenied, Code::PermissionDenied),
        (
            Role::Loadgen,
            "1",
            Code::Ok,
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::OutOfRange,
        ),
        (
            Role::Admin,
            "1",
            Code::Ok,
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::OutOfRange,
        ),
        (
            Role::Bank,
            "icici",
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::Ok,
            Code::PermissionDenied,
        ),
        (
            Role::Bank,
            "sbi",
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::PermissionDenied,
        ),
        (
            Role::Client,
            "john_doe",
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::PermissionDenied,
        ),
    ] {
        let security = authority.security(role, name);
        let expected = Expected::bank("icici");
        let channel = connect::direct(&served.address, expected, &security).unwrap();
        let code = |status: Option<Status>| status.map_or(Code::Ok, |status| status.code());
        let account = || AccountRequest { account_id: "a".to_owned() };
        let answer = BankServiceClient::new(channel.clone()).validate_account(account()).await;
        assert_eq!(code(answer.err()), service, "{role:?} {name}");
        let answer = BankParticipantClient::new(channel.clone()).abort_debit(finish("x")).await;
        assert_eq!(code(answer.err()), participant, "{role:?} {name}");
        let aborted = Kind::Abort(FinishLeg { leg: 1, transaction_id: "x".to_owned() });
        let answer = BankParticipantClient::new(channel.clone()).apply(batch(vec![aborted])).await;
        assert_eq!(code(answer.err()), participant, "{role:?} {name}");
        let mut read = Request::new(account());
        read.metadata_mut().insert(owner::BANK_METADATA, "icici".parse().unwrap());
        let answer = BankStoreClient::new(channel.clone()).get_account(read).await;
        assert_eq!(code(answer.err()), store, "{role:?} {name}");
        let answer = BankAdminClient::new(channel).get_totals(TotalsRequest {}).await;
        assert_eq!(code(answer.err()), admin, "{role:?} {name}");
    }
}

#[tokio::test]
async fn only_an_operator_makes_a_server_fail_and_well_again() {
    let authority = Authority::new();
    let served = serve(&authority.security(Role::Bank, "icici")).await;
    let channel = |role, name| {
        let security = authority.security(role, name);
        connect::direct(&served.address, Expected::bank("icici"), &security).unwrap()
    };
    let failing = SetFaultRequest { slow_factor: 0.0, fail_with: Code::Unavailable as u32 };
    for (role, name) in [
        (Role::Gateway, "1"),
        (Role::Loadgen, "1"),
        (Role::Bank, "icici"),
        (Role::Client, "john_doe"),
    ] {
        let refused = BankFaultsClient::new(channel(role, name)).set_fault(failing).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied, "{role:?}");
    }
    let mut faults = BankFaultsClient::new(channel(Role::Admin, "1"));
    let mut bank = BankServiceClient::new(channel(Role::Gateway, "1"));
    let account = || AccountRequest { account_id: "a".to_owned() };
    bank.validate_account(account()).await.unwrap();
    faults.set_fault(failing).await.unwrap();
    let failed = bank.validate_account(account()).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    assert!(failed.message().contains("told to fail"), "{failed}");
    faults.set_fault(SetFaultRequest::default()).await.unwrap();
    bank.validate_account(account()).await.unwrap();
}
