//! What the store's commands do to its tables.

use std::sync::Arc;

use redb::{ReadableTable, Table, WriteTransaction};
use strife_store::Machine;

use super::{Record, records, tables};
use crate::{
    order::Route,
    payment::{Decision, State},
    transaction::Sequence,
};

/// A change to the store.
#[derive(Debug)]
pub(super) enum Command {
    /// A new payment, INITIATED.
    Begin(Arc<Record>),
    /// How a payment ends.
    Decide(Sequence, Decision),
    /// Every bank has committed.
    Finish(Sequence),
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Durable, now or since before.
    Done,
    /// Another decision stands; nothing was changed.
    Contradicted,
}

/// The gateway's part of the group commit.
#[derive(Debug)]
pub(super) struct Payments;

impl Machine for Payments {
    type Command = Command;
    type Outcome = Outcome;

    fn apply_batch(
        &mut self,
        transaction: &WriteTransaction,
        commands: Vec<Command>,
    ) -> Result<Vec<Outcome>, redb::Error> {
        let mut tables = Tables {
            payments: transaction.open_table(tables::PAYMENTS)?,
            by_payment_id: transaction.open_table(tables::BY_PAYMENT_ID)?,
            history: transaction.open_table(tables::HISTORY)?,
            undecided: transaction.open_table(tables::UNDECIDED)?,
            unfinished: transaction.open_table(tables::UNFINISHED)?,
        };
        commands.into_iter().map(|command| tables.apply(command)).collect()
    }
}

struct Tables<'t> {
    payments: Table<'t, Sequence, &'static [u8]>,
    by_payment_id: Table<'t, &'static str, Sequence>,
    history: Table<'t, (&'static str, Sequence), ()>,
    undecided: Table<'t, Sequence, ()>,
    unfinished: Table<'t, Sequence, ()>,
}

impl Tables<'_> {
    fn apply(&mut self, command: Command) -> Result<Outcome, redb::Error> {
        match command {
            Command::Begin(record) => self.begin(&record),
            Command::Decide(sequence, decision) => self.decide(sequence, decision),
            Command::Finish(sequence) => {
                self.unfinished.remove(sequence)?;
                Ok(Outcome::Done)
            }
        }
    }

    fn begin(&mut self, record: &Record) -> Result<Outcome, redb::Error> {
        let sequence = record.id.sequence;
        let payment_id = record.order.payment_id.as_str();
        self.payments.insert(sequence, records::encode(record).as_slice())?;
        self.by_payment_id.insert(payment_id, sequence)?;
        self.undecided.insert(sequence, ())?;
        self.history.insert((record.order.user.as_str(), sequence), ())?;
        if let Some(payee) = &record.payee {
            self.history.insert((payee.as_str(), sequence), ())?;
        }
        Ok(Outcome::Done)
    }

    fn decide(&mut self, sequence: Sequence, decision: Decision) -> Result<Outcome, redb::Error> {
        let bytes = self.payments.get(sequence)?.map(|bytes| bytes.value().to_vec());
        let bytes = bytes.ok_or_else(|| records::missing(sequence))?;
        let mut record = records::decode_at(sequence, &bytes)?;
        if let State::Decided(standing) = &record.state {
            let same = *standing == decision;
            return Ok(if same { Outcome::Done } else { Outcome::Contradicted });
        }
        let unfinished = decision == Decision::Committed && record.order.route() == Route::TwoBanks;
        record.state = State::Decided(decision);
        self.payments.insert(sequence, records::encode(&record).as_slice())?;
        self.undecided.remove(sequence)?;
        if unfinished {
            self.unfinished.insert(sequence, ())?;
        }
        Ok(Outcome::Done)
    }
}
