//! What is read outside of batches: each time one statement, and so one snapshot.

use strife_store::{
    StoreError,
    postgres::{Database, READ_TIMEOUT},
};
use tokio::time::timeout;
use tokio_postgres::{Row, types::ToSql};

use super::{rules, schema};
use crate::{
    payment::State,
    queue::Queued,
    store::{Found, Record, RunEntry, RunState, records},
    transaction::{Maker, RunNumber, Sequence, TransactionId, maker_of},
};

const NAME: &str = "SELECT name FROM about";
const RUNS: &str = "SELECT number, gateway, beats, live FROM runs ORDER BY number";
/// Also where there is no such payment, no such run, or no such block.
const GET: &str = "SELECT a.last_run, r.live, p.sequence, p.code, p.detail, p.body, \
    p.attempts, p.due_at_ms, m.number \
    FROM about a CROSS JOIN (SELECT coalesce($2::integer, (SELECT run FROM blocks WHERE block = $3)) AS number) m \
    LEFT JOIN runs r ON r.number = m.number LEFT JOIN payments p ON p.sequence = $1";
const FIND: &str = "SELECT r.live, p.sequence, p.code, p.detail, p.body, \
    p.attempts, p.due_at_ms FROM payments p \
    LEFT JOIN runs r ON r.number = p.run WHERE p.payment_id = $1";
const ORPHANS: &str = "SELECT r.live, p.sequence, p.code, p.detail, p.body, \
    p.attempts, p.due_at_ms FROM payments p \
    LEFT JOIN runs r ON r.number = p.run \
    WHERE p.code IS NULL AND r.live IS NOT TRUE AND p.sequence > $1 ORDER BY p.sequence LIMIT $2";
const UNFINISHED: &str = "SELECT r.live, p.sequence, p.code, p.detail, p.body, \
    p.attempts, p.due_at_ms FROM payments p \
    LEFT JOIN runs r ON r.number = p.run \
    WHERE p.unfinished AND (p.run = $3 OR r.live IS NOT TRUE) AND p.sequence > $1 \
    ORDER BY p.sequence LIMIT $2";
const PAYMENTS: &str = "SELECT r.live, p.sequence, p.code, p.detail, p.body, \
    p.attempts, p.due_at_ms FROM payments p \
    LEFT JOIN runs r ON r.number = p.run WHERE p.sequence > $1 ORDER BY p.sequence LIMIT $2";
const DUE: &str = "SELECT r.live, p.sequence, p.code, p.detail, p.body, \
    p.attempts, p.due_at_ms FROM payments p LEFT JOIN runs r ON r.number = p.run \
    WHERE p.due_at_ms <= greatest($2::bigint, $3::bigint) \
    AND p.due_at_ms <= CASE WHEN p.run = $1 THEN $2::bigint ELSE $3::bigint END \
    AND (p.due_at_ms, p.sequence) > ($4::bigint, $5::bigint) \
    ORDER BY p.due_at_ms, p.sequence LIMIT $6";
const QUEUED: &str = "SELECT count(*) FROM payments WHERE due_at_ms IS NOT NULL";
/// Sequences of gateways that run at the same time do not say what came first, so that their clocks
/// have to. A payment stands where it was taken on, whichever of its attempts is the newest, so that it
/// stays there while its history is read. `$2` is where the page before ended.
pub(super) const HISTORY: &str = "WITH ended AS (SELECT initiated_at_ms, coalesce(first, sequence) AS first \
    FROM payments WHERE sequence = $2 UNION SELECT 9223372036854775807, 0 WHERE $2 IS NULL) \
    SELECT r.live, p.sequence, p.code, p.detail, p.body, \
    p.attempts, p.due_at_ms FROM payments p \
    LEFT JOIN runs r ON r.number = p.run WHERE p.sequence IN (\
    (SELECT sequence FROM payments WHERE payer = $1 \
    AND (initiated_at_ms, coalesce(first, sequence)) < \
    ((SELECT initiated_at_ms FROM ended), (SELECT first FROM ended)) \
    ORDER BY initiated_at_ms DESC, coalesce(first, sequence) DESC LIMIT $3) UNION \
    (SELECT sequence FROM payments WHERE payee = $1 \
    AND (initiated_at_ms, coalesce(first, sequence)) < \
    ((SELECT initiated_at_ms FROM ended), (SELECT first FROM ended)) \
    ORDER BY initiated_at_ms DESC, coalesce(first, sequence) DESC LIMIT $3)) \
    ORDER BY p.initiated_at_ms DESC, coalesce(p.first, p.sequence) DESC LIMIT $3";

/// The store's own name.
pub(super) async fn name(database: &Database) -> Result<u32, StoreError> {
    let rows = Reader { database, store: 0 }.query(NAME, &[]).await?;
    let name: i64 = rows.first().ok_or(StoreError::Row("the store's name"))?.try_get(0)?;
    u32::try_from(name).map_err(|_| StoreError::Row("the store's name"))
}

/// Reads payments and runs.
pub(super) struct Reader<'d> {
    pub(super) database: &'d Database,
    pub(super) store: u32,
}

impl Reader<'_> {
    /// Runs one statement by itself, for a bounded time.
    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let client = self.database.client().await?;
        let read = async {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query(&statement, parameters).await?)
        };
        let read = timeout(READ_TIMEOUT, read).await;
        self.database.ended(client, read)
    }

    pub(super) async fn runs(&self) -> Result<Vec<RunEntry>, StoreError> {
        let rows = self.query(RUNS, &[]).await?;
        let entry = |row: Row| {
            let (number, beats): (_, i64) = (run_number(row.try_get(0)?)?, row.try_get(2)?);
            let (gateway, live) = (row.try_get(1)?, row.try_get(3)?);
            Ok(RunEntry { number, gateway, beats: beats.unsigned_abs(), live })
        };
        rows.into_iter().map(entry).collect()
    }

    pub(super) async fn get(&self, sequence: Sequence) -> Result<Found, StoreError> {
        let (run, block) = match maker_of(sequence) {
            Maker::Run(number) => (Some(schema::run(number)), None),
            Maker::Block(block) => (None, Some(schema::block(block))),
        };
        let rows = self.query(GET, &[&schema::sequence(sequence), &run, &block]).await?;
        let row = rows.first().ok_or(StoreError::Row("the store's newest run"))?;
        let (last, maker): (_, Option<i32>) = (run_number(row.try_get(0)?)?, row.try_get(8)?);
        let maker = match maker {
            Some(number) => rules::run_state(run_number(number)?, row.try_get(1)?, last),
            None => RunState::NotMade,
        };
        let there: Option<i64> = row.try_get(2)?;
        let record = there.map(|_| self.standing(row, 2)).transpose()?;
        Ok(Found { record: record.map(|record| record.read(maker)), maker })
    }

    pub(super) async fn find(&self, payment_id: &str) -> Result<Option<Record>, StoreError> {
        let rows = self.query(FIND, &[&payment_id.as_bytes()]).await?;
        rows.first().map(|row| self.read(row)).transpose()
    }

    pub(super) async fn due(
        &self,
        own: RunNumber,
        now_ms: i64,
        others_ms: i64,
        after: Option<(i64, Sequence)>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (own, limit) = (schema::run(own), limit_of(limit));
        let (due_ms, sequence) =
            after.map_or((i64::MIN, -1), |(due_ms, sequence)| (due_ms, schema::sequence(sequence)));
        let rows =
            self.query(DUE, &[&own, &now_ms, &others_ms, &due_ms, &sequence, &limit]).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    pub(super) async fn queued(&self) -> Result<u64, StoreError> {
        let rows = self.query(QUEUED, &[]).await?;
        let count: i64 = rows.first().ok_or(StoreError::Row("a count"))?.try_get(0)?;
        Ok(count.unsigned_abs())
    }

    pub(super) async fn orphans(
        &self,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let rows = self.query(ORPHANS, &[&after_of(after), &limit_of(limit)]).await?;
        rows.iter().map(|row| self.standing(row, 1)).collect()
    }

    pub(super) async fn unfinished(
        &self,
        own: RunNumber,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (after, limit, own) = (after_of(after), limit_of(limit), schema::run(own));
        let rows = self.query(UNFINISHED, &[&after, &limit, &own]).await?;
        rows.iter().map(|row| self.standing(row, 1)).collect()
    }

    pub(super) async fn payments(
        &self,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let rows = self.query(PAYMENTS, &[&after_of(after), &limit_of(limit)]).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    pub(super) async fn history(
        &self,
        user: &str,
        before: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let before = before.map(schema::sequence);
        let rows = self.query(HISTORY, &[&user, &before, &limit_of(limit)]).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// A payment as it is read. Whether its run, that there was, is live is in the first column.
    fn read(&self, row: &Row) -> Result<Record, StoreError> {
        let record = self.standing(row, 1)?;
        Ok(record.read(rules::run_state(0, row.try_get(0)?, 0)))
    }

    /// A payment as it stands, in the columns from `first` on.
    pub(super) fn standing(&self, row: &Row, first: usize) -> Result<Record, StoreError> {
        let sequence = sequence_of(row.try_get(first)?)?;
        let id = TransactionId { store: self.store, sequence };
        let body: &[u8] = row.try_get(first + 3)?;
        let mut record = records::decode(id, body).map_err(|_| StoreError::Row("a payment"))?;
        record.state = state_of(row.try_get(first + 1)?, row.try_get(first + 2)?)?;
        record.queued = place_of(row.try_get(first + 4)?, row.try_get(first + 5)?)?;
        Ok(record)
    }
}

/// What the two columns of a decision say.
pub(super) fn state_of(code: Option<i16>, detail: Option<&[u8]>) -> Result<State, StoreError> {
    let Some(code) = code else { return Ok(State::Initiated) };
    let known = || {
        let detail = std::str::from_utf8(detail.unwrap_or_default()).ok()?;
        records::decision(u8::try_from(code).ok()?, detail)
    };
    known().map(State::Decided).ok_or(StoreError::Row("a decision"))
}

/// What the two columns of a place in the queue say.
pub(super) fn place_of(
    attempts: Option<i64>,
    due_ms: Option<i64>,
) -> Result<Option<Queued>, StoreError> {
    let (Some(attempts), Some(due_ms)) = (attempts, due_ms) else { return Ok(None) };
    let attempts = u32::try_from(attempts).map_err(|_| StoreError::Row("a place in the queue"))?;
    Ok(Some(Queued { attempts, due_ms }))
}

pub(super) fn run_number(stored: i32) -> Result<RunNumber, StoreError> {
    RunNumber::try_from(stored).map_err(|_| StoreError::Row("a run"))
}

pub(super) fn sequence_of(stored: i64) -> Result<Sequence, StoreError> {
    Sequence::try_from(stored).map_err(|_| StoreError::Row("a sequence"))
}

fn after_of(after: Option<Sequence>) -> i64 {
    after.map_or(-1, schema::sequence)
}

pub(super) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
