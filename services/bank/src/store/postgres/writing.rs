//! What is written: all that a batch changed, a statement for each kind, in the order of the keys.

use strife_store::{
    StoreError,
    postgres::{Client, Write},
};
use tokio_postgres::types::ToSql;

use super::{
    books::{Books, Posted},
    reading::whole,
};
use crate::{
    ledger::{Forced, GatewayRun, Internal, LegRecord, TransferRecord},
    store::{AccountDetails, rows},
};

const UPDATE_ACCOUNTS: &str = "UPDATE accounts SET state = new.state, available = new.available, \
    held = new.held, incoming = new.incoming, limit_per_payment = new.limit_per_payment, \
    limit_per_day = new.limit_per_day, limit_day = new.limit_day, limit_used = new.limit_used \
    FROM unnest($1::text[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], \
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]) \
    AS new (account_id, state, currency, available, held, incoming, \
    limit_per_payment, limit_per_day, limit_day, limit_used) \
    WHERE accounts.account_id = new.account_id";
const INSERT_ACCOUNTS: &str = "INSERT INTO accounts \
    (account_id, state, currency, available, held, incoming, \
    limit_per_payment, limit_per_day, limit_day, limit_used) SELECT * FROM \
    unnest($1::text[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], \
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])";
/// Nothing of a leg but its state ever changes.
const UPDATE_LEGS: &str = "UPDATE legs SET state = new.state \
    FROM unnest($1::text[], $2::smallint[]) AS new (key, state) WHERE legs.key = new.key";
const INSERT_LEGS: &str = "INSERT INTO legs \
    (key, state, account_id, minor_units, currency, coordinator, prepared_at_ms) SELECT * FROM \
    unnest($1::text[], $2::smallint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[])";
const INSERT_TRANSFERS: &str = "INSERT INTO transfers \
    (transaction_id, from_account, to_account, minor_units, currency, refusal, available) SELECT * FROM \
    unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::smallint[], $7::bigint[])";
/// After the leg's own row is what it is to be.
const FORCE: &str = "UPDATE legs SET forced_end = new.forced_end, forced_by = new.forced_by, \
    forced_reason = new.forced_reason, forced_at_ms = new.forced_at_ms, \
    forced_decision = new.forced_decision \
    FROM unnest($1::text[], $2::smallint[], $3::text[], $4::text[], $5::bigint[], $6::smallint[]) \
    AS new (key, forced_end, forced_by, forced_reason, forced_at_ms, forced_decision) \
    WHERE legs.key = new.key";
const FENCE: &str = "INSERT INTO fences (store, run) SELECT * FROM \
    unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING";
const APPEND: &str = "INSERT INTO journal \
    (transaction_id, amount, to_account, to_balance_after, from_account, from_balance_after) \
    SELECT * FROM \
    unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bigint[])";
/// Numbers that no 64 bits hold travel as text.
const MOVE: &str = "INSERT INTO positions (name, shard, balance) \
    SELECT name, $2::smallint, amount::numeric \
    FROM unnest($1::text[], $3::text[]) AS moved (name, amount) \
    ON CONFLICT (name, shard) DO UPDATE SET balance = positions.balance + EXCLUDED.balance";

/// The writes that make the database what `books` are; none where nothing changed. Locks are taken in
/// one order by all: of accounts and legs that were there when they were read, then, here, of new
/// rows table by table and key by key, and of positions last.
pub(super) async fn writes(
    client: &Client,
    books: Books,
    shard: i16,
) -> Result<Vec<Write>, StoreError> {
    let Books {
        accounts, legs, transfers, moved, postings, fences, mut forced, newly_forced, ..
    } = books;
    forced.retain(|key, _| newly_forced.contains(key));
    let forced: Vec<_> = forced.into_iter().collect();
    let fences: Vec<_> = fences.into_iter().collect();
    let (accounts, legs) = (accounts.changed(), legs.changed());
    let transfers = transfers.changed().inserted;
    let moved: Vec<_> = moved.into_iter().filter(|(_, amount)| *amount != 0).collect();
    let all = [
        (accounts.updated.len(), UPDATE_ACCOUNTS, account_columns(&accounts.updated)),
        (legs.updated.len(), UPDATE_LEGS, ended_columns(&legs.updated)),
        (accounts.inserted.len(), INSERT_ACCOUNTS, account_columns(&accounts.inserted)),
        (legs.inserted.len(), INSERT_LEGS, leg_columns(&legs.inserted)),
        (transfers.len(), INSERT_TRANSFERS, transfer_columns(&transfers)),
        (forced.len(), FORCE, forced_columns(&forced)),
        (fences.len(), FENCE, fence_columns(&fences)),
        (postings.len(), APPEND, posting_columns(&postings)),
        (moved.len(), MOVE, move_columns(&moved, shard)),
    ];
    let mut writes = Vec::new();
    for (_, sql, columns) in all.into_iter().filter(|(rows, ..)| *rows > 0) {
        writes.push(Write::new(client.prepare_cached(sql).await?, columns));
    }
    Ok(writes)
}

/// A statement's parameters: arrays with an element for each row.
type Columns = Vec<Box<dyn ToSql + Sync + Send>>;

fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Box<dyn ToSql + Sync + Send>
where
    T: ToSql + Sync + Send + 'static,
{
    Box::new(rows.iter().map(value).collect::<Vec<T>>())
}

fn account_columns(accounts: &[(String, AccountDetails)]) -> Columns {
    let row = |(key, details): &(String, AccountDetails)| {
        let limits = details.limits.as_ref().map(rows::limits_row);
        (key.clone(), rows::account_row(&details.account), limits)
    };
    let rows: Vec<_> = accounts.iter().map(row).collect();
    vec![
        column(&rows, |(key, ..)| key.clone()),
        column(&rows, |(_, row, _)| i16::from(row.0)),
        column(&rows, |(_, row, _)| letters(row.1)),
        column(&rows, |(_, row, _)| row.2),
        column(&rows, |(_, row, _)| row.3),
        column(&rows, |(_, row, _)| row.4),
        column(&rows, |(.., limits)| limits.and_then(|limits| limits.0)),
        column(&rows, |(.., limits)| limits.and_then(|limits| limits.1)),
        column(&rows, |(.., limits)| limits.map(|limits| i64::from(limits.2))),
        column(&rows, |(.., limits)| limits.map(|limits| limits.3)),
    ]
}

fn ended_columns(legs: &[(String, LegRecord)]) -> Columns {
    vec![
        column(legs, |(key, _)| key.clone()),
        column(legs, |(_, leg)| i16::from(rows::leg_row(leg).0)),
    ]
}

fn leg_columns(legs: &[(String, LegRecord)]) -> Columns {
    let rows: Vec<_> = legs.iter().map(|(key, leg)| (key, rows::leg_row(leg))).collect();
    vec![
        column(&rows, |(key, _)| (*key).clone()),
        column(&rows, |(_, row)| i16::from(row.0)),
        column(&rows, |(_, row)| row.1.to_owned()),
        column(&rows, |(_, row)| row.2),
        column(&rows, |(_, row)| letters(row.3)),
        column(&rows, |(_, row)| row.4.to_owned()),
        column(&rows, |(_, row)| whole(row.5)),
    ]
}

fn transfer_columns(transfers: &[(String, TransferRecord)]) -> Columns {
    let rows: Vec<_> =
        transfers.iter().map(|(id, transfer)| (id, rows::transfer_row(transfer))).collect();
    vec![
        column(&rows, |(id, _)| (*id).clone()),
        column(&rows, |(_, row)| row.0.to_owned()),
        column(&rows, |(_, row)| row.1.to_owned()),
        column(&rows, |(_, row)| row.2),
        column(&rows, |(_, row)| letters(row.3)),
        column(&rows, |(_, row)| i16::from(row.4)),
        column(&rows, |(_, row)| row.5),
    ]
}

fn forced_columns(forced: &[(String, Forced)]) -> Columns {
    let rows: Vec<_> = forced.iter().map(|(key, forced)| (key, rows::forced_row(forced))).collect();
    vec![
        column(&rows, |(key, _)| (*key).clone()),
        column(&rows, |(_, row)| i16::from(row.0)),
        column(&rows, |(_, row)| row.1.to_owned()),
        column(&rows, |(_, row)| row.2.to_owned()),
        column(&rows, |(_, row)| whole(row.3)),
        column(&rows, |(_, row)| i16::from(row.4)),
    ]
}

fn fence_columns(fences: &[GatewayRun]) -> Columns {
    vec![column(fences, |run| i64::from(run.store)), column(fences, |run| i64::from(run.run))]
}

fn posting_columns(postings: &[Posted]) -> Columns {
    vec![
        column(postings, |posted| posted.transaction_id.clone()),
        column(postings, |posted| posted.amount),
        column(postings, |posted| posted.to.0.clone()),
        column(postings, |posted| posted.to.1),
        column(postings, |posted| posted.from.0.clone()),
        column(postings, |posted| posted.from.1),
    ]
}

fn move_columns(moved: &[(Internal, i128)], shard: i16) -> Columns {
    vec![
        column(moved, |(internal, _)| internal.name()),
        Box::new(shard),
        column(moved, |(_, amount)| amount.to_string()),
    ]
}

fn letters(code: [u8; 3]) -> String {
    code.map(char::from).iter().collect()
}
