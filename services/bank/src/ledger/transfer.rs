//! A payment between two customers of the bank: one step, once per transaction id.

use super::{
    Account, Entry, LedgerState, Posting, Receipt, Refusal, SpendingLimits, Transfer,
    TransferRecord, Verdict, check_usable, limits,
};
use crate::money::Amount;

/// The verdict, refusals included, is remembered, so that every retry is told the same. Refusals
/// that the body alone explains (a zero amount) leave no record: they cannot come out otherwise.
pub(super) fn apply<S: LedgerState>(
    state: &mut S,
    transfer: &Transfer,
) -> Result<Verdict, S::Error> {
    let Transfer { transaction_id, from, to, amount, .. } = transfer;
    if amount.minor_units <= 0 {
        return Ok(Err(Refusal::InvalidAmount));
    }
    if from == to {
        return Ok(Err(Refusal::SameAccount));
    }
    if let Some(known) = state.transfer(transaction_id)? {
        let same = known.from == *from && known.to == *to && known.amount == *amount;
        return Ok(if same { known.verdict } else { Err(Refusal::Conflict) });
    }
    let verdict = match check(state, transfer)? {
        Ok((payer, payee, limits)) => {
            if let Some(limits) = limits {
                state.put_limits(from, limits)?;
            }
            post(state, transfer, payer, payee)?;
            let available = Amount { minor_units: payer.available, currency: payer.currency };
            Ok(Receipt::Transferred { available })
        }
        Err(refusal) => Err(refusal),
    };
    let record = TransferRecord { from: from.clone(), to: to.clone(), amount: *amount, verdict };
    state.put_transfer(transaction_id, record)?;
    Ok(verdict)
}

/// Both accounts, and the payer's limits, as they are to be afterwards.
type After = (Account, Account, Option<SpendingLimits>);

/// What is to be afterwards, or why it is not.
fn check<S: LedgerState>(
    state: &mut S,
    transfer: &Transfer,
) -> Result<Result<After, Refusal>, S::Error> {
    let Transfer { from, to, amount, at_ms, .. } = transfer;
    let (payer, payee) = (state.account(from)?, state.account(to)?);
    let (Some(payer), Some(payee)) = (payer, payee) else {
        return Ok(Err(Refusal::UnknownAccount));
    };
    let (payer, payee) = match moved(payer, payee, *amount) {
        Ok(moved) => moved,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let limits = limits::count(state, from, amount.minor_units, *at_ms)?;
    Ok(limits.map(|limits| (payer, payee, limits)))
}

fn moved(
    mut payer: Account,
    mut payee: Account,
    amount: Amount,
) -> Result<(Account, Account), Refusal> {
    check_usable(&payer, amount.currency)?;
    check_usable(&payee, amount.currency)?;
    if payer.available < amount.minor_units {
        return Err(Refusal::InsufficientFunds);
    }
    if !payee.has_room_for(amount.minor_units) {
        return Err(Refusal::Overflow);
    }
    payer.available -= amount.minor_units;
    payee.available += amount.minor_units;
    Ok((payer, payee))
}

fn post<S: LedgerState>(
    state: &mut S,
    transfer: &Transfer,
    payer: Account,
    payee: Account,
) -> Result<(), S::Error> {
    state.put_account(&transfer.from, payer)?;
    state.put_account(&transfer.to, payee)?;
    state.append(Posting {
        transaction_id: &transfer.transaction_id,
        amount: transfer.amount.minor_units,
        to: Entry { account: &transfer.to, balance_after: payee.balance().into() },
        from: Entry { account: &transfer.from, balance_after: payer.balance().into() },
    })
}
