//! The outbox in the database: a row for each batch that changed payments' states, written by it.
//!
//! Transactions do not commit in the order of their ids, nor of any sequence: who read up to the newest
//! row would miss an older one that is committed later. So rows bear the id of the transaction that
//! wrote them, and readers stop before the oldest that is still under way: behind that, nothing comes
//! any more. An event of a payment that follows another is written by a transaction that began after
//! the other one's commit, and so stands behind it.

use std::collections::HashMap;

use strife_store::{StoreError, postgres::Write};
use tokio_postgres::Row;
use tracing::warn;

use super::{
    Client,
    census::Census,
    reading::{Reader, limit_of, sequence_of},
    schema,
};
use crate::{
    payment::State,
    store::{
        Acknowledged, Event, EventKind, Outbox, Page, Position, Record,
        events::{self, Change, Packed},
    },
    transaction::Sequence,
};

/// A position is the number of a transaction and, in its last bits, that of an event in it.
pub(super) const EVENT_BITS: u32 = 12;
/// Rows that are removed in one transaction at most.
const PRUNED_ROWS: i64 = 4096;

const APPEND: &str = "INSERT INTO outbox (size, events) VALUES ($1, $2)";
/// From the row in which `$1` stands, `$2` rows at most, until they have `$3` events. In one statement:
/// between two, events could be removed.
const READ: &str = "SELECT a.removed, o.number, o.events FROM about a LEFT JOIN LATERAL (\
    SELECT written_by, written_by::text::bigint AS number, events, \
    sum(size) OVER (ORDER BY written_by) - size AS before FROM outbox \
    WHERE written_by >= ($1::bigint >> 12)::text::xid8 \
    AND written_by < pg_snapshot_xmin(pg_current_snapshot()) \
    ORDER BY written_by LIMIT $2) o ON o.before < $3 ORDER BY o.written_by";
const PAYMENTS: &str = "SELECT sequence, code, detail, body, attempts, due_at_ms \
    FROM payments WHERE sequence = ANY($1)";
const FOLLOW: &str = "INSERT INTO followers (name, position) SELECT $1, removed FROM about \
    ON CONFLICT (name) DO UPDATE SET position = followers.position RETURNING position";
const ACKNOWLEDGE: &str = "WITH acknowledged AS (\
    UPDATE followers SET position = greatest(position, $2) WHERE name = $1 \
    AND ($2::bigint >> 12)::text::xid8 < pg_snapshot_xmin(pg_current_snapshot()) RETURNING 1) \
    SELECT EXISTS (SELECT FROM acknowledged), EXISTS (SELECT FROM followers WHERE name = $1)";
const FORGET: &str = "DELETE FROM followers WHERE name = $1 RETURNING name";
/// Rows before the one that some follower has got to, or, if nobody follows, before `$1`. What is gone
/// already is not looked at again.
const PRUNE: &str = "WITH bound AS (SELECT a.removed, CASE WHEN EXISTS (SELECT FROM followers) \
    THEN (SELECT min(position) >> 12 FROM followers) ELSE $1::bigint END AS keep_from FROM about a), \
    gone AS (DELETE FROM outbox WHERE written_by IN (\
        SELECT written_by FROM outbox \
        WHERE written_by > (SELECT (removed >> 12)::text::xid8 FROM bound) \
        AND written_by < (SELECT keep_from::text::xid8 FROM bound) \
        AND written_by < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY written_by LIMIT $2) \
        RETURNING (written_by::text::bigint << 12) + size - 1 AS last) \
    UPDATE about SET removed = greatest(removed, (SELECT max(last) FROM gone)) \
    WHERE EXISTS (SELECT FROM gone) RETURNING (SELECT count(*) FROM gone), removed";
/// Whether there are transactions that this server has yet to begin. Of what this statement sees, all
/// have ended.
const IS_FROM_ELSEWHERE: &str = "greatest(\
    coalesce((SELECT written_by FROM outbox ORDER BY written_by DESC LIMIT 1), '0'), \
    (SELECT (removed >> 12)::text::xid8 FROM about), \
    coalesce((SELECT (max(position) >> 12)::text::xid8 FROM followers), '0')) \
    >= pg_snapshot_xmax(pg_current_snapshot())";
const FOLLOWERS: &str = "SELECT name, position FROM followers ORDER BY name";

/// Adds the events of the batch that is about to commit.
pub(super) async fn append(client: &Client, events: &Packed) -> Result<Write, StoreError> {
    let size = events::count(events.bytes());
    assert!(size <= 1 << EVENT_BITS, "a batch has few commands, and each few events");
    let statement = client.prepare_cached(APPEND).await?;
    let columns = (Box::new(size as i16), Box::new(events.bytes().to_vec()));
    Ok(Write::new(statement, vec![columns.0, columns.1]))
}

impl Reader<'_> {
    /// Begins the outbox anew if the database was restored from a dump of another server. That one's
    /// transactions are not this one's: readers would wait for them, and writers meet their ids.
    pub(super) async fn begin_anew_if_restored(&self) -> Result<(), StoreError> {
        let rows = self.query(&format!("SELECT {IS_FROM_ELSEWHERE}"), &[]).await?;
        let restored = rows.first().ok_or(StoreError::Row("the outbox"))?.try_get(0)?;
        if restored {
            warn!(
                "the database was restored from another server: the events up to then are in the dump \
                 only, and nobody follows; begin a new file, with a --follower of its own, for each log"
            );
            // Looked at again under the lock: of several gateways that start at once, one does it
            // before any has written.
            let anew = format!(
                "DO $$ BEGIN LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE; IF {IS_FROM_ELSEWHERE} THEN \
                 TRUNCATE outbox, followers; UPDATE about SET removed = 0; END IF; END $$"
            );
            self.query(&anew, &[]).await?;
        }
        Ok(())
    }

    pub(super) async fn events(&self, after: Position, limit: usize) -> Result<Page, StoreError> {
        // Each row has at least one event; of the first, those up to `after` are passed over.
        let most_rows = limit_of(limit).saturating_add(1);
        let passed_over = stored((after & ((1 << EVENT_BITS) - 1)) + 1);
        let most_events = limit_of(limit).saturating_add(passed_over);
        let rows = self.query(READ, &[&stored(after), &most_rows, &most_events]).await?;
        let mut page = Page::default();
        let mut changes = Vec::new();
        for row in rows {
            page.removed = position_of(row.try_get(0)?)?;
            changes.extend(changes_of(&row)?);
        }
        changes.retain(|(position, _)| *position > after);
        changes.truncate(limit);
        let records = self.records(&changes).await?;
        for (position, Change { kind, sequence, at_ms }) in changes {
            let record = records.get(&sequence);
            let mut record = record.ok_or(StoreError::Row("an event without its payment"))?.clone();
            if kind == EventKind::Initiated {
                record.state = State::Initiated;
            }
            record.queued = None;
            page.events.push(Event { position, kind, at_ms, record });
        }
        Ok(page)
    }

    /// As they stand now: at least as far as the events say.
    async fn records(
        &self,
        changes: &[(Position, Change)],
    ) -> Result<HashMap<Sequence, Record>, StoreError> {
        let sequences = changes.iter().map(|(_, change)| schema::sequence(change.sequence));
        let sequences: Vec<i64> = sequences.collect();
        if sequences.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.query(PAYMENTS, &[&sequences]).await?;
        let entry = |row: &Row| Ok((sequence_of(row.try_get(0)?)?, self.standing(row, 0)?));
        rows.iter().map(entry).collect()
    }

    pub(super) async fn follow(&self, follower: &str) -> Result<Position, StoreError> {
        let rows = self.query(FOLLOW, &[&follower]).await?;
        position_of(rows.first().ok_or(StoreError::Row("a follower"))?.try_get(0)?)
    }

    pub(super) async fn acknowledge(
        &self,
        follower: &str,
        position: Position,
    ) -> Result<Acknowledged, StoreError> {
        let rows = self.query(ACKNOWLEDGE, &[&follower, &stored(position)]).await?;
        let row = rows.first().ok_or(StoreError::Row("an acknowledgement"))?;
        Ok(match (row.try_get(0)?, row.try_get(1)?) {
            (true, _) => Acknowledged::Done,
            (false, true) => Acknowledged::NotYet,
            (false, false) => Acknowledged::Unknown,
        })
    }

    pub(super) async fn forget_follower(&self, follower: &str) -> Result<bool, StoreError> {
        Ok(!self.query(FORGET, &[&follower]).await?.is_empty())
    }

    /// What is kept is counted by `census`, a step for each call.
    pub(super) async fn prune(&self, census: &mut Census, most: u64) -> Result<bool, StoreError> {
        let is_counted = self.count_next(census).await?;
        // Before all is counted this is too far back, never too far ahead.
        let keep_from = self.keep_from(census, most).await?;
        let rows = self.query(PRUNE, &[&keep_from, &PRUNED_ROWS]).await?;
        let Some(row) = rows.first() else { return Ok(!is_counted) };
        let pruned: i64 = row.try_get(0)?;
        self.forget_removed(census, row.try_get(1)?).await?;
        Ok(!is_counted || pruned == PRUNED_ROWS)
    }

    /// The first to ask since the gateway's start may have to wait until all that is kept is counted.
    pub(super) async fn outbox(&self, census: &mut Census) -> Result<Outbox, StoreError> {
        while !self.count_next(census).await? {}
        let events = census.events() + self.uncounted(census).await?;
        let followers = self.query(FOLLOWERS, &[]).await?;
        let follower = |row: Row| Ok((row.try_get(0)?, position_of(row.try_get(1)?)?));
        let followers = followers.into_iter().map(follower).collect::<Result<_, StoreError>>()?;
        Ok(Outbox { events, followers })
    }
}

/// The events of a row, if there is one, with their positions.
fn changes_of(row: &Row) -> Result<Vec<(Position, Change)>, StoreError> {
    let number: Option<i64> = row.try_get(1)?;
    let Some(number) = number else { return Ok(Vec::new()) };
    let changes = events::unpack(row.try_get(2)?).ok_or(StoreError::Row("events"))?;
    let first = position_of(number)? << EVENT_BITS;
    Ok((first..).zip(changes).collect())
}

/// A position as the database keeps it. Beyond what it can hold there is none.
fn stored(position: Position) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn position_of(stored: i64) -> Result<Position, StoreError> {
    Position::try_from(stored).map_err(|_| StoreError::Row("a position"))
}
