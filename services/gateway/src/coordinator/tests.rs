//! Gateways that end, and gateways that share a store, with banks that do as they are told.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use strife_store::Limits;
use tempfile::TempDir;

use super::*;
use crate::{
    banks::End,
    payment::{Abort, AbortReason, Decision, State},
    retry::Backoff,
    store::{Embedded, conformance::record},
};

mod adoption;
mod banks;
mod fencing;
mod lease;
mod queueing;

use banks::TestBanks;

/// Long enough that only a test that fails waits for it.
const NEVER: Duration = Duration::from_secs(60);

type Gateway = Arc<Coordinator<TestBanks, Embedded>>;

fn settings() -> Settings {
    let quick = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(5) };
    Settings {
        payment_timeout: NEVER,
        backoff: quick,
        look_again: quick,
        sweep_interval: Duration::from_millis(5),
        ..Settings::default()
    }
}

fn soon() -> Settings {
    Settings { lease: Duration::from_millis(60), ..settings() }
}

async fn start(store: &Embedded, banks: &TestBanks, settings: Settings) -> Gateway {
    let coordinator = Coordinator::start(store.clone(), banks.clone(), "one", settings, None).await;
    Arc::new(coordinator.unwrap())
}

fn order(payment_id: &str, to_bank: &str) -> Order {
    record(TransactionId { store: 0, sequence: 0 }, payment_id, to_bank).order.clone()
}

/// A payment of this id between these banks.
fn between(payment_id: &str, from: &str, to: &str) -> Order {
    let mut order = order(payment_id, to);
    order.from.bank = from.to_owned();
    order
}

/// Asks in the background.
fn ask(gateway: &Gateway, order: &Order) -> tokio::task::JoinHandle<Result<Receipt, GatewayError>> {
    let (gateway, order) = (gateway.clone(), order.clone());
    tokio::spawn(async move { gateway.pay(order, 0, |_| Ok(None)).await.map(decided) })
}

async fn pay(gateway: &Gateway, order: &Order) -> Receipt {
    let paid = tokio::time::timeout(NEVER, gateway.pay(order.clone(), 0, |_| Ok(None))).await;
    decided(paid.expect("nothing is decided").unwrap())
}

fn decided(answer: Answer) -> Receipt {
    match answer {
        Answer::Decided(receipt) => receipt,
        Answer::Queued(record) => panic!("queued: {record:?}"),
    }
}

async fn until(what: impl AsyncFn() -> bool) {
    let looking = async {
        while !what().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(NEVER, looking).await.expect("it never comes about");
}

/// Waits for the row of the payment; its name.
async fn until_begun(store: &Embedded, payment_id: &str) -> TransactionId {
    until(async || store.find(payment_id).await.unwrap().is_some()).await;
    store.find(payment_id).await.unwrap().unwrap().id
}

async fn standing(gateway: &Gateway, id: TransactionId) -> Standing {
    gateway.decision(&id.to_string()).await.unwrap()
}

/// One thread, so that nothing runs but what is waited for: the pass over what was left undecided has
/// had no turn yet when all this is answered.
#[tokio::test(flavor = "current_thread")]
async fn twenty_thousand_left_undecided_hold_up_nobody() {
    const LEFT: u64 = 20_000;
    let directory = TempDir::new().unwrap();
    let open = || Embedded::open(directory.path(), Limits::default()).unwrap();
    let store = open();
    let run = store.start("before").await.unwrap();
    let id = |number| run.transaction(run.first_sequence() + number);
    let begun = (0..LEFT).map(|number| {
        let to = if number == 7 { "icici" } else { "sbi" };
        store.begin(record(id(number), &format!("p{number}"), to))
    });
    assert!(
        join_all(begun).await.into_iter().all(|begun| begun.unwrap() == crate::store::Begun::Done)
    );
    store.close().await;
    drop(store);

    let (store, banks) = (open(), TestBanks::new(true));
    let gateway = start(&store, &banks, settings()).await;
    let receipt = pay(&gateway, &order("p3", "sbi")).await;
    assert_eq!(receipt.decision, Decision::Aborted(Abort::presumed()));
    assert_eq!(receipt.transaction_id, id(3));
    assert_eq!(standing(&gateway, id(4)).await, Standing::Abort);
    assert_eq!(standing(&gateway, id(7)).await, Standing::StillActive);
    let history = gateway.history("john", None, 3).await.unwrap();
    assert!(history.iter().all(|record| record.state != State::Initiated));
    let undecided = store.orphans(None, LEFT as usize).await.unwrap().len() as u64;
    assert_eq!(undecided, LEFT, "it was ended before anything was served");

    assert_eq!(pay(&gateway, &order("new", "sbi")).await.decision, Decision::Committed);
    gateway.idle().await;
    assert_eq!(store.orphans(None, 1).await.unwrap(), []);
    assert_eq!(pay(&gateway, &order("p3", "sbi")).await, receipt);
    assert_eq!(pay(&gateway, &order("p7", "icici")).await.decision, Decision::Committed);
    assert_eq!(store.runs().await.unwrap().len(), 1, "what is done with is forgotten");
}

#[tokio::test]
async fn a_bank_is_not_told_abort_of_what_another_gateway_may_commit() {
    let directory = TempDir::new().unwrap();
    let (store, banks) = (Embedded::open_shared(directory.path()), TestBanks::new(false));
    let one = start(&store, &banks, settings()).await;
    let two = start(&store, &banks, settings()).await;
    let before = one.run().transaction(one.run().first_sequence());
    assert_eq!(standing(&two, before).await, Standing::StillActive, "no row yet");
    let asked = ask(&one, &order("p1", "sbi"));
    let id = until_begun(&store, "p1").await;
    assert_eq!(id, before);
    assert_eq!(standing(&two, id).await, Standing::StillActive);
    banks.open();
    let receipt = asked.await.unwrap().unwrap();
    assert_eq!(receipt.decision, Decision::Committed);
    for gateway in [&one, &two] {
        assert_eq!(standing(gateway, id).await, Standing::Commit);
        assert_eq!(pay(gateway, &order("p1", "sbi")).await, receipt);
    }
}

#[tokio::test]
async fn one_payment_asked_for_at_both_is_made_once() {
    let directory = TempDir::new().unwrap();
    let (store, banks) = (Embedded::open_shared(directory.path()), TestBanks::new(true));
    let one = start(&store, &banks, settings()).await;
    let two = start(&store, &banks, settings()).await;
    for to in ["sbi", "icici"] {
        let order = order(to, to);
        let asked = (0..50).map(|number| ask([&one, &two][number % 2], &order));
        let mut receipts = Vec::new();
        for receipt in asked.collect::<Vec<_>>() {
            receipts.push(tokio::time::timeout(NEVER, receipt).await.unwrap().unwrap().unwrap());
        }
        assert_eq!(receipts[0].decision, Decision::Committed);
        assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
        let refused = two.pay(Order { user: "jim".to_owned(), ..order }, 0, |_| Ok(None)).await;
        assert!(matches!(refused, Err(GatewayError::Conflict(_))));
    }
    one.idle().await;
    two.idle().await;
    assert_eq!(banks.0.prepared.lock().unwrap().len(), 2, "whose row it is not asks for no hold");
    assert_eq!(banks.0.moved.lock().unwrap().len(), 1);
}

/// As after SIGSTOP: the other takes over, and what it then does is refused.
#[tokio::test]
async fn a_gateway_that_wakes_up_finds_itself_fenced() {
    let directory = TempDir::new().unwrap();
    let (store, banks) = (Embedded::open_shared(directory.path()), TestBanks::new(false));
    let one = start(&store, &banks, settings()).await;
    let (asked, within) = (ask(&one, &order("p1", "sbi")), ask(&one, &order("p2", "icici")));
    let (id, id_within) = (until_begun(&store, "p1").await, until_begun(&store, "p2").await);
    let two = start(&store, &banks, settings()).await;
    assert!(store.fence(one.run().number).await.unwrap());
    assert_eq!(standing(&two, id).await, Standing::Abort);
    assert_eq!(standing(&one, id).await, Standing::Abort, "both say the same");
    let known = one.payment("p1").await.unwrap().unwrap();
    assert_eq!(known.state, State::Decided(Decision::Aborted(Abort::presumed())));
    assert_eq!(pay(&two, &order("p1", "sbi")).await.decision, Decision::Aborted(Abort::presumed()));
    assert_eq!(standing(&two, id_within).await, Standing::StillActive);
    two.shared.orphaned.notify_one();
    banks.open();
    one.fenced().await;
    let receipt = pay(&two, &order("p2", "icici")).await;
    assert_eq!((receipt.decision, receipt.transaction_id), (Decision::Committed, id_within));
    assert_eq!(banks.0.moved.lock().unwrap().len(), 1, "asked again by the same name");
    until(async || banks.ends(id) == [Some(End::Abort); 2]).await;
    assert_eq!(store.orphans(None, 9).await.unwrap(), []);
    assert!(!asked.is_finished() && !within.is_finished(), "a fenced gateway answers nobody");
}

#[tokio::test]
async fn a_gateway_that_is_silent_is_taken_over_from() {
    let directory = TempDir::new().unwrap();
    let (store, banks) = (Embedded::open_shared(directory.path()), TestBanks::new(false));
    let one = start(&store, &banks, soon()).await;
    let (asked, number) = (ask(&one, &order("p1", "icici")), one.run().number);
    let id = until_begun(&store, "p1").await;
    // With the last of it goes its saying that it goes on.
    asked.abort();
    assert!(asked.await.is_err());
    drop(one);
    let two = start(&store, &banks, soon()).await;
    until(async || store.runs().await.unwrap().iter().all(|run| run.number != number)).await;
    banks.open();
    let receipt = pay(&two, &order("p1", "icici")).await;
    assert_eq!((receipt.transaction_id, receipt.decision), (id, Decision::Committed));
}

#[tokio::test]
async fn every_bank_is_told_of_a_run_that_is_gone_until_it_knows() {
    let directory = TempDir::new().unwrap();
    let (store, banks) = (Embedded::open_shared(directory.path()), TestBanks::new(true));
    let gone = start(&store, &banks, settings()).await.run().number;
    store.fence(gone).await.unwrap();
    banks.0.deaf.send_replace(true);
    let two = start(&store, &banks, settings()).await;
    assert_eq!(pay(&two, &order("p1", "sbi")).await.decision, Decision::Committed);
    two.idle().await;
    let is_there = async || store.runs().await.unwrap().iter().any(|run| run.number == gone);
    assert!(is_there().await, "it is forgotten, and the banks do not know");
    banks.0.deaf.send_replace(false);
    until(async || !is_there().await).await;
    let told = ["icici", "sbi"].map(|bank| (bank.to_owned(), gone));
    assert_eq!(*banks.0.fenced.lock().unwrap(), HashSet::from(told));
}

#[tokio::test]
async fn gateways_that_are_there_leave_each_other_alone_and_one_that_leaves_is_followed_at_once() {
    let directory = TempDir::new().unwrap();
    let (store, banks) = (Embedded::open_shared(directory.path()), TestBanks::new(true));
    // Nobody is silent for so long, also on a busy machine.
    let settings = Settings { lease: Duration::from_secs(1), ..settings() };
    let one = start(&store, &banks, settings).await;
    let two = start(&store, &banks, settings).await;
    let beats = async || store.runs().await.unwrap().iter().map(|run| run.beats).min();
    until(async || beats().await > Some(9)).await;
    assert_eq!(pay(&one, &order("p1", "sbi")).await.decision, Decision::Committed);
    assert!(store.runs().await.unwrap().iter().all(|run| run.live));
    one.leave().await;
    until(async || store.runs().await.unwrap().len() == 1).await;
    one.fenced().await;
    assert_eq!(pay(&two, &order("p2", "sbi")).await.decision, Decision::Committed);
}
