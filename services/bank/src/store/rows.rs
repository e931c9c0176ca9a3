//! How what a ledger remembers is written in the rows of a store, whichever store that is.

use crate::{
    ledger::{
        Account, AccountState, End, Forced, LegBody, LegRecord, LegState, Met, Receipt, Refusal,
        SpendingLimits, TransferRecord, Verdict,
    },
    money::{Amount, Currency},
};

/// State, currency, available, held, incoming.
pub(super) type AccountRow = (u8, [u8; 3], i64, i64, i64);
/// State, account (empty for a tombstone), minor units, currency, coordinator, prepared at (ms).
pub(super) type LegRow<'a> = (u8, &'a str, i64, [u8; 3], &'a str, u64);
/// From, to, minor units, currency, refusal (0: none), payer's available balance afterwards.
pub(super) type TransferRow<'a> = (&'a str, &'a str, i64, [u8; 3], u8, i64);

/// Per payment and per day (none: any amount), day, used.
pub(super) type LimitsRow = (Option<i64>, Option<i64>, u32, i64);

/// How, by whom, why, when (ms), what was decided.
pub(super) type ForcedRow<'a> = (u8, &'a str, &'a str, u64, u8);

/// What this program cannot have written; names the thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unknown(pub(super) &'static str);

/// Of a forced leg whose decision is not known.
pub(super) const UNKNOWN: u8 = 0;
/// Added to a refusal's number where a leg's state is written.
const REFUSED: u8 = 100;

pub(super) fn account_row(account: &Account) -> AccountRow {
    let Account { state, currency, available, held, incoming } = *account;
    let state = match state {
        AccountState::Active => 0,
        AccountState::Frozen => 1,
    };
    (state, currency.as_bytes(), available, held, incoming)
}

pub(super) fn account(row: AccountRow) -> Result<Account, Unknown> {
    let (state, code, available, held, incoming) = row;
    let state = match state {
        0 => AccountState::Active,
        1 => AccountState::Frozen,
        _ => return Err(Unknown("an account's state")),
    };
    Ok(Account { state, currency: currency(code)?, available, held, incoming })
}

pub(super) fn limits_row(limits: &SpendingLimits) -> LimitsRow {
    let SpendingLimits { per_payment, per_day, day, used } = *limits;
    (per_payment, per_day, day, used)
}

pub(super) fn limits(row: LimitsRow) -> SpendingLimits {
    let (per_payment, per_day, day, used) = row;
    SpendingLimits { per_payment, per_day, day, used }
}

/// Stands in the row of a leg without a body: ISO 4217's code for no currency.
const NO_CURRENCY: [u8; 3] = *b"XXX";

pub(super) fn leg_row(leg: &LegRecord) -> LegRow<'_> {
    let state = match leg.state {
        LegState::Prepared => 0,
        LegState::Committed => 1,
        LegState::Aborted => 2,
        LegState::Refused(refusal) => REFUSED + refusal.code(),
    };
    match &leg.body {
        None => (state, "", 0, NO_CURRENCY, "", leg.prepared_at_ms),
        Some(LegBody { account_id, amount, coordinator }) => {
            let code = amount.currency.as_bytes();
            (state, account_id, amount.minor_units, code, coordinator, leg.prepared_at_ms)
        }
    }
}

pub(super) fn leg(row: LegRow<'_>) -> Result<LegRecord, Unknown> {
    let (state, account_id, minor_units, code, coordinator, prepared_at_ms) = row;
    let state = match state {
        0 => LegState::Prepared,
        1 => LegState::Committed,
        2 => LegState::Aborted,
        _ => {
            let refusal = state.checked_sub(REFUSED).and_then(Refusal::from_code);
            LegState::Refused(refusal.ok_or(Unknown("a leg's state"))?)
        }
    };
    let amount = Amount { minor_units, currency: currency(code)? };
    let body = (!account_id.is_empty()).then(|| LegBody {
        account_id: account_id.to_owned(),
        amount,
        coordinator: coordinator.to_owned(),
    });
    Ok(LegRecord { body, state, prepared_at_ms })
}

pub(super) fn forced_row(forced: &Forced) -> ForcedRow<'_> {
    let Forced { end, by, reason, at_ms, decision } = forced;
    let end = match end {
        End::Commit => 1,
        End::Abort => 2,
    };
    let decision = match decision {
        Met::Unknown => UNKNOWN,
        Met::Agreed => 1,
        Met::Contradicted => 2,
    };
    (end, by, reason, *at_ms, decision)
}

pub(super) fn forced(row: ForcedRow<'_>) -> Result<Forced, Unknown> {
    let (end, by, reason, at_ms, decision) = row;
    let end = match end {
        1 => End::Commit,
        2 => End::Abort,
        _ => return Err(Unknown("how a leg was forced")),
    };
    let decision = match decision {
        UNKNOWN => Met::Unknown,
        1 => Met::Agreed,
        2 => Met::Contradicted,
        _ => return Err(Unknown("what was decided of a forced leg")),
    };
    Ok(Forced { end, by: by.to_owned(), reason: reason.to_owned(), at_ms, decision })
}

pub(super) fn transfer_row(transfer: &TransferRecord) -> TransferRow<'_> {
    let (refusal, available) = match transfer.verdict {
        Ok(Receipt::Transferred { available }) => (0, available.minor_units),
        Ok(Receipt::Done) => (0, 0),
        Err(refusal) => (refusal.code(), 0),
    };
    let TransferRecord { from, to, amount, .. } = transfer;
    (from, to, amount.minor_units, amount.currency.as_bytes(), refusal, available)
}

pub(super) fn transfer(row: TransferRow<'_>) -> Result<TransferRecord, Unknown> {
    let (from, to, minor_units, code, refusal, available) = row;
    let currency = currency(code)?;
    let verdict: Verdict = match refusal {
        0 => {
            let available = Amount { minor_units: available, currency };
            Ok(Receipt::Transferred { available })
        }
        _ => Err(Refusal::from_code(refusal).ok_or(Unknown("a transfer's refusal"))?),
    };
    let amount = Amount { minor_units, currency };
    Ok(TransferRecord { from: from.to_owned(), to: to.to_owned(), amount, verdict })
}

pub(super) fn currency(code: [u8; 3]) -> Result<Currency, Unknown> {
    Currency::from_bytes(code).ok_or(Unknown("a currency"))
}
