//! The store of the process that owns the bank's file.

use std::path::Path;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};
use strife_store::{GroupCommit, Latencies, Limits, StoreError, file};

use super::{
    InDoubt, Store, Totals, WholeStore,
    books::{Bookkeeper, Books},
    rows,
    tables::{ACCOUNTS, POSITIONS, PREPARED},
};
use crate::{
    BankError,
    ledger::{self, Account, Command, Internal, LegKey, OpenAccount, Refusal, Verdict},
};

/// A ledger in a redb file of this process. Clones share it.
#[derive(Clone)]
pub struct Embedded {
    books: GroupCommit<Bookkeeper>,
}

impl Embedded {
    /// Opens the bank's store; an absent file is [`StoreError::NotFound`].
    pub fn open(path: &Path, bank: &str) -> Result<Self, BankError> {
        let database = file::open(path, &kind(bank))?;
        Ok(Self { books: GroupCommit::start(database, Bookkeeper, Limits::default()) })
    }

    /// Creates the bank's store with these accounts: all of them, or, on any error, no file.
    pub fn create(path: &Path, bank: &str, accounts: &[OpenAccount]) -> Result<Self, BankError> {
        let database = file::create(path, &kind(bank), |transaction| {
            let mut books = Books::open(transaction).map_err(StoreError::from)?;
            for account in accounts {
                let command = Command::OpenAccount(account.clone());
                let verdict = ledger::apply(&mut books, &command).map_err(StoreError::from)?;
                verdict.map_err(|refusal| cannot_open(path, account, refusal))?;
            }
            books.flush().map_err(StoreError::from)?;
            Ok::<_, BankError>(())
        })?;
        Ok(Self { books: GroupCommit::start(database, Bookkeeper, Limits::default()) })
    }
}

impl Store for Embedded {
    async fn apply(&self, command: Command) -> Result<Verdict, BankError> {
        Ok(self.books.apply(command).await?)
    }

    async fn apply_all(&self, commands: Vec<Command>) -> Result<Vec<Verdict>, BankError> {
        Ok(self.books.apply_all(commands).await?)
    }

    async fn account(&self, account_id: &str) -> Result<Option<Account>, BankError> {
        Ok(self.books.read(|transaction| {
            let accounts = transaction.open_table(ACCOUNTS)?;
            let row = accounts.get(account_id)?;
            Ok(row.map(|row| rows::account(row.value())).transpose()?)
        })?)
    }
}

impl WholeStore for Embedded {
    /// Looks at every account, on a thread of its own.
    async fn totals(&self) -> Result<Totals, BankError> {
        let books = self.books.clone();
        let counted = tokio::task::spawn_blocking(move || books.read(totals)).await;
        Ok(counted.map_err(|_| StoreError::Stopped)??)
    }

    async fn in_doubt(
        &self,
        until_ms: u64,
        limit: usize,
        wanted: impl Fn(&LegKey) -> bool + Send + Sync,
    ) -> Result<Vec<InDoubt>, BankError> {
        Ok(self.books.read(|transaction| in_doubt(transaction, until_ms, limit, wanted))?)
    }

    fn commits(&self) -> &Latencies {
        self.books.commits()
    }

    async fn close(&self) {
        self.books.close();
    }
}

/// What stands in the file, so that no bank opens another's.
fn kind(bank: &str) -> String {
    format!("bank {bank} v1")
}

fn cannot_open(path: &Path, account: &OpenAccount, refusal: Refusal) -> BankError {
    let why = format!("account {}: {refusal}", account.account_id);
    BankError::Store(StoreError::Unusable { path: path.into(), why })
}

fn totals(transaction: &ReadTransaction) -> Result<Totals, redb::Error> {
    let mut totals = Totals::default();
    for entry in transaction.open_table(ACCOUNTS)?.iter()? {
        let account = rows::account(entry?.1.value())?;
        totals.accounts += 1;
        *totals.customers.entry(account.currency).or_default() += i128::from(account.balance());
    }
    for entry in transaction.open_table(POSITIONS)?.iter()? {
        let (name, balance) = entry?;
        match Internal::from_name(name.value()) {
            Some(Internal::Settlement(currency)) => {
                totals.settlement.insert(currency, balance.value());
            }
            Some(Internal::Opening(_)) => {}
            None => return Err(rows::Unknown("a position's name").into()),
        }
    }
    totals.in_doubt = transaction.open_table(PREPARED)?.len()?;
    Ok(totals)
}

fn in_doubt(
    transaction: &ReadTransaction,
    until_ms: u64,
    limit: usize,
    wanted: impl Fn(&LegKey) -> bool,
) -> Result<Vec<InDoubt>, redb::Error> {
    let mut found = Vec::new();
    for entry in transaction.open_table(PREPARED)?.iter()? {
        let (key, row) = entry?;
        let leg = rows::leg(row.value())?;
        let key = LegKey::parse(key.value()).ok_or(rows::Unknown("a leg's key"))?;
        if leg.prepared_at_ms > until_ms || !wanted(&key) {
            continue;
        }
        found.push(InDoubt { key, leg });
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
