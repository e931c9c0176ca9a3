//! Payments as one snapshot has them: as they stand, as they are read, and by which attempt.

use redb::{ReadOnlyTable, ReadTransaction};

use super::{
    queue,
    tables::{self, Runs},
};
use crate::{
    payment::State,
    store::{Record, records},
    transaction::{Sequence, TransactionId},
};

/// The payments of one snapshot.
pub(super) struct Rows<'t> {
    pub(super) transaction: &'t ReadTransaction,
    pub(super) store: u32,
    pub(super) runs: Runs,
    pub(super) payments: ReadOnlyTable<Sequence, &'static [u8]>,
    pub(super) decisions: ReadOnlyTable<Sequence, (u8, &'static str)>,
}

impl Rows<'_> {
    /// A payment as it stands.
    pub(super) fn standing(&self, sequence: Sequence) -> Result<Option<Record>, redb::Error> {
        let Some(bytes) = self.payments.get(sequence)? else { return Ok(None) };
        let id = TransactionId { store: self.store, sequence };
        let mut record = records::decode(id, bytes.value())?;
        if record.state == State::Initiated
            && let Some(row) = self.decisions.get(sequence)?
        {
            record.state = decided(sequence, row.value())?;
        }
        Ok(Some(record))
    }

    /// A payment as it is read.
    pub(super) fn read(&self, sequence: Sequence) -> Result<Option<Record>, redb::Error> {
        let Some(mut record) = self.standing(sequence)? else { return Ok(None) };
        if record.state == State::Initiated {
            let (_, maker) = self.runs.maker(sequence)?;
            record = record.read(maker);
        } else if record.order.may_queue() {
            record.queued = queue::place(self.transaction, sequence)?;
        }
        Ok(Some(record))
    }

    /// A payment that something leads to, as it is read.
    pub(super) fn listed(&self, sequence: Sequence) -> Result<Record, redb::Error> {
        self.read(sequence)?.ok_or_else(|| missing(sequence))
    }

    /// The newest attempt at the payment that was taken on under this sequence, as it is read; `None` if
    /// this snapshot has no such payment.
    pub(super) fn newest(&self, sequence: Sequence) -> Result<Option<Record>, redb::Error> {
        match self.read(sequence)? {
            Some(record) if record.order.may_queue() => {
                let newest = self.transaction.open_table(tables::NEWEST)?.get(sequence)?;
                match newest.map(|newest| newest.value()) {
                    Some(newest) => self.listed(newest).map(Some),
                    None => Ok(Some(record)),
                }
            }
            found => Ok(found),
        }
    }
}

pub(super) fn decided(
    sequence: Sequence,
    (code, detail): (u8, &str),
) -> Result<State, redb::Error> {
    let decision = records::decision(code, detail);
    let why = || records::Damaged { sequence, why: format!("decision {code}") };
    Ok(State::Decided(decision.ok_or_else(why)?))
}

/// A sequence leads nowhere.
pub(super) fn missing(sequence: Sequence) -> redb::Error {
    redb::Error::Corrupted(format!("payment {sequence:016x} is listed but not there"))
}
