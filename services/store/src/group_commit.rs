//! The group-commit actor: many callers, one writer, one durable commit for all that wait.
//!
//! A thread of its own blocks on the queue, drains everything waiting (at most
//! [`Limits::batch`]), has the machine apply it in one redb transaction, commits with
//! `Durability::Immediate` and answers. There is no timer: while one batch is being committed the
//! next gathers, so that batches grow with load and a lone command does not wait.

mod answers;
mod writer;

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use tracing::error;

use self::writer::{Request, Writer};
use crate::{Latencies, StoreError, waiting::Waiting};

/// What the commands of a store mean. Deterministic, and nothing outside the transaction may see an
/// effect before [`GroupCommit`] has answered: the transaction may yet fail.
pub trait Machine: Send + 'static {
    /// What can be asked of it.
    type Command: Send + 'static;
    /// What it answers once the effect is durable. A refusal is an outcome, not an error.
    type Outcome: Send + 'static;

    /// Applies the commands in order; one outcome per command, in the same order. An error means
    /// that the store itself failed, and stops the process.
    fn apply_batch(
        &mut self,
        transaction: &WriteTransaction,
        commands: Vec<Self::Command>,
    ) -> Result<Vec<Self::Outcome>, redb::Error>;
}

/// Bounds of a [`GroupCommit`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most commands that may wait; further ones are refused with [`StoreError::Overloaded`].
    pub queue: usize,
    /// Commands in one durable commit, after which no further request is taken in.
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 65_536, batch: 1_024 }
    }
}

/// What to do when the store failed: told why. In a service it does not return.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// A handle to the actor; clones share it. The actor ends with [`GroupCommit::close`] or with its
/// last handle.
pub struct GroupCommit<M: Machine> {
    shared: Arc<Shared<M>>,
}

impl<M: Machine> Clone for GroupCommit<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<M: Machine> {
    /// Has room for every command that may wait, and for the request to close.
    requests: mpsc::Sender<Request<M>>,
    /// Commands in `requests`, where one request may hold many.
    waiting: Arc<Waiting>,
    database: Arc<Database>,
    commits: Arc<Latencies>,
    batch: usize,
    thread: Mutex<Option<JoinHandle<()>>>,
    on_fatal: OnFatal,
}

impl<M: Machine> Shared<M> {
    fn close(&self) {
        // Both fail only when the actor has ended already.
        let _ = self.requests.try_send(Request::Close);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = thread.take().map(JoinHandle::join);
    }
}

impl<M: Machine> Drop for Shared<M> {
    /// Waits for the thread, so that the file is closed, and can be opened again, when the last
    /// handle is gone.
    fn drop(&mut self) {
        self.close();
    }
}

impl<M: Machine> GroupCommit<M> {
    /// Starts the actor. When the store fails it logs one line and stops the process. Answers are given
    /// by a task of the runtime in which this is called, if it is one; it must be the one that waits for them.
    pub fn start(database: Database, machine: M, limits: Limits) -> Self {
        Self::start_with(database, machine, limits, Arc::new(stop_process))
    }

    /// As [`GroupCommit::start`], with another end than the process's.
    pub fn start_with(database: Database, machine: M, limits: Limits, on_fatal: OnFatal) -> Self {
        let (mut shared, writer) = Self::parts(database, machine, limits, on_fatal.clone());
        let thread = thread::spawn(move || {
            if let Err(why) = writer.run() {
                on_fatal(&why);
            }
        });
        shared.thread = Mutex::new(Some(thread));
        Self { shared: Arc::new(shared) }
    }

    /// As [`GroupCommit::start_with`], in a task of the runtime that this is called in: for simulations,
    /// which have one thread and a time of their own. A commit holds that thread up.
    #[cfg(feature = "test-support")]
    pub fn start_in_task(
        database: Database,
        machine: M,
        limits: Limits,
        on_fatal: OnFatal,
    ) -> Self {
        let (shared, writer) = Self::parts(database, machine, limits, on_fatal.clone());
        tokio::spawn(async move {
            if let Err(why) = writer.run_in_task().await {
                on_fatal(&why);
            }
        });
        Self { shared: Arc::new(shared) }
    }

    fn parts(
        database: Database,
        machine: M,
        limits: Limits,
        on_fatal: OnFatal,
    ) -> (Shared<M>, Writer<M>) {
        let (requests, queue) = mpsc::channel(limits.queue + 1);
        let (database, waiting) = (Arc::new(database), Arc::new(Waiting::new(limits.queue)));
        let commits = Arc::new(Latencies::default());
        let writer = Writer {
            machine,
            queue,
            waiting: waiting.clone(),
            batch: limits.batch,
            database: database.clone(),
            commits: commits.clone(),
            runtime: Handle::try_current().ok(),
        };
        let (batch, thread) = (limits.batch, Mutex::new(None));
        (Shared { requests, waiting, database, commits, batch, thread, on_fatal }, writer)
    }

    /// Applies one command; answers once its effect is durable. A caller that stops waiting does
    /// not undo it.
    pub async fn apply(&self, command: M::Command) -> Result<M::Outcome, StoreError> {
        self.shared.waiting.reserve(1)?;
        let (answer, outcome) = oneshot::channel();
        self.send(Request::One(command, answer))?;
        outcome.await.map_err(|_| StoreError::Stopped)
    }

    /// Applies commands in order, in one durable commit; an outcome per command.
    pub async fn apply_all(
        &self,
        commands: Vec<M::Command>,
    ) -> Result<Vec<M::Outcome>, StoreError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        self.shared.waiting.reserve(commands.len())?;
        let (answer, outcomes) = oneshot::channel();
        self.send(Request::Many(commands, answer))?;
        outcomes.await.map_err(|_| StoreError::Stopped)
    }

    /// Reads a consistent snapshot of what is committed. Blocks for as long as `read` takes: keep
    /// it to a few look-ups, or move it off the runtime's threads. A disk that cannot be read ends
    /// the process, as one does that cannot be written.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let transaction = self.shared.database.begin_read().map_err(redb::Error::from);
        transaction.and_then(|transaction| read(&transaction)).map_err(|error| {
            // Reads that follow fail as well until the file is opened anew.
            if matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo) {
                (self.shared.on_fatal)(&error.to_string());
            }
            error.into()
        })
    }

    /// How long durable commits took since the start.
    pub fn commits(&self) -> &Latencies {
        &self.shared.commits
    }

    /// Commands in one durable commit, at most, but for those that came together.
    pub fn batch(&self) -> usize {
        self.shared.batch
    }

    /// Applies what waits, then ends the actor; later commands fail with [`StoreError::Stopped`].
    /// The file is closed when the last handle is gone.
    pub fn close(&self) {
        self.shared.close();
    }

    fn send(&self, request: Request<M>) -> Result<(), StoreError> {
        // Never full: whoever sends has reserved.
        self.shared.requests.try_send(request).map_err(|_| StoreError::Stopped)
    }
}

/// The end of a service whose store failed: what is on the disk is not known any more.
fn stop_process(why: &str) {
    error!(
        why,
        "the store failed; stopping with nothing acknowledged. Check the disk, then start again"
    );
    std::process::exit(1);
}

#[cfg(test)]
mod tests;
