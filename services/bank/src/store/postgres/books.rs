//! The rows of one batch in memory: what was read, what the ledger made of it, what is to be written.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use crate::{
    ledger::{
        Account, Forced, GatewayRun, Internal, LedgerState, Leg, LegKey, LegRecord, Posting,
        SpendingLimits, TransferRecord,
    },
    store::AccountDetails,
};

/// A ledger's state of the rows that a batch named, and no others.
#[derive(Default)]
pub(super) struct Books {
    pub(super) accounts: Rows<AccountDetails>,
    pub(super) legs: Rows<LegRecord>,
    /// Of the accounts that the batch limits, debits in doubt and when they were prepared, by key.
    pub(super) held: BTreeMap<String, Held>,
    pub(super) transfers: Rows<TransferRecord>,
    /// Of the legs that the batch named, those that operators ended, and which of them it changed.
    pub(super) forced: BTreeMap<String, Forced>,
    pub(super) newly_forced: BTreeSet<String>,
    /// Of the runs that the batch named, those that are fenced.
    pub(super) fenced: BTreeSet<GatewayRun>,
    /// Runs that are to be fenced.
    pub(super) fences: BTreeSet<GatewayRun>,
    /// By how much the batch has moved the bank's own accounts.
    pub(super) moved: BTreeMap<Internal, i128>,
    pub(super) postings: Vec<Posted>,
}

/// A debit in doubt.
pub(super) struct Held {
    pub(super) account_id: String,
    pub(super) prepared_at_ms: u64,
}

/// Rows by key, in the order in which they are locked and written.
pub(super) struct Rows<T> {
    /// Looked for, found or not. Anything else has not been looked for and must not be missed.
    named: BTreeSet<String>,
    rows: BTreeMap<String, Row<T>>,
}

struct Row<T> {
    value: T,
    fate: Fate,
}

/// What becomes of a row at the end of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    AsRead,
    Update,
    Insert,
}

/// Rows to be written, by key and in its order.
pub(super) struct Changed<T> {
    pub(super) inserted: Vec<(String, T)>,
    pub(super) updated: Vec<(String, T)>,
}

/// A line of the journal; a balance is `None` where it is one of the bank's own accounts'.
pub(super) struct Posted {
    pub(super) transaction_id: String,
    pub(super) amount: i64,
    pub(super) to: (String, Option<i64>),
    pub(super) from: (String, Option<i64>),
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { named: BTreeSet::new(), rows: BTreeMap::new() }
    }
}

impl<T: Clone> Rows<T> {
    /// Those that were looked for.
    pub(super) fn named(named: BTreeSet<String>) -> Self {
        Self { named, rows: BTreeMap::new() }
    }

    /// One that was found.
    pub(super) fn found(&mut self, key: String, value: T) {
        self.rows.insert(key, Row { value, fate: Fate::AsRead });
    }

    fn get(&self, key: &str) -> Option<T> {
        let row = self.rows.get(key);
        assert!(row.is_some() || self.named.contains(key), "{key} was not read with its batch");
        row.map(|row| row.value.clone())
    }

    fn put(&mut self, key: String, value: T) {
        match self.rows.get_mut(&key) {
            Some(row) => {
                row.value = value;
                if row.fate == Fate::AsRead {
                    row.fate = Fate::Update;
                }
            }
            None => drop(self.rows.insert(key, Row { value, fate: Fate::Insert })),
        }
    }

    /// What is to be written.
    pub(super) fn changed(self) -> Changed<T> {
        let mut changed = Changed { inserted: Vec::new(), updated: Vec::new() };
        for (key, Row { value, fate }) in self.rows {
            match fate {
                Fate::AsRead => {}
                Fate::Insert => changed.inserted.push((key, value)),
                Fate::Update => changed.updated.push((key, value)),
            }
        }
        changed
    }
}

impl Books {
    /// As if the account had been looked for and not found.
    pub(super) fn expect_account(&mut self, account_id: &str) {
        self.accounts.named.insert(account_id.to_owned());
    }
}

impl LedgerState for Books {
    type Error = Infallible;

    fn account(&mut self, account_id: &str) -> Result<Option<Account>, Infallible> {
        Ok(self.accounts.get(account_id).map(|details| details.account))
    }

    fn put_account(&mut self, account_id: &str, account: Account) -> Result<(), Infallible> {
        let limits = self.accounts.get(account_id).and_then(|details| details.limits);
        self.accounts.put(account_id.to_owned(), AccountDetails { account, limits });
        Ok(())
    }

    fn limits(&mut self, account_id: &str) -> Result<Option<SpendingLimits>, Infallible> {
        Ok(self.accounts.get(account_id).and_then(|details| details.limits))
    }

    fn put_limits(&mut self, account_id: &str, limits: SpendingLimits) -> Result<(), Infallible> {
        if let Some(details) = self.accounts.get(account_id) {
            let details = AccountDetails { limits: Some(limits), ..details };
            self.accounts.put(account_id.to_owned(), details);
        }
        Ok(())
    }

    /// Of legs that the batch has named it is known what became of them in it.
    fn newest_hold_ms(&mut self, account_id: &str) -> Result<Option<u64>, Infallible> {
        let named = |key: &str| self.legs.rows.get(key);
        let is_debit = |key: &str| LegKey::parse(key).is_some_and(|key| key.leg == Leg::Debit);
        let others = self
            .held
            .iter()
            .filter(|(key, held)| named(key.as_str()).is_none() && held.account_id == account_id);
        let legs = self.legs.rows.iter().map(|(key, row)| (key, &row.value));
        let legs = legs.filter(|(key, leg)| is_debit(key) && leg.is_promise_of(account_id));
        let held_at_ms = legs.map(|(_, leg)| leg.prepared_at_ms);
        Ok(held_at_ms.chain(others.map(|(_, held)| held.prepared_at_ms)).max())
    }

    /// What the batch has moved so far: the ledger adds to a position and never asks how much it is.
    fn position(&mut self, internal: Internal) -> Result<i128, Infallible> {
        Ok(self.moved.get(&internal).copied().unwrap_or(0))
    }

    fn put_position(&mut self, internal: Internal, balance: i128) -> Result<(), Infallible> {
        self.moved.insert(internal, balance);
        Ok(())
    }

    fn leg(&mut self, key: &LegKey) -> Result<Option<LegRecord>, Infallible> {
        Ok(self.legs.get(&key.to_string()))
    }

    fn put_leg(&mut self, key: &LegKey, leg: LegRecord) -> Result<(), Infallible> {
        self.legs.put(key.to_string(), leg);
        Ok(())
    }

    fn forced(&mut self, key: &LegKey) -> Result<Option<Forced>, Infallible> {
        Ok(self.forced.get(&key.to_string()).cloned())
    }

    fn put_forced(&mut self, key: &LegKey, forced: Forced) -> Result<(), Infallible> {
        self.newly_forced.insert(key.to_string());
        self.forced.insert(key.to_string(), forced);
        Ok(())
    }

    fn is_fenced(&mut self, run: GatewayRun) -> Result<bool, Infallible> {
        Ok(self.fenced.contains(&run))
    }

    fn fence(&mut self, run: GatewayRun) -> Result<(), Infallible> {
        if self.fenced.insert(run) {
            self.fences.insert(run);
        }
        Ok(())
    }

    fn transfer(&mut self, transaction_id: &str) -> Result<Option<TransferRecord>, Infallible> {
        Ok(self.transfers.get(transaction_id))
    }

    fn put_transfer(
        &mut self,
        transaction_id: &str,
        transfer: TransferRecord,
    ) -> Result<(), Infallible> {
        self.transfers.put(transaction_id.to_owned(), transfer);
        Ok(())
    }

    fn append(&mut self, posting: Posting<'_>) -> Result<(), Infallible> {
        let side = |entry: crate::ledger::Entry<'_>| {
            let is_own = Internal::from_name(entry.account).is_some();
            let customers = (!is_own).then(|| {
                i64::try_from(entry.balance_after).expect("a customer's balance fits 64 bits")
            });
            (entry.account.to_owned(), customers)
        };
        self.postings.push(Posted {
            transaction_id: posting.transaction_id.to_owned(),
            amount: posting.amount,
            to: side(posting.to),
            from: side(posting.from),
        });
        Ok(())
    }
}
