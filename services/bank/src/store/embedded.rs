//! The store of the process that owns the bank's file.

mod reading;

use std::path::Path;

use strife_store::{GroupCommit, Latencies, Limits, StoreError, file};

use super::{
    AccountDetails, KnownLeg, Store, Totals, WholeStore,
    books::{Bookkeeper, Books},
    failpoints, rows,
    tables::{ACCOUNTS, UPGRADES},
};
use crate::{
    BankError,
    ledger::{self, Account, Command, LegKey, OpenAccount, Refusal, Verdict},
};

/// A ledger in a redb file of this process. Clones share it.
#[derive(Clone)]
pub struct Embedded {
    books: GroupCommit<Bookkeeper>,
}

impl Embedded {
    /// Opens the bank's store, of this version or an earlier one; an absent file is [`StoreError::NotFound`].
    pub fn open(path: &Path, bank: &str) -> Result<Self, BankError> {
        let database = file::open_or_upgrade(path, &base(bank), UPGRADES)?;
        Ok(Self { books: GroupCommit::start(database, Bookkeeper, Limits::default()) })
    }

    /// Creates the bank's store with these accounts: all of them, or, on any error, no file.
    pub fn create(path: &Path, bank: &str, accounts: &[OpenAccount]) -> Result<Self, BankError> {
        let kind = file::kind(&base(bank), UPGRADES.len() + 1);
        let database = file::create(path, &kind, |transaction| {
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
        let steps = failpoints::of([&command]);
        steps.before().await;
        let verdict = self.books.apply(command).await?;
        steps.after().await;
        Ok(verdict)
    }

    async fn apply_all(&self, commands: Vec<Command>) -> Result<Vec<Verdict>, BankError> {
        let steps = failpoints::of(&commands);
        steps.before().await;
        let verdicts = self.books.apply_all(commands).await?;
        steps.after().await;
        Ok(verdicts)
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
        let counted = tokio::task::spawn_blocking(move || books.read(reading::totals)).await;
        Ok(counted.map_err(|_| StoreError::Stopped)??)
    }

    async fn in_doubt(
        &self,
        until_ms: u64,
        limit: usize,
        wanted: impl Fn(&LegKey) -> bool + Send + Sync,
    ) -> Result<Vec<KnownLeg>, BankError> {
        Ok(self
            .books
            .read(|transaction| reading::in_doubt(transaction, until_ms, limit, wanted))?)
    }

    async fn forced(&self, limit: usize) -> Result<Vec<KnownLeg>, BankError> {
        Ok(self.books.read(|transaction| reading::forced(transaction, limit))?)
    }

    async fn details(&self, account_id: &str) -> Result<Option<AccountDetails>, BankError> {
        Ok(self.books.read(|transaction| reading::details(transaction, account_id))?)
    }

    async fn legs(&self, after: &str, limit: usize) -> Result<Vec<KnownLeg>, BankError> {
        Ok(self.books.read(|transaction| reading::legs(transaction, after, limit))?)
    }

    fn commits(&self) -> &Latencies {
        self.books.commits()
    }

    async fn close(&self) {
        self.books.close();
    }
}

/// What stands in the file, so that no bank opens another's.
fn base(bank: &str) -> String {
    format!("bank {bank}")
}

fn cannot_open(path: &Path, account: &OpenAccount, refusal: Refusal) -> BankError {
    let why = format!("account {}: {refusal}", account.account_id);
    BankError::Store(StoreError::Unusable { path: path.into(), why })
}

#[cfg(test)]
mod power;
#[cfg(feature = "test-support")]
mod simulated;
#[cfg(test)]
mod tests;
