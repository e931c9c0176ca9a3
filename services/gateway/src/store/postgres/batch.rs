//! A batch of commands as one transaction: hold the runs, read, apply the rules in memory, write.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::future::join3;
use strife_store::{
    StoreError,
    postgres::{Client, Transactions, Work, Write},
};
use tokio_postgres::{Row, Statement, types::ToSql};

use super::{
    columns::{Column, begun_columns, decided_columns, ended_columns, placed_columns},
    makers::Makers,
    outbox,
    reading::{place_of, run_number, sequence_of, state_of},
    rules, schema,
};
use crate::{
    payment::{Decision, State},
    queue::Queued,
    store::{
        Begun, Decided, EventKind, Move, Moved, Record, RunState, Verdict,
        events::{Change, Packed},
    },
    transaction::{RunNumber, Sequence},
};

/// Runs stay what they are until the batch ends; beats go on meanwhile. A gateway that stands still in
/// the middle of a batch does not hold up those who take over from it: after two seconds the database
/// ends its connection.
pub(super) const RUNS: &str = "SELECT number, live, \
    set_config('idle_in_transaction_session_timeout', '2s', true) \
    FROM runs WHERE number = ANY($1) ORDER BY number FOR KEY SHARE";
/// Payments that are to be decided, locked in their order.
const STANDING: &str = "SELECT sequence, code, detail, attempts, due_at_ms FROM payments \
    WHERE sequence = ANY($1) ORDER BY sequence FOR NO KEY UPDATE";
/// A row that is not there may come to be meanwhile: then our own insert fails, and the batch is run
/// again.
const SAME_IDS: &str = "SELECT payment_id, sequence FROM payments WHERE payment_id = ANY($1)";
/// An attempt that another follows.
const LEAVE: &str = "UPDATE payments SET payment_id = NULL, payer = NULL, payee = NULL \
    WHERE sequence = ANY($1)";
const BEGIN: &str = "INSERT INTO payments \
    (sequence, run, payment_id, payer, payee, initiated_at_ms, body, first) SELECT * FROM \
    unnest($1::bigint[], $2::integer[], $3::bytea[], $4::text[], $5::text[], $6::bigint[], $7::bytea[], \
    $8::bigint[])";
/// These are locked, and stand undecided.
const DECIDE: &str = "UPDATE payments SET code = new.code, detail = new.detail, \
    unfinished = new.unfinished \
    FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::boolean[]) \
    AS new (sequence, code, detail, unfinished) WHERE payments.sequence = new.sequence";
/// A place in the queue, or none.
const QUEUE: &str = "UPDATE payments SET attempts = new.attempts, due_at_ms = new.due_at_ms \
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS new (sequence, attempts, due_at_ms) \
    WHERE payments.sequence = new.sequence";
/// The end of a payment in the queue.
const END: &str = "UPDATE payments SET code = new.code, detail = new.detail \
    FROM unnest($1::bigint[], $2::smallint[], $3::bytea[]) AS new (sequence, code, detail) \
    WHERE payments.sequence = new.sequence";
const FINISH: &str =
    "UPDATE payments SET unfinished = false WHERE sequence = ANY($1) AND unfinished";

/// A change to payments. Runs are changed by statements of their own.
#[derive(Debug)]
pub(super) enum Command {
    /// A new payment.
    Begin(Arc<Record>),
    /// How a payment ends, says a run.
    Decide(RunNumber, Verdict),
    /// Every bank has committed, says a run.
    Finish(RunNumber, Sequence),
    /// The next attempt at a queued payment, in the place of the one before it.
    Retry { record: Arc<Record>, after: Sequence, at_ms: i64 },
    /// A queued payment moves, says a run.
    Move(RunNumber, Move),
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Of a new payment.
    Begun(Begun),
    /// Of a decision.
    Decided(Decided),
    /// Whether the run may write.
    Finished(bool),
}

/// The gateways' part of the batches.
#[derive(Debug, Default)]
pub(super) struct Payments {
    makers: Makers,
}

impl Command {
    /// The payment that its maker's run is asked of.
    fn about(&self) -> Option<Sequence> {
        match self {
            Self::Begin(record) => Some(record.id.sequence),
            Self::Decide(_, verdict) => Some(verdict.sequence),
            Self::Retry { record, .. } => Some(record.id.sequence),
            Self::Finish(..) | Self::Move(..) => None,
        }
    }
}

impl Transactions for Payments {
    type Command = Command;
    type Outcome = Outcome;

    async fn run(&self, work: Work<'_>, commands: &[Command]) -> Result<Vec<Outcome>, StoreError> {
        self.makers.learn(&work, commands.iter().filter_map(Command::about)).await?;
        let mut books = Books::begin(&work, &self.makers, commands).await?;
        let outcomes = commands.iter().map(|command| books.apply(command));
        let outcomes = outcomes.collect::<Result<_, StoreError>>()?;
        let writes = books.changes.writes(work.client()).await?;
        work.commit_with(&writes).await?;
        Ok(outcomes)
    }
}

/// The rows of one batch.
struct Books<'m> {
    makers: &'m Makers,
    live: BTreeMap<RunNumber, bool>,
    same_ids: HashMap<Vec<u8>, Sequence>,
    standing: HashMap<Sequence, State>,
    places: HashMap<Sequence, Queued>,
    changes: Changes,
}

/// What is to be written.
#[derive(Default)]
struct Changes {
    /// Attempts that others follow.
    left: BTreeSet<Sequence>,
    begun: BTreeMap<Vec<u8>, (RunNumber, Arc<Record>)>,
    decided: BTreeMap<Sequence, Verdict>,
    ended: BTreeMap<Sequence, Decision>,
    placed: BTreeMap<Sequence, Option<Queued>>,
    finished: BTreeSet<Sequence>,
    events: Packed,
}

impl<'m> Books<'m> {
    /// Begins the transaction and reads what the commands name.
    async fn begin(
        work: &Work<'_>,
        makers: &'m Makers,
        commands: &[Command],
    ) -> Result<Self, StoreError> {
        let (mut runs, mut ids, mut sequences) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for command in commands {
            match command {
                Command::Begin(record) => {
                    runs.extend(makers.run_of(record.id.sequence));
                    ids.insert(record.order.payment_id.as_bytes().to_vec());
                }
                Command::Decide(by, Verdict { sequence, .. }) => {
                    runs.extend([*by].into_iter().chain(makers.run_of(*sequence)));
                    sequences.insert(schema::sequence(*sequence));
                }
                Command::Finish(by, _) => drop(runs.insert(*by)),
                Command::Retry { record, after, .. } => {
                    runs.extend(makers.run_of(record.id.sequence));
                    ids.insert(record.order.payment_id.as_bytes().to_vec());
                    sequences.insert(schema::sequence(*after));
                }
                Command::Move(by, Move { sequence, .. }) => {
                    runs.insert(*by);
                    sequences.insert(schema::sequence(*sequence));
                }
            }
        }
        let runs: Vec<i32> = runs.into_iter().map(schema::run).collect();
        let ids: Vec<Vec<u8>> = ids.into_iter().collect();
        let sequences: Vec<i64> = sequences.into_iter().collect();
        let statements = (
            work.prepared(RUNS).await?,
            work.prepared(STANDING).await?,
            work.prepared(SAME_IDS).await?,
        );
        let client = work.client();
        // Polled, and therefore sent and run, in this order: runs are held before anything is read.
        let reads = async {
            let (runs, standing, same_ids) = join3(
                rows(client, &statements.0, &runs),
                rows(client, &statements.1, &sequences),
                rows(client, &statements.2, &ids),
            )
            .await;
            Ok((runs?, standing?, same_ids?))
        };
        let (runs, standing, same_ids) = work.begin_with(reads).await?;
        let mut books = Self {
            makers,
            live: BTreeMap::new(),
            same_ids: HashMap::new(),
            standing: HashMap::new(),
            places: HashMap::new(),
            changes: Changes::default(),
        };
        for row in runs {
            books.live.insert(run_number(row.try_get(0)?)?, row.try_get(1)?);
        }
        for row in standing {
            let state = state_of(row.try_get(1)?, row.try_get(2)?)?;
            let sequence = sequence_of(row.try_get(0)?)?;
            books.standing.insert(sequence, state);
            if let Some(place) = place_of(row.try_get(3)?, row.try_get(4)?)? {
                books.places.insert(sequence, place);
            }
        }
        for row in same_ids {
            books.same_ids.insert(row.try_get(0)?, sequence_of(row.try_get(1)?)?);
        }
        Ok(books)
    }

    fn apply(&mut self, command: &Command) -> Result<Outcome, StoreError> {
        match command {
            Command::Begin(record) => Ok(Outcome::Begun(self.begin_one(record))),
            Command::Decide(by, verdict) => Ok(Outcome::Decided(self.decide(*by, verdict)?)),
            Command::Finish(by, sequence) => {
                let live = self.run_state(*by) == RunState::Live;
                if live {
                    self.changes.finished.insert(*sequence);
                }
                Ok(Outcome::Finished(live))
            }
            Command::Retry { record, after, at_ms } => {
                Ok(Outcome::Begun(self.retry(record, *after, *at_ms)))
            }
            Command::Move(by, step) => Ok(Outcome::Decided(self.move_queued(*by, step))),
        }
    }

    fn begin_one(&mut self, record: &Arc<Record>) -> Begun {
        let (sequence, id) = (record.id.sequence, record.order.payment_id.as_bytes());
        let same_id = self.same_ids.get(id).copied();
        let (maker, by) = self.maker_of(sequence);
        let begun = rules::begin(by, sequence, same_id);
        if let (Begun::Done, None, Some(maker)) = (begun, same_id, maker) {
            self.write(maker, record, record.initiated_at_ms);
        }
        begun
    }

    fn write(&mut self, maker: RunNumber, record: &Arc<Record>, at_ms: i64) {
        let (sequence, id) = (record.id.sequence, record.order.payment_id.as_bytes().to_vec());
        self.same_ids.insert(id.clone(), sequence);
        self.changes.events.push(Change { kind: EventKind::Initiated, sequence, at_ms });
        if let (State::Decided(decision), Some(place)) = (&record.state, record.queued) {
            let (route, decision) = (record.order.route(), decision.clone());
            let verdict = Verdict { sequence, route, decision, at_ms, queued: Some(place) };
            self.changes.events.push(Change { kind: EventKind::Queued, sequence, at_ms });
            self.changes.decided.insert(sequence, verdict);
            self.place(sequence, Some(place));
        }
        self.changes.begun.insert(id, (maker, record.clone()));
    }

    fn retry(&mut self, record: &Arc<Record>, after: Sequence, at_ms: i64) -> Begun {
        let (sequence, id) = (record.id.sequence, record.order.payment_id.as_bytes());
        let same_id = self.same_ids.get(id).copied();
        let ((maker, by), waits) = (self.maker_of(sequence), self.places.contains_key(&after));
        let begun = rules::retry(by, sequence, same_id, after, waits);
        if let (Begun::Done, true, Some(maker)) = (begun, same_id == Some(after), maker) {
            self.place(after, None);
            self.changes.left.insert(after);
            self.write(maker, record, at_ms);
        }
        begun
    }

    fn move_queued(&mut self, by: RunNumber, step: &Move) -> Decided {
        let Move { sequence, seen, ref to, at_ms } = *step;
        let standing = self.places.get(&sequence).copied();
        let moved = rules::move_queued(self.run_state(by), standing, seen, to.place());
        if moved == Decided::Done {
            self.place(sequence, to.place());
            if let Moved::Ended(abort) = to {
                self.changes.ended.insert(sequence, Decision::Aborted(abort.clone()));
                self.changes.events.push(Change { kind: EventKind::Expired, sequence, at_ms });
            }
        }
        moved
    }

    fn place(&mut self, sequence: Sequence, place: Option<Queued>) {
        match place {
            Some(place) => drop(self.places.insert(sequence, place)),
            None => drop(self.places.remove(&sequence)),
        }
        self.changes.placed.insert(sequence, place);
    }

    fn decide(&mut self, by: RunNumber, verdict: &Verdict) -> Result<Decided, StoreError> {
        let Verdict { sequence, route, ref decision, at_ms, queued } = *verdict;
        let maker = match self.makers.run_of(sequence) {
            Some(maker) if maker == by => None,
            Some(maker) => Some(self.run_state(maker)),
            None => Some(RunState::NotMade),
        };
        let by = self.run_state(by);
        let standing = self.standing.get_mut(&sequence);
        let standing = standing.ok_or(StoreError::Row("a decision without its payment"))?;
        let decided =
            rules::decide(rules::Deciding { by, maker, route, standing: &*standing }, decision);
        if decided == Decided::Done && *standing == State::Initiated {
            *standing = State::Decided(decision.clone());
            self.changes.decided.insert(sequence, verdict.clone());
            let kind = EventKind::of(decision, queued);
            self.changes.events.push(Change { kind, sequence, at_ms });
            if queued.is_some() {
                self.place(sequence, queued);
            }
        }
        Ok(decided)
    }

    /// The run that made the payment of this sequence, and its state.
    fn maker_of(&self, sequence: Sequence) -> (Option<RunNumber>, RunState) {
        let maker = self.makers.run_of(sequence);
        (maker, maker.map_or(RunState::NotMade, |maker| self.run_state(maker)))
    }

    /// Whoever made a payment, or writes, was started: who has no row any more is fenced.
    fn run_state(&self, number: RunNumber) -> RunState {
        rules::run_state(number, self.live.get(&number).copied(), number)
    }
}

impl Changes {
    async fn writes(self, client: &Client) -> Result<Vec<Write>, StoreError> {
        let left: Vec<i64> = self.left.iter().copied().map(schema::sequence).collect();
        let finished: Vec<i64> = self.finished.iter().copied().map(schema::sequence).collect();
        let all = [
            (left.len(), LEAVE, vec![Box::new(left) as Column]),
            (self.begun.len(), BEGIN, begun_columns(&self.begun)),
            (self.decided.len(), DECIDE, decided_columns(&self.decided)),
            (self.ended.len(), END, ended_columns(&self.ended)),
            (self.placed.len(), QUEUE, placed_columns(&self.placed)),
            (finished.len(), FINISH, vec![Box::new(finished) as Column]),
        ];
        let mut writes = Vec::new();
        for (_, sql, columns) in all.into_iter().filter(|(rows, ..)| *rows > 0) {
            writes.push(Write::new(client.prepare_cached(sql).await?, columns));
        }
        if !self.events.is_empty() {
            writes.push(outbox::append(client, &self.events).await?);
        }
        Ok(writes)
    }
}

pub(super) async fn rows<T>(
    client: &Client,
    statement: &Statement,
    keys: &Vec<T>,
) -> Result<Vec<Row>, StoreError>
where
    Vec<T>: ToSql + Sync,
{
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    Ok(client.query(statement, &[keys]).await?)
}
