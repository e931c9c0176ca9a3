//! Where a bank's ledger is kept, behind one trait.
//!
//! [`Embedded`] owns a file; [`Postgres`] shares a database with other processes, and none of them
//! owns it. Both are a [`WholeStore`], which also knows what concerns the bank altogether. The third,
//! [`crate::service::shared`], is the way of a stateless server to the owner of a file. All pass the
//! same conformance suite.

mod books;
mod embedded;
mod failpoints;
mod postgres;
mod rows;
mod tables;

use std::{collections::BTreeMap, future::Future};

use strife_store::Latencies;

pub use embedded::Embedded;
pub use postgres::Postgres;

use crate::{
    BankError,
    ledger::{Account, Command, Forced, Internal, LegKey, LegRecord, SpendingLimits, Verdict},
    money::Currency,
};

/// A bank's ledger, shared by everything that serves calls on it.
pub trait Store: Clone + Send + Sync + 'static {
    /// Applies a command; answers once its effect is durable. After an error it is not known
    /// whether the command was applied; sending it again is safe.
    fn apply(&self, command: Command) -> impl Future<Output = Result<Verdict, BankError>> + Send;

    /// Applies commands in order; answers with a verdict per command once the effects of all are
    /// durable, in one commit. After an error each may have been applied or not, as with
    /// [`Store::apply`].
    fn apply_all(
        &self,
        commands: Vec<Command>,
    ) -> impl Future<Output = Result<Vec<Verdict>, BankError>> + Send;

    /// A customer's account as last committed.
    fn account(
        &self,
        account_id: &str,
    ) -> impl Future<Output = Result<Option<Account>, BankError>> + Send;
}

/// A store that is the bank's own, and not a way to somebody else's.
pub trait WholeStore: Store {
    /// Sums over every account, from one snapshot.
    fn totals(&self) -> impl Future<Output = Result<Totals, BankError>> + Send;

    /// At most `limit` legs that were prepared no later than `until_ms` (since the Unix epoch), are
    /// still in doubt, and are `wanted`.
    fn in_doubt(
        &self,
        until_ms: u64,
        limit: usize,
        wanted: impl Fn(&LegKey) -> bool + Send + Sync,
    ) -> impl Future<Output = Result<Vec<KnownLeg>, BankError>> + Send;

    /// At most `limit` legs that operators ended and whose decision is not known, in the order of their
    /// keys' bytes.
    fn forced(&self, limit: usize)
    -> impl Future<Output = Result<Vec<KnownLeg>, BankError>> + Send;

    /// A customer's account and what it may pay, as last committed.
    fn details(
        &self,
        account_id: &str,
    ) -> impl Future<Output = Result<Option<AccountDetails>, BankError>> + Send;

    /// At most `limit` legs, whatever became of them, in the order of their keys' bytes, from after the
    /// key `after`; empty: from the first.
    fn legs(
        &self,
        after: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<KnownLeg>, BankError>> + Send;

    /// How long durable commits took since the start.
    fn commits(&self) -> &Latencies;

    /// Applies what waits and stops; later commands fail.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// A leg that a store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLeg {
    /// Which.
    pub key: LegKey,
    /// What was promised, to whom, who decides, and what became of it.
    pub leg: LegRecord,
    /// Set if an operator ended it.
    pub forced: Option<Forced>,
}

/// An account and what it may pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountDetails {
    /// The account.
    pub account: Account,
    /// `None` if it was never limited.
    pub limits: Option<SpendingLimits>,
}

/// Sums over a whole bank, from one consistent snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many customers' accounts there are.
    pub accounts: u64,
    /// Customers' balances, available and held, per currency.
    pub customers: BTreeMap<Currency, i128>,
    /// What the bank owes other banks (negative: what it is owed), per currency. With `customers`
    /// it sums to what the accounts were opened with.
    pub settlement: BTreeMap<Currency, i128>,
    /// What accounts were opened with, per currency. The sum of `customers` and `settlement`.
    pub opening: BTreeMap<Currency, i128>,
    /// Of `customers`: held by prepared debits, per currency.
    pub held: BTreeMap<Currency, i128>,
    /// Promised by prepared credits and not counted yet, per currency.
    pub incoming: BTreeMap<Currency, i128>,
    /// Prepared legs whose decision is not known.
    pub in_doubt: u64,
}

impl Totals {
    fn add(&mut self, account: &Account) {
        let Account { currency, held, incoming, .. } = *account;
        self.accounts += 1;
        for (sums, amount) in [
            (&mut self.customers, account.balance()),
            (&mut self.held, held),
            (&mut self.incoming, incoming),
        ] {
            *sums.entry(currency).or_default() += i128::from(amount);
        }
    }

    fn put_position(&mut self, internal: Internal, balance: i128) {
        match internal {
            Internal::Settlement(currency) => self.settlement.insert(currency, balance),
            Internal::Opening(currency) => self.opening.insert(currency, -balance),
        };
    }
}

#[cfg(test)]
pub(crate) mod conformance;
