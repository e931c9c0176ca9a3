//! What the gateway remembers, in `DIR/gateway.redb`: every payment under its sequence, where to find
//! it by payment id and by user, which payments are not decided, and which committed ones some bank
//! has yet to hear of.
//!
//! Writes go through the group commit and are durable when they return; reads see what is committed.
//! The store says nothing about what may follow what: that is [`crate::payment`]'s.

use std::{ops::Bound, path::Path, sync::Arc};

use redb::{Database, Durability, ReadTransaction};
use strife_store::{GroupCommit, Limits, StoreError, file};

use crate::{
    payment::Decision,
    transaction::{Run, Sequence},
};
use machine::{Command, Outcome, Payments};
pub use records::Record;

mod machine;
mod records;
mod tables;
#[cfg(test)]
mod tests;

/// The store's file in the data directory.
pub const FILE: &str = "gateway.redb";
/// Whose store it is, and in which form.
const KIND: &str = "gateway v1";

/// The gateway's memory. Clones share it.
#[derive(Clone)]
pub struct Store {
    commits: GroupCommit<Payments>,
    run: Run,
}

impl Store {
    /// Opens the store in `directory`, or creates it, and counts this start.
    pub fn open(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let database = match file::open(&path, KIND) {
            Err(StoreError::NotFound { .. }) => file::create(&path, KIND, |transaction| {
                tables::create(transaction, rand::random()).map_err(StoreError::from)
            }),
            opened => opened,
        }?;
        let run = count_start(&database)
            .map_err(|error| StoreError::Unusable { path, why: error.to_string() })?;
        Ok(Self { commits: GroupCommit::start(database, Payments, limits), run })
    }

    /// The names of the transactions that are made from now on.
    pub fn run(&self) -> Run {
        self.run
    }

    /// Writes down a new payment. Its id must not be in the store.
    pub async fn begin(&self, record: Arc<Record>) -> Result<(), StoreError> {
        self.commits.apply(Command::Begin(record)).await.map(drop)
    }

    /// Writes down how a payment ends; `false` if something else stands there already.
    pub async fn decide(&self, sequence: Sequence, decision: Decision) -> Result<bool, StoreError> {
        let outcome = self.commits.apply(Command::Decide(sequence, decision)).await?;
        Ok(outcome == Outcome::Done)
    }

    /// Writes down many decisions at once.
    pub async fn decide_all(&self, decisions: Vec<(Sequence, Decision)>) -> Result<(), StoreError> {
        let commands = decisions.into_iter().map(|(at, decision)| Command::Decide(at, decision));
        self.commits.apply_all(commands.collect()).await.map(drop)
    }

    /// Writes down that every bank has committed.
    pub async fn finish(&self, sequence: Sequence) -> Result<(), StoreError> {
        self.commits.apply(Command::Finish(sequence)).await.map(drop)
    }

    /// The payment of this id.
    pub fn find(&self, payment_id: &str) -> Result<Option<Record>, StoreError> {
        self.commits.read(|transaction| {
            let sequence = transaction.open_table(tables::BY_PAYMENT_ID)?.get(payment_id)?;
            match sequence {
                Some(sequence) => self.record(transaction, sequence.value()),
                None => Ok(None),
            }
        })
    }

    /// The payment of this sequence.
    pub fn get(&self, sequence: Sequence) -> Result<Option<Record>, StoreError> {
        self.commits.read(|transaction| self.record(transaction, sequence))
    }

    /// Payments that are not decided, oldest first, from after `after`.
    pub fn undecided(
        &self,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.listed(tables::UNDECIDED, after, limit)
    }

    /// Committed payments that not every bank is known to have committed, oldest first, from after
    /// `after`.
    pub fn unfinished(
        &self,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.listed(tables::UNFINISHED, after, limit)
    }

    /// A user's payments, made and received, newest first, from before `before`.
    pub fn history(
        &self,
        user: &str,
        before: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.commits.read(|transaction| {
            let history = transaction.open_table(tables::HISTORY)?;
            let newest = before.map_or(Bound::Included((user, Sequence::MAX)), |before| {
                Bound::Excluded((user, before))
            });
            let range = history.range((Bound::Included((user, 0)), newest))?;
            let sequences = range.rev().take(limit).map(|entry| Ok(entry?.0.value().1));
            self.records(transaction, sequences)
        })
    }

    /// Ends the store: what waits is written, what comes later fails.
    pub fn close(&self) {
        self.commits.close();
    }

    fn listed(
        &self,
        table: tables::List,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.commits.read(|transaction| {
            let list = transaction.open_table(table)?;
            let after = after.map_or(Bound::Unbounded, Bound::Excluded);
            let range = list.range((after, Bound::Unbounded))?;
            let sequences = range.take(limit).map(|entry| Ok(entry?.0.value()));
            self.records(transaction, sequences)
        })
    }

    fn records(
        &self,
        transaction: &ReadTransaction,
        sequences: impl Iterator<Item = Result<Sequence, redb::Error>>,
    ) -> Result<Vec<Record>, redb::Error> {
        let payments = transaction.open_table(tables::PAYMENTS)?;
        let read = |sequence: Result<Sequence, redb::Error>| {
            let sequence = sequence?;
            let bytes = payments.get(sequence)?.ok_or_else(|| records::missing(sequence))?;
            records::decode(self.run.transaction(sequence), bytes.value())
        };
        sequences.map(read).collect()
    }

    fn record(
        &self,
        transaction: &ReadTransaction,
        sequence: Sequence,
    ) -> Result<Option<Record>, redb::Error> {
        let bytes = transaction.open_table(tables::PAYMENTS)?.get(sequence)?;
        let id = self.run.transaction(sequence);
        bytes.map(|bytes| records::decode(id, bytes.value())).transpose()
    }
}

/// Durable before anything is served, so that no sequence of an earlier run is used again.
fn count_start(database: &Database) -> Result<Run, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let run = tables::count_start(&transaction)?;
    transaction.commit()?;
    Ok(run)
}
