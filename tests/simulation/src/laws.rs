//! What must be true once nothing fails any more: no hold, nothing undecided, every payment's two legs
//! alike and as decided, every payer told what is so, and every unit where the payments have put it.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use strife_bank::{
    ledger::LegState,
    store::{Embedded as Ledger, WholeStore},
};
use strife_gateway::{
    order::Route,
    payment::{Decision, State},
    store::{Embedded as Payments, Record, Store},
};

use crate::{
    hosts::{ACCOUNTS, BANKS, OPENING},
    payers::Book,
    town::Sites,
};

/// More than a run has.
const ALL: usize = 1_000_000;

/// Reads of these stores never wait.
fn now<T, E: std::fmt::Display>(read: impl Future<Output = Result<T, E>>) -> T {
    let read = read.now_or_never().expect("a read waits for nothing");
    read.unwrap_or_else(|error| panic!("{error}"))
}

/// Whether every host runs and has nothing left to do.
pub fn is_settled(sites: &Sites) -> bool {
    let Some(payments) = sites.gateway.store() else { return false };
    let mut banks = sites.banks.iter().map(|bank| bank.store());
    let is_clear = |bank: Option<Ledger>| {
        bank.is_some_and(|bank| now(bank.in_doubt(u64::MAX, 1, |_| true)).is_empty())
    };
    banks.all(is_clear) && is_finished(&payments)
}

fn is_finished(payments: &Payments) -> bool {
    let runs = now(payments.runs());
    let Some(run) = runs.iter().find(|run| run.live) else { return false };
    now(payments.orphans(None, 1)).is_empty()
        && now(payments.unfinished(run.number, None, 1)).is_empty()
        && now(payments.payments(None, ALL)).iter().all(|record| record.state != State::Initiated)
}

/// Fails if something is not as it must be; how many payments were made.
pub fn check(sites: &Sites, book: &Book) -> usize {
    let payments = sites.gateway.store().expect("the gateway runs");
    let records = now(payments.payments(None, ALL));
    check_told(&payments, book);
    check_legs(sites, &records);
    check_balances(sites, &records);
    records.iter().filter(|record| is_made(record)).count()
}

fn is_made(record: &Record) -> bool {
    record.state == State::Decided(Decision::Committed)
}

fn check_told(payments: &Payments, book: &Book) {
    for (payment_id, made) in &*book.told.lock().unwrap() {
        let record = now(payments.find(payment_id));
        let record = record.unwrap_or_else(|| panic!("{payment_id} is forgotten"));
        assert_eq!(is_made(&record), *made, "{payment_id}: {:?}", record.state);
    }
}

fn check_legs(sites: &Sites, records: &[Record]) {
    let mut legs: BTreeMap<String, Vec<LegState>> = BTreeMap::new();
    for bank in &sites.banks {
        let bank = bank.store().expect("the bank runs");
        for known in now(bank.legs("", ALL)) {
            legs.entry(known.key.transaction_id).or_default().push(known.leg.state);
        }
    }
    for record in records.iter().filter(|record| record.order.route() == Route::TwoBanks) {
        let legs = legs.remove(&record.id.to_string()).unwrap_or_default();
        let moved = legs.iter().filter(|state| **state == LegState::Committed).count();
        let expected = if is_made(record) { 2 } else { 0 };
        assert_eq!(moved, expected, "{}: {legs:?}, {:?}", record.id, record.state);
    }
    for (transaction, legs) in legs {
        let is_over = |state: &LegState| matches!(state, LegState::Aborted | LegState::Refused(_));
        assert!(legs.iter().all(is_over), "{transaction} has no row: {legs:?}");
    }
}

fn check_balances(sites: &Sites, records: &[Record]) {
    let mut expected = BTreeMap::new();
    for bank in BANKS {
        expected.extend(ACCOUNTS.map(|account| ((bank, account), OPENING)));
    }
    for record in records.iter().filter(|record| is_made(record)) {
        let order = &record.order;
        for (account, units) in
            [(&order.from, -order.amount.minor_units), (&order.to, order.amount.minor_units)]
        {
            *expected.get_mut(&(account.bank.as_str(), account.id.as_str())).unwrap() += units;
        }
    }
    for (bank, site) in BANKS.into_iter().zip(&sites.banks) {
        let store = site.store().expect("the bank runs");
        for id in ACCOUNTS {
            let account = now(store.details(id)).expect("accounts stay").account;
            assert_eq!((account.held, account.incoming), (0, 0), "{bank}/{id}");
            assert_eq!(account.available, expected[&(bank, id)], "{bank}/{id}");
        }
    }
}
