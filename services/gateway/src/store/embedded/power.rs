//! A gateway's store on a disk that forgets: a payment that was acknowledged is there when the power is
//! back, with its decision if that was acknowledged, and one that was not is there whole or not at all. The
//! outbox says the same.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use rand::{SeedableRng, rngs::StdRng};
use redb::Database;
use strife_store::disk::ForgetfulDisk;

use super::*;
use crate::{
    order::Route,
    payment::{Abort, AbortReason, Decision, State},
    store::{EventKind, conformance::record},
};

/// Power failures in one test.
const FAILURES: usize = 3;
/// Payments that gather before they are merged.
const GENERATION: usize = 3;
/// Payments that a step may be about.
const PAYMENTS: u64 = 8;

/// What a gateway does with a payment.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin(u64),
    Decide(u64, bool),
    Finish(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let payment = 0..PAYMENTS;
    prop_oneof![
        3 => payment.clone().prop_map(Step::Begin),
        2 => (payment.clone(), any::<bool>()).prop_map(|(payment, yes)| Step::Decide(payment, yes)),
        1 => payment.prop_map(Step::Finish),
    ]
}

/// The store as it stands on the disk; made there if there is none.
fn open(disk: &ForgetfulDisk, is_new: bool) -> Result<Embedded, redb::Error> {
    let database = Database::builder().create_with_backend(disk.clone())?;
    if is_new {
        let transaction = database.begin_write()?;
        tables::create(&transaction, 1)?;
        transaction.commit()?;
    }
    Embedded::start_with(database, GENERATION, |database, payments| {
        let on_fatal = Arc::new(|_: &str| {});
        GroupCommit::start_with(database, payments, Limits::default(), on_fatal)
    })
}

fn decision(committed: bool) -> Decision {
    match committed {
        true => Decision::Committed,
        false => Decision::Aborted(Abort::new(AbortReason::InsufficientFunds, "no money")),
    }
}

/// One life of a gateway: what it was told of each payment, until the power fails; then what it asked last.
async fn live(
    store: &Embedded,
    steps: &mut std::slice::Iter<'_, Step>,
) -> (BTreeMap<Sequence, State>, Option<(Sequence, State)>) {
    let mut known = BTreeMap::new();
    let Ok(run) = store.start("one").await else { return (known, None) };
    for step in steps {
        let sequence = |payment: u64| run.first_sequence() + payment;
        let (sequence, asked, state) = match *step {
            Step::Begin(payment) => {
                let sequence = sequence(payment);
                if known.contains_key(&sequence) {
                    continue;
                }
                let record = record(run.transaction(sequence), &format!("p{sequence}"), "sbi");
                let begun = store.begin(record).await;
                (sequence, begun.map(|begun| assert_eq!(begun, Begun::Done)), State::Initiated)
            }
            Step::Decide(payment, committed) => {
                let sequence = sequence(payment);
                if known.get(&sequence) != Some(&State::Initiated) {
                    continue;
                }
                let (route, decision) = (Route::TwoBanks, decision(committed));
                let verdict =
                    Verdict { sequence, route, decision: decision.clone(), at_ms: 9, queued: None };
                let decided = store.decide(run.number, verdict).await;
                let asked = decided.map(|decided| assert_eq!(decided, Decided::Done));
                (sequence, asked, State::Decided(decision))
            }
            Step::Finish(payment) => {
                let sequence = sequence(payment);
                let committed = State::Decided(Decision::Committed);
                if known.get(&sequence) != Some(&committed) {
                    continue;
                }
                let finished = store.finish(run.number, sequence).await;
                (sequence, finished.map(|live| assert!(live)), committed)
            }
        };
        if asked.is_err() {
            return (known, Some((sequence, state)));
        }
        known.insert(sequence, state);
    }
    (known, None)
}

async fn check(steps: &[Step], failures: &[u64], seed: u64, lies: bool) -> Result<(), String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut disk = ForgetfulDisk::default();
    let opened = |result: Result<Embedded, redb::Error>| result.map_err(|why| why.to_string());
    drop(opened(open(&disk, true))?);
    let (mut steps, mut all) = (steps.iter(), BTreeMap::new());
    for failure in failures {
        let store = opened(open(&disk, false))?;
        if lies {
            disk.lie();
        }
        disk.fail_after(*failure);
        let (known, lost) = live(&store, &mut steps).await;
        drop(store);
        disk = disk.after_power_failure(&mut random);
        let store = opened(open(&disk, false))?;
        store.start("two").await.map_err(|why| why.to_string())?;
        all.extend(known);
        if let Some((sequence, state)) = lost {
            let found = store.find(&format!("p{sequence}")).await.map_err(|why| why.to_string())?;
            // A row that is there is one of a run before: who reads it finds it aborted.
            let is_there = found.is_some_and(|found| match &state {
                State::Initiated => true,
                decided => found.state == *decided,
            });
            if is_there {
                all.insert(sequence, state);
            }
        }
        is_as(&store, &all).await?;
    }
    Ok(())
}

/// Whether all of these are there, and nothing else, by every way to them.
async fn is_as(store: &Embedded, all: &BTreeMap<Sequence, State>) -> Result<(), String> {
    let text = |error: StoreError| error.to_string();
    for (sequence, state) in all {
        let expected = match state {
            State::Initiated => State::Decided(Decision::Aborted(Abort::presumed())),
            decided => decided.clone(),
        };
        let found = store.find(&format!("p{sequence}")).await.map_err(text)?;
        let found = found.map(|record| record.state);
        if found.as_ref() != Some(&expected) {
            return Err(format!("{sequence:x} is {found:?}, not {expected:?}"));
        }
    }
    let history = store.history("john", None, usize::MAX).await.map_err(text)?;
    let listed: Vec<_> = history.iter().rev().map(|record| record.id.sequence).collect();
    if listed != all.keys().copied().collect::<Vec<_>>() {
        return Err(format!("the history lists {listed:x?}"));
    }
    told_once(store, &history).await?;
    let undecided = all.values().filter(|state| **state == State::Initiated).count();
    let orphans = store.orphans(None, usize::MAX).await.map_err(text)?.len();
    if orphans == undecided { Ok(()) } else { Err(format!("{orphans} orphans of {undecided}")) }
}

/// Whether the outbox tells of each of these payments what is written of it, in order and once, and of no
/// other; a payment that only reads ABORTED is not decided there yet.
async fn told_once(store: &Embedded, payments: &[Record]) -> Result<(), String> {
    let text = |error: StoreError| error.to_string();
    let orphans = store.orphans(None, usize::MAX).await.map_err(text)?;
    let events = store.events(0, usize::MAX).await.map_err(text)?.events;
    let mut told: BTreeMap<Sequence, Vec<EventKind>> = BTreeMap::new();
    for (expected, event) in (1..).zip(&events) {
        if event.position != expected {
            return Err(format!("event {} stands where {expected} should", event.position));
        }
        told.entry(event.record.id.sequence).or_default().push(event.kind);
    }
    for payment in payments {
        let mut expected = vec![EventKind::Initiated];
        if let State::Decided(decision) = &payment.state
            && orphans.iter().all(|orphan| orphan.id != payment.id)
        {
            expected.push(EventKind::of(decision, None));
        }
        let found = told.remove(&payment.id.sequence).unwrap_or_default();
        if found != expected {
            return Err(format!("{} is told as {found:?}, not {expected:?}", payment.id));
        }
    }
    if told.is_empty() { Ok(()) } else { Err(format!("nobody knows of {told:x?}")) }
}

fn run(steps: &[Step], failures: &[u64], seed: u64, lies: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(check(steps, failures, seed, lies))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_acknowledged_survives_power_failures(
        steps in vec(any_step(), 1..60),
        failures in vec(0..120_u64, FAILURES),
        seed: u64,
    ) {
        prop_assert_eq!(run(&steps, &failures, seed, false), Ok(()));
    }
}

/// The test would see it: a disk that does not keep its word loses what was acknowledged.
#[test]
fn a_disk_that_lies_is_found_out() {
    let steps: Vec<_> = (0..PAYMENTS).map(Step::Begin).collect();
    assert!((0..20).any(|seed| run(&steps, &[40], seed, true).is_err()));
}
