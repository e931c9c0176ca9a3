//! What the coordinator asks of banks, in its own words. How it travels is [`crate::service`]'s.

use std::{future::Future, time::Duration};

use thiserror::Error;

use crate::{
    order::{Account, Money},
    payment::{Leg, Vote},
    transaction::Run,
};

/// An account's balance as its bank tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// What may be spent now.
    pub available: Money,
    /// Held by payments under way.
    pub held: Money,
}

/// How a leg of two-phase commit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Post what was prepared.
    Commit,
    /// Release it.
    Abort,
}

/// A call without an answer of substance.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// No answer: it may have been done, or not, or may yet be. To be asked again.
    #[error("{0}")]
    NoAnswer(String),
    /// Turned away before anything was done: this attempt did nothing, an earlier one may have.
    #[error("{0}")]
    Rejected(String),
    /// The call itself was found wrong: this attempt did nothing. The bank would say so at any time, but whoever
    /// stands between may as well.
    #[error("{0}")]
    Invalid(String),
    /// The bank was told that this gateway's run is gone, and takes nothing more from it.
    #[error("{0}")]
    Fenced(String),
}

/// The banks. Every call names its transaction and is idempotent by it, so that whoever got no
/// answer asks again. No call takes longer than `timeout`.
pub trait Banks: Send + Sync + 'static {
    /// Asks for a vote on one leg.
    fn prepare(
        &self,
        transaction_id: &str,
        leg: Leg,
        account: &Account,
        amount: &Money,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vote, CallError>> + Send;

    /// Ends one leg.
    fn finish(
        &self,
        transaction_id: &str,
        leg: Leg,
        bank: &str,
        end: End,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Moves money between two accounts of one bank.
    fn transfer(
        &self,
        transaction_id: &str,
        from: &Account,
        to: &Account,
        amount: &Money,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vote, CallError>> + Send;

    /// What an account holds.
    fn balance(
        &self,
        account: &Account,
        timeout: Duration,
    ) -> impl Future<Output = Result<Balance, CallError>> + Send;

    /// Prepares say from now on that they are of this run.
    fn begin(&self, run: Run);

    /// Has a bank refuse whatever a run has yet to prepare there.
    fn fence(
        &self,
        bank: &str,
        run: Run,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), CallError>> + Send;

    /// All banks that there is a way to.
    fn names(&self) -> Vec<String>;

    /// Whether there is a way to this bank.
    fn knows(&self, bank: &str) -> bool;

    /// Whether this bank has answered nobody since the start, or since somebody waited for an answer in vain.
    fn is_silent(&self, bank: &str) -> bool;

    /// Whether this bank has not answered anybody for a while, and is not worth being asked just now.
    fn is_away(&self, bank: &str) -> bool;
}
