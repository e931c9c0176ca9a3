//! What the store's commands do to its tables.

use std::sync::Arc;

use redb::{Database, ReadableTable, Table, WriteTransaction};
use strife_store::Machine;

use super::{
    merging::Merging,
    outbox,
    queue::Queue,
    recent::Recent,
    rows::{decided, missing},
    tables::{self, RunRow},
};
use crate::{
    payment::{Decision, State},
    store::{
        Acknowledged, Begun, Decided, EventKind, Move, Moved, Position, Record, RunState, Taken,
        Verdict,
        events::{Change, Packed},
        records, rules,
    },
    transaction::{Block, RunNumber, Sequence, TransactionId},
};

/// A change to the store.
#[derive(Debug)]
pub(super) enum Command {
    /// A new run, and whether it is the only one from now on.
    Start { gateway: String, alone: bool },
    /// The run goes on.
    Beat(RunNumber),
    /// The run writes nothing any more.
    Fence(RunNumber),
    /// A fenced run is done with.
    Forget(RunNumber),
    /// The run has a block of sequences from now on.
    Take(RunNumber, Block),
    /// A new payment.
    Begin(Arc<Record>),
    /// How a payment ends, says a run.
    Decide(RunNumber, Verdict),
    /// Every bank has committed, says a run.
    Finish(RunNumber, Sequence),
    /// The next attempt at a queued payment, in the place of the one before it.
    Retry { record: Arc<Record>, after: Sequence, at_ms: i64 },
    /// A queued payment moves, says a run.
    Move(RunNumber, Move),
    /// Somebody follows the outbox.
    Follow(String),
    /// A follower has everything up to there.
    Acknowledge(String, Position),
    /// A follower does not follow any more.
    ForgetFollower(String),
    /// Events that nobody waits for go; so many stay if nobody follows.
    Prune { most: u64 },
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The run that was begun.
    Started(RunNumber),
    /// Whether there was anything to change.
    Was(bool),
    /// Of a block.
    Taken(Taken),
    /// Of a new payment.
    Begun(Begun),
    /// Of a decision.
    Decided(Decided),
    /// Up to where a follower has everything.
    Follows(Position),
    /// Of an acknowledgement.
    Acknowledged(Acknowledged),
}

/// The gateway's part of the group commit.
#[derive(Debug)]
pub(super) struct Payments {
    recent: Recent,
    merging: Merging,
}

impl Payments {
    /// What stands in the file; payments gather until they are this many, and then are merged.
    pub(super) fn of(database: &Database, generation: usize) -> Result<Self, redb::Error> {
        let recent = Recent::load(database)?;
        let mut merging = Merging::new(recent.clone(), generation);
        if recent.gathered() >= 2 * generation {
            merging.merge_all(database)?;
        }
        Ok(Self { recent, merging })
    }

    /// What leads to the newest payments.
    pub(super) fn recent(&self) -> &Recent {
        &self.recent
    }
}

impl Machine for Payments {
    type Command = Command;
    type Outcome = Outcome;

    fn apply_batch(
        &mut self,
        transaction: &WriteTransaction,
        commands: Vec<Command>,
    ) -> Result<Vec<Outcome>, redb::Error> {
        self.merging.begin_commit();
        let about = transaction.open_table(tables::ABOUT)?;
        let mut tables = Tables {
            last_run: tables::about(&about, tables::LAST_RUN)?,
            about,
            runs: transaction.open_table(tables::RUNS)?,
            blocks: transaction.open_table(tables::BLOCKS)?,
            payments: transaction.open_table(tables::PAYMENTS)?,
            decisions: transaction.open_table(tables::DECISIONS)?,
            by_payment_id: transaction.open_table(tables::BY_PAYMENT_ID)?,
            undecided: transaction.open_table(tables::UNDECIDED)?,
            unfinished: transaction.open_table(tables::UNFINISHED)?,
            queue: Queue::of(transaction),
            events: Packed::default(),
            recent: &self.recent,
            taken_on: Vec::new(),
            transaction,
        };
        let outcomes: Result<_, _> =
            commands.into_iter().map(|command| tables.apply(command)).collect();
        let (events, taken_on) = tables.close();
        outbox::append(transaction, &events)?;
        self.merging.end_commit(transaction, taken_on)?;
        outcomes
    }
}

struct Tables<'t> {
    about: Table<'t, &'static str, u32>,
    last_run: RunNumber,
    runs: Table<'t, RunNumber, RunRow>,
    blocks: Table<'t, Block, RunNumber>,
    payments: Table<'t, Sequence, &'static [u8]>,
    decisions: Table<'t, Sequence, (u8, &'static str)>,
    by_payment_id: Table<'t, &'static str, Sequence>,
    undecided: Table<'t, Sequence, ()>,
    unfinished: Table<'t, Sequence, ()>,
    queue: Queue<'t>,
    /// Of this commit.
    events: Packed,
    recent: &'t Recent,
    /// In this commit.
    taken_on: Vec<Sequence>,
    transaction: &'t WriteTransaction,
}

impl Tables<'_> {
    /// What is yet to be written of this commit, in tables that can be opened now.
    fn close(self) -> (Packed, Vec<Sequence>) {
        (self.events, self.taken_on)
    }

    fn apply(&mut self, command: Command) -> Result<Outcome, redb::Error> {
        match command {
            Command::Start { gateway, alone } => Ok(Outcome::Started(self.start(&gateway, alone)?)),
            Command::Beat(run) => Ok(Outcome::Was(self.beat(run)?)),
            Command::Fence(run) => Ok(Outcome::Was(self.fence(run)?)),
            Command::Forget(run) => Ok(Outcome::Was(self.forget(run)?)),
            Command::Take(run, block) => Ok(Outcome::Taken(self.take(run, block)?)),
            Command::Begin(record) => Ok(Outcome::Begun(self.begin(&record)?)),
            Command::Decide(by, verdict) => Ok(Outcome::Decided(self.decide(by, &verdict)?)),
            Command::Finish(by, sequence) => Ok(Outcome::Was(self.finish(by, sequence)?)),
            Command::Retry { record, after, at_ms } => {
                Ok(Outcome::Begun(self.retry(&record, after, at_ms)?))
            }
            Command::Move(by, step) => Ok(Outcome::Decided(self.move_queued(by, &step)?)),
            Command::Follow(follower) => {
                Ok(Outcome::Follows(outbox::follow(self.transaction, &follower)?))
            }
            Command::Acknowledge(follower, position) => {
                let acknowledged = outbox::acknowledge(self.transaction, &follower, position)?;
                Ok(Outcome::Acknowledged(acknowledged))
            }
            Command::ForgetFollower(follower) => {
                Ok(Outcome::Was(outbox::forget(self.transaction, &follower)?))
            }
            Command::Prune { most } => Ok(Outcome::Was(outbox::prune(self.transaction, most)?)),
        }
    }

    fn start(&mut self, gateway: &str, alone: bool) -> Result<RunNumber, redb::Error> {
        if alone {
            let runs = self.runs.iter()?.map(|entry| Ok::<_, redb::Error>(entry?.0.value()));
            for run in runs.collect::<Result<Vec<_>, _>>()? {
                self.fence(run)?;
            }
        }
        self.last_run += 1;
        self.about.insert(tables::LAST_RUN, self.last_run)?;
        self.runs.insert(self.last_run, (gateway, 0, true))?;
        Ok(self.last_run)
    }

    fn beat(&mut self, run: RunNumber) -> Result<bool, redb::Error> {
        self.change_live(run, |(gateway, beats, live)| (gateway, beats + 1, live))
    }

    fn fence(&mut self, run: RunNumber) -> Result<bool, redb::Error> {
        self.change_live(run, |(gateway, beats, _)| (gateway, beats, false))
    }

    fn change_live(
        &mut self,
        run: RunNumber,
        change: impl FnOnce((&str, u64, bool)) -> (&str, u64, bool),
    ) -> Result<bool, redb::Error> {
        let row = self.runs.get(run)?.map(|row| {
            let (gateway, beats, live) = row.value();
            (gateway.to_owned(), beats, live)
        });
        let Some((gateway, beats, true)) = row else { return Ok(false) };
        self.runs.insert(run, change((&gateway, beats, true)))?;
        Ok(true)
    }

    fn forget(&mut self, run: RunNumber) -> Result<bool, redb::Error> {
        let fenced = self.run_state(run)? == RunState::Fenced;
        Ok(fenced && self.runs.remove(run)?.is_some())
    }

    fn take(&mut self, run: RunNumber, block: Block) -> Result<Taken, redb::Error> {
        let owner = self.blocks.get(block)?.map(|owner| owner.value());
        let taken = rules::take(self.run_state(run)?, run, owner);
        if taken == Taken::Done && owner.is_none() {
            self.blocks.insert(block, run)?;
        }
        Ok(taken)
    }

    fn begin(&mut self, record: &Record) -> Result<Begun, redb::Error> {
        let sequence = record.id.sequence;
        let payment_id = record.order.payment_id.as_str();
        let by = self.maker_state(sequence)?;
        let same_id = match self.recent.find(payment_id) {
            Some(found) => Some(found),
            None => self.by_payment_id.get(payment_id)?.map(|found| found.value()),
        };
        let begun = rules::begin(by, sequence, same_id);
        if begun == Begun::Done && same_id.is_none() {
            self.write(record, record.initiated_at_ms)?;
            self.recent.add(record);
            self.taken_on.push(sequence);
        }
        Ok(begun)
    }

    /// A payment's row, of which there was none, and what stands of it.
    fn write(&mut self, record: &Record, at_ms: i64) -> Result<(), redb::Error> {
        let sequence = record.id.sequence;
        self.payments.insert(sequence, records::encode(record).as_slice())?;
        self.events.push(Change { kind: EventKind::Initiated, sequence, at_ms });
        match (&record.state, record.queued) {
            (State::Decided(decision), Some(place)) => {
                self.events.push(Change { kind: EventKind::Queued, sequence, at_ms });
                self.decisions.insert(sequence, records::code(decision))?;
                self.queue.put(sequence, place)
            }
            _ => {
                self.undecided.insert(sequence, ())?;
                Ok(())
            }
        }
    }

    /// Its id and its users' history lead to where the payment was taken on, and from there to this attempt.
    fn retry(
        &mut self,
        record: &Record,
        after: Sequence,
        at_ms: i64,
    ) -> Result<Begun, redb::Error> {
        let sequence = record.id.sequence;
        let by = self.maker_state(sequence)?;
        let mut newest_of = self.transaction.open_table(tables::NEWEST)?;
        let newest = newest_of.get(record.first())?.map_or(record.first(), |newest| newest.value());
        let waits = self.queue.get(after)?.is_some();
        let begun = rules::retry(by, sequence, Some(newest), after, waits);
        if begun == Begun::Done && newest == after {
            newest_of.insert(record.first(), sequence)?;
            self.queue.remove(after)?;
            self.write(record, at_ms)?;
        }
        Ok(begun)
    }

    fn move_queued(&mut self, by: RunNumber, step: &Move) -> Result<Decided, redb::Error> {
        let Move { sequence, seen, ref to, at_ms } = *step;
        let (by, standing) = (self.run_state(by)?, self.queue.get(sequence)?);
        let moved = rules::move_queued(by, standing, seen, to.place());
        if moved == Decided::Done {
            match to {
                Moved::Later(place) => self.queue.put(sequence, *place)?,
                Moved::Ended(abort) => {
                    self.queue.remove(sequence)?;
                    let decision = Decision::Aborted(abort.clone());
                    self.decisions.insert(sequence, records::code(&decision))?;
                    self.events.push(Change { kind: EventKind::Expired, sequence, at_ms });
                }
            }
        }
        Ok(moved)
    }

    fn decide(&mut self, by: RunNumber, verdict: &Verdict) -> Result<Decided, redb::Error> {
        let Verdict { sequence, route, ref decision, at_ms, queued } = *verdict;
        let (maker, standing) = (tables::run_of(&self.blocks, sequence)?, self.standing(sequence)?);
        let maker = match maker {
            Some(maker) if maker == by => None,
            Some(maker) => Some(self.run_state(maker)?),
            None => Some(RunState::NotMade),
        };
        let by = self.run_state(by)?;
        let deciding = rules::Deciding { by, maker, route, standing: &standing };
        let decided = rules::decide(deciding, decision);
        if decided == Decided::Done && standing == State::Initiated {
            self.decisions.insert(sequence, records::code(decision))?;
            self.undecided.remove(sequence)?;
            if rules::is_to_be_told(route, decision) {
                self.unfinished.insert(sequence, ())?;
            }
            let kind = EventKind::of(decision, queued);
            self.events.push(Change { kind, sequence, at_ms });
            if let Some(place) = queued {
                self.queue.put(sequence, place)?;
            }
        }
        Ok(decided)
    }

    fn finish(&mut self, by: RunNumber, sequence: Sequence) -> Result<bool, redb::Error> {
        let live = self.run_state(by)? == RunState::Live;
        if live {
            self.unfinished.remove(sequence)?;
        }
        Ok(live)
    }

    /// The state of the run that made the payment of this sequence.
    fn maker_state(&self, sequence: Sequence) -> Result<RunState, redb::Error> {
        match tables::run_of(&self.blocks, sequence)? {
            Some(number) => self.run_state(number),
            None => Ok(RunState::NotMade),
        }
    }

    fn run_state(&self, number: RunNumber) -> Result<RunState, redb::Error> {
        let live = self.runs.get(number)?.map(|row| row.value().2);
        Ok(rules::run_state(number, live, self.last_run))
    }

    /// What stands of a payment.
    fn standing(&self, sequence: Sequence) -> Result<State, redb::Error> {
        if self.undecided.get(sequence)?.is_some() {
            return Ok(State::Initiated);
        }
        if let Some(row) = self.decisions.get(sequence)? {
            return decided(sequence, row.value());
        }
        let bytes = self.payments.get(sequence)?.ok_or_else(|| missing(sequence))?;
        Ok(records::decode(TransactionId { store: 0, sequence }, bytes.value())?.state)
    }
}
