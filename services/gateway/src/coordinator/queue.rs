//! Payments that wait for what passes: taken into the queue instead of being aborted, and tried again
//! until they are made or expire.
//!
//! The queue is the store's, so it outlives every gateway, and whichever comes first works it. An attempt
//! is a payment like any other but for its row, which takes the place that the attempt before it has in
//! the queue: of several gateways that try, one finds it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use futures_util::future::join_all;
use strife_store::StoreError;
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval},
};
use tracing::{debug, error, info};

use super::{Shared, active::Claimed, job::Origin, places::Places};
use crate::{
    banks::{Banks, CallError, End},
    clock::now_ms,
    order::Order,
    payment::{Abort, AbortReason, Decision, Leg, Payment, State},
    queue::{self, Queued},
    retry,
    store::{Begun, Decided, Earlier, Move, Moved, Record, Store},
    transaction::{Sequence, TransactionId},
};

/// Payments of the queue that are looked at together.
const PAGE: usize = 512;
/// Pages at most before it is counted how many there are. It is gone on where that ended.
const PAGES: usize = 8;

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
    /// No attempt is begun any more.
    stopped: AtomicBool,
}

/// What there is to do for a payment that is due.
enum Step {
    Move(Moved),
    Attempt,
    /// Its banks have as many attempts as they may.
    Leave,
}

impl Queue {
    /// At most `length_max` payments, `attempts_max` of them tried at once, half of these at one bank.
    pub(super) fn new(length_max: usize, attempts_max: usize) -> Self {
        Self {
            length: AtomicU64::new(0),
            length_max: length_max as u64,
            attempts: Arc::new(Semaphore::new(attempts_max)),
            attempts_max,
            places: Places::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// How many are being tried: their places are empty.
    fn under_way(&self) -> u64 {
        self.attempts_max.saturating_sub(self.attempts.available_permits()) as u64
    }

    /// Whether one of its banks has as many attempts as it may.
    fn is_full(&self, order: &Order) -> bool {
        self.places.full(order, self.attempts_max.div_ceil(2)).is_some()
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
        queue::place(attempts, now_ms(), expires_at_ms, backoff, rand::random())
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

    fn step(&self, record: &Record, place: Queued, now_ms: i64) -> Step {
        let order = &record.order;
        if now_ms >= queue::expires_at_ms(order, record.initiated_at_ms) {
            let last = match &record.state {
                State::Decided(decision) => decision.clone(),
                State::Initiated => Decision::Aborted(Abort::presumed()),
            };
            Step::Move(Moved::Ended(queue::expired(order, &last)))
        } else if self.away(order).is_some() {
            Step::Move(Moved::Later(self.next_place(record, place.attempts)))
        } else if self.queue.is_full(order) {
            Step::Leave
        } else {
            Step::Attempt
        }
    }

    /// Begins no further attempts.
    pub(super) fn stop_queue(&self) {
        // Who is about to begin one holds this.
        let _active = self.active.lock();
        self.queue.stopped.store(true, Relaxed);
    }

    /// Tries a payment again, unless that is under way here; waits for a turn. `false` if nothing can be
    /// tried for now.
    async fn attempt(self: &Arc<Self>, last: Record, place: Queued) -> bool {
        let permit = self.queue.attempts.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let Claimed::Here(_claim) = self.active.claim(&last.order.payment_id) else { return true };
        let (after, turn) = (last.id.sequence, self.queue.places.take(&last.order));
        let earlier = Some(Earlier { attempts: place.attempts, first: last.first() });
        let mut active = self.active.lock();
        if self.queue.stopped.load(Relaxed) {
            return false;
        }
        let Some(sequence) = self.next_sequence(&mut active) else { return false };
        let id = self.run.transaction(sequence);
        let state = State::Initiated;
        let record = Arc::new(Record { id, state, earlier, queued: None, ..last });
        let (payment, actions) = Payment::begin(record.order.route(), true);
        let origin = Origin::Queued { after, seen: place };
        let mut running = self.spawn(&mut active, record, payment, actions, origin);
        tokio::spawn(async move {
            // Also over when the store failed.
            let _ = running.told.wait_for(Option::is_some).await;
            drop((permit, turn));
        });
        true
    }
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Has both banks release what they may hold for the attempt `after`, or this one could fail for want of
    /// the very money that is held for the payment; `false` if some bank does not say that it has. Then
    /// the payment is tried later. As no attempt is begun before, no bank holds anything of any earlier one.
    pub(super) async fn settle(&self, record: &Record, after: Sequence, seen: Queued) -> bool {
        let id = TransactionId { sequence: after, ..record.id }.to_string();
        let (order, timeout) = (&record.order, self.settings.attempt_timeout);
        let abort = |leg, bank| self.banks.finish(&id, leg, bank, End::Abort, timeout);
        let told = [abort(Leg::Debit, &order.from.bank), abort(Leg::Credit, &order.to.bank)];
        let silent = join_all(told).await.into_iter().find_map(|told| match told {
            // Turned away: it may be that the bank has committed the leg, by its operator's word.
            Err(CallError::NoAnswer(why) | CallError::Rejected(why)) => Some(why),
            // Whatever a bank has against it, it has against the attempt as well, which will be told so.
            Ok(()) | Err(CallError::Invalid(_) | CallError::Fenced(_)) => None,
        });
        let Some(why) = silent else { return true };
        debug!(transaction_id = id, why, "a bank may still hold money for it; trying again later");
        let to = Moved::Later(self.next_place(record, seen.attempts));
        let later = Move { sequence: after, seen, to, at_ms: now_ms() };
        if let Err(why) = self.move_queued(vec![later]).await {
            debug!(transaction_id = id, %why, "it stays where it is in the queue");
        }
        false
    }
}

/// Works the queue until it is stopped.
pub(super) async fn run<B: Banks, S: Store>(shared: Arc<Shared<B, S>>) {
    let mut ticks = interval(shared.settings.queue_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut after = None;
    while !shared.queue.stopped.load(Relaxed) {
        ticks.tick().await;
        match work(&shared, &mut after).await {
            Ok(()) => {}
            Err(why) if retry::is_passing(&why) => debug!(%why, "the queue has to wait"),
            Err(why) => error!(%why, "queued payments cannot be tried"),
        }
    }
}

/// What is due, in pages, from after the one that was looked at last. Those whose banks have no place are
/// left, and do not hide others; once all were looked at it begins anew.
async fn work<B: Banks, S: Store>(
    shared: &Arc<Shared<B, S>>,
    after: &mut Option<(i64, Sequence)>,
) -> Result<(), StoreError> {
    let Shared { store, queue, run, settings, .. } = &**shared;
    // Before the others are counted, so that none that comes back meanwhile is overlooked.
    let tried = queue.under_way();
    let length = store.queued().await?;
    queue.length.store(length + tried, Relaxed);
    if length == 0 {
        return Ok(());
    }
    // A gateway that is there works what it took on itself.
    let grace_ms = if store.is_shared() { settings.lease.as_millis() as i64 } else { 0 };
    for _ in 0..PAGES {
        let now_ms = now_ms();
        let others_ms = now_ms.saturating_sub(grace_ms);
        let page = store.due(run.number, now_ms, others_ms, *after, PAGE).await?;
        let last = page.last().filter(|_| page.len() == PAGE);
        *after = last.and_then(|last| Some((last.queued?.due_ms, last.id.sequence)));
        let goes_on = shared.work_on(page, now_ms).await?;
        if after.is_none() || !goes_on {
            break;
        }
    }
    Ok(())
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Does what there is to do for payments that are due; `false` if nothing can be tried for now.
    async fn work_on(self: &Arc<Self>, page: Vec<Record>, now_ms: i64) -> Result<bool, StoreError> {
        let (mut moves, mut goes_on) = (Vec::new(), true);
        for record in page {
            let Some(seen) = record.queued else { continue };
            match self.step(&record, seen, now_ms) {
                Step::Move(to) => {
                    let sequence = record.id.sequence;
                    moves.push(Move { sequence, seen, to, at_ms: now_ms });
                }
                Step::Attempt if goes_on => goes_on = self.attempt(record, seen).await,
                Step::Attempt | Step::Leave => {}
            }
        }
        self.move_queued(moves).await?;
        Ok(goes_on)
    }

    async fn move_queued(&self, moves: Vec<Move>) -> Result<(), StoreError> {
        if moves.is_empty() {
            return Ok(());
        }
        let ends: Vec<bool> = moves.iter().map(|step| step.to.place().is_none()).collect();
        let moved = self.store.move_queued(self.run.number, moves).await?;
        if moved.contains(&Decided::Fenced) {
            self.stop_fenced().await
        }
        let ended =
            ends.iter().zip(moved).filter(|(ends, moved)| **ends && *moved == Decided::Done);
        let expired = ended.count();
        if expired > 0 {
            info!(expired, "payments could not be made for as long as they were to be queued");
        }
        Ok(())
    }
}
