//! The payments of one generation become part of the tables, a piece in each commit; then the memory that they
//! took is given back, a piece in each commit: all at once would hold up a commit for milliseconds.

use std::{ops::Bound, sync::Arc};

use redb::{Database, ReadableTable, WriteTransaction};

use super::{
    recent::{Entry, Generation, Recent},
    tables,
};
use crate::transaction::Sequence;

/// What a commit merges at least, in entries.
const STEP: usize = 64;
/// Entries that lead to a payment: its id, who pays, who is paid.
const ENTRIES: usize = 3;
/// Rows of [`tables::UNMERGED`] that are removed in one commit, if not as many as entries are merged.
const REMOVED_ROWS: usize = 256;

/// How far the writer is with it.
#[derive(Debug)]
pub(super) struct Merging {
    recent: Recent,
    /// Payments that gather before they are merged.
    most: usize,
    under_way: Option<UnderWay>,
    /// What is left of the generation that was merged last.
    merged: Generation,
}

#[derive(Debug)]
struct UnderWay {
    generation: Arc<Generation>,
    /// The last row of [`tables::UNMERGED`] that belongs to it.
    up_to: u64,
    next: Next,
}

/// What is merged next: what comes after a key, if there is one.
#[derive(Debug)]
enum Next {
    Ids(Option<Box<str>>),
    Histories(Option<Entry>),
    /// The tables have it all.
    Rows,
    /// And need not be told of it again.
    Nothing,
}

impl Merging {
    pub(super) fn new(recent: Recent, most: usize) -> Self {
        Self { recent, most, under_way: None, merged: Generation::default() }
    }

    /// Whatever was written before this is durable by now.
    pub(super) fn begin_commit(&mut self) {
        let over = |under_way: &mut UnderWay| matches!(under_way.next, Next::Nothing);
        if let Some(under_way) = self.under_way.take_if(over) {
            drop(under_way);
            self.merged = self.recent.forget();
        }
    }

    /// Merges all that has gathered, in one transaction.
    pub(super) fn merge_all(&mut self, database: &Database) -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        let up_to = transaction.open_table(tables::UNMERGED)?.last()?.map(|(row, _)| row.value());
        let Some(up_to) = up_to else { return Ok(()) };
        let (generation, next) = (self.recent.freeze(), Next::Ids(None));
        let mut under_way = UnderWay { generation, up_to, next };
        while !matches!(under_way.next, Next::Nothing) {
            under_way.merge(&transaction, usize::MAX)?;
        }
        transaction.commit()?;
        drop(under_way);
        self.recent.forget();
        Ok(())
    }

    /// Writes down that the tables do not have the payments of this commit yet, and merges a piece of those
    /// that gathered before.
    pub(super) fn end_commit(
        &mut self,
        transaction: &WriteTransaction,
        taken_on: Vec<Sequence>,
    ) -> Result<(), redb::Error> {
        let count = taken_on.len();
        if count > 0 {
            let mut unmerged = transaction.open_table(tables::UNMERGED)?;
            // Never a number of the generation that is being merged, whose rows go.
            let own = self.under_way.as_ref().map_or(0, |under_way| under_way.up_to + 1);
            let row = unmerged.last()?.map_or(0, |(row, _)| row.value() + 1).max(own);
            unmerged.insert(row, taken_on)?;
            if self.under_way.is_none() && self.recent.gathered() >= self.most {
                let (generation, next) = (self.recent.freeze(), Next::Ids(None));
                self.under_way = Some(UnderWay { generation, up_to: row, next });
            }
        }
        // So much that it is over when half a generation has gathered, as both are.
        let piece = |payments: usize| STEP + count * (2 * ENTRIES * payments).div_ceil(self.most);
        self.merged.shed(piece(self.most));
        let Some(under_way) = &mut self.under_way else { return Ok(()) };
        let piece = piece(under_way.generation.ids.len());
        under_way.merge(transaction, piece)
    }
}

impl UnderWay {
    fn merge(&mut self, transaction: &WriteTransaction, most: usize) -> Result<(), redb::Error> {
        match &mut self.next {
            Next::Ids(after) => {
                let mut ids = transaction.open_table(tables::BY_PAYMENT_ID)?;
                let piece: Vec<_> =
                    self.generation.ids.range::<Box<str>, _>(following(after)).take(most).collect();
                for (id, sequence) in &piece {
                    ids.insert(&***id, *sequence)?;
                }
                match piece.last() {
                    Some((id, _)) if piece.len() == most => *after = Some((*id).clone()),
                    _ => self.next = Next::Histories(None),
                }
            }
            Next::Histories(after) => {
                let mut histories = transaction.open_table(tables::HISTORY)?;
                let piece: Vec<_> = self
                    .generation
                    .histories
                    .range::<Entry, _>(following(after))
                    .take(most)
                    .collect();
                for (user, sequence) in &piece {
                    histories.insert((&**user, *sequence), ())?;
                }
                match piece.last() {
                    Some(entry) if piece.len() == most => *after = Some((*entry).clone()),
                    _ => self.next = Next::Rows,
                }
            }
            Next::Rows => {
                let mut unmerged = transaction.open_table(tables::UNMERGED)?;
                let is_ours = |row: Option<u64>| row.is_some_and(|row| row <= self.up_to);
                for _ in 0..REMOVED_ROWS.max(most) {
                    if !is_ours(unmerged.first()?.map(|(row, _)| row.value())) {
                        break;
                    }
                    unmerged.pop_first()?;
                }
                if !is_ours(unmerged.first()?.map(|(row, _)| row.value())) {
                    self.next = Next::Nothing;
                }
            }
            Next::Nothing => {}
        }
        Ok(())
    }
}

/// What comes after a key, or everything.
fn following<K>(after: &Option<K>) -> (Bound<&K>, Bound<&K>) {
    (after.as_ref().map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

#[cfg(test)]
mod tests;
