//! The ledger: a pure double-entry state machine.
//!
//! [`apply`] takes a state and a command and says what became of it: a receipt, or a refusal by
//! name. It has no clock, no randomness and no I/O; the state is a [`LedgerState`], in memory
//! ([`MemoryState`]) or in a database transaction. Every command may be repeated at any time: the
//! same command gets the same verdict, and money moves once.
//!
//! Every movement is posted twice, with opposite signs: between two customers, between a customer
//! and the settlement account (the other half is at another bank), or, when an account is opened,
//! between it and the opening account. So all balances of a bank sum to zero, always.

mod forced;
mod limits;
mod memory;
mod state;
mod transfer;
mod two_phase;

pub use forced::{End, Force, Forced, Met};
pub use memory::MemoryState;
pub use state::{
    Account, AccountState, Entry, Internal, LedgerState, LegBody, LegKey, LegRecord, LegState,
    Posting, SpendingLimits, TransferRecord,
};
use thiserror::Error;

use crate::money::{Amount, Currency};

/// What can be asked of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Opens a customer's account with a balance.
    OpenAccount(OpenAccount),
    /// Moves money between two customers of this bank.
    Transfer(Transfer),
    /// Votes on one leg of a transaction between banks, and keeps the promise a YES is.
    Prepare(Prepare),
    /// Posts a prepared leg.
    Commit(LegKey),
    /// Gives up a leg, prepared or not yet.
    Abort(LegKey),
    /// Refuses what a run of a gateway has yet to prepare.
    Fence(GatewayRun),
    /// Ends a prepared leg without a decision, by an operator's word.
    Force(Force),
    /// Freezes an account, or lets it take part again.
    SetAccountState(SetAccountState),
    /// Says how much an account may pay.
    SetLimits(SetLimits),
}

/// An account as it is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAccount {
    /// Unique in the bank.
    pub account_id: String,
    /// Not negative.
    pub balance: Amount,
    /// Whether it may pay and be paid.
    pub state: AccountState,
    /// Chosen by the caller, kept across retries: who repeats it is told that it is done, anybody else that
    /// the account exists. `None` where a store is filled for the first time, which is done once.
    pub transaction_id: Option<String>,
}

/// A payment within the bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Chosen by the caller, kept across retries.
    pub transaction_id: String,
    /// Who pays.
    pub from: String,
    /// Who is paid.
    pub to: String,
    /// Positive.
    pub amount: Amount,
    /// When, in milliseconds since the Unix epoch. Not part of what must be the same in a retry.
    pub at_ms: u64,
}

/// Whether an account is to take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAccountState {
    /// Which.
    pub account_id: String,
    /// From now on.
    pub state: AccountState,
}

/// How much an account may pay from now on, in minor units; `None`: any amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetLimits {
    /// Which.
    pub account_id: String,
    /// By one payment. Not negative.
    pub per_payment: Option<i64>,
    /// On one day of UTC. Not negative.
    pub per_day: Option<i64>,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// One leg of a payment between banks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// The transaction and the side of it that is this bank's.
    pub key: LegKey,
    /// What is promised.
    pub body: LegBody,
    /// When, in milliseconds since the Unix epoch. Not part of what must be the same in a retry.
    pub at_ms: u64,
    /// Who makes the payment, if that can be fenced. Not part of what must be the same either.
    pub maker: Option<GatewayRun>,
}

/// One run of a gateway on its store, which another gateway may take over from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayRun {
    /// The store's name.
    pub store: u32,
    /// Which run on it.
    pub run: u32,
}

/// Which side of a payment between banks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leg {
    /// The paying account's.
    Debit,
    /// The paid account's.
    Credit,
}

/// What a command that was not refused gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Done, now or before.
    Done,
    /// A transfer was posted, now or before.
    Transferred {
        /// What the payer could spend right after it.
        available: Amount,
    },
}

/// Why a ledger would not do what it was asked. The numbers are the contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
#[repr(u8)]
pub enum Refusal {
    /// One of the accounts is not at this bank.
    #[error("there is no such account")]
    UnknownAccount = 1,
    /// One of the accounts is frozen.
    #[error("the account is frozen")]
    AccountFrozen = 2,
    /// The payer cannot spend as much.
    #[error("the available balance does not cover the amount")]
    InsufficientFunds = 3,
    /// The amount is not in the account's currency.
    #[error("the account is in another currency")]
    WrongCurrency = 4,
    /// Not positive.
    #[error("the amount must be positive")]
    InvalidAmount = 5,
    /// The payer is the payee.
    #[error("the two accounts are the same")]
    SameAccount = 6,
    /// The leg was aborted before.
    #[error("the leg was aborted")]
    Aborted = 7,
    /// The key was used before with another body.
    #[error("the transaction id was used before for something else")]
    Conflict = 8,
    /// The balance could not be counted any more.
    #[error("the balance would exceed what can be counted")]
    Overflow = 9,
    /// Commit of a leg that was never prepared, or got a NO.
    #[error("the leg was never prepared")]
    NotPrepared = 10,
    /// Abort of a leg that was committed.
    #[error("the leg was committed")]
    Committed = 11,
    /// The account to open is there.
    #[error("the account exists already")]
    AccountExists = 12,
    /// More than the account may pay at once.
    #[error("the amount exceeds the account's limit per payment")]
    LimitPerPayment = 13,
    /// With what was paid today, more than the account may pay on a day.
    #[error("the amount exceeds what is left of the account's limit per day")]
    LimitPerDay = 14,
    /// The gateway that asks was taken over from.
    #[error("another gateway has taken over from the one that asks")]
    Fenced = 15,
    /// A decision on a leg that an operator has ended the other way.
    #[error("an operator has ended the leg the other way")]
    Forced = 16,
}

impl Refusal {
    const ALL: [Self; 16] = [
        Self::UnknownAccount,
        Self::AccountFrozen,
        Self::InsufficientFunds,
        Self::WrongCurrency,
        Self::InvalidAmount,
        Self::SameAccount,
        Self::Aborted,
        Self::Conflict,
        Self::Overflow,
        Self::NotPrepared,
        Self::Committed,
        Self::AccountExists,
        Self::LimitPerPayment,
        Self::LimitPerDay,
        Self::Fenced,
        Self::Forced,
    ];

    /// The refusal's number in the contract and in the store.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The refusal of that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.code() == code)
    }
}

/// What became of a command.
pub type Verdict = Result<Receipt, Refusal>;

/// Applies one command. The outer error is the state's own (a disk); then what was written to the
/// state must be thrown away.
pub fn apply<S: LedgerState>(state: &mut S, command: &Command) -> Result<Verdict, S::Error> {
    match command {
        Command::OpenAccount(opening) => open(state, opening),
        Command::Transfer(transfer) => transfer::apply(state, transfer),
        Command::Prepare(prepare) => two_phase::prepare(state, prepare),
        Command::Commit(key) => two_phase::commit(state, key),
        Command::Abort(key) => two_phase::abort(state, key),
        Command::Fence(run) => two_phase::fence(state, *run),
        Command::Force(force) => forced::force(state, force),
        Command::SetAccountState(set) => limits::set_state(state, set),
        Command::SetLimits(set) => limits::set(state, set),
    }
}

fn open<S: LedgerState>(state: &mut S, opening: &OpenAccount) -> Result<Verdict, S::Error> {
    let OpenAccount { account_id, balance, state: account_state, transaction_id } = opening;
    if balance.minor_units < 0 {
        return Ok(Err(Refusal::InvalidAmount));
    }
    let against = Internal::Opening(balance.currency);
    let (from, to, verdict) = (against.name(), account_id.clone(), Ok(Receipt::Done));
    let record = TransferRecord { from, to, amount: *balance, verdict };
    if let Some(transaction_id) = transaction_id
        && let Some(known) = state.transfer(transaction_id)?
    {
        let known = (&known.from, &known.to, known.amount);
        let same = known == (&record.from, &record.to, record.amount);
        return Ok(if same { verdict } else { Err(Refusal::Conflict) });
    }
    if state.account(account_id)?.is_some() {
        return Ok(Err(Refusal::AccountExists));
    }
    let account = Account::new(*balance, *account_state);
    state.put_account(account_id, account)?;
    let name = transaction_id.as_deref().unwrap_or("opening");
    post_internally(state, name, account_id, balance.minor_units, account, against)?;
    if let Some(transaction_id) = transaction_id {
        state.put_transfer(transaction_id, record)?;
    }
    Ok(verdict)
}

/// Posts `amount` (signed) to a customer, whose balances are already written, and its opposite to
/// one of the bank's own accounts.
fn post_internally<S: LedgerState>(
    state: &mut S,
    transaction_id: &str,
    account_id: &str,
    amount: i64,
    account: Account,
    against: Internal,
) -> Result<(), S::Error> {
    let position = state.position(against)? - i128::from(amount);
    state.put_position(against, position)?;
    let name = against.name();
    state.append(Posting {
        transaction_id,
        amount,
        to: Entry { account: account_id, balance_after: account.balance().into() },
        from: Entry { account: &name, balance_after: position },
    })
}

fn check_usable(account: &Account, currency: Currency) -> Result<(), Refusal> {
    if account.state == AccountState::Frozen {
        return Err(Refusal::AccountFrozen);
    }
    if account.currency != currency {
        return Err(Refusal::WrongCurrency);
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
