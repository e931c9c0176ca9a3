//! What a bank in doubt is told: the presumption of abort, with several gateways about.
//!
//! Pure. ABORT may be said only of what never commits. That a gateway finds no row, or one that is
//! not decided, says nothing as long as the gateway that made the transaction may still write one. It
//! may not any more once its run is fenced: from then on the store takes no decision of it.

use crate::{
    order::Route,
    payment::{Decision, State},
};

/// What a bank in doubt is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Decided: commit.
    Commit,
    /// Decided, or never to be: abort.
    Abort,
    /// Not decided yet.
    StillActive,
}

/// Who may decide a transaction, as known before its row was read, or in the same snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// This gateway; whether the payment is under way here.
    Ours {
        /// It is not decided, or not durably.
        under_way: bool,
    },
    /// Another gateway that may still write.
    Live,
    /// A gateway whose writes are refused.
    Fenced,
    /// Nobody: no gateway has made such a transaction.
    Nobody,
}

/// What a bank is told of a transaction of this row, if there is one; `None` if it was never made
/// here, which may mean that the store is an old copy: then nobody knows.
pub fn of(row: Option<(Route, &State)>, decider: Decider) -> Option<Standing> {
    use Decider::{Fenced, Live, Nobody, Ours};
    let standing = match (row, decider) {
        (Some((_, State::Decided(Decision::Committed))), _) => Standing::Commit,
        (Some((_, State::Decided(Decision::Aborted(_)))), _) => Standing::Abort,
        (Some((Route::TwoBanks, State::Initiated)) | None, Fenced) => Standing::Abort,
        // Within one bank that bank decides, and is asked until it answers.
        (Some((_, State::Initiated)), _) => Standing::StillActive,
        (None, Ours { under_way: true } | Live) => Standing::StillActive,
        // Its row came second to another's, or was never written.
        (None, Ours { under_way: false }) => Standing::Abort,
        (None, Nobody) => return None,
    };
    Some(standing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::Abort;

    const DECIDERS: [Decider; 5] = [
        Decider::Ours { under_way: true },
        Decider::Ours { under_way: false },
        Decider::Live,
        Decider::Fenced,
        Decider::Nobody,
    ];

    fn check(row: Option<(Route, &State)>, expected: [Option<Standing>; 5]) {
        assert_eq!(DECIDERS.map(|decider| of(row, decider)), expected, "{row:?}");
    }

    #[test]
    fn a_decision_is_told_whoever_made_it() {
        let aborted = State::Decided(Decision::Aborted(Abort::presumed()));
        for route in [Route::OneBank, Route::TwoBanks] {
            check(Some((route, &State::Decided(Decision::Committed))), [Some(Standing::Commit); 5]);
            check(Some((route, &aborted)), [Some(Standing::Abort); 5]);
        }
    }

    #[test]
    fn abort_is_presumed_only_where_nobody_can_commit_any_more() {
        let (active, abort) = (Some(Standing::StillActive), Some(Standing::Abort));
        check(None, [active, abort, active, abort, None]);
        let initiated = State::Initiated;
        check(Some((Route::TwoBanks, &initiated)), [active, active, active, abort, active]);
        check(Some((Route::OneBank, &initiated)), [active; 5]);
    }
}
