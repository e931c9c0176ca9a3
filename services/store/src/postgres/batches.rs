//! The batch actor: many callers, a few connections, one transaction for all that wait.
//!
//! Each of [`super::Connections::writes`] tasks takes everything that waits (at most
//! [`Limits::batch`] commands), runs it as one transaction and answers after its COMMIT. There is no
//! timer: while the batches are on their way the next ones gather.
//!
//! A transaction that met another one, or lost its connection, is run again after a pause, a bounded
//! number of times. When the connection is lost during COMMIT nobody knows whether it took place; as
//! commands are idempotent, and what they answer is remembered with their effect, running them again
//! is right either way. If the database stays away callers are told to ask again: unlike with a file,
//! nothing was promised that a fresh start would have to look for, so the process goes on.

mod lane;

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use self::lane::{Lane, Request};
use super::{database::Database, work::Work};
use crate::{Latencies, Limits, StoreError, waiting::Waiting};

/// What the commands of a store mean, and how they are run in a database.
pub trait Transactions: Send + Sync + 'static {
    /// What can be asked of it. Idempotent: a batch may be run again although it took place.
    type Command: Send + Sync + 'static;
    /// What it answers once the effect is durable. A refusal is an outcome, not an error.
    type Outcome: Send + 'static;

    /// Applies the commands in order in one transaction of its own, begun and committed by way of
    /// `work`; one outcome per command, in the same order. After an error it is rolled back.
    fn run(
        &self,
        work: Work<'_>,
        commands: &[Self::Command],
    ) -> impl Future<Output = Result<Vec<Self::Outcome>, StoreError>> + Send;
}

/// A handle to the actor; clones share it. It ends with [`BatchCommit::close`] or its last handle.
pub struct BatchCommit<T: Transactions> {
    shared: Arc<Shared<T>>,
}

impl<T: Transactions> Clone for BatchCommit<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<T: Transactions> {
    /// Has room for every command that may wait, and for each lane's request to close.
    requests: mpsc::Sender<Request<T>>,
    waiting: Arc<Waiting>,
    database: Database,
    commits: Arc<Latencies>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
}

impl<T: Transactions> BatchCommit<T> {
    /// Starts the actor on the current runtime.
    pub fn start(database: Database, transactions: T, limits: Limits) -> Self {
        let count = database.connections().writes;
        let (requests, queue) = mpsc::channel(limits.queue + count);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let waiting = Arc::new(Waiting::new(limits.queue));
        let (transactions, commits) = (Arc::new(transactions), Arc::new(Latencies::default()));
        let lane = |number| Lane {
            number,
            transactions: transactions.clone(),
            queue: queue.clone(),
            waiting: waiting.clone(),
            batch: limits.batch,
            database: database.clone(),
            commits: commits.clone(),
        };
        let lanes = (0..count).map(|number| tokio::spawn(lane(number).run())).collect();
        let lanes = Mutex::new(lanes);
        Self { shared: Arc::new(Shared { requests, waiting, database, commits, lanes }) }
    }

    /// Applies one command; answers once its effect is durable. A caller that stops waiting does
    /// not undo it.
    pub async fn apply(&self, command: T::Command) -> Result<T::Outcome, StoreError> {
        let mut outcomes = self.apply_all(vec![command]).await?;
        outcomes.pop().ok_or(StoreError::Stopped)
    }

    /// Applies commands in order, in one transaction; an outcome per command.
    pub async fn apply_all(
        &self,
        commands: Vec<T::Command>,
    ) -> Result<Vec<T::Outcome>, StoreError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let Shared { waiting, requests, .. } = &*self.shared;
        waiting.reserve(commands.len())?;
        let (answer, outcomes) = oneshot::channel();
        // Never full: whoever sends has reserved.
        let sent = requests.try_send(Request::Apply(commands, answer));
        sent.map_err(|_| StoreError::Stopped)?;
        outcomes.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// The database, for reads.
    pub fn database(&self) -> &Database {
        &self.shared.database
    }

    /// How long the last round trip of a batch took, its writes and its COMMIT, since the start.
    pub fn commits(&self) -> &Latencies {
        &self.shared.commits
    }

    /// Applies what waits and ends the actor; later commands fail with [`StoreError::Stopped`].
    pub async fn close(&self) {
        let lanes = {
            let mut lanes = self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *lanes)
        };
        for _ in &lanes {
            // Fails only when the actor has ended already.
            let _ = self.shared.requests.try_send(Request::Close);
        }
        for lane in lanes {
            // A lane that panicked has ended as well.
            let _ = lane.await;
        }
        self.shared.database.close();
    }
}
