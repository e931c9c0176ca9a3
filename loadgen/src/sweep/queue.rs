//! What becomes of the payments that a run leaves in the gateway's queue: they are waited for, for a bounded
//! time, so that none is made in the next run, and counted by the gateway's own events.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use strife_fleet::Fleet;
use strife_proto::gateway::v1::{Event, EventKind};
use strife_runtime::Failure;

use super::cells::Run;
use crate::{results::QueueRow, summary::Percentiles};

#[cfg(test)]
mod tests;

/// By this name the gateway knows that the sweep follows its payments.
const FOLLOWER: &str = "sweep";
/// How long a queue is waited for beyond the time that its payments may wait,
const GRACE: Duration = Duration::from_secs(30);
/// and how long at most.
const MOST: Duration = Duration::from_secs(600);
/// The longest wait that is told apart, twice the longest that a gateway lets a payment wait, and
/// significant digits.
const MAX_WAIT_MS: u64 = 2 * 7 * 24 * 3_600 * 1_000;
const DIGITS: u8 = 3;
/// How often it is looked.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Follows the payments of one run.
pub(super) struct QueueWatch {
    queue_for: Duration,
}

impl QueueWatch {
    /// Begins to follow; what happened before is left out. `None` if payments do not wait: `queue_for` is how
    /// long each may.
    pub(super) async fn begin(queue_for: Duration, fleet: &Fleet) -> Result<Option<Self>, Failure> {
        if queue_for.is_zero() {
            return Ok(None);
        }
        fleet.follow_payments(FOLLOWER, |_| {}).await?;
        Ok(Some(Self { queue_for }))
    }

    /// Waits until every payment of the run that has just ended is over, and says what became of those that
    /// were in the queue. `told` is shown how many are not over.
    pub(super) async fn drained(
        &self,
        run: &Run,
        fleet: &Fleet,
        told: impl Fn(usize),
    ) -> Result<QueueRow, Failure> {
        let end = Instant::now() + (self.queue_for.saturating_add(GRACE)).min(MOST);
        let mut fates = Fates::new();
        loop {
            let followed = fleet.follow_payments(FOLLOWER, |event| fates.take(&event)).await;
            let is_late = Instant::now() >= end;
            match followed {
                Ok(()) if is_late || fates.open.is_empty() => return Ok(fates.row(run)),
                Err(error) if is_late => return Err(error.into()),
                // A gateway with much to do may be slow to answer; what was read is not read twice.
                Ok(()) | Err(_) => {}
            }
            told(fates.open.len());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// What became of payments, event by event.
struct Fates {
    /// Events up to this one are counted.
    position: u64,
    /// Those that are not over, by their ids.
    open: HashMap<String, Open>,
    queued: u64,
    committed: u64,
    aborted: u64,
    expired: u64,
    /// From being taken on to being committed, of those that were in the queue, milliseconds.
    waits_ms: Histogram<u64>,
    first_commit_ms: Option<i64>,
    last_end_ms: Option<i64>,
}

/// A payment that is not over.
struct Open {
    taken_on_ms: i64,
    queued: bool,
}

impl Fates {
    fn new() -> Self {
        let waits_ms = Histogram::new_with_bounds(1, MAX_WAIT_MS, DIGITS);
        Self {
            position: 0,
            open: HashMap::new(),
            queued: 0,
            committed: 0,
            aborted: 0,
            expired: 0,
            waits_ms: waits_ms.expect("the bounds are constants"),
            first_commit_ms: None,
            last_end_ms: None,
        }
    }

    fn take(&mut self, event: &Event) {
        if event.position <= self.position {
            return;
        }
        self.position = event.position;
        let Some(payment) = &event.payment else { return };
        let taken_on = || Open { taken_on_ms: event.at_ms, queued: false };
        match event.kind() {
            EventKind::Unspecified => {}
            EventKind::Initiated => {
                self.open.entry(payment.payment_id.clone()).or_insert_with(taken_on);
            }
            EventKind::Queued => {
                let open = self.open.entry(payment.payment_id.clone()).or_insert_with(taken_on);
                if !open.queued {
                    self.queued += 1;
                }
                open.queued = true;
            }
            end @ (EventKind::Committed | EventKind::Aborted | EventKind::Expired) => {
                let open = self.open.remove(&payment.payment_id).filter(|open| open.queued);
                if let Some(open) = open {
                    self.ended(&open, end, event.at_ms);
                }
            }
        }
    }

    /// One that was in the queue is over.
    fn ended(&mut self, open: &Open, end: EventKind, at_ms: i64) {
        self.last_end_ms = self.last_end_ms.max(Some(at_ms));
        match end {
            EventKind::Committed => {
                let wait_ms = u64::try_from(at_ms - open.taken_on_ms).unwrap_or(0);
                self.waits_ms.saturating_record(wait_ms.max(1));
                self.first_commit_ms.get_or_insert(at_ms);
                self.committed += 1;
            }
            EventKind::Expired => self.expired += 1,
            _ => self.aborted += 1,
        }
    }

    fn row(&self, run: &Run) -> QueueRow {
        let Percentiles { p50, p99, max, .. } = Percentiles::of(&self.waits_ms);
        let seconds = |ms: u64| ms as f64 / 1e3;
        let drained = self.first_commit_ms.zip(self.last_end_ms);
        let drained_ms =
            drained.map(|(first, last)| u64::try_from(last - first).unwrap_or_default());
        let key = run.key.clone();
        QueueRow {
            workload: key.workload,
            policy: key.policy,
            trial: key.trial,
            queued: self.queued,
            committed: self.committed,
            aborted: self.aborted,
            expired: self.expired,
            waiting: self.open.values().filter(|open| open.queued).count() as u64,
            wait_p50_s: p50.map(seconds),
            wait_p99_s: p99.map(seconds),
            wait_max_s: max.map(seconds),
            drained_s: drained_ms.map(seconds),
            clients: key.clients,
            servers: key.servers,
            offered_rps: key.rate as f64,
            fault: key.fault,
        }
    }
}
