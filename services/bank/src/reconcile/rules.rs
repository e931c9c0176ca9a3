//! What must be true between a gateway's payments and the banks' legs, one transaction at a time.
//!
//! Pure: records in, [`Finding`]s out. Whoever reads both sides in the order of the transactions' names
//! needs no more memory than one transaction takes.

use std::{collections::BTreeMap, fmt};

use crate::{
    ledger::Leg,
    money::{Amount, Currency},
};

/// An account at a bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The bank's name.
    pub bank: String,
    /// The account there.
    pub account_id: String,
}

/// How far a payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Neither committed nor aborted.
    Initiated,
    /// The money is to move.
    Committed,
    /// The money is to stay.
    Aborted,
}

/// A payment as its gateway has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// How far it is.
    pub fate: Fate,
    /// Who pays.
    pub from: Place,
    /// Who is paid.
    pub to: Place,
    /// How much.
    pub amount: Amount,
    /// When it was taken on, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// How far a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegFate {
    /// Held or promised.
    Prepared,
    /// Posted.
    Committed,
    /// Given up, or never promised.
    Over,
}

/// What an operator did to a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    /// Whether he posted it; else he gave it up.
    pub committed: bool,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Whether the bank was told another decision since.
    pub contradicted: bool,
}

/// A leg as a bank has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankLeg {
    /// At which bank.
    pub bank: String,
    /// Which side.
    pub leg: Leg,
    /// How far it is.
    pub fate: LegFate,
    /// The account and the amount; `None` where an abort came before any prepare.
    pub body: Option<(String, Amount)>,
    /// When it was prepared, milliseconds since the Unix epoch; 0 if it never was.
    pub at_ms: u64,
    /// Set if an operator ended it.
    pub forced: Option<Forced>,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A payment and a leg that do not go together.
    Leg {
        /// Which.
        transaction_id: String,
        /// `None`: the gateway knows no such payment.
        payment: Option<Fate>,
        /// At which bank.
        bank: String,
        /// Which side.
        leg: Leg,
        /// `None`: the bank knows no such leg.
        found: Option<LegFate>,
    },
    /// A leg that an operator ended, and not as was decided.
    Forced {
        /// Which.
        transaction_id: String,
        /// `None`: the gateway knows no such payment.
        payment: Option<Fate>,
        /// At which bank.
        bank: String,
        /// Which side.
        leg: Leg,
        /// What he did.
        forced: Forced,
    },
    /// A leg at a bank that has no such part in the payment.
    Misplaced {
        /// Which.
        transaction_id: String,
        /// At which bank.
        bank: String,
        /// Which side.
        leg: Leg,
    },
    /// A leg of another account or amount than the payment's.
    Body {
        /// Which.
        transaction_id: String,
        /// At which bank.
        bank: String,
        /// Which side.
        leg: Leg,
        /// What the bank has.
        found: String,
        /// What the gateway has.
        expected: String,
    },
    /// Two sums of one bank that must be one.
    Sum {
        /// At which bank.
        bank: String,
        /// Of which currency.
        currency: Currency,
        /// Of what, and that in minor units.
        found: (&'static str, i128),
        /// What it must be equal to.
        expected: (&'static str, i128),
    },
}

/// Checks one transaction between banks of `banks`: `legs` are all that they have of it.
pub fn check(
    transaction_id: &str,
    payment: Option<&Payment>,
    legs: &[BankLeg],
    banks: &[String],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of_leg = |bank: &str, leg, found| Finding::Leg {
        transaction_id: transaction_id.to_owned(),
        payment: payment.map(|payment| payment.fate),
        bank: bank.to_owned(),
        leg,
        found,
    };
    let fate = payment.map(|payment| payment.fate);
    let is_ended_alike = payment.is_none() && are_ended_alike(legs);
    for found in legs {
        let (bank, leg) = (&found.bank, found.leg);
        let place = payment.map(|payment| match leg {
            Leg::Debit => &payment.from,
            Leg::Credit => &payment.to,
        });
        if place.is_some_and(|place| place.bank != *bank) {
            let (transaction_id, bank) = (transaction_id.to_owned(), bank.clone());
            findings.push(Finding::Misplaced { transaction_id, bank, leg });
            continue;
        }
        let is_sound = is_ended_alike || go_together(fate, found.fate);
        match &found.forced {
            Some(forced) if forced.contradicted || !is_sound => {
                findings.push(Finding::Forced {
                    transaction_id: transaction_id.to_owned(),
                    payment: fate,
                    bank: bank.clone(),
                    leg,
                    forced: forced.clone(),
                });
            }
            None if !is_sound => {
                findings.push(of_leg(bank, leg, Some(found.fate)));
            }
            _ => {}
        }
        if let (Some(payment), Some(place), Some((account_id, amount))) =
            (payment, place, &found.body)
            && (place.account_id != *account_id || payment.amount != *amount)
        {
            findings.push(Finding::Body {
                transaction_id: transaction_id.to_owned(),
                bank: bank.clone(),
                leg,
                found: format!("{amount} of {account_id}"),
                expected: format!("{} of {}", payment.amount, place.account_id),
            });
        }
    }
    if let Some(Payment { fate: Fate::Committed, from, to, .. }) = payment {
        for (place, leg) in [(from, Leg::Debit), (to, Leg::Credit)] {
            let is_there = legs.iter().any(|found| found.bank == place.bank && found.leg == leg);
            if banks.contains(&place.bank) && !is_there {
                findings.push(of_leg(&place.bank, leg, None));
            }
        }
    }
    findings
}

/// Whether a settled payment may have such a leg.
fn go_together(payment: Option<Fate>, leg: LegFate) -> bool {
    match payment {
        Some(Fate::Committed) => leg == LegFate::Committed,
        Some(Fate::Initiated) => leg != LegFate::Committed,
        Some(Fate::Aborted) | None => leg == LegFate::Over,
    }
}

/// Whether an operator posted one leg and the other is posted as well: where the gateway's store is lost,
/// the legs have only each other to go by.
fn are_ended_alike(legs: &[BankLeg]) -> bool {
    let is_there = |side| legs.iter().any(|found| found.leg == side);
    legs.iter().any(|found| found.forced.is_some())
        && legs.iter().all(|found| found.fate == LegFate::Committed)
        && [Leg::Debit, Leg::Credit].into_iter().all(is_there)
}

/// When a transaction last began something, milliseconds since the Unix epoch. What began lately may
/// not be settled.
pub fn began_ms(payment: Option<&Payment>, legs: &[BankLeg]) -> u64 {
    let legs = legs.iter().map(|leg| leg.at_ms);
    legs.chain(payment.map(|payment| payment.at_ms)).max().unwrap_or(0)
}

/// A bank's sums as it says they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Customers' money, held money included.
    pub customers: BTreeMap<Currency, i128>,
    /// What the bank owes other banks.
    pub settlement: BTreeMap<Currency, i128>,
    /// What accounts were opened with.
    pub opening: BTreeMap<Currency, i128>,
    /// Of `customers`: held by prepared debits.
    pub held: BTreeMap<Currency, i128>,
    /// Promised by prepared credits.
    pub incoming: BTreeMap<Currency, i128>,
}

/// A bank's sums as its legs have them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    settlement: BTreeMap<Currency, i128>,
    held: BTreeMap<Currency, i128>,
    incoming: BTreeMap<Currency, i128>,
}

impl Counted {
    /// Counts one leg of the bank.
    pub fn add(&mut self, leg: &BankLeg) {
        let Some((_, amount)) = &leg.body else { return };
        let minor_units = i128::from(amount.minor_units);
        let (sums, minor_units) = match (leg.fate, leg.leg) {
            (LegFate::Committed, Leg::Debit) => (&mut self.settlement, minor_units),
            (LegFate::Committed, Leg::Credit) => (&mut self.settlement, -minor_units),
            (LegFate::Prepared, Leg::Debit) => (&mut self.held, minor_units),
            (LegFate::Prepared, Leg::Credit) => (&mut self.incoming, minor_units),
            (LegFate::Over, _) => return,
        };
        *sums.entry(amount.currency).or_default() += minor_units;
    }
}

/// What does not add up within one snapshot of a bank.
pub fn check_said(bank: &str, said: &Said) -> Vec<Finding> {
    let mut all = said.customers.clone();
    for (currency, sum) in &said.settlement {
        *all.entry(*currency).or_default() += sum;
    }
    differing(bank, ("customers and settlement", &all), ("openings", &said.opening))
}

/// What a bank says and its legs do not. Nothing may have moved between the two.
pub fn check_counted(bank: &str, said: &Said, counted: &Counted) -> Vec<Finding> {
    [
        (("held", &said.held), ("prepared debits", &counted.held)),
        (("incoming", &said.incoming), ("prepared credits", &counted.incoming)),
        (("settlement", &said.settlement), ("committed legs", &counted.settlement)),
    ]
    .into_iter()
    .flat_map(|(said, counted)| differing(bank, said, counted))
    .collect()
}

type Sums<'a> = (&'static str, &'a BTreeMap<Currency, i128>);

fn differing(bank: &str, found: Sums<'_>, expected: Sums<'_>) -> Vec<Finding> {
    let mut currencies: Vec<_> = found.1.keys().chain(expected.1.keys()).copied().collect();
    currencies.sort_unstable();
    currencies.dedup();
    let sum = |sums: Sums<'_>, currency| (sums.0, sums.1.get(&currency).copied().unwrap_or(0));
    let finding = |currency| Finding::Sum {
        bank: bank.to_owned(),
        currency,
        found: sum(found, currency),
        expected: sum(expected, currency),
    };
    currencies
        .into_iter()
        .filter(|currency| sum(found, *currency).1 != sum(expected, *currency).1)
        .map(finding)
        .collect()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leg { transaction_id, payment, bank, leg, found } => {
                let payment = said(*payment);
                let found = match found {
                    Some(LegFate::Prepared) => "is still held",
                    Some(LegFate::Committed) => "is COMMITTED",
                    Some(LegFate::Over) => "is ABORTED",
                    None => "is missing",
                };
                write!(f, "{transaction_id}: {payment}, but its {} at {bank} {found}", name(*leg))
            }
            Self::Forced { transaction_id, payment, bank, leg, forced } => {
                let (payment, leg) = (said(*payment), name(*leg));
                let Forced { committed, by, reason, at_ms, .. } = forced;
                let end = if *committed { "COMMITTED" } else { "ABORTED" };
                write!(
                    f,
                    "{transaction_id}: {payment}, but its {leg} at {bank} was forced to be {end} by {by} at \
                     {at_ms} ms since 1970 ({reason})"
                )
            }
            Self::Misplaced { transaction_id, bank, leg } => {
                let leg = name(*leg);
                write!(f, "{transaction_id}: a {leg} at {bank}, which has no such part in it")
            }
            Self::Body { transaction_id, bank, leg, found, expected } => {
                let leg = name(*leg);
                write!(f, "{transaction_id}: its {leg} at {bank} is {found}, not {expected}")
            }
            Self::Sum { bank, currency, found, expected } => write!(
                f,
                "bank {bank}: {} sum to {} {currency}, {} to {}",
                found.0, found.1, expected.0, expected.1
            ),
        }
    }
}

fn said(payment: Option<Fate>) -> &'static str {
    match payment {
        Some(Fate::Initiated) => "the payment is not decided",
        Some(Fate::Committed) => "the payment is COMMITTED",
        Some(Fate::Aborted) => "the payment is ABORTED",
        None => "the gateway knows no such payment",
    }
}

fn name(leg: Leg) -> &'static str {
    match leg {
        Leg::Debit => "debit",
        Leg::Credit => "credit",
    }
}

#[cfg(test)]
mod tests;
