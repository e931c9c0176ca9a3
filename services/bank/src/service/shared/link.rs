//! The one stream to the owner, made anew whenever it breaks.

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt;
use rand::RngExt;
use strife_proto::bank::v1::{Command, CommandBatch, ResultBatch};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::{info, warn};

use super::Remote;
use crate::{
    BankError,
    ledger::Verdict,
    service::{convert, owner::MAX_BATCH},
};

/// Batches on their way at a time; while that many are, the next one gathers.
const BATCHES_IN_FLIGHT: usize = 2;
/// How long the owner may take to accept the stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a starting server waits for its owner.
const STARTUP_PATIENCE: Duration = Duration::from_secs(10);
/// First and longest pause before the stream is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Commands that wait for their verdicts, at most [`MAX_BATCH`]: they stay together, so that they are
/// one commit.
pub(super) struct Pending {
    pub(super) commands: Vec<Command>,
    pub(super) answer: Answer,
    /// Given back when the commands leave.
    pub(super) places: OwnedSemaphorePermit,
}

type Answer = oneshot::Sender<Result<Vec<Verdict>, BankError>>;

/// What waits, and what was taken from it and did not fit.
struct Queue {
    waiting: mpsc::Receiver<Pending>,
    held_over: Option<Pending>,
}

/// The link's task.
pub(super) struct Link {
    remote: Remote,
    queue: Queue,
    session: Session,
    next_batch_id: u64,
}

/// One stream, and who waits for what was sent on it.
struct Session {
    outgoing: mpsc::Sender<CommandBatch>,
    results: Streaming<ResultBatch>,
    /// By batch; each with how many of the batch's commands are his.
    in_flight: HashMap<u64, Vec<(usize, Answer)>>,
}

impl Link {
    /// The first stream. A server that cannot have it soon need not start.
    pub(super) async fn open(
        remote: Remote,
        waiting: mpsc::Receiver<Pending>,
    ) -> Result<Self, BankError> {
        let queue = Queue { waiting, held_over: None };
        let give_up = Instant::now() + STARTUP_PATIENCE;
        for attempt in 0.. {
            match open(&remote).await {
                Ok(session) => return Ok(Self { remote, queue, session, next_batch_id: 0 }),
                Err(error @ BankError::OwnerRefuses { .. }) => return Err(error),
                Err(error) if Instant::now() > give_up => return Err(error),
                Err(_) => sleep_until(Instant::now() + backoff(attempt)).await,
            }
        }
        unreachable!("the loop has no end of its own")
    }

    /// Until no one can send commands any more.
    pub(super) async fn run(mut self) {
        while let Some(lost) = self.exchange().await {
            let (owner, why) = (&self.remote.owner, lost.message());
            warn!(owner, why, "lost the bank's store; linking up again");
            for answers in std::mem::take(&mut self.session.in_flight).into_values() {
                answers.into_iter().for_each(|(_, answer)| fail(answer, self.remote.error(&lost)));
            }
            let Some(session) = self.reopen().await else { return };
            info!(owner = self.remote.owner, "linked up with the bank's store again");
            self.session = session;
        }
    }

    /// Sends batches and hands out results until the stream is lost; `None` when all is done.
    async fn exchange(&mut self) -> Option<Status> {
        loop {
            let room = self.session.in_flight.len() < BATCHES_IN_FLIGHT;
            tokio::select! {
                result = self.session.results.next() => match result {
                    Some(Ok(batch)) => self.hand_out(batch),
                    Some(Err(status)) => return Some(status),
                    None => return Some(Status::unavailable("it ended the stream")),
                },
                gathered = self.queue.gather(), if room => self.send(gathered?),
            }
        }
    }

    fn send(&mut self, gathered: Vec<Pending>) {
        let batch_id = self.next_batch_id;
        self.next_batch_id += 1;
        let (mut commands, mut answers) = (Vec::new(), Vec::new());
        for pending in gathered {
            answers.push((pending.commands.len(), pending.answer));
            commands.extend(pending.commands);
            drop(pending.places);
        }
        self.session.in_flight.insert(batch_id, answers);
        // Never full: it has room for every batch in flight. If the stream is gone, the results say
        // so next.
        let _ = self.session.outgoing.try_send(CommandBatch { batch_id, commands });
    }

    fn hand_out(&mut self, batch: ResultBatch) {
        let answers = self.session.in_flight.remove(&batch.batch_id).unwrap_or_default();
        let verdicts = batch.results.into_iter().map(convert::verdict);
        let mut verdicts = verdicts.chain(std::iter::repeat(None));
        for (count, answer) in answers {
            let his: Option<Vec<_>> = verdicts.by_ref().take(count).collect();
            let garbled = || self.remote.unavailable("it speaks another version");
            // Who has stopped waiting is skipped.
            let _ = answer.send(his.ok_or_else(garbled));
        }
    }

    /// Tries until there is a stream again; `None` when no one can send commands any more.
    async fn reopen(&mut self) -> Option<Session> {
        let mut attempt = 0;
        loop {
            let until = Instant::now() + backoff(attempt);
            attempt += 1;
            loop {
                tokio::select! {
                    () = sleep_until(until) => break,
                    pending = self.queue.next() => {
                        fail(pending?.answer, self.remote.unavailable("no link to it"));
                    }
                }
            }
            if let Ok(session) = open(&self.remote).await {
                return Some(session);
            }
        }
    }
}

impl Queue {
    /// The next that waits; `None` when no one can send any more. Loses nothing when dropped.
    async fn next(&mut self) -> Option<Pending> {
        match self.held_over.take() {
            Some(pending) => Some(pending),
            None => self.waiting.recv().await,
        }
    }

    /// All that waits, as far as it fits into one batch; never empty. Loses nothing when dropped.
    async fn gather(&mut self) -> Option<Vec<Pending>> {
        let first = self.next().await?;
        let mut commands = first.commands.len();
        let mut gathered = vec![first];
        while let Ok(next) = self.waiting.try_recv() {
            commands += next.commands.len();
            if commands > MAX_BATCH {
                self.held_over = Some(next);
                break;
            }
            gathered.push(next);
        }
        Some(gathered)
    }
}

async fn open(remote: &Remote) -> Result<Session, BankError> {
    let (outgoing, batches) = mpsc::channel(BATCHES_IN_FLIGHT);
    let request = remote.request(ReceiverStream::new(batches));
    let mut client = remote.client.clone();
    let opened = timeout(OPEN_TIMEOUT, client.apply(request)).await;
    let opened = opened.map_err(|_| remote.unavailable("no answer"))?;
    let results = opened.map_err(|status| remote.error(&status))?.into_inner();
    Ok(Session { outgoing, results, in_flight: HashMap::new() })
}

fn fail(answer: Answer, error: BankError) {
    // Who has stopped waiting is skipped.
    let _ = answer.send(Err(error));
}

/// Doubles with every attempt, and is shortened by up to half, so that a bank's servers do not all
/// come back at once.
fn backoff(attempt: u32) -> Duration {
    let (first, longest) = BACKOFF;
    let full = first.saturating_mul(1 << attempt.min(16)).min(longest);
    full.mul_f64(rand::rng().random_range(0.5..=1.0))
}
