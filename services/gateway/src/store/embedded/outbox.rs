//! The outbox in the file. What one commit says of payments is one row, however much it is: so events
//! cost a payment's commit next to nothing.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, WriteTransaction};

use super::{
    rows::{Rows, missing},
    tables::{FOLLOWERS, OUTBOX},
};
use crate::{
    payment::State,
    store::{
        Acknowledged, Event, EventKind, Outbox, Page, Position,
        events::{self, Change, Packed},
    },
};

/// Rows that are removed in one commit at most.
const PRUNED_ROWS: usize = 256;

/// Adds the events of a commit.
pub(super) fn append(transaction: &WriteTransaction, events: &Packed) -> Result<(), redb::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let mut outbox = transaction.open_table(OUTBOX)?;
    let first = next(&outbox)?;
    outbox.insert(first, events.bytes())?;
    Ok(())
}

pub(super) fn follow(
    transaction: &WriteTransaction,
    follower: &str,
) -> Result<Position, redb::Error> {
    let mut followers = transaction.open_table(FOLLOWERS)?;
    if let Some(position) = followers.get(follower)?.map(|position| position.value()) {
        return Ok(position);
    }
    let removed = removed(&transaction.open_table(OUTBOX)?)?;
    followers.insert(follower, removed)?;
    Ok(removed)
}

pub(super) fn acknowledge(
    transaction: &WriteTransaction,
    follower: &str,
    position: Position,
) -> Result<Acknowledged, redb::Error> {
    let mut followers = transaction.open_table(FOLLOWERS)?;
    let Some(before) = followers.get(follower)?.map(|before| before.value()) else {
        return Ok(Acknowledged::Unknown);
    };
    if position >= next(&transaction.open_table(OUTBOX)?)? {
        return Ok(Acknowledged::NotYet);
    }
    if before < position {
        followers.insert(follower, position)?;
    }
    Ok(Acknowledged::Done)
}

pub(super) fn forget(transaction: &WriteTransaction, follower: &str) -> Result<bool, redb::Error> {
    Ok(transaction.open_table(FOLLOWERS)?.remove(follower)?.is_some())
}

/// Whether there is something that [`prune`] would remove.
pub(super) fn is_prunable(transaction: &ReadTransaction, most: u64) -> Result<bool, redb::Error> {
    let outbox = transaction.open_table(OUTBOX)?;
    let up_to = removable(&outbox, &transaction.open_table(FOLLOWERS)?, most)?;
    Ok(first_end(&outbox)?.is_some_and(|end| end <= up_to))
}

/// Removes what nobody waits for. Whether there may be more to remove.
pub(super) fn prune(transaction: &WriteTransaction, most: u64) -> Result<bool, redb::Error> {
    let mut outbox = transaction.open_table(OUTBOX)?;
    let up_to = removable(&outbox, &transaction.open_table(FOLLOWERS)?, most)?;
    for _ in 0..PRUNED_ROWS {
        if first_end(&outbox)?.is_none_or(|end| end > up_to) {
            return Ok(false);
        }
        outbox.pop_first()?;
    }
    Ok(true)
}

/// Up to where events may be removed: what all followers have, or, if there is none, what is beyond
/// `most`; never the newest row.
fn removable(
    outbox: &impl ReadableTable<Position, &'static [u8]>,
    followers: &impl ReadableTable<&'static str, Position>,
    most: u64,
) -> Result<Position, redb::Error> {
    let newest = outbox.last()?.map_or(0, |(first, _)| first.value());
    let mut least = None;
    for follower in followers.iter()? {
        let position = follower?.1.value();
        least = Some(least.map_or(position, |least: Position| least.min(position)));
    }
    let up_to = match least {
        Some(least) => least,
        None => (next(outbox)? - 1).saturating_sub(most),
    };
    Ok(up_to.min(newest.saturating_sub(1)))
}

/// Where the last event of the first row stands.
fn first_end(
    outbox: &impl ReadableTable<Position, &'static [u8]>,
) -> Result<Option<Position>, redb::Error> {
    Ok(outbox.first()?.map(|(first, row)| end(first.value(), row.value())))
}

/// The events after `after`.
pub(super) fn read(
    outbox: &ReadOnlyTable<Position, &'static [u8]>,
    rows: &Rows<'_>,
    after: Position,
    limit: usize,
) -> Result<Page, redb::Error> {
    let mut page = Page { events: Vec::new(), removed: removed(outbox)? };
    // The row in which it stands, or the one behind it.
    let first =
        outbox.range(..=after)?.next_back().transpose()?.map_or(after, |(first, _)| first.value());
    for row in outbox.range(first..)? {
        let (first, row) = row?;
        let changes = events::unpack(row.value());
        let damaged = || redb::Error::Corrupted(format!("event {} is damaged", first.value()));
        let changes = (first.value()..).zip(changes.ok_or_else(damaged)?);
        for (position, change) in changes.filter(|(position, _)| *position > after) {
            if page.events.len() == limit {
                return Ok(page);
            }
            page.events.push(event(rows, position, change)?);
        }
    }
    Ok(page)
}

/// Who follows, and how much there is.
pub(super) fn describe(transaction: &ReadTransaction) -> Result<Outbox, redb::Error> {
    let outbox = transaction.open_table(OUTBOX)?;
    let events = next(&outbox)? - 1 - removed(&outbox)?;
    let followers = transaction.open_table(FOLLOWERS)?;
    let followers = followers.iter()?.map(|entry| {
        let (name, position) = entry?;
        Ok((name.value().to_owned(), position.value()))
    });
    let followers = followers.collect::<Result<_, redb::Error>>()?;
    Ok(Outbox { events, followers })
}

fn event(rows: &Rows<'_>, position: Position, change: Change) -> Result<Event, redb::Error> {
    let Change { kind, sequence, at_ms } = change;
    let mut record = rows.standing(sequence)?.ok_or_else(|| missing(sequence))?;
    if kind == EventKind::Initiated {
        record.state = State::Initiated;
    }
    Ok(Event { position, kind, at_ms, record })
}

/// Where the last event of a row stands.
fn end(first: Position, row: &[u8]) -> Position {
    first + events::count(row) as Position - 1
}

/// Where the next event will stand.
fn next(outbox: &impl ReadableTable<Position, &'static [u8]>) -> Result<Position, redb::Error> {
    let last = outbox.last()?;
    Ok(last.map_or(1, |(first, row)| end(first.value(), row.value()) + 1))
}

/// Where the last event stood that was removed; 0 if none was.
fn removed(outbox: &impl ReadableTable<Position, &'static [u8]>) -> Result<Position, redb::Error> {
    Ok(outbox.first()?.map_or(0, |(first, _)| first.value() - 1))
}
