//! What is read of a bank's file: sums, and legs page by page. Each read sees one snapshot.

use std::ops::Bound;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};

use crate::{
    ledger::{Forced, Internal, LegKey, Met},
    store::{
        AccountDetails, KnownLeg, Totals,
        rows::{self, Unknown},
        tables::{ACCOUNTS, FINISHED, FORCED, LIMITS, POSITIONS, PREPARED},
    },
};

pub(super) fn details(
    transaction: &ReadTransaction,
    account_id: &str,
) -> Result<Option<AccountDetails>, redb::Error> {
    let accounts = transaction.open_table(ACCOUNTS)?;
    let Some(row) = accounts.get(account_id)? else { return Ok(None) };
    let account = rows::account(row.value())?;
    let limits = transaction.open_table(LIMITS)?.get(account_id)?;
    Ok(Some(AccountDetails { account, limits: limits.map(|row| rows::limits(row.value())) }))
}

pub(super) fn totals(transaction: &ReadTransaction) -> Result<Totals, redb::Error> {
    let mut totals = Totals::default();
    for entry in transaction.open_table(ACCOUNTS)?.iter()? {
        totals.add(&rows::account(entry?.1.value())?);
    }
    for entry in transaction.open_table(POSITIONS)?.iter()? {
        let (name, balance) = entry?;
        let internal = Internal::from_name(name.value()).ok_or(Unknown("a position's name"))?;
        totals.put_position(internal, balance.value());
    }
    totals.in_doubt = transaction.open_table(PREPARED)?.len()?;
    Ok(totals)
}

pub(super) fn in_doubt(
    transaction: &ReadTransaction,
    until_ms: u64,
    limit: usize,
    wanted: impl Fn(&LegKey) -> bool,
) -> Result<Vec<KnownLeg>, redb::Error> {
    let mut found = Vec::new();
    for entry in transaction.open_table(PREPARED)?.iter()? {
        let (key, row) = entry?;
        let leg = known_leg(key.value(), row.value(), None)?;
        if leg.leg.prepared_at_ms > until_ms || !wanted(&leg.key) {
            continue;
        }
        found.push(leg);
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

/// From after `after`, by key: those in doubt and those that are over are in two tables.
pub(super) fn legs(
    transaction: &ReadTransaction,
    after: &str,
    limit: usize,
) -> Result<Vec<KnownLeg>, redb::Error> {
    let (prepared, finished) =
        (transaction.open_table(PREPARED)?, transaction.open_table(FINISHED)?);
    let forced = transaction.open_table(FORCED)?;
    let any_forced = !forced.is_empty()?;
    let range = (Bound::Excluded(after), Bound::Unbounded);
    let mut in_doubt = prepared.range::<&str>(range)?;
    let mut over = finished.range::<&str>(range)?;
    let (mut one, mut other) = (in_doubt.next().transpose()?, over.next().transpose()?);
    let mut found = Vec::new();
    while found.len() < limit {
        let one_is_next = match (&one, &other) {
            (Some((one, _)), Some((other, _))) => one.value() < other.value(),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        let entry = match one_is_next {
            true => std::mem::replace(&mut one, in_doubt.next().transpose()?),
            false => std::mem::replace(&mut other, over.next().transpose()?),
        };
        if let Some((key, row)) = entry {
            let forced = if any_forced { forced_leg(&forced, key.value())? } else { None };
            found.push(known_leg(key.value(), row.value(), forced)?);
        }
    }
    Ok(found)
}

/// Few: operators make them.
pub(super) fn forced(
    transaction: &ReadTransaction,
    limit: usize,
) -> Result<Vec<KnownLeg>, redb::Error> {
    let (forced, finished) = (transaction.open_table(FORCED)?, transaction.open_table(FINISHED)?);
    let mut found = Vec::new();
    for entry in forced.iter()? {
        let (key, row) = entry?;
        let forced = rows::forced(row.value())?;
        if forced.decision == Met::Unknown
            && found.len() < limit
            && let Some(leg) = finished.get(key.value())?
        {
            found.push(known_leg(key.value(), leg.value(), Some(forced))?);
        }
    }
    Ok(found)
}

fn forced_leg(
    table: &ReadOnlyTable<&'static str, rows::ForcedRow<'static>>,
    key: &str,
) -> Result<Option<Forced>, redb::Error> {
    Ok(table.get(key)?.map(|row| rows::forced(row.value())).transpose()?)
}

fn known_leg(
    key: &str,
    row: rows::LegRow<'_>,
    forced: Option<Forced>,
) -> Result<KnownLeg, redb::Error> {
    let key = LegKey::parse(key).ok_or(Unknown("a leg's key"))?;
    Ok(KnownLeg { key, leg: rows::leg(row)?, forced })
}
