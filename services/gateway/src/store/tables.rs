//! The tables of the store.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use crate::transaction::{Run, Sequence};

/// A set of sequences.
pub(super) type List = TableDefinition<'static, Sequence, ()>;

/// The store's own name and how often it was opened.
const ABOUT: TableDefinition<&str, u32> = TableDefinition::new("about");
const NAME: &str = "name";
const STARTS: &str = "starts";
/// Every payment, as [`super::records`] writes it.
pub(super) const PAYMENTS: TableDefinition<Sequence, &[u8]> = TableDefinition::new("payments");
/// Which payment has this id.
pub(super) const BY_PAYMENT_ID: TableDefinition<&str, Sequence> =
    TableDefinition::new("by_payment_id");
/// Which payments a user made or received.
pub(super) const HISTORY: TableDefinition<(&str, Sequence), ()> = TableDefinition::new("history");
/// Payments that are INITIATED.
pub(super) const UNDECIDED: List = TableDefinition::new("undecided");
/// Payments that are COMMITTED and whose banks have not all said that they know.
pub(super) const UNFINISHED: List = TableDefinition::new("unfinished");

/// Makes all tables, so that reads find them, and names the store.
pub(super) fn create(transaction: &WriteTransaction, name: u32) -> Result<(), redb::Error> {
    let mut about = transaction.open_table(ABOUT)?;
    about.insert(NAME, name)?;
    about.insert(STARTS, 0)?;
    transaction.open_table(PAYMENTS)?;
    transaction.open_table(BY_PAYMENT_ID)?;
    transaction.open_table(HISTORY)?;
    transaction.open_table(UNDECIDED)?;
    transaction.open_table(UNFINISHED)?;
    Ok(())
}

/// Counts a start.
pub(super) fn count_start(transaction: &WriteTransaction) -> Result<Run, redb::Error> {
    let mut about = transaction.open_table(ABOUT)?;
    let read = |key: &str| -> Result<u32, redb::Error> {
        let value = about.get(key)?.map(|value| value.value());
        value.ok_or_else(|| redb::Error::Corrupted(format!("the store has no `{key}`")))
    };
    let (store, starts) = (read(NAME)?, read(STARTS)? + 1);
    about.insert(STARTS, starts)?;
    Ok(Run { store, starts })
}
