//! Where a bank's ledger is kept, behind one trait.
//!
//! [`Embedded`] owns the file; it also knows what only an owner is asked: [`Embedded::totals`],
//! [`Embedded::in_doubt`]. The other store, [`crate::service::shared`], is the way of a stateless
//! server to the owner. Both pass the same conformance suite.

mod books;
mod embedded;
mod tables;

use std::{collections::BTreeMap, future::Future};

pub use embedded::{Embedded, InDoubt};

use crate::{
    BankError,
    ledger::{Account, Command, Verdict},
    money::Currency,
};

/// A bank's ledger, shared by everything that serves calls on it.
pub trait Store: Clone + Send + Sync + 'static {
    /// Applies a command; answers once its effect is durable. After an error it is not known
    /// whether the command was applied; sending it again is safe.
    fn apply(&self, command: Command) -> impl Future<Output = Result<Verdict, BankError>> + Send;

    /// A customer's account as last committed.
    fn account(
        &self,
        account_id: &str,
    ) -> impl Future<Output = Result<Option<Account>, BankError>> + Send;
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
    /// Prepared legs whose decision is not known.
    pub in_doubt: u64,
}

#[cfg(test)]
pub(crate) mod conformance;
