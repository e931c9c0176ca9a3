//! What gateways remember: every payment under its sequence, where to find it by payment id and by
//! user, which payments are not decided, which committed ones some bank has yet to hear of, which runs
//! of gateways may write, and, for whoever follows, what happened to payments in order ([`events`]).
//!
//! [`Embedded`] is a file that one gateway has for itself, [`Postgres`] a database that several share. Both what may be written and what a row
//! means are [`rules`]; all stores pass one conformance suite. Writes are durable when they return; reads
//! see what is committed, and answer from one snapshot.

use std::{future::Future, sync::Arc};

use strife_store::{Latencies, StoreError};

use crate::{
    order::Route,
    payment::{Abort, Decision},
    queue::Queued,
    transaction::{Block, Run, RunNumber, Sequence},
};
pub use embedded::Embedded;
pub use events::{Acknowledged, Event, EventKind, Outbox, Page, Position};
pub use postgres::Postgres;
pub use records::{Earlier, Record};
pub use rules::{Begun, Decided, RunState, Taken};

#[cfg(test)]
pub(crate) mod conformance;
mod embedded;
pub mod events;
mod postgres;
mod records;
pub mod rules;

/// A gateway's memory, or several gateways'. Clones share it.
pub trait Store: Clone + Send + Sync + 'static {
    /// The store's own name, which stands in the names of its transactions.
    fn name(&self) -> u32;

    /// Whether other gateways may write at the same time.
    fn is_shared(&self) -> bool;

    /// Begins a run that may write; `gateway` is for people. Where nobody else can be writing, all
    /// earlier runs are fenced.
    fn start(&self, gateway: &str) -> impl Future<Output = Result<Run, StoreError>> + Send;

    /// Says that the run goes on; `false` if it is fenced.
    fn beat(&self, run: RunNumber) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes the right to write from a run, for good; `false` if it was gone already.
    fn fence(&self, run: RunNumber) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Forgets a fenced run of which nothing is left to be done. It stays fenced.
    fn forget(&self, run: RunNumber) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All runs that are not forgotten, oldest first.
    fn runs(&self) -> impl Future<Output = Result<Vec<RunEntry>, StoreError>> + Send;

    /// Gives a run a block of sequences, for good, before it uses the first of them.
    fn take(
        &self,
        run: RunNumber,
        block: Block,
    ) -> impl Future<Output = Result<Taken, StoreError>> + Send;

    /// The highest block that any run ever had.
    fn last_block(&self) -> impl Future<Output = Result<Option<Block>, StoreError>> + Send;

    /// Writes down a new payment, for the run that made it; in the queue, if the record says that it has
    /// a place there.
    fn begin(&self, record: Arc<Record>) -> impl Future<Output = Result<Begun, StoreError>> + Send;

    /// Writes down how a payment ends.
    fn decide(
        &self,
        by: RunNumber,
        verdict: Verdict,
    ) -> impl Future<Output = Result<Decided, StoreError>> + Send;

    /// Writes down how many payments end, at once.
    fn decide_all(
        &self,
        by: RunNumber,
        verdicts: Vec<Verdict>,
    ) -> impl Future<Output = Result<Vec<Decided>, StoreError>> + Send;

    /// Writes down the next attempt at a queued payment, after the attempt `after`, for the run that made
    /// it; whoever else saw that in the queue comes second. `at_ms` is when, for people.
    fn retry(
        &self,
        record: Arc<Record>,
        after: Sequence,
        at_ms: i64,
    ) -> impl Future<Output = Result<Begun, StoreError>> + Send;

    /// Moves payments in the queue, or out of it, unless somebody else has.
    fn move_queued(
        &self,
        by: RunNumber,
        moves: Vec<Move>,
    ) -> impl Future<Output = Result<Vec<Decided>, StoreError>> + Send;

    /// Payments in the queue, those due first first: of run `own` if they are due by `now_ms`, of others
    /// by `others_ms`; from after the one of this due time and sequence.
    fn due(
        &self,
        own: RunNumber,
        now_ms: i64,
        others_ms: i64,
        after: Option<(i64, Sequence)>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send;

    /// How many payments are in the queue.
    fn queued(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Writes down that every bank has committed; `false` if the run is fenced.
    fn finish(
        &self,
        by: RunNumber,
        sequence: Sequence,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The payment of this id; of several attempts the newest.
    fn find(
        &self,
        payment_id: &str,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;

    /// The payment of this sequence, and the run that made it.
    fn get(&self, sequence: Sequence) -> impl Future<Output = Result<Found, StoreError>> + Send;

    /// Payments that stand undecided and whose runs are fenced, by sequence, from after `after`. As
    /// they stand, and not as they are read.
    fn orphans(
        &self,
        after: Option<Sequence>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send;

    /// Committed payments that not every bank is known to have committed, of run `own` and of fenced
    /// runs, by sequence, from after `after`.
    fn unfinished(
        &self,
        own: RunNumber,
        after: Option<Sequence>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send;

    /// A user's payments, made and received, newest first, from before `before`. Each is there once, where
    /// it was taken on, with its newest attempt.
    fn history(
        &self,
        user: &str,
        before: Option<Sequence>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send;

    /// How long durable commits took since the start.
    fn commits(&self) -> &Latencies;

    /// All payments by sequence, from after `after`; one that was queued with each of its attempts.
    fn payments(
        &self,
        after: Option<Sequence>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send;

    /// What happened to payments, from after `after`; `limit` events at most, and fewer only if there
    /// are no more yet.
    fn events(
        &self,
        after: Position,
        limit: usize,
    ) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// Resolves when there may be further events than when this was called.
    fn written(&self) -> impl Future<Output = ()> + Send;

    /// From now on keeps what this follower has not acknowledged; up to where it has everything.
    fn follow(&self, follower: &str) -> impl Future<Output = Result<Position, StoreError>> + Send;

    /// A follower has everything up to `position`.
    fn acknowledge(
        &self,
        follower: &str,
        position: Position,
    ) -> impl Future<Output = Result<Acknowledged, StoreError>> + Send;

    /// Keeps nothing for this follower any more; `false` if there was none.
    fn forget_follower(
        &self,
        follower: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Removes events that all followers have, or, if there is no follower, the oldest beyond `most`.
    /// A bounded number; whether there may be more to remove.
    fn prune(&self, most: u64) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Who follows, and how many events are kept.
    fn outbox(&self) -> impl Future<Output = Result<Outbox, StoreError>> + Send;

    /// Ends the store: what waits is written, what comes later fails.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// How a payment ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which payment.
    pub sequence: Sequence,
    /// How its money travels.
    pub route: Route,
    /// Its end.
    pub decision: Decision,
    /// When, by the gateway's clock: milliseconds since the Unix epoch, for people.
    pub at_ms: i64,
    /// Its place in the queue, if only this attempt ends.
    pub queued: Option<Queued>,
}

/// A step of a payment in the queue that is no attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Its newest attempt.
    pub sequence: Sequence,
    /// Where it was seen.
    pub seen: Queued,
    /// Where it goes.
    pub to: Moved,
    /// When, by the gateway's clock: milliseconds since the Unix epoch, for people.
    pub at_ms: i64,
}

/// Where a queued payment goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// It is tried later.
    Later(Queued),
    /// It is over.
    Ended(Abort),
}

impl Moved {
    /// The place in the queue that is left.
    pub fn place(&self) -> Option<Queued> {
        match self {
            Self::Later(place) => Some(*place),
            Self::Ended(_) => None,
        }
    }
}

/// A payment, if there is one, and whether its maker may still write: from one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The payment.
    pub record: Option<Record>,
    /// The state of the run that its sequence names.
    pub maker: RunState,
}

/// A run as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEntry {
    /// Which.
    pub number: RunNumber,
    /// What its gateway calls itself.
    pub gateway: String,
    /// How often it said that it goes on.
    pub beats: u64,
    /// Whether it may write.
    pub live: bool,
}
