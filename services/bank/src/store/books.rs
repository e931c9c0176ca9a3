//! The ledger's state inside one redb transaction.
//!
//! Accounts and positions that a batch touches are kept in memory until its end: a hot account is
//! read and written once a batch, however many commands name it.

use std::collections::{BTreeMap, HashMap};

use redb::{ReadableTable, Table, WriteTransaction};
use strife_store::Machine;

use super::rows;
use super::tables::{
    self, ACCOUNTS, FENCES, FINISHED, FORCED, JOURNAL, LIMITS, POSITIONS, PREPARED, TRANSFERS,
};
use crate::ledger::{
    self, Account, Command, Forced, GatewayRun, Internal, LedgerState, Leg, LegKey, LegRecord,
    LegState, Posting, SpendingLimits, TransferRecord, Verdict,
};

/// Applies a bank's commands batch by batch.
pub(super) struct Bookkeeper;

impl Machine for Bookkeeper {
    type Command = Command;
    type Outcome = Verdict;

    fn apply_batch(
        &mut self,
        transaction: &WriteTransaction,
        commands: Vec<Command>,
    ) -> Result<Vec<Verdict>, redb::Error> {
        let mut books = Books::open(transaction)?;
        let verdicts = commands
            .iter()
            .map(|command| ledger::apply(&mut books, command))
            .collect::<Result<_, redb::Error>>()?;
        books.flush()?;
        Ok(verdicts)
    }
}

/// All tables of the transaction, and what is not yet written to them.
pub(super) struct Books<'txn> {
    accounts: Table<'txn, &'static str, rows::AccountRow>,
    limits: Table<'txn, &'static str, rows::LimitsRow>,
    positions: Table<'txn, &'static str, i128>,
    prepared: Table<'txn, &'static str, rows::LegRow<'static>>,
    finished: Table<'txn, &'static str, rows::LegRow<'static>>,
    forced: Table<'txn, &'static str, rows::ForcedRow<'static>>,
    fences: Table<'txn, (u32, u32), ()>,
    transfers: Table<'txn, &'static str, rows::TransferRow<'static>>,
    journal: Table<'txn, u64, tables::PostingRow<'static>>,
    next_posting: u64,
    touched: HashMap<String, Touched>,
    moved: BTreeMap<Internal, i128>,
    /// The run that was looked for last, and whether it is fenced: a batch is mostly one run's.
    last_maker: Option<(GatewayRun, bool)>,
}

struct Touched {
    account: Account,
    changed: bool,
}

impl<'txn> Books<'txn> {
    /// Opens every table, creating those that are not there.
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        let journal = transaction.open_table(JOURNAL)?;
        let next_posting = journal.last()?.map_or(0, |(number, _)| number.value() + 1);
        Ok(Self {
            accounts: transaction.open_table(ACCOUNTS)?,
            limits: transaction.open_table(LIMITS)?,
            positions: transaction.open_table(POSITIONS)?,
            prepared: transaction.open_table(PREPARED)?,
            finished: transaction.open_table(FINISHED)?,
            forced: transaction.open_table(FORCED)?,
            fences: transaction.open_table(FENCES)?,
            transfers: transaction.open_table(TRANSFERS)?,
            journal,
            next_posting,
            touched: HashMap::new(),
            moved: BTreeMap::new(),
            last_maker: None,
        })
    }

    /// Writes what was kept back, in the order of the keys.
    pub(super) fn flush(mut self) -> Result<(), redb::Error> {
        let mut changed: Vec<_> =
            self.touched.iter().filter(|(_, touched)| touched.changed).collect();
        changed.sort_unstable_by_key(|(account_id, _)| account_id.as_str());
        for (account_id, touched) in changed {
            self.accounts.insert(account_id.as_str(), rows::account_row(&touched.account))?;
        }
        for (internal, balance) in &self.moved {
            self.positions.insert(internal.name().as_str(), balance)?;
        }
        Ok(())
    }
}

impl LedgerState for Books<'_> {
    type Error = redb::Error;

    fn account(&mut self, account_id: &str) -> Result<Option<Account>, redb::Error> {
        if let Some(touched) = self.touched.get(account_id) {
            return Ok(Some(touched.account));
        }
        let Some(row) = self.accounts.get(account_id)? else { return Ok(None) };
        let account = rows::account(row.value())?;
        self.touched.insert(account_id.to_owned(), Touched { account, changed: false });
        Ok(Some(account))
    }

    fn put_account(&mut self, account_id: &str, account: Account) -> Result<(), redb::Error> {
        let written = Touched { account, changed: true };
        match self.touched.get_mut(account_id) {
            Some(touched) => *touched = written,
            None => drop(self.touched.insert(account_id.to_owned(), written)),
        }
        Ok(())
    }

    fn limits(&mut self, account_id: &str) -> Result<Option<SpendingLimits>, redb::Error> {
        Ok(self.limits.get(account_id)?.map(|row| rows::limits(row.value())))
    }

    fn put_limits(&mut self, account_id: &str, limits: SpendingLimits) -> Result<(), redb::Error> {
        self.limits.insert(account_id, rows::limits_row(&limits))?;
        Ok(())
    }

    /// Looks at all legs in doubt.
    fn newest_hold_ms(&mut self, account_id: &str) -> Result<Option<u64>, redb::Error> {
        let mut newest = None;
        for row in self.prepared.iter()? {
            let (key, row) = row?;
            let leg = rows::leg(row.value())?;
            let is_debit = LegKey::parse(key.value()).is_some_and(|key| key.leg == Leg::Debit);
            if is_debit && leg.is_promise_of(account_id) {
                newest = newest.max(Some(leg.prepared_at_ms));
            }
        }
        Ok(newest)
    }

    fn position(&mut self, internal: Internal) -> Result<i128, redb::Error> {
        if let Some(balance) = self.moved.get(&internal) {
            return Ok(*balance);
        }
        let balance = self.positions.get(internal.name().as_str())?;
        Ok(balance.map_or(0, |balance| balance.value()))
    }

    fn put_position(&mut self, internal: Internal, balance: i128) -> Result<(), redb::Error> {
        self.moved.insert(internal, balance);
        Ok(())
    }

    fn leg(&mut self, key: &LegKey) -> Result<Option<LegRecord>, redb::Error> {
        let key = key.to_string();
        let row = match self.prepared.get(key.as_str())? {
            Some(row) => Some(row),
            None => self.finished.get(key.as_str())?,
        };
        Ok(row.map(|row| rows::leg(row.value())).transpose()?)
    }

    fn put_leg(&mut self, key: &LegKey, leg: LegRecord) -> Result<(), redb::Error> {
        let key = key.to_string();
        if leg.state == LegState::Prepared {
            self.prepared.insert(key.as_str(), rows::leg_row(&leg))?;
        } else {
            self.prepared.remove(key.as_str())?;
            self.finished.insert(key.as_str(), rows::leg_row(&leg))?;
        }
        Ok(())
    }

    fn forced(&mut self, key: &LegKey) -> Result<Option<Forced>, redb::Error> {
        let row = self.forced.get(key.to_string().as_str())?;
        Ok(row.map(|row| rows::forced(row.value())).transpose()?)
    }

    fn put_forced(&mut self, key: &LegKey, forced: Forced) -> Result<(), redb::Error> {
        self.forced.insert(key.to_string().as_str(), rows::forced_row(&forced))?;
        Ok(())
    }

    fn is_fenced(&mut self, run: GatewayRun) -> Result<bool, redb::Error> {
        match self.last_maker {
            Some((last, fenced)) if last == run => Ok(fenced),
            _ => {
                let fenced = self.fences.get((run.store, run.run))?.is_some();
                self.last_maker = Some((run, fenced));
                Ok(fenced)
            }
        }
    }

    fn fence(&mut self, run: GatewayRun) -> Result<(), redb::Error> {
        self.fences.insert((run.store, run.run), ())?;
        self.last_maker = None;
        Ok(())
    }

    fn transfer(&mut self, transaction_id: &str) -> Result<Option<TransferRecord>, redb::Error> {
        let row = self.transfers.get(transaction_id)?;
        Ok(row.map(|row| rows::transfer(row.value())).transpose()?)
    }

    fn put_transfer(
        &mut self,
        transaction_id: &str,
        transfer: TransferRecord,
    ) -> Result<(), redb::Error> {
        self.transfers.insert(transaction_id, rows::transfer_row(&transfer))?;
        Ok(())
    }

    fn append(&mut self, posting: Posting<'_>) -> Result<(), redb::Error> {
        let Posting { transaction_id, amount, to, from } = posting;
        let row = (
            transaction_id,
            amount,
            to.account,
            to.balance_after,
            from.account,
            from.balance_after,
        );
        self.journal.insert(self.next_posting, row)?;
        self.next_posting += 1;
        Ok(())
    }
}
