//! The tables of a bank's file.

use redb::{TableDefinition, WriteTransaction};
use strife_store::file;

use super::rows::{AccountRow, ForcedRow, LegRow, LimitsRow, TransferRow, Unknown};

/// Transaction, amount, to, its balance after, from, its balance after.
pub(super) type PostingRow<'a> = (&'a str, i64, &'a str, i128, &'a str, i128);

/// Customers' accounts by id.
pub(super) const ACCOUNTS: TableDefinition<'_, &str, AccountRow> = TableDefinition::new("accounts");
/// Limits of accounts that ever had any, by account id.
pub(super) const LIMITS: TableDefinition<'_, &str, LimitsRow> = TableDefinition::new("limits");
/// Balances of the bank's own accounts by name.
pub(super) const POSITIONS: TableDefinition<'_, &str, i128> = TableDefinition::new("positions");
/// Legs in doubt by key; few, so that they are found without looking through all legs.
pub(super) const PREPARED: TableDefinition<'_, &str, LegRow<'_>> = TableDefinition::new("prepared");
/// Legs that are over, by key.
pub(super) const FINISHED: TableDefinition<'_, &str, LegRow<'_>> = TableDefinition::new("finished");
/// What operators did to legs, by key.
pub(super) const FORCED: TableDefinition<'_, &str, ForcedRow<'_>> = TableDefinition::new("forced");
/// Runs of gateways that prepare nothing any more: their stores' names and their numbers.
pub(super) const FENCES: TableDefinition<'_, (u32, u32), ()> = TableDefinition::new("fences");
/// Transfers by transaction id.
pub(super) const TRANSFERS: TableDefinition<'_, &str, TransferRow<'_>> =
    TableDefinition::new("transfers");
/// Every posting in the order it was made.
pub(super) const JOURNAL: TableDefinition<'_, u64, PostingRow<'_>> =
    TableDefinition::new("journal");

/// From each version of the file to the next; the newest is one more than there are steps.
pub(super) const UPGRADES: &[file::Upgrade] = &[add_limits, add_fences, add_forced];

fn add_limits(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(LIMITS)?;
    Ok(())
}

fn add_fences(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(FENCES)?;
    Ok(())
}

fn add_forced(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(FORCED)?;
    Ok(())
}

impl From<Unknown> for redb::Error {
    fn from(Unknown(what): Unknown) -> Self {
        Self::Corrupted(format!("{what} is not one this version knows"))
    }
}
