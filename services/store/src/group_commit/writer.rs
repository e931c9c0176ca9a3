//! The thread's side of the group commit: drain, apply, commit once, answer.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Instant,
};

use redb::{Database, Durability};
use strife_runtime::failpoint;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{
    Machine,
    answers::{Answer, answer},
};
use crate::{Latencies, waiting::Waiting};

/// What a handle asks of the thread.
pub(super) enum Request<M: Machine> {
    One(M::Command, oneshot::Sender<M::Outcome>),
    Many(Vec<M::Command>, oneshot::Sender<Vec<M::Outcome>>),
    Close,
}

/// The actor's state.
pub(super) struct Writer<M: Machine> {
    pub(super) machine: M,
    pub(super) queue: mpsc::Receiver<Request<M>>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) batch: usize,
    pub(super) database: Arc<Database>,
    pub(super) commits: Arc<Latencies>,
    /// Of those who wait, as far as it is known.
    pub(super) runtime: Option<Handle>,
}

/// What was drained: the commands in order, and who waits for how many of the outcomes.
struct Batch<M: Machine> {
    commands: Vec<M::Command>,
    answers: Vec<Answer<M>>,
    closing: bool,
}

impl<M: Machine> Writer<M> {
    /// Until closed, or until the store fails: then the reason, with everyone unanswered.
    pub(super) fn run(mut self) -> Result<(), String> {
        while let Some(first) = self.queue.blocking_recv() {
            if self.serve(first)? {
                break;
            }
        }
        Ok(())
    }

    /// As [`Writer::run`], in a task.
    #[cfg(feature = "test-support")]
    pub(super) async fn run_in_task(mut self) -> Result<(), String> {
        while let Some(first) = self.queue.recv().await {
            if self.serve(first)? {
                break;
            }
        }
        Ok(())
    }

    /// Does what waits; whether it was the last.
    fn serve(&mut self, first: Request<M>) -> Result<bool, String> {
        let batch = self.drain(first);
        if !batch.commands.is_empty() {
            let outcomes = self.commit(batch.commands)?;
            answer(batch.answers, outcomes, self.runtime.as_ref());
        }
        Ok(batch.closing)
    }

    fn drain(&mut self, first: Request<M>) -> Batch<M> {
        let mut batch = Batch { commands: Vec::new(), answers: Vec::new(), closing: false };
        batch.take(first);
        while batch.commands.len() < self.batch && !batch.closing {
            let Ok(next) = self.queue.try_recv() else { break };
            batch.take(next);
        }
        self.waiting.release(batch.commands.len());
        batch
    }

    fn commit(&mut self, commands: Vec<M::Command>) -> Result<Vec<M::Outcome>, String> {
        let expected = commands.len();
        let applied = panic::catch_unwind(AssertUnwindSafe(|| self.try_commit(commands)));
        let outcomes = applied
            .map_err(|_| "applying a batch panicked".to_owned())?
            .map_err(|error| error.to_string())?;
        if outcomes.len() != expected {
            return Err(format!("{} outcomes for {expected} commands", outcomes.len()));
        }
        Ok(outcomes)
    }

    fn try_commit(&mut self, commands: Vec<M::Command>) -> Result<Vec<M::Outcome>, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let outcomes = self.machine.apply_batch(&transaction, commands)?;
        let started = Instant::now();
        failpoint::disk("store.commit").map_err(redb::Error::Io)?;
        transaction.commit()?;
        self.commits.record(started.elapsed());
        Ok(outcomes)
    }
}

impl<M: Machine> Batch<M> {
    fn take(&mut self, request: Request<M>) {
        match request {
            Request::One(command, answer) => {
                self.commands.push(command);
                self.answers.push(Answer::One(answer));
            }
            Request::Many(commands, answer) => {
                self.answers.push(Answer::Many(commands.len(), answer));
                self.commands.extend(commands);
            }
            Request::Close => self.closing = true,
        }
    }
}
