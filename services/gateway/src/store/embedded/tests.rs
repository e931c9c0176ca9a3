//! The conformance suite on a file; what a new start finds in it, and in those of earlier versions.

use redb::WriteTransaction;
use tempfile::TempDir;

use super::*;
use crate::{
    order::Route,
    payment::{Abort, AbortReason, Decision, State},
    store::{
        Earlier, EventKind,
        conformance::{self, record},
        records,
    },
};

fn open(directory: &TempDir) -> Embedded {
    Embedded::open(directory.path(), Limits::default()).unwrap()
}

async fn check_conformance(generation: usize) {
    let directory = TempDir::new().unwrap();
    let mut number = 0;
    conformance::check(async || {
        number += 1;
        let path = directory.path().join(number.to_string());
        let store = Embedded::open_with(&path, Limits::default(), generation).unwrap();
        Embedded { alone: false, ..store }
    })
    .await;
}

#[tokio::test]
async fn conforms() {
    check_conformance(GENERATION).await;
}

#[tokio::test]
async fn conforms_while_it_merges() {
    check_conformance(1).await;
}

#[tokio::test]
async fn a_start_fences_every_run_before_it() {
    let directory = TempDir::new().unwrap();
    let mut runs: Vec<Run> = Vec::new();
    for start in 0..3 {
        let store = open(&directory);
        let run = store.start("one").await.unwrap();
        assert!(runs.iter().all(|before| before.store == run.store && before.number < run.number));
        runs.push(run);
        let payment_id = format!("p{start}");
        let begun = store.begin(record(run.transaction(run.first_sequence()), &payment_id, "sbi"));
        assert_eq!(begun.await.unwrap(), Begun::Done);
        let live = store.runs().await.unwrap().into_iter().filter(|run| run.live);
        assert_eq!(live.map(|run| run.number).collect::<Vec<_>>(), [run.number]);
        assert_eq!(store.orphans(None, 9).await.unwrap().len(), start);
        store.close().await;
    }
    let store = open(&directory);
    store.start("one").await.unwrap();
    let aborted = State::Decided(Decision::Aborted(Abort::presumed()));
    assert!(store.history("jane", None, 9).await.unwrap().iter().all(|at| at.state == aborted));
}

/// A file as version 1 made it, with a payment of each state by its second run.
fn create_v1(path: &Path) -> Vec<Record> {
    let refused = Decision::Aborted(Abort::new(AbortReason::InsufficientFunds, "no money"));
    let states = [State::Initiated, State::Decided(Decision::Committed), State::Decided(refused)];
    let run = Run { store: 7, number: 2 };
    let records: Vec<Record> = (0..)
        .zip(states)
        .map(|(number, state)| {
            let id = run.transaction(run.first_sequence() + number);
            Record { state, ..(*record(id, &format!("p{number}"), "sbi")).clone() }
        })
        .collect();
    let fill = |transaction: &WriteTransaction| -> Result<(), redb::Error> {
        tables::create_v1(transaction, run.store)?;
        transaction.open_table(tables::ABOUT)?.insert(tables::LAST_RUN, run.number)?;
        for record in &records {
            let (sequence, bytes) = (record.id.sequence, records::encode_v1(record));
            transaction.open_table(tables::PAYMENTS)?.insert(sequence, bytes.as_slice())?;
            let payment_id = record.order.payment_id.as_str();
            transaction.open_table(tables::BY_PAYMENT_ID)?.insert(payment_id, sequence)?;
            transaction.open_table(tables::HISTORY)?.insert(("john", sequence), ())?;
        }
        let of = |number: usize| records[number].id.sequence;
        transaction.open_table(tables::UNDECIDED)?.insert(of(0), ())?;
        transaction.open_table(tables::UNFINISHED)?.insert(of(1), ())?;
        Ok(())
    };
    let created =
        file::create(path, "gateway v1", |transaction| fill(transaction).map_err(StoreError::from));
    drop(created.unwrap());
    records
}

#[tokio::test]
async fn a_store_of_version_1_is_brought_up_to_date() {
    let directory = TempDir::new().unwrap();
    let mut expected = create_v1(&directory.path().join(FILE));
    let store = open(&directory);
    let run = store.start("one").await.unwrap();
    assert_eq!(run, Run { store: 7, number: 3 });
    assert_eq!(store.orphans(None, 9).await.unwrap(), expected[..1]);
    assert_eq!(store.unfinished(run.number, None, 9).await.unwrap(), expected[1..2]);
    expected[0].state = State::Decided(Decision::Aborted(Abort::presumed()));
    for record in &expected {
        let found = store.find(&record.order.payment_id).await.unwrap();
        assert_eq!(found.as_ref(), Some(record));
        let State::Decided(decision) = &record.state else { unreachable!() };
        for (decision, decided) in [
            (decision.clone(), Decided::Done),
            (Decision::Aborted(Abort::new(AbortReason::Refused, "else")), Decided::Contradicted),
        ] {
            let (sequence, route) = (record.id.sequence, Route::TwoBanks);
            let verdict = Verdict { sequence, route, decision, at_ms: 9, queued: None };
            assert_eq!(store.decide(run.number, verdict).await.unwrap(), decided);
        }
    }
    assert_eq!(store.orphans(None, 9).await.unwrap(), []);
    expected.reverse();
    assert_eq!(store.history("john", None, 9).await.unwrap(), expected);
}

/// A file as version 3 made it, with a payment that is not decided by its first run.
fn create_v3(path: &Path) -> Record {
    let run = Run { store: 7, number: 1 };
    let record = record(run.transaction(run.first_sequence()), "p1", "sbi");
    let fill = |transaction: &WriteTransaction| -> Result<(), redb::Error> {
        tables::create_v1(transaction, run.store)?;
        tables::UPGRADES[..2].iter().try_for_each(|upgrade| upgrade(transaction))?;
        transaction.open_table(tables::ABOUT)?.insert(tables::LAST_RUN, run.number)?;
        transaction.open_table(tables::RUNS)?.insert(run.number, ("one", 0, true))?;
        let sequence = record.id.sequence;
        let bytes = records::encode(&record);
        transaction.open_table(tables::PAYMENTS)?.insert(sequence, bytes.as_slice())?;
        transaction.open_table(tables::BY_PAYMENT_ID)?.insert("p1", sequence)?;
        transaction.open_table(tables::UNDECIDED)?.insert(sequence, ())?;
        Ok(())
    };
    let created =
        file::create(path, "gateway v3", |transaction| fill(transaction).map_err(StoreError::from));
    drop(created.unwrap());
    (*record).clone()
}

#[tokio::test]
async fn events_of_a_store_of_version_3_begin_with_what_happens_next() {
    let directory = TempDir::new().unwrap();
    let old = create_v3(&directory.path().join(FILE));
    let store = open(&directory);
    assert_eq!(store.events(0, 9).await.unwrap(), Page::default());
    let run = store.start("one").await.unwrap();
    let decision = Decision::Aborted(Abort::presumed());
    let (sequence, route) = (old.id.sequence, Route::TwoBanks);
    let verdict = Verdict { sequence, route, decision: decision.clone(), at_ms: 9, queued: None };
    assert_eq!(store.decide(run.number, verdict).await.unwrap(), Decided::Done);
    let new = record(run.transaction(run.first_sequence()), "p2", "sbi");
    store.begin(new.clone()).await.unwrap();
    let check = async |store: &Embedded| {
        let events = store.events(0, 9).await.unwrap().events;
        let told: Vec<_> =
            events.into_iter().map(|event| (event.position, event.kind, event.record)).collect();
        let aborted = Record { state: State::Decided(decision.clone()), ..old.clone() };
        let expected =
            [(1, EventKind::Aborted, aborted), (2, EventKind::Initiated, (*new).clone())];
        assert_eq!(told, expected);
    };
    check(&store).await;
    store.close().await;
    drop(store);
    check(&open(&directory)).await;
}

#[tokio::test]
async fn a_bounded_number_of_events_is_removed_at_once() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let run = store.start("one").await.unwrap();
    for number in 0..600 {
        let id = run.transaction(run.first_sequence() + number);
        store.begin(record(id, &format!("p{number}"), "sbi")).await.unwrap();
    }
    for (is_more, kept) in [(true, 344), (true, 88), (false, 10), (false, 10)] {
        assert_eq!(store.prune(10).await.unwrap(), is_more);
        assert_eq!(store.outbox().await.unwrap().events, kept);
    }
    let page = store.events(0, 99).await.unwrap();
    assert_eq!((page.removed, page.events.len()), (590, 10));
}

/// A file as version 5 made it, with a payment that was tried three times; its attempts.
fn create_v5(path: &Path) -> Vec<Record> {
    let run = Run { store: 7, number: 1 };
    let attempts: Vec<Record> = (0..3)
        .map(|attempts| {
            let id = run.transaction(run.first_sequence() + u64::from(attempts));
            let mut attempt = (*record(id, "p1", "sbi")).clone();
            attempt.order.queue_for_s = 60;
            let first = run.first_sequence();
            attempt.earlier = (attempts > 0).then_some(Earlier { attempts, first });
            attempt
        })
        .collect();
    let fill = |transaction: &WriteTransaction| -> Result<(), redb::Error> {
        tables::create_v1(transaction, run.store)?;
        tables::UPGRADES[..4].iter().try_for_each(|upgrade| upgrade(transaction))?;
        transaction.open_table(tables::ABOUT)?.insert(tables::LAST_RUN, run.number)?;
        for attempt in &attempts {
            let (sequence, bytes) = (attempt.id.sequence, records::encode(attempt));
            transaction.open_table(tables::PAYMENTS)?.insert(sequence, bytes.as_slice())?;
            transaction.open_table(tables::BY_PAYMENT_ID)?.insert("p1", sequence)?;
            let decision = (0, "");
            transaction.open_table(tables::DECISIONS)?.insert(sequence, decision)?;
        }
        let taken_on = attempts[0].id.sequence;
        transaction.open_table(tables::HISTORY)?.insert(("john", taken_on), ())?;
        Ok(())
    };
    let created =
        file::create(path, "gateway v5", |transaction| fill(transaction).map_err(StoreError::from));
    drop(created.unwrap());
    attempts
}

#[tokio::test]
async fn a_payment_of_version_5_is_found_by_its_newest_attempt() {
    let directory = TempDir::new().unwrap();
    let attempts = create_v5(&directory.path().join(FILE));
    let store = open(&directory);
    let newest = attempts[2].id;
    assert_eq!(store.find("p1").await.unwrap().map(|found| found.id), Some(newest));
    let history = store.history("john", None, 9).await.unwrap();
    assert_eq!(history.iter().map(|found| found.id).collect::<Vec<_>>(), [newest]);
    let run = store.start("one").await.unwrap();
    let same_id = record(run.transaction(run.first_sequence()), "p1", "sbi");
    assert_eq!(store.begin(same_id).await.unwrap(), Begun::Exists);
}
