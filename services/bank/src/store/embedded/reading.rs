//! What is read of a bank's file: sums, and legs page by page. Each read sees one snapshot.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};

use crate::{
    ledger::{Internal, LegKey},
    store::{
        AccountDetails, KnownLeg, Totals,
        rows::{self, Unknown},
        tables::{ACCOUNTS, FINISHED, LIMITS, POSITIONS, PREPARED},
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
        let leg = known_leg(key.value(), row.value())?;
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
            found.push(known_leg(key.value(), row.value())?);
        }
    }
    Ok(found)
}

fn known_leg(key: &str, row: rows::LegRow<'_>) -> Result<KnownLeg, redb::Error> {
    let key = LegKey::parse(key).ok_or(Unknown("a leg's key"))?;
    Ok(KnownLeg { key, leg: rows::leg(row)? })
}
