//! What may be written, by whom, and what a row means: the rules every store keeps.
//!
//! Pure. A store looks up what a rule asks for and applies it in the same transaction, so that of two
//! gateways that contradict each other one comes second. Everything rests on one compare-and-set: a
//! run is fenced once, for good, and whatever it writes comes before that or not at all.

use crate::{
    order::{Order, Route},
    payment::{Abort, AbortReason, Decision, State},
    queue::Queued,
    transaction::{RunNumber, Sequence},
};

#[cfg(test)]
mod tests;

/// Whether a run may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// It may.
    Live,
    /// Never again: its gateway ended, or somebody took it to have ended.
    Fenced,
    /// There was no such run.
    NotMade,
}

/// What became of a new payment's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Begun {
    /// It stands, now or since before.
    Done,
    /// Another payment has the id; nothing was changed.
    Exists,
    /// The run is fenced; nothing was changed.
    Fenced,
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decided {
    /// It stands, now or since before.
    Done,
    /// Another one stands, or only another gateway may decide this; nothing was changed.
    Contradicted,
    /// The run is fenced; nothing was changed.
    Fenced,
}

/// What became of a run's wish to have a block of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Taken {
    /// It has it, now or since before.
    Done,
    /// Another run has it; nothing was changed.
    Elsewhere,
    /// The run is fenced; nothing was changed.
    Fenced,
}

/// A decision about to be written.
#[derive(Debug, Clone, Copy)]
pub struct Deciding<'a> {
    /// The state of the run that writes it.
    pub by: RunState,
    /// The state of the run that made the payment, if that is another.
    pub maker: Option<RunState>,
    /// How the money travels.
    pub route: Route,
    /// What stands in the row.
    pub standing: &'a State,
}

/// The state of run `number`: `live` is what stands of it, if anything does; `last` is the newest
/// run. Who left nothing to be done is forgotten, and stays fenced.
pub fn run_state(number: RunNumber, live: Option<bool>, last: RunNumber) -> RunState {
    match live {
        Some(true) => RunState::Live,
        Some(false) => RunState::Fenced,
        None if number <= last => RunState::Fenced,
        None => RunState::NotMade,
    }
}

/// Whether run `number`, of state `by`, gets a block that `owner` has, if anybody does. Whoever has one keeps
/// it for good: by it everybody knows whether who made a transaction can still decide.
pub fn take(by: RunState, number: RunNumber, owner: Option<RunNumber>) -> Taken {
    match owner {
        Some(owner) if owner == number => Taken::Done,
        _ if by != RunState::Live => Taken::Fenced,
        Some(_) => Taken::Elsewhere,
        None => Taken::Done,
    }
}

/// Whether a row may be written: `same_id` is the payment that has its payment id.
pub fn begin(by: RunState, sequence: Sequence, same_id: Option<Sequence>) -> Begun {
    match same_id {
        Some(found) if found == sequence => Begun::Done,
        _ if by != RunState::Live => Begun::Fenced,
        Some(_) => Begun::Exists,
        None => Begun::Done,
    }
}

/// Whether a decision may be written; it is, if this is `Done` and nothing is decided.
///
/// What a gateway that is gone left undecided between two banks can only be aborted: the votes were
/// for it alone, and others have told banks ABORT by now. Within one bank that bank has decided.
pub fn decide(deciding: Deciding<'_>, decision: &Decision) -> Decided {
    let Deciding { by, maker, route, standing } = deciding;
    if by != RunState::Live {
        return Decided::Fenced;
    }
    match (meaning(standing.clone(), route, maker.unwrap_or(by)), maker) {
        (State::Decided(standing), _) if stands_for(&standing, decision) => Decided::Done,
        (State::Decided(_), _) => Decided::Contradicted,
        (State::Initiated, None | Some(RunState::Fenced)) => Decided::Done,
        (State::Initiated, Some(RunState::Live | RunState::NotMade)) => Decided::Contradicted,
    }
}

/// Whether a decision is written if `standing` is. What was queued may have expired since, which is an
/// abort as well.
fn stands_for(standing: &Decision, decision: &Decision) -> bool {
    let expired =
        matches!(standing, Decision::Aborted(abort) if abort.reason == AbortReason::Expired);
    standing == decision || expired && matches!(decision, Decision::Aborted(_))
}

/// Whether a queued payment's next attempt may be written, of this sequence, after the attempt `after`;
/// `waits` says whether that has its place in the queue, `same_id` which attempt is the payment's newest.
/// Whoever comes second finds the place gone.
pub fn retry(
    by: RunState,
    sequence: Sequence,
    same_id: Option<Sequence>,
    after: Sequence,
    waits: bool,
) -> Begun {
    match same_id {
        Some(found) if found == sequence => Begun::Done,
        _ if by != RunState::Live => Begun::Fenced,
        Some(found) if found == after && waits => Begun::Done,
        _ => Begun::Exists,
    }
}

/// Whether a payment may be moved in the queue, or out of it, by who saw it at `seen`; `standing` is its
/// place, `to` where it goes.
pub fn move_queued(
    by: RunState,
    standing: Option<Queued>,
    seen: Queued,
    to: Option<Queued>,
) -> Decided {
    match standing {
        _ if by != RunState::Live => Decided::Fenced,
        Some(place) if place == seen || to == Some(place) => Decided::Done,
        _ => Decided::Contradicted,
    }
}

/// The place in the queue of a payment that stands undecided: if its gateway is gone it is due as soon
/// as somebody has written that down.
pub fn presumed_place(order: &Order, attempts_before: u32, maker: RunState) -> Option<Queued> {
    let gone = order.may_queue() && maker == RunState::Fenced;
    gone.then(|| Queued { attempts: attempts_before.saturating_add(1), due_ms: 0 })
}

/// What a row means to whoever reads it. What stands undecided between two banks when its run is
/// fenced is aborted, whether that is written down already or not.
pub fn meaning(standing: State, route: Route, maker: RunState) -> State {
    match (standing, route, maker) {
        (State::Initiated, Route::TwoBanks, RunState::Fenced) => {
            State::Decided(Decision::Aborted(Abort::presumed()))
        }
        (standing, _, _) => standing,
    }
}

/// Whether banks have yet to be told of a decision until they acknowledge it.
pub fn is_to_be_told(route: Route, decision: &Decision) -> bool {
    route == Route::TwoBanks && *decision == Decision::Committed
}
