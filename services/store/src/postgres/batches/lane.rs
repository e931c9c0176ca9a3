//! One of the actor's tasks: drain, run, run again if that may help, answer.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use rand::RngExt;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::Instant,
};
use tracing::{debug, warn};

use super::Transactions;
use crate::{
    Latencies, StoreError,
    postgres::{
        database::{Client, Database},
        work::Work,
    },
    waiting::Waiting,
};

/// How often a batch is run before its callers are told to ask again.
const ATTEMPTS: u32 = 9;
/// Pause before the second attempt; it doubles from one to the next. Altogether about three seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// No further attempt is begun so long after the first.
const PATIENCE: Duration = Duration::from_secs(10);
/// A transaction that has not ended by then never will. Longer than the server's statement timeout.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// What a handle asks of the lanes.
pub(super) enum Request<T: Transactions> {
    Apply(Vec<T::Command>, Answer<T>),
    /// One for each lane.
    Close,
}

type Answer<T> = AnswerOf<<T as Transactions>::Outcome>;
type AnswerOf<O> = oneshot::Sender<Result<Vec<O>, StoreError>>;

/// A task's state; the queue is everyone's.
pub(super) struct Lane<T: Transactions> {
    pub(super) number: usize,
    pub(super) transactions: Arc<T>,
    pub(super) queue: Arc<Mutex<mpsc::Receiver<Request<T>>>>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) batch: usize,
    pub(super) database: Database,
    pub(super) commits: Arc<Latencies>,
}

/// What was drained: the commands in order, and who waits for how many of the outcomes.
struct Batch<T: Transactions> {
    commands: Vec<T::Command>,
    answers: Vec<(usize, Answer<T>)>,
    closing: bool,
}

impl<T: Transactions> Lane<T> {
    /// Until closed, or until the last handle is gone.
    pub(super) async fn run(self) {
        while let Some(batch) = self.drain().await {
            let closing = batch.closing;
            if !batch.commands.is_empty() {
                self.settle(batch).await;
            }
            if closing {
                return;
            }
        }
    }

    async fn drain(&self) -> Option<Batch<T>> {
        let mut queue = self.queue.lock().await;
        let mut batch = Batch { commands: Vec::new(), answers: Vec::new(), closing: false };
        batch.take(queue.recv().await?);
        while batch.commands.len() < self.batch && !batch.closing {
            let Ok(next) = queue.try_recv() else { break };
            batch.take(next);
        }
        self.waiting.release(batch.commands.len());
        Some(batch)
    }

    /// Runs the batch and answers. If it fails for a reason that will not pass, each request is run
    /// by itself, so that one which the database cannot take harms nobody else.
    async fn settle(&self, batch: Batch<T>) {
        let Batch { mut commands, answers, .. } = batch;
        match self.run_until_settled(&commands).await {
            Ok(outcomes) => answer_all(answers, outcomes),
            Err(StoreError::DatabaseFailed { why, .. }) if answers.len() > 1 => {
                warn!(why, requests = answers.len(), "a batch failed; running each by itself");
                for (count, answer) in answers {
                    let rest = commands.split_off(count);
                    let own = std::mem::replace(&mut commands, rest);
                    let _ = answer.send(self.run_until_settled(&own).await);
                }
            }
            Err(error) => {
                for (_, answer) in answers {
                    let _ = answer.send(Err(self.again(&error)));
                }
            }
        }
    }

    /// The same to each caller of a batch.
    fn again(&self, error: &StoreError) -> StoreError {
        let place = self.database.place().to_owned();
        match error {
            StoreError::DatabaseAway { why, .. } => {
                StoreError::DatabaseAway { place, why: why.clone() }
            }
            StoreError::DatabaseContended { why, .. } => {
                StoreError::DatabaseContended { place, why: why.clone() }
            }
            StoreError::DatabaseFailed { why, .. } => {
                StoreError::DatabaseFailed { place, why: why.clone() }
            }
            other => StoreError::DatabaseFailed { place, why: other.to_string() },
        }
    }

    async fn run_until_settled(
        &self,
        commands: &[T::Command],
    ) -> Result<Vec<T::Outcome>, StoreError> {
        let (mut pause, begun) = (FIRST_PAUSE, Instant::now());
        for _ in 1..ATTEMPTS {
            match self.attempt(commands).await {
                Err(error) if error.passing().is_some() && begun.elapsed() < PATIENCE => {
                    debug!(%error, "running a batch again");
                    let jitter = rand::rng().random_range(0.5..=1.0);
                    tokio::time::sleep(pause.mul_f64(jitter)).await;
                    pause *= 2;
                }
                settled => return settled.map_err(|error| self.database.failed(error)),
            }
        }
        self.attempt(commands).await.map_err(|error| self.database.failed(error))
    }

    async fn attempt(&self, commands: &[T::Command]) -> Result<Vec<T::Outcome>, StoreError> {
        let client = self.database.client().await?;
        let work = Work::new(&client, self.number, &self.commits);
        let running = AssertUnwindSafe(self.transactions.run(work, commands)).catch_unwind();
        match tokio::time::timeout(ATTEMPT_TIMEOUT, running).await {
            Ok(Ok(Ok(outcomes))) => Ok(outcomes),
            Ok(Err(_)) => {
                drop(Client::take(client));
                let why = "applying a batch panicked".to_owned();
                Err(StoreError::DatabaseFailed { place: self.database.place().to_owned(), why })
            }
            Ok(Ok(Err(error))) => {
                if client.batch_execute("ROLLBACK").await.is_err() {
                    drop(Client::take(client));
                }
                Err(error)
            }
            Err(_) => {
                // Who knows what it is still doing.
                drop(Client::take(client));
                Err(StoreError::TimedOut)
            }
        }
    }
}

impl<T: Transactions> Batch<T> {
    fn take(&mut self, request: Request<T>) {
        match request {
            Request::Apply(commands, answer) => {
                self.answers.push((commands.len(), answer));
                self.commands.extend(commands);
            }
            Request::Close => self.closing = true,
        }
    }
}

/// Tells everyone what became of their commands. Who has stopped waiting is skipped.
fn answer_all<O>(answers: Vec<(usize, AnswerOf<O>)>, outcomes: Vec<O>) {
    let mut outcomes = outcomes.into_iter();
    for (count, answer) in answers {
        let _ = answer.send(Ok(outcomes.by_ref().take(count).collect()));
    }
}
