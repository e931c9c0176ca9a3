//! Newest payments by their ids and by their users, in memory, until they are many.
//!
//! Ids and users are random keys: one by one, each would have a page of its table written anew in every
//! commit. So a payment's own row is all that a commit writes, with its sequence in
//! [`tables::UNMERGED`]; what leads to it gathers here. Once a generation of payments has gathered it is
//! merged into the tables, in the order of the keys, a part in each of the commits that follow: neighbours
//! share pages. A start reads what was not merged; what was merged in part is merged again, which
//! changes nothing.
//!
//! What leads to a payment never changes, so that it can stand here before its commit: who finds it looks
//! into a snapshot that was begun afterwards, and if the payment is not there it does not exist yet.

use std::{
    collections::{BTreeMap, BTreeSet, btree_set},
    mem,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{rows::missing, tables};
use crate::{
    store::{Record, records},
    transaction::{Sequence, TransactionId},
};

/// Payments of a generation, about a quarter of a kilobyte each. One gathers while another is merged, which is
/// over before the former is as large; a start finds twice as many at most, or merges them.
pub(super) const GENERATION: usize = 65_536;

/// A user and a payment that he made or received.
pub(super) type Entry = (Box<str>, Sequence);

/// What leads to payments that the tables do not have. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent(Arc<Mutex<Generations>>);

#[derive(Debug, Default)]
struct Generations {
    gathering: Generation,
    /// What is being merged. It is found here until all of it is durable in the tables.
    merging: Option<Arc<Generation>>,
}

/// What leads to some payments.
#[derive(Debug, Default)]
pub(super) struct Generation {
    pub(super) ids: BTreeMap<Box<str>, Sequence>,
    pub(super) histories: BTreeSet<Entry>,
}

impl Recent {
    /// What the tables do not have.
    pub(super) fn load(database: &Database) -> Result<Self, redb::Error> {
        let transaction = database.begin_read()?;
        let payments = transaction.open_table(tables::PAYMENTS)?;
        let mut gathering = Generation::default();
        for entry in transaction.open_table(tables::UNMERGED)?.iter()? {
            for sequence in entry?.1.value() {
                let bytes = payments.get(sequence)?.ok_or_else(|| missing(sequence))?;
                let id = TransactionId { store: 0, sequence };
                gathering.add(&records::decode(id, bytes.value())?);
            }
        }
        Ok(Self(Arc::new(Mutex::new(Generations { gathering, merging: None }))))
    }

    pub(super) fn add(&self, record: &Record) {
        self.lock().gathering.add(record);
    }

    /// Under which sequence the payment of this id was taken on, or is about to be.
    pub(super) fn find(&self, payment_id: &str) -> Option<Sequence> {
        self.lock().each().find_map(|generation| generation.ids.get(payment_id).copied())
    }

    /// The newest payments of a user that are older than `before`, as they were taken on or are about to be: `limit`
    /// of each generation.
    pub(super) fn history(
        &self,
        user: &str,
        before: Bound<Sequence>,
        limit: usize,
    ) -> BTreeSet<Sequence> {
        let newest = before.map(|before| (user.into(), before));
        let range = (Bound::Included((user.into(), 0)), newest);
        let generations = self.lock();
        let each = generations.each().map(|generation| generation.histories.range(range.clone()));
        each.flat_map(|found: btree_set::Range<'_, Entry>| found.rev().take(limit))
            .map(|(_, sequence)| *sequence)
            .collect()
    }

    /// Payments that gather.
    pub(super) fn gathered(&self) -> usize {
        self.lock().gathering.ids.len()
    }

    /// Begins a new generation; the one to merge. None may be being merged.
    pub(super) fn freeze(&self) -> Arc<Generation> {
        let mut generations = self.lock();
        let frozen = Arc::new(mem::take(&mut generations.gathering));
        generations.merging = Some(frozen.clone());
        frozen
    }

    /// The tables have all of what was frozen, and that is durable: it is found here no more. Whoever was
    /// given it has let go of it; now it is the caller's.
    pub(super) fn forget(&self) -> Generation {
        let merged = self.lock().merging.take();
        merged.and_then(Arc::into_inner).unwrap_or_default()
    }

    /// Payments that are found through memory.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().each().map(|generation| generation.ids.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn each(&self) -> impl Iterator<Item = &Generation> {
        std::iter::once(&self.gathering).chain(self.merging.as_deref())
    }
}

impl Generation {
    /// Lets go of so many entries, if there are as many.
    pub(super) fn shed(&mut self, entries: usize) {
        for _ in 0..entries {
            if self.ids.pop_first().is_none() && self.histories.pop_first().is_none() {
                break;
            }
        }
    }

    fn add(&mut self, record: &Record) {
        let sequence = record.id.sequence;
        self.ids.insert(record.order.payment_id.as_str().into(), sequence);
        self.histories.insert((record.order.user.as_str().into(), sequence));
        if let Some(payee) = &record.payee {
            self.histories.insert((payee.as_str().into(), sequence));
        }
    }
}
