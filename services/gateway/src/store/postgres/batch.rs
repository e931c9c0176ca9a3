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
    makers::Makers,
    outbox,
    reading::{run_number, sequence_of, state_of},
    rules, schema,
};
use crate::{
    payment::State,
    store::{
        Begun, Decided, EventKind, Record, RunState, Verdict,
        events::{Change, Packed},
        records,
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
const STANDING: &str = "SELECT sequence, code, detail FROM payments WHERE sequence = ANY($1) \
    ORDER BY sequence FOR NO KEY UPDATE";
/// A row that is not there may come to be meanwhile: then our own insert fails, and the batch is run
/// again.
const SAME_IDS: &str = "SELECT payment_id, sequence FROM payments WHERE payment_id = ANY($1)";
const BEGIN: &str = "INSERT INTO payments \
    (sequence, run, payment_id, payer, payee, initiated_at_ms, body) SELECT * FROM \
    unnest($1::bigint[], $2::integer[], $3::bytea[], $4::text[], $5::text[], $6::bigint[], $7::bytea[])";
/// These are locked, and stand undecided.
const DECIDE: &str = "UPDATE payments SET code = new.code, detail = new.detail, \
    unfinished = new.unfinished \
    FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::boolean[]) \
    AS new (sequence, code, detail, unfinished) WHERE payments.sequence = new.sequence";
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
            Self::Finish(..) => None,
        }
    }
}

impl Transactions for Payments {
    type Command = Command;
    type Outcome = Outcome;

    async fn run(&self, work: Work<'_>, commands: &[Command]) -> Result<Vec<Outcome>, StoreError> {
        self.makers.learn(&work, commands.iter().filter_map(Command::about)).await?;
        let mut books = Books::begin(&work, &self.makers, commands).await?;
        let outcomes = commands.iter().map(|command| books.apply(command)).collect();
        let writes = books.changes.writes(work.client()).await?;
        work.commit_with(&writes).await?;
        outcomes
    }
}

/// The rows of one batch.
struct Books<'m> {
    makers: &'m Makers,
    live: BTreeMap<RunNumber, bool>,
    same_ids: HashMap<Vec<u8>, Sequence>,
    standing: HashMap<Sequence, State>,
    changes: Changes,
}

/// What is to be written.
#[derive(Default)]
struct Changes {
    begun: BTreeMap<Vec<u8>, (RunNumber, Arc<Record>)>,
    decided: BTreeMap<Sequence, Verdict>,
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
            changes: Changes::default(),
        };
        for row in runs {
            books.live.insert(run_number(row.try_get(0)?)?, row.try_get(1)?);
        }
        for row in standing {
            let state = state_of(row.try_get(1)?, row.try_get(2)?)?;
            books.standing.insert(sequence_of(row.try_get(0)?)?, state);
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
        }
    }

    fn begin_one(&mut self, record: &Arc<Record>) -> Begun {
        let (sequence, id) = (record.id.sequence, record.order.payment_id.as_bytes());
        let same_id = self.same_ids.get(id).copied();
        let maker = self.makers.run_of(sequence);
        let by = maker.map_or(RunState::NotMade, |maker| self.run_state(maker));
        let begun = rules::begin(by, sequence, same_id);
        if let (Begun::Done, None, Some(maker)) = (begun, same_id, maker) {
            self.same_ids.insert(id.to_vec(), sequence);
            self.changes.begun.insert(id.to_vec(), (maker, record.clone()));
            let at_ms = record.initiated_at_ms;
            self.changes.events.push(Change { kind: EventKind::Initiated, sequence, at_ms });
        }
        begun
    }

    fn decide(&mut self, by: RunNumber, verdict: &Verdict) -> Result<Decided, StoreError> {
        let Verdict { sequence, route, ref decision, at_ms } = *verdict;
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
            self.changes.events.push(Change { kind: EventKind::of(decision), sequence, at_ms });
        }
        Ok(decided)
    }

    /// Whoever made a payment, or writes, was started: who has no row any more is fenced.
    fn run_state(&self, number: RunNumber) -> RunState {
        rules::run_state(number, self.live.get(&number).copied(), number)
    }
}

impl Changes {
    async fn writes(self, client: &Client) -> Result<Vec<Write>, StoreError> {
        let finished: Vec<i64> = self.finished.iter().copied().map(schema::sequence).collect();
        let all = [
            (self.begun.len(), BEGIN, begun_columns(&self.begun)),
            (self.decided.len(), DECIDE, decided_columns(&self.decided)),
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

/// A statement's parameter: an array with an element for each row.
type Column = Box<dyn ToSql + Sync + Send>;

fn column<R, T>(rows: impl Iterator<Item = R>, value: impl Fn(R) -> T) -> Column
where
    T: ToSql + Sync + Send + 'static,
{
    Box::new(rows.map(value).collect::<Vec<T>>())
}

fn begun_columns(begun: &BTreeMap<Vec<u8>, (RunNumber, Arc<Record>)>) -> Vec<Column> {
    let records = || begun.values().map(|(_, record)| record);
    vec![
        column(records(), |record| schema::sequence(record.id.sequence)),
        column(begun.values(), |(run, _)| schema::run(*run)),
        column(begun.keys(), Clone::clone),
        column(records(), |record| record.order.user.clone()),
        column(records(), |record| record.payee.clone()),
        column(records(), |record| record.initiated_at_ms),
        column(records(), |record| records::encode(record)),
    ]
}

fn decided_columns(decided: &BTreeMap<Sequence, Verdict>) -> Vec<Column> {
    let verdicts = || decided.values();
    let code = |verdict: &Verdict| records::code(&verdict.decision).0;
    vec![
        column(verdicts(), |verdict| schema::sequence(verdict.sequence)),
        column(verdicts(), |verdict| i16::from(code(verdict))),
        column(verdicts(), |verdict| records::code(&verdict.decision).1.as_bytes().to_vec()),
        column(verdicts(), |verdict| rules::is_to_be_told(verdict.route, &verdict.decision)),
    ]
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
