//! Random payments, played on a store and on a model of it: the lists say of each what its record says.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use super::*;

/// A dozen sequences of steps, each on a store of its own.
pub(super) async fn check<S: Store>(mut fresh: impl AsyncFnMut() -> S) {
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..12 {
        let steps = prop::collection::vec(step(), 1..40).new_tree(&mut runner).unwrap().current();
        lists_and_records_agree(fresh().await, steps).await;
    }
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

type Model = BTreeMap<Sequence, (Record, bool)>;

/// The lists say of every payment what its record says.
async fn lists_and_records_agree<S: Store>(store: S, steps: Vec<Step>) {
    let run = store.start("one").await.unwrap();
    let mut model = Model::new();
    for step in steps.clone() {
        play(&store, run, &mut model, step).await;
    }
    events::agree(&store, model.values().map(|(record, _)| record)).await;
    let all = |wanted: &dyn Fn(&(Record, bool)) -> bool| -> Vec<Record> {
        let found = model.values().filter(|entry| wanted(entry));
        found.map(|(record, _)| record.clone()).collect()
    };
    let unfinished = store.unfinished(run.number, None, 99).await.unwrap();
    assert_eq!(unfinished, all(&|(_, unfinished)| *unfinished), "{steps:?}");
    let mut history = store.history("jane", None, 99).await.unwrap();
    history.reverse();
    assert_eq!(history, all(&|_| true), "{steps:?}");
    store.fence(run.number).await.unwrap();
    let undecided = store.orphans(None, 99).await.unwrap();
    assert_eq!(undecided, all(&|(record, _)| record.state == State::Initiated), "{steps:?}");
}

async fn play<S: Store>(store: &S, run: Run, model: &mut Model, step: Step) {
    let nth = |model: &Model, number| model.keys().nth(number).copied();
    match step {
        Step::Begin { one_bank } => {
            let (number, to) = (model.len() as u64, if one_bank { "icici" } else { "sbi" });
            let record = begun(store, run, number, &format!("p{number}"), to).await;
            model.insert(record.id.sequence, ((*record).clone(), false));
        }
        Step::Commit(number) => {
            decide(store, run, model, nth(model, number), Decision::Committed).await;
        }
        Step::Abort(number) => decide(store, run, model, nth(model, number), aborted()).await,
        Step::Finish(number) => {
            let Some(sequence) = nth(model, number) else { return };
            assert!(store.finish(run.number, sequence).await.unwrap());
            model.get_mut(&sequence).unwrap().1 = false;
        }
    }
}

async fn decide<S: Store>(
    store: &S,
    run: Run,
    model: &mut Model,
    sequence: Option<Sequence>,
    decision: Decision,
) {
    let Some(sequence) = sequence else { return };
    let (record, unfinished) = model.get_mut(&sequence).unwrap();
    let written = store.decide(run.number, verdict(record, decision.clone())).await.unwrap();
    match &record.state {
        State::Decided(standing) => {
            assert_eq!(written == Decided::Done, *standing == decision);
        }
        State::Initiated => {
            assert_eq!(written, Decided::Done);
            *unfinished = rules::is_to_be_told(record.order.route(), &decision);
            record.state = State::Decided(decision);
        }
    }
}
