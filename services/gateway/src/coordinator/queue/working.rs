//! Works the queue: looks what is due, and begins attempts as far as there are places for them.

use std::{
    future::ready,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use strife_store::StoreError;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, error, info};

use super::{Queue, Shared, Turn, waking::Waking};
use crate::{
    banks::Banks,
    clock::now_ms,
    coordinator::{active::Claimed, job::Origin},
    payment::{Abort, Decision, Payment, State},
    queue::{self, Queued},
    retry,
    store::{Decided, Earlier, Move, Moved, Record, Store},
    transaction::Sequence,
};

/// Payments of the queue that are looked at together.
pub(super) const PAGE: usize = 512;
/// Pages at most before it is counted how many there are. It is gone on where that ended.
const PAGES: usize = 8;
/// Payments at most that are kept at hand until their banks have places.
const LEFT_MAX: usize = 1_024;
/// How long places gather that are given back, before they are taken.
const GATHER: Duration = Duration::from_millis(5);

/// What there is to do for a payment that is due.
enum Step {
    Move(Moved),
    Attempt,
    /// Its banks have as many attempts as they may.
    Leave,
}

/// Works the queue until it is stopped.
pub(in crate::coordinator) async fn run<B: Banks, S: Store>(shared: Arc<Shared<B, S>>) {
    let mut ticks = interval(shared.settings.queue_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut after, mut left, mut waking) = (None, Vec::new(), Waking::default());
    while !shared.queue.stopped.load(Relaxed) {
        let worked = tokio::select! {
            _ = ticks.tick() => work(&shared, &mut after).await.map(|more| left = more),
            () = freed(&shared.queue), if !left.is_empty() || waking.waits() => {
                let page = std::mem::take(&mut left);
                let worked = shared.work_on(page, now_ms()).await;
                worked.map(|more| left = more.unwrap_or_default())
            }
            banks = shared.queue.returning.back() => {
                waking.begin(banks);
                Ok(())
            }
            () = ready(()), if waking.goes_on() => Ok(()),
        };
        let woken = waking.go_on(&shared).await;
        match worked.and(woken) {
            Ok(()) => {}
            Err(why) if retry::is_passing(&why) => debug!(%why, "the queue has to wait"),
            Err(why) => error!(%why, "queued payments cannot be tried"),
        }
    }
}

/// Where a page ends, if there may be more behind it.
pub(super) fn last_of(page: &[Record]) -> Option<(i64, Sequence)> {
    let last = page.last().filter(|_| page.len() == PAGE);
    last.and_then(|last| Some((last.queued?.due_ms, last.id.sequence)))
}

/// Resolves soon after an attempt gave back a place.
async fn freed(queue: &Queue) {
    queue.places.freed().await;
    sleep(GATHER).await;
}

/// What is due, in pages, from after the one that was looked at last. Those whose banks have no place are
/// left, and do not hide others; once all were looked at it begins anew. Those that were left, as many as
/// are kept at hand: whatever became of one meanwhile, an attempt at it finds out.
async fn work<B: Banks, S: Store>(
    shared: &Arc<Shared<B, S>>,
    after: &mut Option<(i64, Sequence)>,
) -> Result<Vec<Record>, StoreError> {
    let Shared { store, queue, run, .. } = &**shared;
    // Before the others are counted, so that none that comes back meanwhile is overlooked.
    let tried = queue.under_way();
    let length = store.queued().await?;
    queue.length.store(length + tried, Relaxed);
    let mut left = Vec::new();
    if length == 0 {
        return Ok(left);
    }
    for _ in 0..PAGES {
        let now_ms = now_ms();
        let others_ms = shared.others_due_by(now_ms);
        let page = store.due(run.number, now_ms, others_ms, *after, PAGE).await?;
        *after = last_of(&page);
        let Some(more) = shared.work_on(page, now_ms).await? else { return Ok(Vec::new()) };
        left.extend(more);
        left.truncate(LEFT_MAX);
        if after.is_none() {
            break;
        }
    }
    Ok(left)
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Until when others' payments must have been due: a gateway that is there works what it took on itself.
    pub(super) fn others_due_by(&self, now_ms: i64) -> i64 {
        let grace = if self.store.is_shared() { self.settings.lease } else { Duration::ZERO };
        now_ms.saturating_sub(grace.as_millis() as i64)
    }

    fn step(&self, record: &Record, place: Queued, now_ms: i64) -> Step {
        let order = &record.order;
        if now_ms >= queue::expires_at_ms(order, record.initiated_at_ms) {
            let last = match &record.state {
                State::Decided(decision) => decision.clone(),
                State::Initiated => Decision::Aborted(Abort::presumed()),
            };
            Step::Move(Moved::Ended(queue::expired(order, place.attempts, &last)))
        } else if self.away(order).is_some() {
            Step::Move(Moved::Later(self.next_place(record, place.attempts)))
        } else if self.queue.is_full(order) {
            Step::Leave
        } else {
            Step::Attempt
        }
    }

    /// Tries a payment again, unless that is under way here; waits for a turn. `false` if nothing can be
    /// tried for now.
    pub(super) async fn attempt(self: &Arc<Self>, last: Record, place: Queued) -> bool {
        let permit = self.queue.attempts.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let Claimed::Here(_claim) = self.active.claim(&last.order.payment_id) else { return true };
        let turn = Turn { _permit: permit, places: self.queue.places.take(&last.order) };
        let after = last.id.sequence;
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
        self.spawn(&mut active, record, payment, actions, origin, Some(turn));
        true
    }

    /// Does what there is to do for payments that are due; those whose banks have no place for them, or
    /// `None` if nothing can be tried for now.
    pub(super) async fn work_on(
        self: &Arc<Self>,
        page: Vec<Record>,
        now_ms: i64,
    ) -> Result<Option<Vec<Record>>, StoreError> {
        let (mut moves, mut left, mut goes_on) = (Vec::new(), Vec::new(), true);
        for record in page {
            let Some(seen) = record.queued else { continue };
            match self.step(&record, seen, now_ms) {
                Step::Move(to) => {
                    let sequence = record.id.sequence;
                    moves.push(Move { sequence, seen, to, at_ms: now_ms });
                }
                Step::Attempt if goes_on => goes_on = self.attempt(record, seen).await,
                Step::Attempt => {}
                Step::Leave => left.push(record),
            }
        }
        self.move_queued(moves).await?;
        Ok(goes_on.then_some(left))
    }

    pub(super) async fn move_queued(&self, moves: Vec<Move>) -> Result<(), StoreError> {
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
