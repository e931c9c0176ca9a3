//! What a server has written down: one number, in `DIR/txid.redb`.

use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};
use strife_store::{GroupCommit, Limits, Machine, StoreError, file};

use crate::blocks::FIRST;

#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;

/// The store's file in the data directory.
const FILE: &str = "txid.redb";
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
const HIGH_WATER: &str = "high_water";
/// Commands that may wait; there is one at a time.
const QUEUE: usize = 16;

/// A server's file.
pub struct HighWater(GroupCommit<Raise>);

/// Raises the number.
struct Raise;

impl Machine for Raise {
    type Command = u64;
    type Outcome = ();

    fn apply_batch(
        &mut self,
        transaction: &WriteTransaction,
        commands: Vec<u64>,
    ) -> Result<Vec<()>, redb::Error> {
        let mut numbers = transaction.open_table(NUMBERS)?;
        let standing = numbers.get(HIGH_WATER)?.map_or(FIRST, |number| number.value());
        let highest = commands.iter().copied().fold(standing, u64::max);
        numbers.insert(HIGH_WATER, highest)?;
        Ok(commands.iter().map(|_| ()).collect())
    }
}

impl HighWater {
    /// Opens the store of server `server` in `directory`, or creates it. Any other server's is refused.
    pub fn open(directory: &Path, server: u8) -> Result<Self, StoreError> {
        let (path, base) = (directory.join(FILE), format!("txid {server}"));
        let database = match file::open_or_upgrade(&path, &base, &[]) {
            Err(StoreError::NotFound { .. }) => {
                file::create(&path, &file::kind(&base, 1), |transaction| {
                    create(transaction).map_err(StoreError::from)
                })
            }
            opened => opened,
        }?;
        Ok(Self::on(database))
    }

    fn on(database: Database) -> Self {
        Self(GroupCommit::start(database, Raise, Limits { queue: QUEUE, batch: QUEUE }))
    }

    /// What stands there.
    pub fn read(&self) -> Result<u64, StoreError> {
        self.0.read(|transaction| {
            let number = transaction.open_table(NUMBERS)?.get(HIGH_WATER)?;
            let missing = || redb::Error::Corrupted("the store has no high water".to_owned());
            Ok(number.ok_or_else(missing)?.value())
        })
    }

    /// Raises it, durably.
    pub async fn raise(&self, to: u64) -> Result<(), StoreError> {
        self.0.apply(to).await
    }

    /// Ends the store.
    pub fn close(&self) {
        self.0.close();
    }
}

fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(NUMBERS)?.insert(HIGH_WATER, FIRST)?;
    Ok(())
}
