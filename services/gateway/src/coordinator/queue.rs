//! Payments that wait for what passes: taken into the queue instead of being aborted, and tried again
//! until they are made or expire.
//!
//! A payment is due again after a while, and the sooner the bank that it waited for is back ([`returning`]).
//!
//! The queue is the store's, so it outlives every gateway, and whichever comes first works it. An attempt
//! is a payment like any other but for its row, which takes the place that the attempt before it has in
//! the queue: of several gateways that try, one finds it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use strife_store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;

use super::{
    Shared,
    places::{Places, Waiting},
};
use crate::{
    banks::{Banks, CallError, End},
    clock::now_ms,
    order::Order,
    payment::{Abort, AbortReason, Decision, Leg, State},
    queue::{self, Queued},
    store::{Begun, Move, Moved, Record, Store},
    transaction::{Sequence, TransactionId},
};

/// Of all attempts, the part that one bank may have: so that two banks that are slow, and hold up each
/// other's, leave room for the rest.
const PART_OF_A_BANK: usize = 4;

mod returning;
mod waking;
mod working;

use returning::Returning;
pub(super) use returning::watch;
pub(super) use working::run;

/// What a gateway does of the queue.
#[derive(Debug)]
pub(super) struct Queue {
    /// How many were in it lately, and what this gateway has added since.
    length: AtomicU64,
    length_max: u64,
    attempts: Arc<Semaphore>,
    attempts_max: usize,
    /// Attempts at each bank.
    places: Places,
    /// Banks that are away or have just come back.
    returning: Returning,
    /// No attempt is begun any more.
    stopped: AtomicBool,
}

/// An attempt's right to be made. Given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    // Free before the places are: who waits for those then finds it.
    _permit: OwnedSemaphorePermit,
    places: Waiting,
}

impl Turn {
    /// The bank of this leg has voted, and is not asked for anything more.
    pub(super) fn voted(&mut self, leg: Leg) {
        self.places.answered(leg);
    }
}

impl Queue {
    /// At most `length_max` payments, `attempts_max` of them tried at once, a part of these at one bank.
    pub(super) fn new(length_max: usize, attempts_max: usize) -> Self {
        Self {
            length: AtomicU64::new(0),
            length_max: length_max as u64,
            attempts: Arc::new(Semaphore::new(attempts_max)),
            attempts_max,
            places: Places::default(),
            returning: Returning::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// How many are being tried: their places are empty.
    fn under_way(&self) -> u64 {
        self.attempts_max.saturating_sub(self.attempts.available_permits()) as u64
    }

    /// Whether one of its banks has as many attempts as it may.
    fn is_full(&self, order: &Order) -> bool {
        self.places.full(order, self.attempts_max.div_ceil(PART_OF_A_BANK)).is_some()
    }

    /// Counts one more payment, if there is room.
    fn admit(&self) -> bool {
        let more = |length| (length < self.length_max).then_some(length + 1);
        self.length.fetch_update(Relaxed, Relaxed, more).is_ok()
    }
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// The place in the queue of a payment of which this attempt ends so, if it is to have one. Once it
    /// had one it always has.
    pub(super) fn place_after(&self, record: &Record, decision: &Decision) -> Option<Queued> {
        let queued = queue::is_wanted(&record.order, decision)
            && (record.earlier.is_some() || self.queue.admit());
        queued.then(|| self.next_place(record, record.attempts_before()))
    }

    /// The same of a payment whose gateway is gone: it may have been promised already, so there is room.
    pub(super) fn place_of_orphan(&self, record: &Record, decision: &Decision) -> Option<Queued> {
        let queued = queue::is_wanted(&record.order, decision);
        queued.then(|| self.next_place(record, record.attempts_before()))
    }

    /// The place of a payment that was tried or put off once more than `attempts` times.
    fn next_place(&self, record: &Record, attempts: u32) -> Queued {
        let expires_at_ms = queue::expires_at_ms(&record.order, record.initiated_at_ms);
        let (attempts, backoff) = (attempts.saturating_add(1), &self.settings.queue_backoff);
        let place = queue::place(attempts, now_ms(), expires_at_ms, backoff, rand::random());
        self.keep_at_hand(record, place);
        place
    }

    /// Why a new payment that may be queued is not tried at once, if it is not.
    pub(super) fn away(&self, order: &Order) -> Option<String> {
        if !order.may_queue() {
            return None;
        }
        let mut banks = [&order.from.bank, &order.to.bank].into_iter();
        let away = banks.find(|bank| self.banks.is_away(bank))?;
        Some(format!("bank {away} is away"))
    }

    /// Makes an attempt that was not begun one that waits in the queue, if there is room; whether there
    /// was.
    pub(super) fn put_off(&self, record: &mut Record, why: String) -> bool {
        if !record.order.may_queue() || !self.queue.admit() {
            return false;
        }
        record.state = State::Decided(Decision::Aborted(Abort::new(AbortReason::Timeout, why)));
        record.queued = Some(self.next_place(record, record.attempts_before()));
        true
    }

    /// Writes down a payment that is put off; whether it is the one of its id.
    pub(super) async fn enqueue(&self, record: &Arc<Record>) -> Result<bool, StoreError> {
        match self.written(|| self.store.begin(record.clone())).await? {
            Begun::Done => Ok(true),
            Begun::Exists => Ok(false),
            Begun::Fenced => self.stop_fenced().await,
        }
    }

    /// Begins no further attempts.
    pub(super) fn stop_queue(&self) {
        // Who is about to begin one holds this.
        let _active = self.active.lock();
        self.queue.stopped.store(true, Relaxed);
    }
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Has both banks release what they may hold for the attempt `after`, or this one could fail for want of
    /// the very money that is held for the payment; `false` if some bank does not say that it has. Then
    /// the payment is tried later. As no attempt is begun before, no bank holds anything of any earlier one.
    pub(super) async fn settle(
        &self,
        record: &Record,
        after: Sequence,
        seen: Queued,
        turn: &mut Turn,
    ) -> bool {
        let id = TransactionId { sequence: after, ..record.id }.to_string();
        let (order, timeout) = (&record.order, self.settings.attempt_timeout);
        let tell =
            async |leg, bank| (leg, self.banks.finish(&id, leg, bank, End::Abort, timeout).await);
        let banks = [(Leg::Debit, &order.from.bank), (Leg::Credit, &order.to.bank)];
        let mut telling: FuturesUnordered<_> =
            banks.into_iter().map(|(leg, bank)| tell(leg, bank)).collect();
        let mut silent = None;
        while let Some((leg, told)) = telling.next().await {
            // The other bank may be slow. An attempt keeps one place all the time, so that they are bounded.
            if !telling.is_empty() {
                turn.places.answered(leg);
            }
            match told {
                // Turned away: it may be that the bank has committed the leg, by its operator's word.
                Err(
                    CallError::NoAnswer(why) | CallError::Rejected(why) | CallError::Invalid(why),
                ) => silent = Some(why),
                // What a bank has against this run, it has against the attempt as well, which will be told so.
                Ok(()) | Err(CallError::Fenced(_)) => {}
            }
        }
        turn.places.take_again(order);
        let Some(why) = silent else { return true };
        debug!(transaction_id = id, why, "a bank may still hold money for it; trying again later");
        // What is in the queue is the attempt before: this one was not begun.
        let waits = Record { id: TransactionId { sequence: after, ..record.id }, ..record.clone() };
        let to = Moved::Later(self.next_place(&waits, seen.attempts));
        let later = Move { sequence: after, seen, to, at_ms: now_ms() };
        if let Err(why) = self.move_queued(vec![later]).await {
            debug!(transaction_id = id, %why, "it stays where it is in the queue");
        }
        false
    }
}
