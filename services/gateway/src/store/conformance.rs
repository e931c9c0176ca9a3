//! What every store must do. Each test is given stores with nothing in them; two gateways may write.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use super::*;
use crate::{
    order::{Account, Money, Order},
    payment::{Abort, AbortReason, State},
    transaction::{BLOCK_MAX, TransactionId, sequences_of},
};

pub(crate) mod events;
mod queue;

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
    a_fenced_run_writes_nothing(fresh().await).await;
    what_a_fenced_run_left_undecided_is_aborted(fresh().await).await;
    runs_beat_are_fenced_and_forgotten(fresh().await).await;
    a_block_belongs_to_one_run_for_good(fresh().await).await;
    payments_of_a_block_are_its_runs(fresh().await).await;
    lists_are_read_in_pages(fresh().await).await;
    odd_names_and_details_are_kept(fresh().await).await;
    events::check(&mut fresh).await;
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..12 {
        let steps = prop::collection::vec(step(), 1..40).new_tree(&mut runner).unwrap().current();
        lists_and_records_agree(fresh().await, steps).await;
    }
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

async fn a_fenced_run_writes_nothing<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let undecided = begun(&store, one, 0, "p1", "sbi").await;
    let committed = begun(&store, one, 1, "p2", "sbi").await;
    let commit = verdict(&committed, Decision::Committed);
    assert_eq!(store.decide(one.number, commit).await.unwrap(), Decided::Done);
    let theirs = verdict(&undecided, presumed());
    assert_eq!(
        store.decide(two.number, theirs).await.unwrap(),
        Decided::Contradicted,
        "its maker lives"
    );
    assert!(store.fence(one.number).await.unwrap());
    assert!(!store.fence(one.number).await.unwrap(), "once");
    assert!(!store.beat(one.number).await.unwrap());
    let late = record(one.transaction(one.first_sequence() + 2), "p3", "sbi");
    assert_eq!(store.begin(late).await.unwrap(), Begun::Fenced);
    assert_eq!(store.find("p3").await.unwrap(), None);
    let commit = verdict(&undecided, Decision::Committed);
    assert_eq!(store.decide(one.number, commit.clone()).await.unwrap(), Decided::Fenced);
    assert_eq!(store.decide(two.number, commit).await.unwrap(), Decided::Contradicted);
    assert!(!store.finish(one.number, committed.id.sequence).await.unwrap());
    let open = store.unfinished(two.number, None, 9).await.unwrap();
    assert_eq!(open, [decided(&committed, Decision::Committed)]);
    assert!(store.finish(two.number, committed.id.sequence).await.unwrap());
    assert_eq!(store.unfinished(two.number, None, 9).await.unwrap(), []);
}

async fn what_a_fenced_run_left_undecided_is_aborted<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let two_banks = begun(&store, one, 0, "p1", "sbi").await;
    let one_bank = begun(&store, one, 1, "p2", "icici").await;
    let others = begun(&store, two, 0, "p3", "sbi").await;
    assert_eq!(store.orphans(None, 9).await.unwrap(), []);
    store.fence(one.number).await.unwrap();
    let standing = [(*two_banks).clone(), (*one_bank).clone()];
    assert_eq!(store.orphans(None, 9).await.unwrap(), standing, "as they stand");
    let check_read = async || {
        let expected = decided(&two_banks, presumed());
        assert_eq!(store.find("p1").await.unwrap().as_ref(), Some(&expected));
        let found = store.get(two_banks.id.sequence).await.unwrap();
        assert_eq!(found, Found { record: Some(expected.clone()), maker: RunState::Fenced });
        assert_eq!(store.find("p3").await.unwrap().as_ref(), Some(&*others));
        expected
    };
    check_read().await;
    let history = store.history("john", None, 9).await.unwrap();
    assert!(history.contains(&check_read().await) && history.contains(&one_bank));
    assert_eq!(store.find("p2").await.unwrap().as_ref(), Some(&*one_bank));
    store.forget(one.number).await.unwrap();
    check_read().await;
    let verdicts = vec![
        verdict(&two_banks, aborted()),
        verdict(&two_banks, presumed()),
        verdict(&one_bank, Decision::Committed),
    ];
    let written = store.decide_all(two.number, verdicts).await.unwrap();
    assert_eq!(written, [Decided::Contradicted, Decided::Done, Decided::Done]);
    check_read().await;
    assert_eq!(store.orphans(None, 9).await.unwrap(), []);
    let expected = Some(decided(&one_bank, Decision::Committed));
    assert_eq!(store.find("p2").await.unwrap(), expected);
    assert_eq!(store.unfinished(two.number, None, 9).await.unwrap(), [], "one bank knows");
}

async fn runs_beat_are_fenced_and_forgotten<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    assert!(one.number < two.number);
    assert!(store.beat(one.number).await.unwrap() && store.beat(one.number).await.unwrap());
    let entry = |run: Run, gateway: &str, beats, live| RunEntry {
        number: run.number,
        gateway: gateway.to_owned(),
        beats,
        live,
    };
    let live = [entry(one, "one", 2, true), entry(two, "two", 0, true)];
    assert_eq!(store.runs().await.unwrap(), live);
    store.forget(one.number).await.unwrap();
    assert_eq!(store.runs().await.unwrap(), live, "who lives is not forgotten");
    assert!(store.fence(one.number).await.unwrap());
    assert_eq!(store.runs().await.unwrap()[0], entry(one, "one", 2, false));
    store.forget(one.number).await.unwrap();
    assert_eq!(store.runs().await.unwrap(), live[1..]);
    assert_eq!(store.get(one.first_sequence()).await.unwrap().maker, RunState::Fenced);
    assert!(!store.beat(one.number).await.unwrap() && !store.fence(one.number).await.unwrap());
    let three = store.start("three").await.unwrap();
    assert!(two.number < three.number);
}

async fn a_block_belongs_to_one_run_for_good<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let first = sequences_of(7, 1).start;
    assert_eq!(store.last_block().await.unwrap(), None);
    assert_eq!(store.get(first).await.unwrap().maker, RunState::NotMade);
    for (run, block, taken) in [
        (one, 7, Taken::Done),
        (one, 7, Taken::Done),
        (two, 7, Taken::Elsewhere),
        (two, BLOCK_MAX, Taken::Done),
        (two, 8, Taken::Done),
    ] {
        assert_eq!(store.take(run.number, block).await.unwrap(), taken, "{block}");
    }
    assert_eq!(store.last_block().await.unwrap(), Some(BLOCK_MAX));
    assert_eq!(store.get(first).await.unwrap().maker, RunState::Live);
    store.fence(one.number).await.unwrap();
    for forgotten in [false, true] {
        assert_eq!(store.get(first).await.unwrap().maker, RunState::Fenced, "{forgotten}");
        assert_eq!(store.take(one.number, 9).await.unwrap(), Taken::Fenced);
        assert_eq!(store.take(two.number, 7).await.unwrap(), Taken::Elsewhere);
        store.forget(one.number).await.unwrap();
    }
    let unknown = sequences_of(9, 1).start;
    assert_eq!(store.get(unknown).await.unwrap(), Found { record: None, maker: RunState::NotMade });
}

async fn payments_of_a_block_are_its_runs<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    store.take(one.number, 7).await.unwrap();
    let of_block = async |number, to| {
        let id = one.transaction(sequences_of(7, 9).start + number);
        let record = record(id, &format!("p{number}"), to);
        assert_eq!(store.begin(record.clone()).await.unwrap(), Begun::Done);
        record
    };
    let (open, late) = (of_block(0, "sbi").await, of_block(1, "sbi").await);
    let committed = of_block(2, "sbi").await;
    let commit = verdict(&committed, Decision::Committed);
    let by = |run: Run| store.decide(run.number, commit.clone());
    assert_eq!(by(two).await.unwrap(), Decided::Contradicted, "its maker lives");
    assert_eq!(by(one).await.unwrap(), Decided::Done);
    let expected = [decided(&committed, Decision::Committed)];
    assert_eq!(store.unfinished(one.number, None, 9).await.unwrap(), expected);
    assert_eq!(store.unfinished(two.number, None, 9).await.unwrap(), []);
    store.fence(one.number).await.unwrap();
    assert_eq!(store.unfinished(two.number, None, 9).await.unwrap(), expected);
    assert_eq!(store.orphans(None, 9).await.unwrap(), [(*open).clone(), (*late).clone()]);
    let after = record(one.transaction(sequences_of(7, 9).start + 3), "p3", "sbi");
    assert_eq!(store.begin(after).await.unwrap(), Begun::Fenced);
    let found = store.get(open.id.sequence).await.unwrap();
    let aborted = decided(&open, presumed());
    assert_eq!(found, Found { record: Some(aborted.clone()), maker: RunState::Fenced });
    assert_eq!(store.find("p0").await.unwrap(), Some(aborted.clone()));
    let abort = verdict(&open, presumed());
    assert_eq!(store.decide(two.number, abort).await.unwrap(), Decided::Done);
    assert!(store.history("john", None, 9).await.unwrap().contains(&aborted));
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
