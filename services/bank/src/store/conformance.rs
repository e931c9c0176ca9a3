//! What every store must do, checked alike on all of them.

mod accounts;
mod races;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

pub(crate) use self::accounts::legs_of;
use super::{Store, Totals, WholeStore};
use crate::{
    BankError,
    ledger::{
        Account, Command, GatewayRun, Leg, LegBody, LegKey, Prepare, Receipt, Refusal, Transfer,
        Verdict,
    },
    money::Amount,
};

fn rupees(minor_units: i64) -> Amount {
    Amount { minor_units, currency: "INR".parse().unwrap() }
}

fn transfer(transaction_id: &str, from: &str, to: &str, minor_units: i64) -> Command {
    Command::Transfer(Transfer {
        transaction_id: transaction_id.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        amount: rupees(minor_units),
        at_ms: 1,
    })
}

fn key(transaction_id: &str, leg: Leg) -> LegKey {
    LegKey { transaction_id: transaction_id.to_owned(), leg }
}

fn prepare(transaction_id: &str, leg: Leg, account_id: &str, minor_units: i64) -> Command {
    let body = LegBody {
        account_id: account_id.to_owned(),
        amount: rupees(minor_units),
        coordinator: "gateway".to_owned(),
    };
    Command::Prepare(Prepare { key: key(transaction_id, leg), body, at_ms: 1, maker: None })
}

/// Runs the suite on two ways to one bank, which `whole` sees altogether and which begins with
/// [`crate::ledger::tests::openings`]. The two take turns; where that matters they act at once.
pub(crate) async fn check<S: Store, W: WholeStore>(one: S, other: S, whole: W) {
    let before = whole.totals().await.unwrap();
    let turns = Turns { ways: [one.clone(), other.clone()], turn: Arc::default() };
    check_accounts(&turns).await;
    check_transfers(&turns).await;
    check_two_phases(&turns).await;
    check_batches(&turns).await;
    check_fences(&turns, &whole).await;
    accounts::check(&turns, &whole).await;
    races::check(&one, &other, &whole).await;
    check_concurrent_retries(&turns).await;
    check_order(&whole).await;
    let after = whole.totals().await.unwrap();
    assert_eq!(sum(&after), sum(&before));
    assert_eq!(after.accounts, before.accounts + accounts::OPENED);
    assert_eq!(after.in_doubt, 0);
    assert!(whole.commits().count() > 0);
}

/// Whatever way the fence came, and whatever way the prepares.
async fn check_fences(store: &impl Store, whole: &impl WholeStore) {
    let by = |transaction_id: &str, store, run| match prepare(transaction_id, Leg::Debit, "a", 1) {
        Command::Prepare(prepare) => {
            Command::Prepare(Prepare { maker: Some(GatewayRun { store, run }), ..prepare })
        }
        other => other,
    };
    let done = Ok(Receipt::Done);
    let highest = GatewayRun { store: u32::MAX, run: u32::MAX };
    assert_eq!(verdict(store, by("fenced-1", 7, 1)).await, done);
    for run in [GatewayRun { store: 7, run: 1 }, GatewayRun { store: 7, run: 1 }, highest] {
        assert_eq!(verdict(store, Command::Fence(run)).await, done);
    }
    for _ in 0..2 {
        assert_eq!(verdict(store, by("fenced-2", 7, 1)).await, Err(Refusal::Fenced));
        assert_eq!(verdict(store, by("fenced-1", 7, 1)).await, done, "as before");
    }
    let late = by("fenced-3", highest.store, highest.run);
    assert_eq!(verdict(store, late).await, Err(Refusal::Fenced));
    let batch = vec![
        by("fenced-4", 7, 2),
        Command::Fence(GatewayRun { store: 7, run: 2 }),
        by("fenced-5", 7, 2),
        by("fenced-6", 8, 2),
    ];
    let expected = vec![done, done, Err(Refusal::Fenced), done];
    assert_eq!(store.apply_all(batch).await.unwrap(), expected);
    assert_eq!(whole.totals().await.unwrap().in_doubt, 3);
    for id in ["fenced-1", "fenced-4", "fenced-6"] {
        assert_eq!(verdict(store, Command::Abort(key(id, Leg::Debit))).await, done);
    }
}

/// Each call goes the other way than the one before.
#[derive(Clone)]
struct Turns<S> {
    ways: [S; 2],
    turn: Arc<AtomicUsize>,
}

impl<S: Store> Turns<S> {
    fn next(&self) -> &S {
        &self.ways[self.turn.fetch_add(1, Relaxed) % 2]
    }
}

impl<S: Store> Store for Turns<S> {
    async fn apply(&self, command: Command) -> Result<Verdict, BankError> {
        self.next().apply(command).await
    }

    async fn apply_all(&self, commands: Vec<Command>) -> Result<Vec<Verdict>, BankError> {
        self.next().apply_all(commands).await
    }

    async fn account(&self, account_id: &str) -> Result<Option<Account>, BankError> {
        self.next().account(account_id).await
    }
}

fn sum(totals: &Totals) -> i128 {
    totals.customers.values().chain(totals.settlement.values()).sum()
}

async fn verdict(store: &impl Store, command: Command) -> Verdict {
    store.apply(command).await.unwrap()
}

fn available(minor_units: i64) -> Verdict {
    Ok(Receipt::Transferred { available: rupees(minor_units) })
}

async fn check_accounts(store: &impl Store) {
    assert_eq!(store.account("nobody").await.unwrap(), None);
    let account = store.account("a").await.unwrap().unwrap();
    assert_eq!((account.available, account.held, account.currency), (100, 0, rupees(0).currency));
    let frozen = store.account("frozen").await.unwrap().unwrap();
    assert_eq!(frozen.state, crate::ledger::AccountState::Frozen);
}

async fn check_transfers(store: &impl Store) {
    for _ in 0..2 {
        assert_eq!(verdict(store, transfer("t", "a", "b", 30)).await, available(70));
    }
    assert_eq!(verdict(store, transfer("t", "a", "b", 31)).await, Err(Refusal::Conflict));
    let too_much = transfer("u", "a", "b", 71);
    assert_eq!(verdict(store, too_much).await, Err(Refusal::InsufficientFunds));
    assert_eq!(verdict(store, transfer("back", "b", "a", 30)).await, available(100));
    // Read your writes.
    assert_eq!(store.account("a").await.unwrap().unwrap().available, 100);
}

async fn check_two_phases(store: &impl Store) {
    let done = Ok(Receipt::Done);
    for leg in [Leg::Debit, Leg::Credit] {
        for _ in 0..2 {
            assert_eq!(verdict(store, prepare("p", leg, "a", 60)).await, done);
        }
        assert_eq!(verdict(store, prepare("p", leg, "a", 61)).await, Err(Refusal::Conflict));
        for _ in 0..2 {
            assert_eq!(verdict(store, Command::Commit(key("p", leg))).await, done);
        }
        let late = Command::Abort(key("p", leg));
        assert_eq!(verdict(store, late).await, Err(Refusal::Committed));
        assert_eq!(verdict(store, Command::Abort(key("q", leg))).await, done);
        assert_eq!(verdict(store, prepare("q", leg, "a", 1)).await, Err(Refusal::Aborted));
        let unprepared = Command::Commit(key("r", leg));
        assert_eq!(verdict(store, unprepared).await, Err(Refusal::NotPrepared));
        assert_eq!(verdict(store, prepare("s", leg, "a", 5)).await, done);
        assert_eq!(verdict(store, Command::Abort(key("s", leg))).await, done);
    }
    let account = store.account("a").await.unwrap().unwrap();
    assert_eq!((account.available, account.held), (100, 0));
}

/// A verdict per command, in order, and a refusal stops nobody behind it.
async fn check_batches(store: &impl Store) {
    let done = Ok(Receipt::Done);
    let batch = [
        (transfer("first", "a", "b", 30), available(70)),
        (transfer("second", "a", "b", 71), Err(Refusal::InsufficientFunds)),
        (prepare("both", Leg::Debit, "a", 60), done),
        (prepare("both", Leg::Debit, "a", 60), done),
        (Command::Commit(key("neither", Leg::Credit)), Err(Refusal::NotPrepared)),
        (Command::Commit(key("both", Leg::Debit)), done),
        (prepare("both", Leg::Credit, "a", 60), done),
        (Command::Commit(key("both", Leg::Credit)), done),
        (transfer("back again", "b", "a", 30), available(100)),
    ];
    let (commands, expected): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    assert_eq!(store.apply_all(commands).await.unwrap(), expected);
    assert!(store.apply_all(Vec::new()).await.unwrap().is_empty());
    assert_eq!(store.account("a").await.unwrap().unwrap().available, 100);
}

/// Fifty deliveries of one transfer at once, among others: one transfer, one answer.
async fn check_concurrent_retries(store: &impl Store) {
    let retries: Vec<_> = (0..50)
        .flat_map(|n| [transfer("once", "a", "b", 40), transfer(&format!("n{n}"), "b", "a", 1)])
        .map(|command| {
            let store = store.clone();
            tokio::spawn(async move {
                let once = matches!(&command, Command::Transfer(t) if t.transaction_id == "once");
                (once, store.apply(command).await.unwrap())
            })
        })
        .collect();
    let mut answers = BTreeSet::new();
    for retry in retries {
        let (once, verdict) = retry.await.unwrap();
        let Ok(Receipt::Transferred { available }) = verdict else { panic!("{verdict:?}") };
        if once {
            answers.insert(available.minor_units);
        }
    }
    assert_eq!(answers.len(), 1, "all retries are told the same");
    assert_eq!(store.account("a").await.unwrap().unwrap().available, 100 - 40 + 50);
}

/// Commands of one batch are applied in their order, in one commit.
async fn check_order(whole: &impl WholeStore) {
    let (done, leg) = (Ok(Receipt::Done), key("batch", Leg::Debit));
    let commands = vec![
        Command::Commit(leg.clone()),
        prepare("batch", Leg::Debit, "a", 7),
        prepare("batch", Leg::Debit, "a", 8),
        Command::Abort(leg.clone()),
        Command::Commit(leg),
        transfer("batch", "b", "a", 1),
        transfer("batch", "b", "a", 1),
    ];
    let verdicts = whole.apply_all(commands).await.unwrap();
    let expected = [
        Err(Refusal::NotPrepared),
        done,
        Err(Refusal::Conflict),
        done,
        Err(Refusal::Aborted),
        verdicts[5],
        verdicts[5],
    ];
    assert_eq!(verdicts, expected);
    assert!(verdicts[5].is_ok());
    assert!(whole.apply_all(Vec::new()).await.unwrap().is_empty());
}
