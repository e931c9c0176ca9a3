//! Legs that an operator ended: heuristic decisions, as X/Open's XA calls them.
//!
//! A leg whose coordinator is lost would hold its money for ever. An operator may end it by his own word; who
//! did it, why and when is kept for ever, beside the leg. The coordinator's decision may come after all: then
//! it is kept whether the two agree. If they do not, money has moved on one side only, and whoever decided is
//! told so, in place of an acknowledgement.

use super::{LedgerState, LegKey, LegState, Receipt, Refusal, Verdict, two_phase};

/// Ends a prepared leg without a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Force {
    /// Which.
    pub key: LegKey,
    /// How.
    pub end: End,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// How a leg ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// What was promised is posted.
    Commit,
    /// It is given up.
    Abort,
}

/// What is kept of a leg that was forced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Forced {
    /// How.
    pub end: End,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What was decided.
    pub decision: Met,
}

/// How a decision goes with what an operator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Met {
    /// It has not come yet.
    Unknown,
    /// It is the same.
    Agreed,
    /// It is the other one: the payment has one side only.
    Contradicted,
}

pub(super) fn force<S: LedgerState>(state: &mut S, force: &Force) -> Result<Verdict, S::Error> {
    let Force { key, end, by, reason, at_ms } = force;
    let Some(leg) = state.leg(key)? else { return Ok(Err(Refusal::NotPrepared)) };
    let ended = match (leg.state, end) {
        (LegState::Prepared, End::Commit) => LegState::Committed,
        (LegState::Prepared, End::Abort) => LegState::Aborted,
        (LegState::Refused(_), _) => return Ok(Err(Refusal::NotPrepared)),
        (LegState::Committed | LegState::Aborted, _) => {
            let again = state.forced(key)?.is_some_and(|forced| forced.end == *end);
            let over = match leg.state {
                LegState::Committed => Refusal::Committed,
                _ => Refusal::Aborted,
            };
            return Ok(if again { Ok(Receipt::Done) } else { Err(over) });
        }
    };
    two_phase::end(state, key, leg, ended)?;
    let (by, reason) = (by.clone(), reason.clone());
    let forced = Forced { end: *end, by, reason, at_ms: *at_ms, decision: Met::Unknown };
    state.put_forced(key, forced)?;
    Ok(Ok(Receipt::Done))
}

/// A decision on a leg that is over: `otherwise`, unless it was an operator who ended it.
pub(super) fn decided<S: LedgerState>(
    state: &mut S,
    key: &LegKey,
    decision: End,
    otherwise: Verdict,
) -> Result<Verdict, S::Error> {
    let Some(forced) = state.forced(key)? else { return Ok(otherwise) };
    let met = if forced.end == decision { Met::Agreed } else { Met::Contradicted };
    if forced.decision == Met::Unknown {
        state.put_forced(key, Forced { decision: met, ..forced })?;
    } else if forced.decision != met {
        return Ok(otherwise);
    }
    Ok(match met {
        Met::Contradicted => Err(Refusal::Forced),
        Met::Agreed | Met::Unknown => Ok(Receipt::Done),
    })
}
