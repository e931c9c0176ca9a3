//! Commands for one bank, in batches: whatever waits goes together.
//!
//! A lone command leaves at once. While batches are on their way the next one gathers, so that batches
//! grow with load and there is nothing to tune. A batch that is slow to come back (its server hangs)
//! soon counts no more, and the others go on.
//!
//! A batch is a call like any other to the balancer: it may go to any server of the bank, and is never
//! sent twice by whoever passes it on. Its commands are idempotent, so that whoever waits for one may
//! send it again.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use strife_proto::bank::v1::{
    Command, CommandResult, LegBatch, bank_participant_client::BankParticipantClient,
    command::Command as Kind,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout_at},
};
use tonic::{Code, Request, Status, transport::Channel};

use super::{Maker, call_error};
use crate::banks::CallError;

/// Most commands that may wait for their batch.
const QUEUE: usize = 16_384;
/// Most commands in a batch: as many as a bank takes.
const BATCH_MAX: usize = 1_024;
/// Batches on their way; while that many are, the next one gathers.
const IN_FLIGHT: usize = 2;
/// A batch that is on its way for longer does not hold up the next.
const SLOW_AFTER: Duration = Duration::from_millis(50);
/// Most batches on their way, slow ones among them.
const IN_FLIGHT_MAX: usize = 32;
/// How long commands go one by one after a server did not know batches: its successor may.
const ONE_BY_ONE: Duration = Duration::from_secs(10);

/// The way to one bank.
#[derive(Debug)]
pub(super) struct Batcher {
    bank: Arc<str>,
    queue: mpsc::Sender<Pending>,
    one_by_one: OneByOne,
}

/// A command that waits for its result.
#[derive(Debug)]
struct Pending {
    command: Kind,
    deadline: Instant,
    answer: oneshot::Sender<Answer>,
}

/// `None`: the bank takes no batches.
type Answer = Result<Option<CommandResult>, CallError>;

/// Until when commands go one by one, if they do.
#[derive(Debug, Clone, Default)]
struct OneByOne(Arc<Mutex<Option<Instant>>>);

impl Batcher {
    /// Starts the task that sends.
    pub(super) fn start(
        bank: &str,
        participant: BankParticipantClient<Channel>,
        coordinator: String,
        maker: Maker,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (bank, one_by_one) = (Arc::<str>::from(bank), OneByOne::default());
        let (to, told) = (bank.clone(), one_by_one.clone());
        let sender = Sender { bank: to, participant, coordinator, maker, one_by_one: told };
        tokio::spawn(run(sender, waiting));
        Self { bank, queue, one_by_one }
    }

    /// What the bank makes of a command; `None` if that has to be asked for in a call of its own.
    pub(super) async fn apply(&self, command: Kind, deadline: Instant) -> Answer {
        if self.one_by_one.is_in_force() {
            return Ok(None);
        }
        let no_answer = |why| Err(CallError::NoAnswer(format!("bank {}: {why}", self.bank)));
        let (answer, result) = oneshot::channel();
        if self.queue.try_send(Pending { command, deadline, answer }).is_err() {
            return no_answer("too many commands wait for it");
        }
        match timeout_at(deadline, result).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => no_answer("the batch was given up"),
            Err(_) => no_answer("no answer in time"),
        }
    }
}

impl OneByOne {
    fn is_in_force(&self) -> bool {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *until = until.filter(|until| Instant::now() < *until);
        until.is_some()
    }

    fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + ONE_BY_ONE);
    }
}

/// What a batch is sent with.
#[derive(Debug, Clone)]
struct Sender {
    bank: Arc<str>,
    participant: BankParticipantClient<Channel>,
    coordinator: String,
    maker: Maker,
    one_by_one: OneByOne,
}

/// Sends batches until no one can send commands any more.
async fn run(sender: Sender, mut waiting: mpsc::Receiver<Pending>) {
    let mut in_flight = FuturesUnordered::new();
    // Those that hold up the next, by number, with the time from which on they do not.
    let mut quick: VecDeque<(u64, Instant)> = VecDeque::new();
    let (mut number, mut gathered) = (0_u64, Vec::new());
    loop {
        let held_up = quick.len() >= IN_FLIGHT;
        let room = !held_up && in_flight.len() < IN_FLIGHT_MAX;
        let slow_at = quick.front().map_or_else(Instant::now, |(_, slow_at)| *slow_at);
        tokio::select! {
            Some(done) = in_flight.next() => quick.retain(|(number, _)| *number != done),
            count = waiting.recv_many(&mut gathered, BATCH_MAX), if room => {
                if count == 0 {
                    break;
                }
                number += 1;
                quick.push_back((number, Instant::now() + SLOW_AFTER));
                let exchange = sender.clone().exchange(std::mem::take(&mut gathered));
                in_flight.push(async move {
                    exchange.await;
                    number
                });
            }
            () = sleep_until(slow_at), if held_up => drop(quick.pop_front()),
            else => break,
        }
    }
    while in_flight.next().await.is_some() {}
}

impl Sender {
    /// Sends one batch, and tells everyone who still waits what became of his command.
    async fn exchange(self, mut gathered: Vec<Pending>) {
        gathered.retain(|pending| !pending.answer.is_closed());
        let Some(deadline) = gathered.iter().map(|pending| pending.deadline).max() else { return };
        let in_two =
            |pending: Pending| (Command { command: Some(pending.command) }, pending.answer);
        let (commands, answers): (Vec<_>, Vec<_>) = gathered.into_iter().map(in_two).unzip();
        match self.call(commands, deadline).await {
            Ok(results) if results.len() == answers.len() => {
                for (answer, result) in answers.into_iter().zip(results) {
                    let _ = answer.send(Ok(Some(result)));
                }
            }
            Ok(results) => {
                let (bank, results, commands) = (&self.bank, results.len(), answers.len());
                let why = format!("bank {bank}: {results} results for {commands} commands");
                tell_all(answers, &Err(CallError::NoAnswer(why)));
            }
            Err(status) if status.code() == Code::Unimplemented => {
                self.one_by_one.begin();
                tell_all(answers, &Ok(None));
            }
            Err(status) => tell_all(answers, &Err(batch_error(&self.bank, &status))),
        }
    }

    async fn call(
        &self,
        commands: Vec<Command>,
        deadline: Instant,
    ) -> Result<Vec<CommandResult>, Status> {
        let (coordinator, maker) = (self.coordinator.clone(), self.maker.get().copied());
        let batch = LegBatch { commands, coordinator, maker };
        let mut request = Request::new(batch);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        let mut participant = self.participant.clone();
        let answer = timeout_at(deadline, participant.apply(request)).await;
        let answer = answer.map_err(|_| Status::deadline_exceeded("no answer in time"))?;
        Ok(answer?.into_inner().results)
    }
}

fn tell_all(answers: Vec<oneshot::Sender<Answer>>, what: &Answer) {
    for answer in answers {
        let _ = answer.send(what.clone());
    }
}

/// What the failure of a whole batch says of each of its commands. If it was turned away nothing of it
/// was done; but an earlier attempt may have been.
fn batch_error(bank: &str, status: &Status) -> CallError {
    match call_error(bank, status) {
        CallError::Invalid(why) => CallError::Rejected(why),
        error => error,
    }
}
