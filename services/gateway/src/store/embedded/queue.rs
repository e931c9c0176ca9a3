//! The queue's two tables, opened only by a batch or a read that has to do with it: of most payments
//! nothing is ever queued.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::tables::{self, Runs};
use crate::{
    queue::Queued,
    transaction::{RunNumber, Sequence},
};

/// The queue in a batch.
pub(super) struct Queue<'t> {
    transaction: &'t WriteTransaction,
    opened: Option<Opened<'t>>,
}

struct Opened<'t> {
    places: Table<'t, Sequence, (u32, i64)>,
    due: Table<'t, (i64, Sequence), ()>,
}

impl<'t> Queue<'t> {
    pub(super) fn of(transaction: &'t WriteTransaction) -> Self {
        Self { transaction, opened: None }
    }

    fn open(&mut self) -> Result<&mut Opened<'t>, redb::Error> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => Opened {
                places: self.transaction.open_table(tables::QUEUE)?,
                due: self.transaction.open_table(tables::DUE)?,
            },
        };
        Ok(self.opened.insert(opened))
    }

    pub(super) fn get(&mut self, sequence: Sequence) -> Result<Option<Queued>, redb::Error> {
        let found = self.open()?.places.get(sequence)?;
        Ok(found.map(|row| place_of(row.value())))
    }

    /// Gives a payment a place, or another one.
    pub(super) fn put(&mut self, sequence: Sequence, place: Queued) -> Result<(), redb::Error> {
        self.remove(sequence)?;
        let Queued { attempts, due_ms } = place;
        let Opened { places, due } = self.open()?;
        places.insert(sequence, (attempts, due_ms))?;
        due.insert((due_ms, sequence), ())?;
        Ok(())
    }

    pub(super) fn remove(&mut self, sequence: Sequence) -> Result<(), redb::Error> {
        let Opened { places, due } = self.open()?;
        if let Some(row) = places.remove(sequence)? {
            due.remove((row.value().1, sequence))?;
        }
        Ok(())
    }
}

/// A payment's place.
pub(super) fn place(
    transaction: &ReadTransaction,
    sequence: Sequence,
) -> Result<Option<Queued>, redb::Error> {
    let found = transaction.open_table(tables::QUEUE)?.get(sequence)?;
    Ok(found.map(|row| place_of(row.value())))
}

/// How many have a place.
pub(super) fn count(transaction: &ReadTransaction) -> Result<u64, redb::Error> {
    Ok(transaction.open_table(tables::QUEUE)?.len()?)
}

/// Who is due by `now_ms`, or, if it is not of run `own`, by `others_ms`; from after `after`.
pub(super) fn due(
    transaction: &ReadTransaction,
    runs: &Runs,
    own: RunNumber,
    [now_ms, others_ms]: [i64; 2],
    after: Option<(i64, Sequence)>,
    limit: usize,
) -> Result<Vec<Sequence>, redb::Error> {
    let due = transaction.open_table(tables::DUE)?;
    let last = now_ms.max(others_ms);
    let next = |(due_ms, sequence): (i64, Sequence)| (due_ms, sequence.saturating_add(1));
    let first = after.map_or((i64::MIN, 0), next);
    let mut found = Vec::new();
    for entry in due.range(first..)? {
        let (due_ms, sequence) = entry?.0.value();
        if due_ms > last {
            break;
        }
        let (maker, _) = runs.maker(sequence)?;
        let by = if maker == Some(own) { now_ms } else { others_ms };
        if due_ms <= by {
            found.push(sequence);
        }
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

fn place_of((attempts, due_ms): (u32, i64)) -> Queued {
    Queued { attempts, due_ms }
}
