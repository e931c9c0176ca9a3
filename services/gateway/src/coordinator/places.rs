//! Places at the banks: how many payments wait for an answer of each, so that a bank that is away
//! keeps places among the payments under way from nobody but itself.
//!
//! A payment has a place at each of its banks until that bank has answered. So payments between a bank
//! that is away and one that is not fill the places of the former only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    order::{Order, Route},
    payment::Leg,
};

/// How many places are taken, by bank; a bank without any has no entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<HashMap<String, usize>>,
    /// Told when a place was given back.
    freed: Notify,
}

/// One payment's places. Given back when dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    places: Places,
    banks: Vec<(Leg, String)>,
}

impl Places {
    /// A bank of the order at which `limit` places are taken.
    pub(super) fn full<'o>(&self, order: &'o Order, limit: usize) -> Option<&'o str> {
        let taken = self.taken();
        let full = |bank: &&str| taken.get(*bank).is_some_and(|taken| *taken >= limit);
        [order.from.bank.as_str(), order.to.bank.as_str()].into_iter().find(full)
    }

    /// Takes the order's places, whether there are any left or not: what an earlier run took on is
    /// under way.
    pub(super) fn take(&self, order: &Order) -> Waiting {
        let mut waiting = Waiting { places: self.clone(), banks: Vec::with_capacity(2) };
        waiting.take_again(order);
        waiting
    }

    /// Resolves once a place was given back since this resolved last.
    pub(super) async fn freed(&self) {
        self.0.freed.notified().await;
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The bank of this leg has answered.
    pub(super) fn answered(&mut self, leg: Leg) {
        self.give_back(|found| found == leg);
    }

    /// Takes those of the order's places that were given back, whether there are any left or not.
    pub(super) fn take_again(&mut self, order: &Order) {
        let debit = (Leg::Debit, &order.from.bank);
        let credit = (order.route() == Route::TwoBanks).then_some((Leg::Credit, &order.to.bank));
        let mut taken = self.places.taken();
        for (leg, bank) in [Some(debit), credit].into_iter().flatten() {
            if self.banks.iter().all(|(kept, _)| *kept != leg) {
                *taken.entry(bank.clone()).or_default() += 1;
                self.banks.push((leg, bank.clone()));
            }
        }
    }

    fn give_back(&mut self, which: impl Fn(Leg) -> bool) {
        let mut taken = self.places.taken();
        for (_, bank) in self.banks.extract_if(.., |(leg, _)| which(*leg)) {
            match taken.get_mut(&bank) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(taken.remove(&bank)),
            }
            self.places.0.freed.notify_one();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.give_back(|_| true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Account, Money};

    fn order(from: &str, to: &str) -> Order {
        let account = |bank: &str, id: &str| Account { bank: bank.to_owned(), id: id.to_owned() };
        Order {
            payment_id: "p1".to_owned(),
            user: "john".to_owned(),
            from: account(from, "A1"),
            to: account(to, "A2"),
            amount: Money { minor_units: 1, currency: "INR".to_owned() },
            queue_for_s: 0,
        }
    }

    #[test]
    fn a_place_is_kept_until_its_bank_answers() {
        let places = Places::default();
        let mut waiting = places.take(&order("icici", "sbi"));
        assert_eq!(places.full(&order("icici", "hdfc"), 1), Some("icici"));
        assert_eq!(places.full(&order("hdfc", "sbi"), 1), Some("sbi"));
        assert_eq!(places.full(&order("hdfc", "hdfc"), 1), None);
        assert_eq!(places.full(&order("icici", "sbi"), 2), None);
        for _ in 0..2 {
            waiting.answered(Leg::Credit);
            assert_eq!(places.full(&order("hdfc", "sbi"), 1), None);
            assert_eq!(places.full(&order("icici", "hdfc"), 1), Some("icici"));
        }
        for _ in 0..2 {
            waiting.take_again(&order("icici", "sbi"));
            assert_eq!(places.full(&order("hdfc", "sbi"), 1), Some("sbi"));
            assert_eq!(places.full(&order("icici", "sbi"), 2), None);
        }
        drop(waiting);
        assert!(places.taken().is_empty());
    }

    #[test]
    fn a_payment_within_one_bank_has_one_place() {
        let places = Places::default();
        let waiting = [places.take(&order("sbi", "sbi")), places.take(&order("sbi", "sbi"))];
        assert_eq!(places.full(&order("sbi", "sbi"), 3), None);
        assert_eq!(places.full(&order("sbi", "sbi"), 2), Some("sbi"));
        drop(waiting);
        assert!(places.taken().is_empty());
    }
}
