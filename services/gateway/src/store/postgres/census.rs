//! How many events the outbox holds, without reading all of it time and again.
//!
//! Behind the oldest transaction under way nothing comes any more, so what was counted there once stays
//! counted, until it is removed. Each gateway counts for itself, a part at a time: from its oldest row
//! to its newest when it has started, and later what is new. Of the parts at the two ends, where events
//! are removed and where the newest begin, single rows are looked at.

use std::collections::VecDeque;

use strife_store::StoreError;

use super::reading::Reader;

/// Rows in a part at most, and so what a statement here reads.
const PART_ROWS: i64 = 4096;

/// What is behind `$1`: up to where, how many events in how many rows. And what was removed.
const COUNT: &str = "SELECT max(number), coalesce(sum(size), 0)::bigint, count(*), \
    (SELECT removed FROM about) FROM (\
        SELECT written_by::text::bigint AS number, size FROM outbox \
        WHERE written_by > $1::bigint::text::xid8 \
        AND written_by < pg_snapshot_xmin(pg_current_snapshot()) \
        ORDER BY written_by LIMIT $2) part";
const COUNT_AGAIN: &str = "SELECT coalesce(sum(size), 0)::bigint, count(*) FROM outbox \
    WHERE written_by > $1::bigint::text::xid8 AND written_by <= $2::bigint::text::xid8";
const UNCOUNTED: &str = "SELECT coalesce(sum(size), 0)::bigint FROM (\
    SELECT size FROM outbox WHERE written_by > $1::bigint::text::xid8 \
    ORDER BY written_by LIMIT $2) newest";
/// The newest row of a part with which it holds `$3` events from there on.
const KEEP_FROM: &str = "SELECT written_by::text::bigint FROM (\
    SELECT written_by, sum(size) OVER (ORDER BY written_by DESC) AS so_far FROM outbox \
    WHERE written_by > $1::bigint::text::xid8 AND written_by <= $2::bigint::text::xid8) newest \
    WHERE so_far >= $3 ORDER BY written_by DESC LIMIT 1";

/// Rows that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// The number of the row before the first.
    after: i64,
    /// The number of the last row.
    last: i64,
    rows: i64,
    events: u64,
}

/// What was counted, in parts from the oldest to the newest.
#[derive(Debug, Default)]
pub(super) struct Census {
    parts: VecDeque<Part>,
    /// Up to where it is counted.
    last: i64,
    /// The row up to which all were removed, when it was looked at.
    removed: i64,
}

impl Census {
    /// That were counted.
    pub(super) fn events(&self) -> u64 {
        self.parts.iter().map(|part| part.events).sum()
    }

    fn add(&mut self, next: Part) {
        self.last = next.last;
        match self.parts.back_mut() {
            Some(part) if part.rows + next.rows <= PART_ROWS => {
                part.last = next.last;
                part.rows += next.rows;
                part.events += next.events;
            }
            _ => self.parts.push_back(next),
        }
    }
}

impl Reader<'_> {
    /// Counts a part of what was not; whether that is all.
    pub(super) async fn count_next(&self, census: &mut Census) -> Result<bool, StoreError> {
        let rows = self.query(COUNT, &[&census.last, &PART_ROWS]).await?;
        let row = rows.first().ok_or(StoreError::Row("the outbox's size"))?;
        let (events, rows) = (row.try_get::<_, i64>(1)?.unsigned_abs(), row.try_get(2)?);
        if let Some(last) = row.try_get(0)? {
            census.add(Part { after: census.last, last, rows, events });
        }
        self.forget_removed(census, row.try_get(3)?).await?;
        Ok(rows < PART_ROWS)
    }

    /// Takes out what was removed up to a position, by whichever gateway.
    pub(super) async fn forget_removed(
        &self,
        census: &mut Census,
        position: i64,
    ) -> Result<(), StoreError> {
        let removed = position >> super::outbox::EVENT_BITS;
        if removed == census.removed {
            return Ok(());
        }
        while census.parts.front().is_some_and(|part| part.last <= removed) {
            census.parts.pop_front();
        }
        if let Some(part) = census.parts.front_mut() {
            let after = part.after.max(removed);
            let rows = self.query(COUNT_AGAIN, &[&after, &part.last]).await?;
            let row = rows.first().ok_or(StoreError::Row("the outbox's size"))?;
            let (events, rows) = (row.try_get::<_, i64>(0)?.unsigned_abs(), row.try_get(1)?);
            *part = Part { after, rows, events, ..*part };
        }
        // Where it was removed there is nothing left to be counted.
        census.last = census.last.max(removed);
        census.removed = removed;
        Ok(())
    }

    /// Events behind what was counted, of so many rows at most.
    pub(super) async fn uncounted(&self, census: &Census) -> Result<u64, StoreError> {
        let rows = self.query(UNCOUNTED, &[&census.last, &PART_ROWS]).await?;
        let row = rows.first().ok_or(StoreError::Row("the outbox's size"))?;
        Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
    }

    /// The row from which on there are `most` events, or a few more; none if there are fewer.
    pub(super) async fn keep_from(
        &self,
        census: &Census,
        most: u64,
    ) -> Result<Option<i64>, StoreError> {
        let mut missing = most.saturating_sub(self.uncounted(census).await?);
        for part in census.parts.iter().rev() {
            if part.events >= missing {
                // No part has as many events as that.
                let missing = i64::try_from(missing).unwrap_or(i64::MAX);
                let rows = self.query(KEEP_FROM, &[&part.after, &part.last, &missing]).await?;
                return rows.first().map(|row| Ok(row.try_get(0)?)).transpose();
            }
            missing -= part.events;
        }
        Ok(None)
    }
}
