//! What a ledger remembers, and the small trait by which it is reached.

use std::fmt;

use super::{Forced, GatewayRun, Leg, Verdict};
use crate::money::{Amount, Currency};

/// Whether an account takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountState {
    /// Pays and is paid.
    Active,
    /// Neither pays nor is paid; what was promised before is kept.
    Frozen,
}

/// A customer's account. `available + held + incoming` never exceeds what an `i64` counts, so that
/// no promise can fail when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account {
    /// Whether it takes part.
    pub state: AccountState,
    /// Of all its amounts.
    pub currency: Currency,
    /// What may be spent now; never negative.
    pub available: i64,
    /// Held by prepared debits, the account's own until they commit; never negative.
    pub held: i64,
    /// Promised by prepared credits, not the account's yet; never negative.
    pub incoming: i64,
}

impl Account {
    /// A new account, with nothing held or promised.
    pub fn new(balance: Amount, state: AccountState) -> Self {
        let Amount { minor_units, currency } = balance;
        Self { state, currency, available: minor_units, held: 0, incoming: 0 }
    }

    /// What is the customer's: available and held.
    pub fn balance(&self) -> i64 {
        self.available + self.held
    }

    /// Whether `amount` more could be counted, everything promised included.
    pub(super) fn has_room_for(&self, amount: i64) -> bool {
        let promised = self.balance().checked_add(self.incoming);
        promised.and_then(|promised| promised.checked_add(amount)).is_some()
    }
}

/// How much an account may pay, and how much of it is used up. Amounts are minor units of the account's
/// currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpendingLimits {
    /// By one payment; `None`: any amount.
    pub per_payment: Option<i64>,
    /// On one day of UTC; `None`: any amount.
    pub per_day: Option<i64>,
    /// The newest day on which a debit was counted, in days since the Unix epoch.
    pub day: u32,
    /// What was held or moved on that day and not given back; never negative.
    pub used: i64,
}

/// The bank's own accounts, one of each per currency. They may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Internal {
    /// What this bank owes other banks for payments between them; negative: what it is owed.
    Settlement(Currency),
    /// Where opening balances came from.
    Opening(Currency),
}

impl Internal {
    /// As it stands in the journal. No customer's account id contains a slash.
    pub fn name(self) -> String {
        match self {
            Self::Settlement(currency) => format!("settlement/{currency}"),
            Self::Opening(currency) => format!("opening/{currency}"),
        }
    }

    /// The account of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let (kind, currency) = name.split_once('/')?;
        let currency = currency.parse().ok()?;
        match kind {
            "settlement" => Some(Self::Settlement(currency)),
            "opening" => Some(Self::Opening(currency)),
            _ => None,
        }
    }
}

/// Names one leg: `<transaction id>-debit` or `<transaction id>-credit`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegKey {
    /// The transaction.
    pub transaction_id: String,
    /// The side of it that is this bank's.
    pub leg: Leg,
}

impl LegKey {
    /// The key written as `text`.
    pub fn parse(text: &str) -> Option<Self> {
        let (transaction_id, leg) = text.rsplit_once('-')?;
        let leg = match leg {
            "debit" => Leg::Debit,
            "credit" => Leg::Credit,
            _ => return None,
        };
        Some(Self { transaction_id: transaction_id.to_owned(), leg })
    }
}

impl fmt::Display for LegKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leg = match self.leg {
            Leg::Debit => "debit",
            Leg::Credit => "credit",
        };
        write!(f, "{}-{leg}", self.transaction_id)
    }
}

/// What a leg promises; a retry must say the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LegBody {
    /// The customer's account.
    pub account_id: String,
    /// Positive.
    pub amount: Amount,
    /// The `:authority` under which the decision can be asked for.
    pub coordinator: String,
}

/// How far a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LegState {
    /// Voted YES; in doubt until the decision arrives.
    Prepared,
    /// Posted.
    Committed,
    /// Given up.
    Aborted,
    /// Voted NO, for ever: a retry gets the same NO even if the account could pay by then.
    Refused(super::Refusal),
}

/// A leg, kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LegRecord {
    /// `None` where an abort came before any prepare: a tombstone.
    pub body: Option<LegBody>,
    /// How far it is.
    pub state: LegState,
    /// When it was first prepared, milliseconds since the Unix epoch; 0 for a tombstone.
    pub prepared_at_ms: u64,
}

impl LegRecord {
    /// Whether it promises something of this account.
    pub(crate) fn is_promise_of(&self, account_id: &str) -> bool {
        let of_it = |body: &LegBody| body.account_id == account_id;
        self.state == LegState::Prepared && self.body.as_ref().is_some_and(of_it)
    }
}

/// A transfer and what became of it, kept for ever; or an opening, from the bank's own account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRecord {
    /// Who pays.
    pub from: String,
    /// Who is paid.
    pub to: String,
    /// How much.
    pub amount: Amount,
    /// What every retry is told.
    pub verdict: Verdict,
}

/// One side of a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// A customer's account id, or the name of an [`Internal`] account.
    pub account: &'a str,
    /// The account's balance with this entry.
    pub balance_after: i128,
}

/// A movement: `amount` to one account and its opposite to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting<'a> {
    /// By which transaction.
    pub transaction_id: &'a str,
    /// Added to `to`, taken from `from`; negative where `to` is the one that pays.
    pub amount: i64,
    /// Where the amount is added.
    pub to: Entry<'a>,
    /// Where it is taken.
    pub from: Entry<'a>,
}

/// Where a ledger's state is kept.
pub trait LedgerState {
    /// Why it could not be reached.
    type Error;

    /// A customer's account.
    fn account(&mut self, account_id: &str) -> Result<Option<Account>, Self::Error>;
    /// Writes a customer's account.
    fn put_account(&mut self, account_id: &str, account: Account) -> Result<(), Self::Error>;
    /// How much an account may pay; `None` if that was never limited.
    fn limits(&mut self, account_id: &str) -> Result<Option<SpendingLimits>, Self::Error>;
    /// Writes how much an account, that is there, may pay.
    fn put_limits(&mut self, account_id: &str, limits: SpendingLimits) -> Result<(), Self::Error>;
    /// When the newest of the debits was prepared that an account has money held for, in milliseconds since the
    /// Unix epoch.
    fn newest_hold_ms(&mut self, account_id: &str) -> Result<Option<u64>, Self::Error>;
    /// The balance of one of the bank's own accounts; 0 if it was never used.
    fn position(&mut self, internal: Internal) -> Result<i128, Self::Error>;
    /// Writes the balance of one of the bank's own accounts.
    fn put_position(&mut self, internal: Internal, balance: i128) -> Result<(), Self::Error>;
    /// A leg.
    fn leg(&mut self, key: &LegKey) -> Result<Option<LegRecord>, Self::Error>;
    /// Writes a leg.
    fn put_leg(&mut self, key: &LegKey, leg: LegRecord) -> Result<(), Self::Error>;
    /// What is kept of a leg that an operator ended.
    fn forced(&mut self, key: &LegKey) -> Result<Option<Forced>, Self::Error>;
    /// Writes what is kept of a leg, that is there, which an operator ended.
    fn put_forced(&mut self, key: &LegKey, forced: Forced) -> Result<(), Self::Error>;
    /// Whether a run of a gateway is fenced.
    fn is_fenced(&mut self, run: GatewayRun) -> Result<bool, Self::Error>;
    /// Fences a run of a gateway, if it is not.
    fn fence(&mut self, run: GatewayRun) -> Result<(), Self::Error>;
    /// A transfer.
    fn transfer(&mut self, transaction_id: &str) -> Result<Option<TransferRecord>, Self::Error>;
    /// Writes a transfer.
    fn put_transfer(
        &mut self,
        transaction_id: &str,
        transfer: TransferRecord,
    ) -> Result<(), Self::Error>;
    /// Adds to the journal.
    fn append(&mut self, posting: Posting<'_>) -> Result<(), Self::Error>;
}
