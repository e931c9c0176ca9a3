//! The tables of the file, and how those of earlier versions become them.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use strife_store::file;

use crate::{
    store::{Position, RunState, records, records::Earlier, rules},
    transaction::{Block, Maker, RunNumber, Sequence, TransactionId, maker_of},
};

/// A set of sequences.
pub(super) type List = TableDefinition<'static, Sequence, ()>;
/// A run: what its gateway calls itself, how often it said that it goes on, whether it may write.
pub(super) type RunRow = (&'static str, u64, bool);

/// The store's own name and its newest run.
pub(super) const ABOUT: TableDefinition<&str, u32> = TableDefinition::new("about");
pub(super) const NAME: &str = "name";
pub(super) const LAST_RUN: &str = "starts";
/// Runs that are not forgotten.
pub(super) const RUNS: TableDefinition<RunNumber, RunRow> = TableDefinition::new("runs");
/// Which run has a block of sequences.
pub(super) const BLOCKS: TableDefinition<Block, RunNumber> = TableDefinition::new("blocks");
/// Every payment, as [`crate::store::records`] writes it.
pub(super) const PAYMENTS: TableDefinition<Sequence, &[u8]> = TableDefinition::new("payments");
/// How payments ended, unless their own bytes say so, as they did in version 1.
pub(super) const DECISIONS: TableDefinition<Sequence, (u8, &str)> =
    TableDefinition::new("decisions");
/// Under which sequence the payment with this id was taken on, unless [`UNMERGED`] leads to it.
pub(super) const BY_PAYMENT_ID: TableDefinition<&str, Sequence> =
    TableDefinition::new("by_payment_id");
/// Which payments a user made or received, as they were taken on, unless [`UNMERGED`] leads to them.
pub(super) const HISTORY: TableDefinition<(&str, Sequence), ()> = TableDefinition::new("history");
/// Payments that the two tables before do not have yet: those of one commit together.
pub(super) const UNMERGED: TableDefinition<u64, Vec<Sequence>> = TableDefinition::new("unmerged");
/// The newest attempt at a payment that was tried again, by the sequence under which it was taken on.
pub(super) const NEWEST: TableDefinition<Sequence, Sequence> = TableDefinition::new("newest");
/// Payments that stand INITIATED.
pub(super) const UNDECIDED: List = TableDefinition::new("undecided");
/// Payments that are COMMITTED and whose banks have not all said that they know.
pub(super) const UNFINISHED: List = TableDefinition::new("unfinished");
/// What happened to payments: the events of a commit together, as [`crate::store::events`] writes them,
/// under the position of the first. The newest stay, so that positions go on from them.
pub(super) const OUTBOX: TableDefinition<Position, &[u8]> = TableDefinition::new("outbox");
/// Up to where each follower of the outbox has everything.
pub(super) const FOLLOWERS: TableDefinition<&str, Position> = TableDefinition::new("followers");

/// Payments in the queue by their newest attempt: how often they were tried, and when they are due,
/// milliseconds since the Unix epoch.
pub(super) const QUEUE: TableDefinition<Sequence, (u32, i64)> = TableDefinition::new("queue");
/// The same, by when they are due.
pub(super) const DUE: TableDefinition<(i64, Sequence), ()> = TableDefinition::new("due");

/// Whose file it is.
pub(super) const KIND: &str = "gateway";
/// From each version to the next; the newest is one more than there are steps.
pub(super) const UPGRADES: &[file::Upgrade] =
    &[add_runs_and_decisions, add_blocks, add_outbox, add_queue, add_newest];

/// Makes all tables, so that reads find them, and names the store.
pub(super) fn create(transaction: &WriteTransaction, name: u32) -> Result<(), redb::Error> {
    create_v1(transaction, name)?;
    UPGRADES.iter().try_for_each(|upgrade| upgrade(transaction))
}

pub(super) fn create_v1(transaction: &WriteTransaction, name: u32) -> Result<(), redb::Error> {
    let mut about = transaction.open_table(ABOUT)?;
    about.insert(NAME, name)?;
    about.insert(LAST_RUN, 0)?;
    transaction.open_table(PAYMENTS)?;
    transaction.open_table(BY_PAYMENT_ID)?;
    transaction.open_table(HISTORY)?;
    transaction.open_table(UNDECIDED)?;
    transaction.open_table(UNFINISHED)?;
    Ok(())
}

/// Runs of version 1 have no rows, and so are fenced; decisions of version 1 stay where they are.
fn add_runs_and_decisions(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(RUNS)?;
    transaction.open_table(DECISIONS)?;
    Ok(())
}

fn add_blocks(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(BLOCKS)?;
    Ok(())
}

/// It begins empty: what happened before is not told.
fn add_outbox(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(OUTBOX)?;
    transaction.open_table(FOLLOWERS)?;
    Ok(())
}

/// The run that made the payment of this sequence; `None` if nobody has its block.
pub(super) fn run_of(
    blocks: &impl ReadableTable<Block, RunNumber>,
    sequence: Sequence,
) -> Result<Option<RunNumber>, redb::Error> {
    match maker_of(sequence) {
        Maker::Run(number) => Ok(Some(number)),
        Maker::Block(block) => Ok(blocks.get(block)?.map(|run| run.value())),
    }
}

fn add_queue(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(QUEUE)?;
    transaction.open_table(DUE)?;
    Ok(())
}

/// Before, a payment's id led to its newest attempt.
fn add_newest(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(UNMERGED)?;
    let (payments, mut newest) =
        (transaction.open_table(PAYMENTS)?, transaction.open_table(NEWEST)?);
    let mut ids = transaction.open_table(BY_PAYMENT_ID)?;
    for entry in payments.iter()? {
        let (sequence, bytes) = entry?;
        let sequence = sequence.value();
        let record = records::decode(TransactionId { store: 0, sequence }, bytes.value())?;
        let Some(Earlier { first, .. }) = record.earlier else { continue };
        let payment_id = record.order.payment_id.as_str();
        if ids.get(payment_id)?.is_some_and(|found| found.value() == sequence) {
            newest.insert(first, sequence)?;
            ids.insert(payment_id, first)?;
        }
    }
    Ok(())
}

/// One of the numbers in [`ABOUT`].
pub(super) fn about(
    table: &impl ReadableTable<&'static str, u32>,
    key: &str,
) -> Result<u32, redb::Error> {
    let value = table.get(key)?.map(|value| value.value());
    value.ok_or_else(|| redb::Error::Corrupted(format!("the store has no `{key}`")))
}

/// Which runs may write, in one snapshot.
pub(super) struct Runs {
    rows: redb::ReadOnlyTable<RunNumber, RunRow>,
    blocks: redb::ReadOnlyTable<Block, RunNumber>,
    last: RunNumber,
}

impl Runs {
    pub(super) fn read(transaction: &ReadTransaction) -> Result<Self, redb::Error> {
        let last = about(&transaction.open_table(ABOUT)?, LAST_RUN)?;
        let (rows, blocks) = (transaction.open_table(RUNS)?, transaction.open_table(BLOCKS)?);
        Ok(Self { rows, blocks, last })
    }

    /// Who made the payment of this sequence, if there is such a run, and whether it may still write.
    pub(super) fn maker(
        &self,
        sequence: Sequence,
    ) -> Result<(Option<RunNumber>, RunState), redb::Error> {
        let Some(number) = run_of(&self.blocks, sequence)? else {
            return Ok((None, RunState::NotMade));
        };
        let live = self.rows.get(number)?.map(|row| row.value().2);
        Ok((Some(number), rules::run_state(number, live, self.last)))
    }
}
