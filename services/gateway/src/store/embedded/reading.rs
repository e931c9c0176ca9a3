//! Look-ups in one snapshot of the file and in what is not merged into its tables yet.

use std::{collections::BTreeSet, ops::Bound};

use redb::ReadTransaction;
use strife_store::StoreError;

use super::{
    Embedded, Record, RunState,
    rows::{Rows, missing},
    tables::{self, Runs},
};
use crate::transaction::{RunNumber, Sequence};

impl Embedded {
    /// The newest attempt at the payment of this id.
    pub(super) fn found(&self, payment_id: &str) -> Result<Option<Record>, StoreError> {
        // Before the snapshot, or it could be in neither.
        let recent = self.recent.find(payment_id);
        self.commits.read(|transaction| {
            if let Some(sequence) = recent {
                return self.rows(transaction)?.newest(sequence);
            }
            let found = transaction.open_table(tables::BY_PAYMENT_ID)?.get(payment_id)?;
            let Some(sequence) = found.map(|found| found.value()) else { return Ok(None) };
            let record = self.rows(transaction)?.newest(sequence)?;
            record.ok_or_else(|| missing(sequence)).map(Some)
        })
    }

    /// A user's payments as [`Store::history`] lists them.
    pub(super) fn history_before(
        &self,
        user: &str,
        before: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let before = match before {
            None => Bound::Included(Sequence::MAX),
            Some(before) => Bound::Excluded(self.taken_on(before)?.unwrap_or(before)),
        };
        // Before the snapshot, or a payment could be in neither; what it does not have yet is passed over.
        let recent = self.recent.history(user, before, limit.saturating_add(self.commits.batch()));
        self.commits.read(|transaction| {
            let rows = self.rows(transaction)?;
            let history = transaction.open_table(tables::HISTORY)?;
            let range = (Bound::Included((user, 0)), before.map(|before| (user, before)));
            let merged = history.range(range)?.rev().take(limit);
            let merged = merged.map(|entry| Ok(entry?.0.value().1));
            let merged = merged.collect::<Result<BTreeSet<_>, redb::Error>>()?;
            let newest = (&merged | &recent).into_iter().rev();
            let found = newest.map(|sequence| match rows.newest(sequence)? {
                None if merged.contains(&sequence) => Err(missing(sequence)),
                found => Ok(found),
            });
            found.filter_map(Result::transpose).take(limit).collect()
        })
    }

    /// The payments of a list, as they stand, whose runs are `wanted`.
    pub(super) fn listed(
        &self,
        table: tables::List,
        after: Option<Sequence>,
        limit: usize,
        wanted: impl Fn(Option<RunNumber>, RunState) -> bool,
    ) -> Result<Vec<Record>, StoreError> {
        self.commits.read(|transaction| {
            let (list, rows) = (transaction.open_table(table)?, self.rows(transaction)?);
            let after = after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut found = Vec::new();
            for entry in list.range((after, Bound::Unbounded))? {
                let sequence = entry?.0.value();
                let (run, state) = rows.runs.maker(sequence)?;
                if wanted(run, state) {
                    found.push(rows.standing(sequence)?.ok_or_else(|| missing(sequence))?);
                }
                if found.len() == limit {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// The sequence under which the payment of this attempt was taken on, if there is such an attempt.
    fn taken_on(&self, sequence: Sequence) -> Result<Option<Sequence>, StoreError> {
        self.commits.read(|transaction| {
            let record = self.rows(transaction)?.standing(sequence)?;
            Ok(record.map(|record| record.first()))
        })
    }

    pub(super) fn rows<'t>(
        &self,
        transaction: &'t ReadTransaction,
    ) -> Result<Rows<'t>, redb::Error> {
        Ok(Rows {
            transaction,
            store: self.name,
            runs: Runs::read(transaction)?,
            payments: transaction.open_table(tables::PAYMENTS)?,
            decisions: transaction.open_table(tables::DECISIONS)?,
        })
    }
}
