//! What is written is found, and the lists never disagree with the records.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    order::{Account, Money, Order},
    payment::{Abort, AbortReason, State},
    transaction::TransactionId,
};

fn open(directory: &TempDir) -> Store {
    Store::open(directory.path(), Limits::default()).unwrap()
}

fn close(store: Store) {
    store.close();
}

fn record(id: TransactionId, payment_id: &str, user: &str, to_bank: &str) -> Arc<Record> {
    let account = |bank: &str| Account { bank: bank.to_owned(), id: "A".to_owned() };
    Arc::new(Record {
        id,
        order: Order {
            payment_id: payment_id.to_owned(),
            user: user.to_owned(),
            from: account("icici"),
            to: account(to_bank),
            amount: Money { minor_units: 1, currency: "INR".to_owned() },
        },
        payee: Some("jane".to_owned()),
        initiated_at_ms: 17,
        state: State::Initiated,
    })
}

#[tokio::test]
async fn a_payment_is_found_however_it_is_looked_for() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let id = store.run().transaction(store.run().first_sequence());
    let mut expected = record(id, "p1", "john", "sbi");
    store.begin(expected.clone()).await.unwrap();
    assert_eq!(store.undecided(None, 9).unwrap(), [(*expected).clone()]);
    let abort = Abort::new(AbortReason::Timeout, "late");
    let decision = Decision::Aborted(abort);
    assert!(store.decide(id.sequence, decision.clone()).await.unwrap());
    assert!(store.decide(id.sequence, decision.clone()).await.unwrap(), "the same again");
    assert!(!store.decide(id.sequence, Decision::Committed).await.unwrap(), "never another");
    Arc::get_mut(&mut expected).unwrap().state = State::Decided(decision);
    close(store);
    let store = open(&directory);
    assert_eq!(store.find("p1").unwrap().as_ref(), Some(&*expected));
    assert_eq!(store.get(id.sequence).unwrap().as_ref(), Some(&*expected));
    assert_eq!(store.history("john", None, 9).unwrap(), [(*expected).clone()]);
    assert_eq!(store.history("jane", None, 9).unwrap(), [(*expected).clone()]);
    assert_eq!(store.history("joh", None, 9).unwrap(), []);
    assert_eq!(store.undecided(None, 9).unwrap(), []);
    assert_eq!(store.unfinished(None, 9).unwrap(), []);
}

#[test]
fn every_start_has_sequences_of_its_own_and_the_store_one_name() {
    let directory = TempDir::new().unwrap();
    let runs: Vec<Run> = (0..3)
        .map(|_| {
            let store = open(&directory);
            let run = store.run();
            close(store);
            run
        })
        .collect();
    assert!(runs.windows(2).all(|pair| pair[0].first_sequence() < pair[1].first_sequence()));
    assert!(runs.iter().all(|run| run.store == runs[0].store));
}

/// What may be done to a payment, by number.
#[derive(Debug, Clone)]
enum Step {
    Begin { one_bank: bool },
    Commit(usize),
    Abort(usize),
    Finish(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<bool>().prop_map(|one_bank| Step::Begin { one_bank }),
        2 => (0..12_usize).prop_map(Step::Commit),
        1 => (0..12_usize).prop_map(Step::Abort),
        1 => (0..12_usize).prop_map(Step::Finish),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The lists say of every payment what its record says.
    #[test]
    fn lists_and_records_agree(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = TempDir::new().unwrap();
        let store = open(&directory);
        let mut model: BTreeMap<Sequence, (Record, bool)> = BTreeMap::new();
        for step in steps {
            runtime.block_on(play(&store, &mut model, step));
        }
        let all = |wanted: &dyn Fn(&(Record, bool)) -> bool| -> Vec<Record> {
            let found = model.values().filter(|entry| wanted(entry));
            found.map(|(record, _)| record.clone()).collect()
        };
        prop_assert_eq!(store.undecided(None, 99).unwrap(), all(&|(r, _)| r.state == State::Initiated));
        prop_assert_eq!(store.unfinished(None, 99).unwrap(), all(&|(_, unfinished)| *unfinished));
        let mut history = store.history("jane", None, 99).unwrap();
        history.reverse();
        prop_assert_eq!(history, all(&|_| true));
    }
}

async fn play(store: &Store, model: &mut BTreeMap<Sequence, (Record, bool)>, step: Step) {
    let run = store.run();
    let nth = |model: &BTreeMap<Sequence, _>, number| model.keys().nth(number).copied();
    match step {
        Step::Begin { one_bank } => {
            let sequence = run.first_sequence() + model.len() as u64;
            let to_bank = if one_bank { "icici" } else { "sbi" };
            let payment_id = format!("p{}", model.len());
            let record = record(run.transaction(sequence), &payment_id, "john", to_bank);
            store.begin(record.clone()).await.unwrap();
            model.insert(sequence, ((*record).clone(), false));
        }
        Step::Commit(number) => {
            decide(store, model, nth(model, number), Decision::Committed).await;
        }
        Step::Abort(number) => {
            let abort = Abort::new(AbortReason::Refused, "no");
            decide(store, model, nth(model, number), Decision::Aborted(abort)).await;
        }
        Step::Finish(number) => {
            let Some(sequence) = nth(model, number) else { return };
            store.finish(sequence).await.unwrap();
            model.get_mut(&sequence).unwrap().1 = false;
        }
    }
}

async fn decide(
    store: &Store,
    model: &mut BTreeMap<Sequence, (Record, bool)>,
    sequence: Option<Sequence>,
    decision: Decision,
) {
    let Some(sequence) = sequence else { return };
    let stands = store.decide(sequence, decision.clone()).await.unwrap();
    let (record, unfinished) = model.get_mut(&sequence).unwrap();
    match &record.state {
        State::Decided(standing) => assert_eq!(stands, *standing == decision),
        State::Initiated => {
            assert!(stands);
            let two_banks = record.order.route() == crate::order::Route::TwoBanks;
            *unfinished = two_banks && decision == Decision::Committed;
            record.state = State::Decided(decision);
        }
    }
}
