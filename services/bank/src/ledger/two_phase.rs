//! One leg of a payment between banks: prepare, then commit or abort, in any order and any number
//! of times.
//!
//! A YES is a promise that nothing can break: a debit's money is held, a credit's is counted as
//! incoming (no balance is locked; the count only keeps the sum countable). A NO is final: it is
//! remembered, and every retry of the prepare gets the same NO, even if the account could pay by
//! then. Voting YES after a NO would be unsafe: the coordinator may have decided ABORT on the
//! first answer, and nobody would come to release the hold. An abort before the prepare leaves a
//! tombstone for the same reason. Whatever a fenced run of a gateway has not prepared yet gets a NO.

use super::{
    Account, End, GatewayRun, Internal, LedgerState, Leg, LegKey, LegRecord, LegState, Prepare,
    Receipt, Refusal, SpendingLimits, Verdict, check_usable, forced, limits, post_internally,
};

pub(super) fn prepare<S: LedgerState>(
    state: &mut S,
    prepare: &Prepare,
) -> Result<Verdict, S::Error> {
    let Prepare { key, body, at_ms, maker } = prepare;
    if body.amount.minor_units <= 0 {
        return Ok(Err(Refusal::InvalidAmount));
    }
    if let Some(known) = state.leg(key)? {
        return Ok(vote_again(&known, prepare));
    }
    // As final as a NO that is written down.
    if let Some(maker) = maker
        && state.is_fenced(*maker)?
    {
        return Ok(Err(Refusal::Fenced));
    }
    let promised = match state.account(&body.account_id)? {
        Some(account) => promise(state, account, prepare)?,
        None => Err(Refusal::UnknownAccount),
    };
    let leg_state = match promised {
        Ok((account, limits)) => {
            state.put_account(&body.account_id, account)?;
            if let Some(limits) = limits {
                state.put_limits(&body.account_id, limits)?;
            }
            LegState::Prepared
        }
        Err(refusal) => LegState::Refused(refusal),
    };
    let record = LegRecord { body: Some(body.clone()), state: leg_state, prepared_at_ms: *at_ms };
    state.put_leg(key, record)?;
    Ok(promised.map(|_| Receipt::Done))
}

/// What was voted before stands; a leg that is over votes as it ended.
fn vote_again(known: &LegRecord, prepare: &Prepare) -> Verdict {
    if known.body.as_ref().is_some_and(|body| *body != prepare.body) {
        return Err(Refusal::Conflict);
    }
    match known.state {
        LegState::Prepared | LegState::Committed => Ok(Receipt::Done),
        LegState::Aborted => Err(Refusal::Aborted),
        LegState::Refused(refusal) => Err(refusal),
    }
}

/// The account with the promise made, and its limits if that counts.
type Promised = (Account, Option<SpendingLimits>);

/// Makes the promise, or says why not.
fn promise<S: LedgerState>(
    state: &mut S,
    account: Account,
    prepare: &Prepare,
) -> Result<Result<Promised, Refusal>, S::Error> {
    let Prepare { key, body, at_ms, .. } = prepare;
    let account = match promised(account, prepare) {
        Ok(account) => account,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if key.leg == Leg::Credit {
        return Ok(Ok((account, None)));
    }
    let limits = limits::count(state, &body.account_id, body.amount.minor_units, *at_ms)?;
    Ok(limits.map(|limits| (account, limits)))
}

/// The account with the promise made, whatever its limits.
fn promised(mut account: Account, prepare: &Prepare) -> Result<Account, Refusal> {
    let amount = prepare.body.amount;
    check_usable(&account, amount.currency)?;
    match prepare.key.leg {
        Leg::Debit if account.available < amount.minor_units => {
            return Err(Refusal::InsufficientFunds);
        }
        Leg::Debit => {
            account.available -= amount.minor_units;
            account.held += amount.minor_units;
        }
        Leg::Credit if !account.has_room_for(amount.minor_units) => return Err(Refusal::Overflow),
        Leg::Credit => account.incoming += amount.minor_units,
    }
    Ok(account)
}

/// A gateway that was taken over from, and wakes up, is not to hold money for payments that others have
/// aborted. What it decided before is true, so that only prepares are refused.
pub(super) fn fence<S: LedgerState>(state: &mut S, run: GatewayRun) -> Result<Verdict, S::Error> {
    state.fence(run)?;
    Ok(Ok(Receipt::Done))
}

pub(super) fn commit<S: LedgerState>(state: &mut S, key: &LegKey) -> Result<Verdict, S::Error> {
    let Some(leg) = state.leg(key)? else { return Ok(Err(Refusal::NotPrepared)) };
    match leg.state {
        LegState::Committed => forced::decided(state, key, End::Commit, Ok(Receipt::Done)),
        LegState::Aborted => forced::decided(state, key, End::Commit, Err(Refusal::Aborted)),
        LegState::Refused(_) => Ok(Err(Refusal::NotPrepared)),
        LegState::Prepared => {
            end(state, key, leg, LegState::Committed)?;
            Ok(Ok(Receipt::Done))
        }
    }
}

pub(super) fn abort<S: LedgerState>(state: &mut S, key: &LegKey) -> Result<Verdict, S::Error> {
    let Some(leg) = state.leg(key)? else {
        let tombstone = LegRecord { body: None, state: LegState::Aborted, prepared_at_ms: 0 };
        state.put_leg(key, tombstone)?;
        return Ok(Ok(Receipt::Done));
    };
    match leg.state {
        LegState::Refused(_) => Ok(Ok(Receipt::Done)),
        LegState::Aborted => forced::decided(state, key, End::Abort, Ok(Receipt::Done)),
        LegState::Committed => forced::decided(state, key, End::Abort, Err(Refusal::Committed)),
        LegState::Prepared => {
            end(state, key, leg, LegState::Aborted)?;
            Ok(Ok(Receipt::Done))
        }
    }
}

/// Ends a prepared leg: what was promised is given or taken back.
pub(super) fn end<S: LedgerState>(
    state: &mut S,
    key: &LegKey,
    leg: LegRecord,
    ended: LegState,
) -> Result<(), S::Error> {
    let body = leg.body.as_ref().expect("a prepared leg has a body");
    let (account_id, amount) = (&body.account_id, body.amount.minor_units);
    let account = state.account(account_id)?;
    let mut account = account.expect("an account with a prepared leg is never closed");
    let committed = ended == LegState::Committed;
    match key.leg {
        Leg::Debit => account.held -= amount,
        Leg::Credit => account.incoming -= amount,
    }
    if committed == (key.leg == Leg::Credit) {
        account.available += amount;
    }
    state.put_account(account_id, account)?;
    if !committed && key.leg == Leg::Debit {
        limits::give_back(state, account_id, amount, leg.prepared_at_ms)?;
    }
    if committed {
        let signed = if key.leg == Leg::Debit { -amount } else { amount };
        let against = Internal::Settlement(body.amount.currency);
        post_internally(state, &key.transaction_id, account_id, signed, account, against)?;
    }
    state.put_leg(key, LegRecord { state: ended, ..leg })
}
