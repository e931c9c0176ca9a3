//! What every store must do with gateways' runs: beats, fences, blocks of ids.

use super::*;

/// Every test, in turn.
pub(super) async fn check<S: Store>(mut fresh: impl AsyncFnMut() -> S) {
    a_fenced_run_writes_nothing(fresh().await).await;
    what_a_fenced_run_left_undecided_is_aborted(fresh().await).await;
    runs_beat_are_fenced_and_forgotten(fresh().await).await;
    a_block_belongs_to_one_run_for_good(fresh().await).await;
    payments_of_a_block_are_its_runs(fresh().await).await;
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
