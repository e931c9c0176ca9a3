//! How much an account may pay: per payment, and per day.
//!
//! A debit counts when its money is held or moved, and an abort of the same day gives it back. Days are
//! those of UTC, by the clock of the server that takes the command. They only go forward: a debit by a
//! clock that is behind counts on the newest day seen. Of two errors that clocks can cause, too little
//! left for today is the one that is made.

use super::{LedgerState, Receipt, Refusal, SetAccountState, SetLimits, SpendingLimits, Verdict};

const DAY_MS: u64 = 86_400_000;

/// The day of a time in milliseconds since the Unix epoch, counted from it.
pub(super) fn day_of(at_ms: u64) -> u32 {
    u32::try_from(at_ms / DAY_MS).unwrap_or(u32::MAX)
}

impl SpendingLimits {
    /// With `amount` counted on the day of `at_ms`, or which limit it would exceed.
    pub(super) fn counted(mut self, amount: i64, at_ms: u64) -> Result<Self, Refusal> {
        if self.per_payment.is_some_and(|most| amount > most) {
            return Err(Refusal::LimitPerPayment);
        }
        let today = day_of(at_ms);
        if today > self.day {
            (self.day, self.used) = (today, 0);
        }
        let used = self.used.checked_add(amount).ok_or(Refusal::LimitPerDay)?;
        if self.per_day.is_some_and(|most| used > most) {
            return Err(Refusal::LimitPerDay);
        }
        self.used = used;
        Ok(self)
    }

    /// With `amount`, that was counted at `at_ms`, given back if that was on the newest day.
    fn given_back(mut self, amount: i64, at_ms: u64) -> Self {
        if day_of(at_ms) == self.day {
            self.used = (self.used - amount).max(0);
        }
        self
    }

    /// What may still be spent on the day of `at_ms`; `None`: any amount.
    pub fn left(&self, at_ms: u64) -> Option<i64> {
        let used = if day_of(at_ms) > self.day { 0 } else { self.used };
        self.per_day.map(|most| (most - used).max(0))
    }
}

/// The account's limits with a debit counted, if it has any.
pub(super) fn count<S: LedgerState>(
    state: &mut S,
    account_id: &str,
    amount: i64,
    at_ms: u64,
) -> Result<Result<Option<SpendingLimits>, Refusal>, S::Error> {
    let limits = state.limits(account_id)?;
    Ok(limits.map(|limits| limits.counted(amount, at_ms)).transpose())
}

/// Gives back a debit that was counted at `at_ms`, if the account has limits.
pub(super) fn give_back<S: LedgerState>(
    state: &mut S,
    account_id: &str,
    amount: i64,
    at_ms: u64,
) -> Result<(), S::Error> {
    match state.limits(account_id)? {
        Some(limits) => state.put_limits(account_id, limits.given_back(amount, at_ms)),
        None => Ok(()),
    }
}

/// From the first limits on, debits are counted; what is held then counts on that day. Should a clock that is
/// ahead have held some of it on a later one, it counts there: an abort gives back only what counts on the day
/// of its prepare.
pub(super) fn set<S: LedgerState>(state: &mut S, set: &SetLimits) -> Result<Verdict, S::Error> {
    let SetLimits { account_id, per_payment, per_day, at_ms } = set;
    if per_payment.is_some_and(|most| most < 0) || per_day.is_some_and(|most| most < 0) {
        return Ok(Err(Refusal::InvalidAmount));
    }
    let Some(account) = state.account(account_id)? else {
        return Ok(Err(Refusal::UnknownAccount));
    };
    let (day, used) = match state.limits(account_id)? {
        Some(known) => (known.day, known.used),
        None => {
            let held_at_ms = state.newest_hold_ms(account_id)?.unwrap_or(0);
            (day_of(held_at_ms.max(*at_ms)), account.held)
        }
    };
    let limits = SpendingLimits { per_payment: *per_payment, per_day: *per_day, day, used };
    state.put_limits(account_id, limits)?;
    Ok(Ok(Receipt::Done))
}

/// Freezes an account, or lets it take part again. What was promised before is kept.
pub(super) fn set_state<S: LedgerState>(
    state: &mut S,
    set: &SetAccountState,
) -> Result<Verdict, S::Error> {
    let SetAccountState { account_id, state: wanted } = set;
    let Some(mut account) = state.account(account_id)? else {
        return Ok(Err(Refusal::UnknownAccount));
    };
    if account.state != *wanted {
        account.state = *wanted;
        state.put_account(account_id, account)?;
    }
    Ok(Ok(Receipt::Done))
}
