//! What a batch writes, as parameters of its statements.

use std::{collections::BTreeMap, sync::Arc};

use tokio_postgres::types::ToSql;

use super::{rules, schema};
use crate::{
    payment::Decision,
    queue::Queued,
    store::{Record, Verdict, records},
    transaction::{RunNumber, Sequence},
};

/// A statement's parameter: an array with an element for each row.
pub(super) type Column = Box<dyn ToSql + Sync + Send>;

fn column<R, T>(rows: impl Iterator<Item = R>, value: impl Fn(R) -> T) -> Column
where
    T: ToSql + Sync + Send + 'static,
{
    Box::new(rows.map(value).collect::<Vec<T>>())
}

pub(super) fn begun_columns(begun: &BTreeMap<Vec<u8>, (RunNumber, Arc<Record>)>) -> Vec<Column> {
    let records = || begun.values().map(|(_, record)| record);
    vec![
        column(records(), |record| schema::sequence(record.id.sequence)),
        column(begun.values(), |(run, _)| schema::run(*run)),
        column(begun.keys(), Clone::clone),
        column(records(), |record| record.order.user.clone()),
        column(records(), |record| record.payee.clone()),
        column(records(), |record| record.initiated_at_ms),
        column(records(), |record| records::encode(record)),
        column(records(), |record| record.earlier.map(|earlier| schema::sequence(earlier.first))),
    ]
}

pub(super) fn decided_columns(decided: &BTreeMap<Sequence, Verdict>) -> Vec<Column> {
    let verdicts = || decided.values();
    let code = |verdict: &Verdict| records::code(&verdict.decision).0;
    vec![
        column(verdicts(), |verdict| schema::sequence(verdict.sequence)),
        column(verdicts(), |verdict| i16::from(code(verdict))),
        column(verdicts(), |verdict| records::code(&verdict.decision).1.as_bytes().to_vec()),
        column(verdicts(), |verdict| rules::is_to_be_told(verdict.route, &verdict.decision)),
    ]
}

pub(super) fn ended_columns(ended: &BTreeMap<Sequence, Decision>) -> Vec<Column> {
    vec![
        column(ended.keys(), |sequence| schema::sequence(*sequence)),
        column(ended.values(), |decision| i16::from(records::code(decision).0)),
        column(ended.values(), |decision| records::code(decision).1.as_bytes().to_vec()),
    ]
}

pub(super) fn placed_columns(placed: &BTreeMap<Sequence, Option<Queued>>) -> Vec<Column> {
    vec![
        column(placed.keys(), |sequence| schema::sequence(*sequence)),
        column(placed.values(), |place| place.map(|place| i64::from(place.attempts))),
        column(placed.values(), |place| place.map(|place| place.due_ms)),
    ]
}
