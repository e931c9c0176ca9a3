//! Passes over a real store, with coordinators that say what the test wants.

use std::sync::{Arc, Mutex};

use strife_store::postgres::{Address, Connections, testing::Server};
use tempfile::TempDir;

use super::*;
use crate::{
    ledger::{End, Force, Leg, LegBody, Met, Prepare, tests::openings},
    money::Amount,
    store::{Embedded, Postgres, Store},
};

/// What each transaction's coordinator says, by transaction id; nothing: unreachable.
#[derive(Clone, Default)]
struct Oracle {
    says: Arc<Mutex<HashMap<String, Decision>>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Coordinators for Oracle {
    async fn decision(&self, coordinator: &str, transaction_id: &str) -> Result<Decision, String> {
        let question = (coordinator.to_owned(), transaction_id.to_owned());
        self.asked.lock().unwrap().push(question);
        let says = self.says.lock().unwrap().get(transaction_id).copied();
        says.ok_or_else(|| "unreachable".to_owned())
    }
}

struct Fixture {
    resolver: Resolver<Embedded, Oracle>,
    oracle: Oracle,
    store: Embedded,
    _directory: TempDir,
}

async fn with_prepared(legs: &[(&str, Leg)]) -> Fixture {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.redb");
    let store = Embedded::create(&path, "icici", &openings()).unwrap();
    for (at_ms, (transaction_id, leg)) in (1..).zip(legs) {
        let key = LegKey { transaction_id: (*transaction_id).to_owned(), leg: *leg };
        let amount = Amount { minor_units: 10, currency: "INR".parse().unwrap() };
        let body =
            LegBody { account_id: "a".to_owned(), amount, coordinator: "gateway".to_owned() };
        let prepare = Command::Prepare(Prepare { key, body, at_ms, maker: None });
        assert!(store.apply(prepare).await.unwrap().is_ok());
    }
    let oracle = Oracle::default();
    let resolver = Resolver::new(store.clone(), oracle.clone(), Duration::from_secs(3));
    Fixture { resolver, oracle, store, _directory: directory }
}

async fn balances(store: &Embedded) -> (i64, i64) {
    let account = store.account("a").await.unwrap().unwrap();
    (account.available, account.held)
}

fn pass(committed: usize, aborted: usize, undecided: usize) -> Pass {
    Pass { committed, aborted, undecided }
}

#[tokio::test]
async fn decisions_are_followed() {
    let legs = [("c", Leg::Debit), ("d", Leg::Credit), ("e", Leg::Debit), ("f", Leg::Debit)];
    let mut fixture = with_prepared(&legs).await;
    assert_eq!(balances(&fixture.store).await, (70, 30));
    fixture.oracle.says.lock().unwrap().extend([
        ("c".to_owned(), Decision::Commit),
        ("d".to_owned(), Decision::Commit),
        ("e".to_owned(), Decision::Abort),
        ("f".to_owned(), Decision::StillActive),
    ]);
    assert_eq!(fixture.resolver.pass(100, 100).await.unwrap(), pass(2, 1, 1));
    // c left, d arrived, e came back, f is still held.
    assert_eq!(balances(&fixture.store).await, (90, 10));
    let asked = fixture.oracle.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|(coordinator, _)| coordinator == "gateway"));
}

#[tokio::test]
async fn only_legs_old_enough_are_asked_about() {
    let mut fixture = with_prepared(&[("first", Leg::Debit), ("second", Leg::Debit)]).await;
    assert_eq!(fixture.resolver.pass(1, 100).await.unwrap(), pass(0, 0, 1));
    let asked = fixture.oracle.asked.lock().unwrap().clone();
    assert_eq!(asked, [("gateway".to_owned(), "first".to_owned())]);
}

#[tokio::test]
async fn an_unreachable_coordinator_is_asked_again_later_and_the_hold_is_kept() {
    let mut fixture = with_prepared(&[("p", Leg::Debit)]).await;
    assert_eq!(fixture.resolver.pass(100, 100).await.unwrap(), pass(0, 0, 1));
    assert_eq!(fixture.resolver.pass(100, 101).await.unwrap(), pass(0, 0, 0), "not its turn");
    assert_eq!(balances(&fixture.store).await, (90, 10));
    fixture.oracle.says.lock().unwrap().insert("p".to_owned(), Decision::Commit);
    let later_ms = 100 + BACKOFF.0.as_millis() as u64;
    assert_eq!(fixture.resolver.pass(100, later_ms).await.unwrap(), pass(1, 0, 0));
    assert_eq!(balances(&fixture.store).await, (90, 0));
    assert_eq!(fixture.resolver.pass(100, later_ms).await.unwrap(), pass(0, 0, 0));
    assert!(fixture.resolver.attempts.is_empty());
}

#[tokio::test]
async fn what_the_coordinator_ended_itself_is_forgotten() {
    let mut fixture = with_prepared(&[("p", Leg::Debit)]).await;
    fixture.resolver.pass(100, 100).await.unwrap();
    let key = LegKey { transaction_id: "p".to_owned(), leg: Leg::Debit };
    fixture.store.apply(Command::Abort(key)).await.unwrap().unwrap();
    let much_later_ms = 200 + 2 * BACKOFF.1.as_millis() as u64;
    fixture.resolver.pass(100, much_later_ms).await.unwrap();
    assert!(fixture.resolver.attempts.is_empty());
}

#[tokio::test]
async fn what_was_decided_of_a_forced_leg_is_asked_until_it_is_known() {
    let mut fixture = with_prepared(&[("same", Leg::Debit), ("other", Leg::Debit)]).await;
    for transaction_id in ["same", "other"] {
        let key = LegKey { transaction_id: transaction_id.to_owned(), leg: Leg::Debit };
        let (by, reason) = ("admin".to_owned(), "lost".to_owned());
        let force = Force { key, end: End::Commit, by, reason, at_ms: 1 };
        fixture.store.apply(Command::Force(force)).await.unwrap().unwrap();
    }
    assert_eq!(fixture.resolver.pass(0, 100).await.unwrap(), pass(0, 0, 2), "nobody knows");
    fixture
        .oracle
        .says
        .lock()
        .unwrap()
        .extend([("same".to_owned(), Decision::Commit), ("other".to_owned(), Decision::Abort)]);
    for now_ms in (1_000..).step_by(1_000).take(PASSES_PER_LOOK_AT_FORCED as usize) {
        fixture.resolver.pass(0, now_ms).await.unwrap();
    }
    assert_eq!(fixture.store.forced(9).await.unwrap(), []);
    let legs = fixture.store.legs("", 9).await.unwrap();
    let met: Vec<_> = legs.into_iter().map(|leg| leg.forced.unwrap().decision).collect();
    assert_eq!(met, [Met::Contradicted, Met::Agreed], "by their names");
    assert_eq!(balances(&fixture.store).await, (80, 0), "nothing moved again");
}

/// Each server of a bank on a database asks about the same legs.
#[tokio::test]
async fn several_that_ask_about_one_leg_follow_its_decision_once() {
    let url = Server::shared().create_database().await;
    let address = Address::parse(&url).unwrap();
    let open = async || {
        let opened = Postgres::open(&address, "icici", Connections::default(), || Ok(openings()));
        opened.await.unwrap().0
    };
    let (one, other) = (open().await, open().await);
    let oracle = Oracle::default();
    for number in 0..20 {
        let key = LegKey { transaction_id: format!("p{number}"), leg: Leg::Debit };
        let amount = Amount { minor_units: 1, currency: "INR".parse().unwrap() };
        let body =
            LegBody { account_id: "a".to_owned(), amount, coordinator: "gateway".to_owned() };
        let decision = if number % 2 == 0 { Decision::Commit } else { Decision::Abort };
        oracle.says.lock().unwrap().insert(key.transaction_id.clone(), decision);
        let prepare = Command::Prepare(Prepare { key, body, at_ms: 1, maker: None });
        assert!(one.apply(prepare).await.unwrap().is_ok());
    }
    let resolver = |store| Resolver::new(store, oracle.clone(), Duration::ZERO).beside_others();
    let (mut first, mut second) = (resolver(one.clone()), resolver(other));
    let (first, second) = tokio::join!(first.pass(100, 100), second.pass(100, 100));
    let passes = [first.unwrap(), second.unwrap()];
    assert!(passes.iter().all(|pass| pass.undecided == 0), "{passes:?}");
    let account = one.account("a").await.unwrap().unwrap();
    assert_eq!((account.available, account.held), (90, 0));
    assert_eq!(one.totals().await.unwrap().in_doubt, 0);
}
