//! The store of a gateway that has one for itself: `DIR/gateway.redb`.
//!
//! A payment is written once, and its decision in a row of its own. Nobody else has the file open, so
//! that a start fences every run before it; what those left undecided is thereby aborted, however
//! much it is, and [`Store::orphans`] says what has yet to be written down.

use std::{ops::Bound, path::Path, sync::Arc};

use redb::{Database, ReadableDatabase, ReadableTable};
use strife_store::{GroupCommit, Latencies, Limits, StoreError, file};
use tokio::sync::Notify;

use super::{
    Acknowledged, Begun, Decided, Found, Move, Outbox, Page, Position, Record, RunEntry, RunState,
    Store, Taken, Verdict,
};
use crate::transaction::{Block, Run, RunNumber, Sequence};
use machine::{Command, Outcome, Payments};
use recent::{GENERATION, Recent};

mod machine;
mod merging;
mod outbox;
#[cfg(test)]
mod power;
mod queue;
mod reading;
mod recent;
mod rows;
#[cfg(feature = "test-support")]
mod simulated;
mod tables;
#[cfg(test)]
mod tests;

/// The store's file in the data directory.
const FILE: &str = "gateway.redb";

/// A gateway's file. Clones share it.
#[derive(Clone)]
pub struct Embedded {
    commits: GroupCommit<Payments>,
    recent: Recent,
    name: u32,
    /// Whether a start fences every other run.
    alone: bool,
    /// Told whenever there are new events.
    written: Arc<Notify>,
}

impl Embedded {
    /// Opens the store in `directory`, brings it up to date, or creates it.
    pub fn open(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        Self::open_with(directory, limits, GENERATION)
    }

    /// As [`Embedded::open`], with generations of this size.
    fn open_with(directory: &Path, limits: Limits, generation: usize) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let database = match file::open_or_upgrade(&path, tables::KIND, tables::UPGRADES) {
            Err(StoreError::NotFound { .. }) => {
                let kind = file::kind(tables::KIND, tables::UPGRADES.len() + 1);
                file::create(&path, &kind, |transaction| {
                    tables::create(transaction, rand::random()).map_err(StoreError::from)
                })
            }
            opened => opened,
        }?;
        let start = |database, payments| GroupCommit::start(database, payments, limits);
        let started = Self::start_with(database, generation, start);
        started.map_err(|error| file::failed(&path, error))
    }

    /// The store in a file, of which the generations are of this size, with its commits begun by `start`.
    fn start_with(
        database: Database,
        generation: usize,
        start: impl FnOnce(Database, Payments) -> GroupCommit<Payments>,
    ) -> Result<Self, redb::Error> {
        let about = database.begin_read()?.open_table(tables::ABOUT)?;
        let name = tables::about(&about, tables::NAME)?;
        let payments = Payments::of(&database, generation)?;
        let recent = payments.recent().clone();
        let commits = start(database, payments);
        Ok(Self { commits, recent, name, alone: true, written: Arc::default() })
    }

    /// As if several gateways could have one file: nothing in the rules says that they cannot.
    #[cfg(test)]
    pub(crate) fn open_shared(directory: &Path) -> Self {
        Self { alone: false, ..Self::open(directory, Limits::default()).unwrap() }
    }

    async fn was(&self, command: Command) -> Result<bool, StoreError> {
        match self.commits.apply(command).await? {
            Outcome::Was(was) => Ok(was),
            other => unreachable!("{other:?} answers another command"),
        }
    }
}

impl Store for Embedded {
    fn name(&self) -> u32 {
        self.name
    }

    fn is_shared(&self) -> bool {
        !self.alone
    }

    async fn start(&self, gateway: &str) -> Result<Run, StoreError> {
        let start = Command::Start { gateway: gateway.to_owned(), alone: self.alone };
        match self.commits.apply(start).await? {
            Outcome::Started(number) => Ok(Run { store: self.name, number }),
            other => unreachable!("{other:?} answers another command"),
        }
    }

    async fn beat(&self, run: RunNumber) -> Result<bool, StoreError> {
        self.was(Command::Beat(run)).await
    }

    async fn fence(&self, run: RunNumber) -> Result<bool, StoreError> {
        self.was(Command::Fence(run)).await
    }

    async fn forget(&self, run: RunNumber) -> Result<(), StoreError> {
        self.was(Command::Forget(run)).await.map(drop)
    }

    async fn runs(&self) -> Result<Vec<RunEntry>, StoreError> {
        self.commits.read(|transaction| {
            let runs = transaction.open_table(tables::RUNS)?;
            let entries = runs.iter()?.map(|entry| {
                let (number, row) = entry?;
                let (gateway, beats, live) = row.value();
                let gateway = gateway.to_owned();
                Ok(RunEntry { number: number.value(), gateway, beats, live })
            });
            entries.collect()
        })
    }

    async fn take(&self, run: RunNumber, block: Block) -> Result<Taken, StoreError> {
        match self.commits.apply(Command::Take(run, block)).await? {
            Outcome::Taken(taken) => Ok(taken),
            other => unreachable!("{other:?} answers another command"),
        }
    }

    async fn last_block(&self) -> Result<Option<Block>, StoreError> {
        self.commits.read(|transaction| {
            let blocks = transaction.open_table(tables::BLOCKS)?;
            Ok(blocks.last()?.map(|(block, _)| block.value()))
        })
    }

    async fn begin(&self, record: Arc<Record>) -> Result<Begun, StoreError> {
        let begun = begun_of(self.commits.apply(Command::Begin(record)).await?);
        self.written.notify_waiters();
        Ok(begun)
    }

    async fn retry(
        &self,
        record: Arc<Record>,
        after: Sequence,
        at_ms: i64,
    ) -> Result<Begun, StoreError> {
        let retry = Command::Retry { record, after, at_ms };
        let begun = begun_of(self.commits.apply(retry).await?);
        self.written.notify_waiters();
        Ok(begun)
    }

    async fn move_queued(
        &self,
        by: RunNumber,
        moves: Vec<Move>,
    ) -> Result<Vec<Decided>, StoreError> {
        let commands = moves.into_iter().map(|step| Command::Move(by, step));
        let outcomes = self.commits.apply_all(commands.collect()).await?;
        self.written.notify_waiters();
        Ok(outcomes.into_iter().map(decided_of).collect())
    }

    async fn due(
        &self,
        own: RunNumber,
        now_ms: i64,
        others_ms: i64,
        after: Option<(i64, Sequence)>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.commits.read(|transaction| {
            let rows = self.rows(transaction)?;
            let due = queue::due(transaction, &rows.runs, own, [now_ms, others_ms], after, limit)?;
            due.into_iter().map(|sequence| rows.listed(sequence)).collect()
        })
    }

    async fn queued(&self) -> Result<u64, StoreError> {
        self.commits.read(queue::count)
    }

    async fn decide(&self, by: RunNumber, verdict: Verdict) -> Result<Decided, StoreError> {
        let decided = decided_of(self.commits.apply(Command::Decide(by, verdict)).await?);
        self.written.notify_waiters();
        Ok(decided)
    }

    async fn decide_all(
        &self,
        by: RunNumber,
        verdicts: Vec<Verdict>,
    ) -> Result<Vec<Decided>, StoreError> {
        let commands = verdicts.into_iter().map(|verdict| Command::Decide(by, verdict));
        let outcomes = self.commits.apply_all(commands.collect()).await?;
        self.written.notify_waiters();
        Ok(outcomes.into_iter().map(decided_of).collect())
    }

    async fn finish(&self, by: RunNumber, sequence: Sequence) -> Result<bool, StoreError> {
        self.was(Command::Finish(by, sequence)).await
    }

    async fn find(&self, payment_id: &str) -> Result<Option<Record>, StoreError> {
        self.found(payment_id)
    }

    async fn get(&self, sequence: Sequence) -> Result<Found, StoreError> {
        self.commits.read(|transaction| {
            let rows = self.rows(transaction)?;
            Ok(Found { record: rows.read(sequence)?, maker: rows.runs.maker(sequence)?.1 })
        })
    }

    async fn orphans(
        &self,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.listed(tables::UNDECIDED, after, limit, |_, state| state == RunState::Fenced)
    }

    async fn unfinished(
        &self,
        own: RunNumber,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let wanted = |run, state| run == Some(own) || state == RunState::Fenced;
        self.listed(tables::UNFINISHED, after, limit, wanted)
    }

    async fn payments(
        &self,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.commits.read(|transaction| {
            let rows = self.rows(transaction)?;
            let after = after.map_or(Bound::Unbounded, Bound::Excluded);
            let range = rows.payments.range((after, Bound::Unbounded))?;
            range.take(limit).map(|entry| rows.listed(entry?.0.value())).collect()
        })
    }

    async fn history(
        &self,
        user: &str,
        before: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.history_before(user, before, limit)
    }

    async fn events(&self, after: Position, limit: usize) -> Result<Page, StoreError> {
        self.commits.read(|transaction| {
            let (outbox, rows) = (transaction.open_table(tables::OUTBOX)?, self.rows(transaction)?);
            outbox::read(&outbox, &rows, after, limit)
        })
    }

    fn written(&self) -> impl Future<Output = ()> + Send {
        self.written.notified()
    }

    async fn follow(&self, follower: &str) -> Result<Position, StoreError> {
        match self.commits.apply(Command::Follow(follower.to_owned())).await? {
            Outcome::Follows(position) => Ok(position),
            other => unreachable!("{other:?} answers another command"),
        }
    }

    async fn acknowledge(
        &self,
        follower: &str,
        position: Position,
    ) -> Result<Acknowledged, StoreError> {
        let command = Command::Acknowledge(follower.to_owned(), position);
        match self.commits.apply(command).await? {
            Outcome::Acknowledged(acknowledged) => Ok(acknowledged),
            other => unreachable!("{other:?} answers another command"),
        }
    }

    async fn forget_follower(&self, follower: &str) -> Result<bool, StoreError> {
        self.was(Command::ForgetFollower(follower.to_owned())).await
    }

    async fn prune(&self, most: u64) -> Result<bool, StoreError> {
        // No commit for nothing.
        match self.commits.read(|transaction| outbox::is_prunable(transaction, most))? {
            true => self.was(Command::Prune { most }).await,
            false => Ok(false),
        }
    }

    async fn outbox(&self) -> Result<Outbox, StoreError> {
        self.commits.read(outbox::describe)
    }

    fn commits(&self) -> &Latencies {
        self.commits.commits()
    }

    async fn close(&self) {
        self.commits.close();
    }
}

fn begun_of(outcome: Outcome) -> Begun {
    match outcome {
        Outcome::Begun(begun) => begun,
        other => unreachable!("{other:?} answers another command"),
    }
}

fn decided_of(outcome: Outcome) -> Decided {
    match outcome {
        Outcome::Decided(decided) => decided,
        other => unreachable!("{other:?} answers another command"),
    }
}
