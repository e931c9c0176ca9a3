//! What every store must do. Each test is given stores with nothing in them; two gateways may write.

use std::sync::Arc;

use super::*;
use crate::{
    order::{Account, Money, Order},
    payment::{Abort, AbortReason, State},
    transaction::{BLOCK_MAX, TransactionId, sequences_of},
};

pub(crate) mod events;
mod model;
mod queue;
mod runs;

/// A payment's record of `john`'s to `jane`.
pub(crate) fn record(id: TransactionId, payment_id: &str, to_bank: &str) -> Arc<Record> {
    let account = |bank: &str| Account { bank: bank.to_owned(), id: "A".to_owned() };
    Arc::new(Record {
        id,
        order: Order {
            payment_id: payment_id.to_owned(),
            user: "john".to_owned(),
            from: account("icici"),
            to: account(to_bank),
            amount: Money { minor_units: 1, currency: "INR".to_owned() },
            queue_for_s: 0,
        },
        payee: Some("jane".to_owned()),
        initiated_at_ms: 17,
        state: State::Initiated,
        earlier: None,
        queued: None,
    })
}

/// Every test, in turn.
pub(crate) async fn check<S: Store>(mut fresh: impl AsyncFnMut() -> S) {
    queue::check(&mut fresh).await;
    a_payment_is_found_however_it_is_looked_for(fresh().await).await;
    a_payment_id_is_for_one_payment(fresh().await).await;
    runs::check(&mut fresh).await;
    lists_are_read_in_pages(fresh().await).await;
    odd_names_and_details_are_kept(fresh().await).await;
    events::check(&mut fresh).await;
    model::check(&mut fresh).await;
}

fn verdict(record: &Record, decision: Decision) -> Verdict {
    let (sequence, route) = (record.id.sequence, record.order.route());
    let at_ms = record.initiated_at_ms + 1;
    Verdict { sequence, route, decision, at_ms, queued: None }
}

fn aborted() -> Decision {
    Decision::Aborted(Abort::new(AbortReason::Timeout, "late"))
}

fn presumed() -> Decision {
    Decision::Aborted(Abort::presumed())
}

fn decided(record: &Record, decision: Decision) -> Record {
    Record { state: State::Decided(decision), ..record.clone() }
}

async fn begun<S: Store>(
    store: &S,
    run: Run,
    number: u64,
    payment_id: &str,
    to: &str,
) -> Arc<Record> {
    let record = record(run.transaction(run.first_sequence() + number), payment_id, to);
    assert_eq!(store.begin(record.clone()).await.unwrap(), Begun::Done);
    record
}

async fn a_payment_is_found_however_it_is_looked_for<S: Store>(store: S) {
    let run = store.start("one").await.unwrap();
    assert_eq!(run.store, store.name());
    let record = begun(&store, run, 0, "p1", "sbi").await;
    let sequence = record.id.sequence;
    let nothing = Found { record: None, maker: RunState::Live };
    assert_eq!(store.get(sequence + 1).await.unwrap(), nothing);
    let later = Run { number: run.number + 1, ..run }.first_sequence();
    assert_eq!(store.get(later).await.unwrap().maker, RunState::NotMade);
    for state in [State::Initiated, State::Decided(aborted())] {
        let expected = Record { state: state.clone(), ..(*record).clone() };
        assert_eq!(store.find("p1").await.unwrap(), Some(expected.clone()));
        let found = Found { record: Some(expected.clone()), maker: RunState::Live };
        assert_eq!(store.get(sequence).await.unwrap(), found);
        for (user, payments) in [("john", 1), ("jane", 1), ("joh", 0)] {
            let found = store.history(user, None, 9).await.unwrap();
            assert_eq!(found, vec![expected.clone(); payments], "{user}");
        }
        let decision = verdict(&record, aborted());
        assert_eq!(store.decide(run.number, decision).await.unwrap(), Decided::Done, "and again");
    }
    let other = verdict(&record, Decision::Committed);
    assert_eq!(store.decide(run.number, other).await.unwrap(), Decided::Contradicted);
    assert_eq!(store.find("p2").await.unwrap(), None);
    assert_eq!(store.unfinished(run.number, None, 9).await.unwrap(), []);
}

async fn a_payment_id_is_for_one_payment<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let mine = begun(&store, one, 0, "p1", "sbi").await;
    assert_eq!(store.begin(mine.clone()).await.unwrap(), Begun::Done, "the same again");
    let theirs = record(two.transaction(two.first_sequence()), "p1", "icici");
    assert_eq!(store.begin(theirs.clone()).await.unwrap(), Begun::Exists);
    assert_eq!(store.find("p1").await.unwrap(), Some((*mine).clone()));
    assert_eq!(store.get(theirs.id.sequence).await.unwrap().record, None);
    assert_eq!(store.history("jane", None, 9).await.unwrap().len(), 1);
    // Of many at once, at both, one is taken.
    let asked = (1..30).map(|number| {
        let (store, run) = (store.clone(), [one, two][number as usize % 2]);
        let record = record(run.transaction(run.first_sequence() + number), "p2", "sbi");
        tokio::spawn(async move { store.begin(record).await.unwrap() })
    });
    let asked: Vec<_> = asked.collect();
    let mut taken = 0;
    for begun in asked {
        match begun.await.unwrap() {
            Begun::Done => taken += 1,
            other => assert_eq!(other, Begun::Exists),
        }
    }
    assert_eq!(taken, 1);
}

async fn lists_are_read_in_pages<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let mut expected = Vec::new();
    for number in 0..7 {
        let record = begun(&store, one, number, &format!("p{number}"), "sbi").await;
        expected.push((*record).clone());
    }
    store.fence(one.number).await.unwrap();
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = store.orphans(after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.sequence);
        found.extend(page);
    }
    assert_eq!(found, expected);
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = store.payments(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.sequence);
        all.extend(page);
    }
    let as_read = |record: Record| Record { state: State::Decided(presumed()), ..record };
    assert_eq!(all, expected.iter().cloned().map(as_read).collect::<Vec<_>>());
    let history = store.history("jane", Some(expected[5].id.sequence), 2).await.unwrap();
    let ids: Vec<_> = history.iter().map(|record| record.order.payment_id.as_str()).collect();
    assert_eq!(ids, ["p4", "p3"]);
    assert_eq!(store.unfinished(two.number, None, 9).await.unwrap(), []);
}

async fn odd_names_and_details_are_kept<S: Store>(store: S) {
    let run = store.start("one").await.unwrap();
    let mut record = (*record(run.transaction(run.first_sequence()), "p'1\"; --", "sbi")).clone();
    record.order.user = "jürgen 'x' %_".to_owned();
    record.payee = None;
    let record = Arc::new(record);
    assert_eq!(store.begin(record.clone()).await.unwrap(), Begun::Done);
    let decision = Decision::Aborted(Abort::new(AbortReason::Refused, "naïve\n\"{}\" 'no'"));
    store.decide(run.number, verdict(&record, decision.clone())).await.unwrap();
    let expected = decided(&record, decision);
    assert_eq!(store.find("p'1\"; --").await.unwrap(), Some(expected.clone()));
    assert_eq!(store.history("jürgen 'x' %_", None, 1).await.unwrap(), [expected]);
}
