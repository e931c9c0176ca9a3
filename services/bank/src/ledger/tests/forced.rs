//! Legs that operators ended, and decisions that come after all.

use super::*;

const DONE: Verdict = Ok(Receipt::Done);

pub(super) fn force(transaction_id: &str, leg: Leg, end: End) -> Command {
    let (by, reason) = ("admin/1".to_owned(), "the gateway is lost".to_owned());
    Command::Force(Force { key: key(transaction_id, leg), end, by, reason, at_ms: 9 })
}

fn decide(decision: End) -> Command {
    match decision {
        End::Commit => commit("p", Leg::Debit),
        End::Abort => abort("p", Leg::Debit),
    }
}

fn met(state: &MemoryState) -> Met {
    state.all_forced()[&key("p", Leg::Debit)].decision
}

/// A hold of 60 that was forced.
fn forced(end: End) -> MemoryState {
    let mut state = bank();
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(60)), DONE);
    check(&mut state, &force("p", Leg::Debit, end), DONE);
    assert_eq!(met(&state), Met::Unknown);
    state
}

#[test]
fn a_forced_leg_ends_at_once_and_keeps_who_did_it_and_why() {
    let state = forced(End::Commit);
    assert_eq!(balances(&state, "a"), (40, 0, 0));
    assert_eq!(state.positions()[&Internal::Settlement(inr())], 60);
    let forced = &state.all_forced()[&key("p", Leg::Debit)];
    assert_eq!((forced.by.as_str(), forced.reason.as_str()), ("admin/1", "the gateway is lost"));
    assert_eq!(forced.at_ms, 9);
    assert_eq!(balances(&self::forced(End::Abort), "a"), (100, 0, 0));
}

#[test]
fn a_decision_that_agrees_is_acknowledged_and_one_that_does_not_is_told_so() {
    for end in [End::Commit, End::Abort] {
        let mut state = forced(end);
        check(&mut state, &decide(end), DONE);
        assert_eq!(met(&state), Met::Agreed);
    }
    for (end, decision) in [(End::Commit, End::Abort), (End::Abort, End::Commit)] {
        let mut state = forced(end);
        let before = balances(&state, "a");
        check(&mut state, &decide(decision), Err(Refusal::Forced));
        assert_eq!((met(&state), balances(&state, "a")), (Met::Contradicted, before));
    }
}

#[test]
fn only_what_is_held_can_be_forced() {
    let mut state = bank();
    check(&mut state, &force("nothing", Leg::Debit, End::Abort), Err(Refusal::NotPrepared));
    assert!(state.legs().is_empty(), "and no tombstone is left");
    check(
        &mut state,
        &prepare("no", Leg::Debit, "a", rupees(999)),
        Err(Refusal::InsufficientFunds),
    );
    check(&mut state, &force("no", Leg::Debit, End::Commit), Err(Refusal::NotPrepared));
    for (id, decision, refusal) in [
        ("committed", commit("committed", Leg::Debit), Refusal::Committed),
        ("aborted", abort("aborted", Leg::Debit), Refusal::Aborted),
    ] {
        check(&mut state, &prepare(id, Leg::Debit, "a", rupees(1)), DONE);
        check(&mut state, &decision, DONE);
        for end in [End::Commit, End::Abort] {
            check(&mut state, &force(id, Leg::Debit, end), Err(refusal));
        }
    }
    let mut state = forced(End::Abort);
    check(&mut state, &force("p", Leg::Debit, End::Commit), Err(Refusal::Aborted));
    assert_eq!(state.all_forced().len(), 1);
}

#[test]
fn a_gateway_that_asks_again_finds_the_leg_over() {
    let mut state = forced(End::Abort);
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(60)), Err(Refusal::Aborted));
    let mut state = forced(End::Commit);
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(60)), DONE);
    assert_eq!(balances(&state, "a"), (40, 0, 0));
}
