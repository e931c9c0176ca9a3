//! What a payment is asked to do: the body of a request, checked once at the edge.
//!
//! Pure. Everything behind the edge may rely on what [`Order::check`] says.

use std::fmt;

use strife_runtime::identity::is_name;
use thiserror::Error;

use crate::queue::QUEUE_FOR_MAX_S;

/// Longest payment id and account id, bytes.
pub const ID_BYTES_MAX: usize = 64;

/// An account at a bank.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// The bank's name, lower case: `icici`.
    pub bank: String,
    /// The account at that bank.
    pub id: String,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bank, self.id)
    }
}

/// An amount of money, in the currency's minor unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Cents, paise.
    pub minor_units: i64,
    /// ISO 4217 code, upper case.
    pub currency: String,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} minor units", self.minor_units, self.currency)
    }
}

/// A payment as it was asked for. Two requests with one payment id must have equal orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Chosen by the client, kept across its retries.
    pub payment_id: String,
    /// Who pays.
    pub user: String,
    /// The payer's account.
    pub from: Account,
    /// The payee's account.
    pub to: Account,
    /// How much.
    pub amount: Money,
    /// For how long it is kept and tried again if it fails for a reason that passes, seconds; 0: not at
    /// all.
    pub queue_for_s: u32,
}

/// How the money gets from one account to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// Both accounts at one bank: that bank moves the money in one step.
    OneBank,
    /// Two-phase commit, between two banks or between two accounts of one.
    TwoBanks,
}

/// What is wrong with an order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MalformedOrder {
    /// Empty or longer than [`ID_BYTES_MAX`].
    #[error("payment_id must have 1 to {ID_BYTES_MAX} bytes, not {0}")]
    PaymentId(usize),
    /// Not a name a bank may have.
    #[error("`{0}` is not a bank's name (lower case letters, digits, `-` and `_`, 1 to 64)")]
    Bank(String),
    /// Empty, too long, or not printable.
    #[error(
        "`{0}` is not an account id (1 to {ID_BYTES_MAX} bytes, no spaces or control characters)"
    )]
    AccountId(String),
    /// Zero or negative.
    #[error("amount must be more than 0, not {0}")]
    Amount(i64),
    /// Not three upper-case letters.
    #[error("`{0}` is not a currency (three upper-case letters, as INR)")]
    Currency(String),
    /// Longer than anything is kept.
    #[error("queue_for_s must be at most {QUEUE_FOR_MAX_S} (seven days), not {0}")]
    QueueFor(u32),
    /// Nothing would move.
    #[error("{0} cannot pay itself")]
    SameAccount(Account),
}

impl Order {
    /// Says what is wrong with the order, if anything, apart from who asks for it.
    pub fn check(&self) -> Result<(), MalformedOrder> {
        if !(1..=ID_BYTES_MAX).contains(&self.payment_id.len()) {
            return Err(MalformedOrder::PaymentId(self.payment_id.len()));
        }
        self.from.check()?;
        self.to.check()?;
        if self.amount.minor_units <= 0 {
            return Err(MalformedOrder::Amount(self.amount.minor_units));
        }
        let currency = &self.amount.currency;
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(MalformedOrder::Currency(currency.clone()));
        }
        if self.queue_for_s > QUEUE_FOR_MAX_S {
            return Err(MalformedOrder::QueueFor(self.queue_for_s));
        }
        if self.from == self.to {
            return Err(MalformedOrder::SameAccount(self.from.clone()));
        }
        Ok(())
    }

    /// How the money will travel. What may be queued must be possible to abort, and what was asked of
    /// a bank in one step is not: so it goes by two-phase commit within a bank, too.
    pub fn route(&self) -> Route {
        let one_bank = self.from.bank == self.to.bank && !self.may_queue();
        if one_bank { Route::OneBank } else { Route::TwoBanks }
    }

    /// Whether it is to be kept in the queue if it fails for a reason that passes.
    pub fn may_queue(&self) -> bool {
        self.queue_for_s > 0
    }
}

impl Account {
    /// Whether both parts have the form of a bank's name and an account id.
    pub fn check(&self) -> Result<(), MalformedOrder> {
        let printable = |c: char| !c.is_whitespace() && !c.is_control();
        if !is_name(&self.bank) {
            return Err(MalformedOrder::Bank(self.bank.clone()));
        }
        if !(1..=ID_BYTES_MAX).contains(&self.id.len()) || !self.id.chars().all(printable) {
            return Err(MalformedOrder::AccountId(self.id.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order {
            payment_id: "p1".to_owned(),
            user: "john_doe".to_owned(),
            from: Account { bank: "icici".to_owned(), id: "A1".to_owned() },
            to: Account { bank: "sbi".to_owned(), id: "B1".to_owned() },
            amount: Money { minor_units: 100, currency: "INR".to_owned() },
            queue_for_s: 0,
        }
    }

    fn check(change: impl FnOnce(&mut Order), expected: Result<(), MalformedOrder>) {
        let mut order = order();
        change(&mut order);
        assert_eq!(order.check(), expected, "{order:?}");
    }

    #[test]
    fn a_sound_order_passes() {
        check(|_| {}, Ok(()));
        check(|order| order.payment_id = "x".repeat(64), Ok(()));
        check(|order| order.amount.minor_units = i64::MAX, Ok(()));
        check(|order| order.queue_for_s = 604_800, Ok(()));
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        use MalformedOrder as M;
        check(|order| order.payment_id.clear(), Err(M::PaymentId(0)));
        check(|order| order.payment_id = "x".repeat(65), Err(M::PaymentId(65)));
        check(|order| order.from.bank = "ICICI".to_owned(), Err(M::Bank("ICICI".to_owned())));
        check(|order| order.to.bank.clear(), Err(M::Bank(String::new())));
        check(|order| order.to.id = "a b".to_owned(), Err(M::AccountId("a b".to_owned())));
        check(|order| order.amount.minor_units = 0, Err(M::Amount(0)));
        check(|order| order.amount.minor_units = -1, Err(M::Amount(-1)));
        check(|order| order.amount.currency = "inr".to_owned(), Err(M::Currency("inr".to_owned())));
        check(|order| order.queue_for_s = 604_801, Err(M::QueueFor(604_801)));
        check(|order| order.to = order.from.clone(), Err(M::SameAccount(order().from)));
    }

    #[test]
    fn one_bank_or_two() {
        let mut order = order();
        assert_eq!(order.route(), Route::TwoBanks);
        order.to.bank = order.from.bank.clone();
        assert_eq!(order.route(), Route::OneBank);
        order.queue_for_s = 1;
        assert_eq!(order.route(), Route::TwoBanks, "it must be possible to abort");
    }
}
