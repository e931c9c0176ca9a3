//! Phase two: telling the banks what was decided, in the background.
//!
//! A commit is told until both banks have acknowledged it, across restarts and by other gateways if
//! this one is gone: the store lists it until then. A task tells it a few times at once; if a bank stays silent the task ends and the sweep comes
//! back to it, so that banks that are away hold up nobody else's commits. An abort is told a few
//! times and then left to the bank, which asks while it is in doubt.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join_all;
use strife_runtime::failpoint;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, error, info};

use super::Shared;
use crate::{
    banks::{Banks, CallError, End},
    payment::{Action, Decision, Input, Leg, Payment, State},
    retry,
    store::{Record, Store},
    transaction::Sequence,
};

/// Unfinished commits read from the store at once.
const PAGE: usize = 256;

/// Which decisions are being told.
#[derive(Debug)]
pub(super) struct PhaseTwo {
    commits: Arc<Semaphore>,
    aborts: Arc<Semaphore>,
    committing: Mutex<HashSet<Sequence>>,
}

impl PhaseTwo {
    pub(super) fn new(most: usize) -> Self {
        Self {
            commits: Arc::new(Semaphore::new(most)),
            aborts: Arc::new(Semaphore::new(most)),
            committing: Mutex::default(),
        }
    }

    fn committing(&self) -> MutexGuard<'_, HashSet<Sequence>> {
        self.committing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Tells the banks of a decision that is durable, if there is room: else commits are left to the
    /// sweep, and aborts to the banks.
    pub(super) fn phase_two(self: &Arc<Self>, record: &Arc<Record>, actions: &[Action]) {
        match actions.first() {
            Some(Action::Commit(_)) => {
                if let Ok(permit) = self.phase_two.commits.clone().try_acquire_owned() {
                    self.spawn_commit(record.clone(), permit);
                }
            }
            Some(Action::Abort(_)) => {
                if let Ok(permit) = self.phase_two.aborts.clone().try_acquire_owned() {
                    let aborts = actions.iter().filter_map(|action| match action {
                        Action::Abort(leg) => Some(*leg),
                        _ => None,
                    });
                    self.spawn_aborts(record.clone(), aborts.collect(), permit);
                }
            }
            _ => {}
        }
    }

    fn spawn_aborts(
        self: &Arc<Self>,
        record: Arc<Record>,
        legs: Vec<Leg>,
        permit: OwnedSemaphorePermit,
    ) {
        let (shared, counted) = (self.clone(), self.tasks.start());
        tokio::spawn(async move {
            join_all(legs.into_iter().map(|leg| shared.tell(&record, leg, End::Abort))).await;
            drop((permit, counted));
        });
    }

    fn spawn_commit(self: &Arc<Self>, record: Arc<Record>, permit: OwnedSemaphorePermit) {
        if !self.phase_two.committing().insert(record.id.sequence) {
            return;
        }
        let (shared, counted) = (self.clone(), self.tasks.start());
        tokio::spawn(async move {
            shared.commit(&record).await;
            shared.phase_two.committing().remove(&record.id.sequence);
            drop((permit, counted));
        });
    }

    async fn commit(&self, record: &Record) {
        let committed = State::Decided(Decision::Committed);
        let (mut payment, actions) = Payment::recover(record.order.route(), &committed);
        let legs = actions.into_iter().filter_map(|action| match action {
            Action::Commit(leg) => Some(leg),
            _ => None,
        });
        let told = join_all(legs.map(async |leg| {
            let told = self.tell(record, leg, End::Commit).await;
            failpoint::reach("gateway.told").await;
            told
        }));
        for (leg, acknowledged) in told.await {
            let finished =
                acknowledged && payment.on(Input::Acknowledged(leg)).contains(&Action::Close);
            if finished {
                self.finish(record).await;
            }
        }
    }

    /// If this cannot be written the sweep comes back to it.
    async fn finish(&self, record: &Record) {
        match self.store.finish(self.run.number, record.id.sequence).await {
            Ok(true) => {}
            Ok(false) => self.stop_fenced().await,
            Err(why) if retry::is_passing(&why) => {
                debug!(transaction_id = %record.id, %why, "a finished commit is told again");
            }
            Err(why) => {
                error!(transaction_id = %record.id, %why, "a finished commit cannot be recorded");
            }
        }
    }

    /// Tells one bank, a bounded number of times; whether it acknowledged.
    async fn tell(&self, record: &Record, leg: Leg, end: End) -> (Leg, bool) {
        let bank = match leg {
            Leg::Debit => &record.order.from.bank,
            Leg::Credit => &record.order.to.bank,
        };
        let (id, settings) = (record.id.to_string(), &self.settings);
        failpoint::reach(match leg {
            Leg::Debit => "gateway.tell.debit",
            Leg::Credit => "gateway.tell.credit",
        })
        .await;
        for attempt in 0..settings.phase_two_attempts {
            match self.banks.finish(&id, leg, bank, end, settings.attempt_timeout).await {
                Ok(()) => return (leg, true),
                Err(CallError::NoAnswer(why)) => {
                    debug!(transaction_id = id, bank, ?end, why, "not acknowledged");
                }
                Err(
                    CallError::Rejected(why) | CallError::Invalid(why) | CallError::Fenced(why),
                ) => {
                    // For a commit this must not be: the bank voted yes. An operator has to look.
                    error!(
                        transaction_id = id,
                        bank,
                        ?end,
                        why,
                        "the bank turns the decision away"
                    );
                    return (leg, false);
                }
            }
            settings.backoff.wait(attempt).await;
        }
        (leg, false)
    }
}

/// Comes back to every unfinished commit, for ever.
pub(super) async fn sweep<B: Banks, S: Store>(shared: Arc<Shared<B, S>>) {
    let mut ticks = tokio::time::interval(shared.settings.sweep_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        ticks.tick().await;
        let swept = sweep_once(&shared).await;
        if first && swept > 0 {
            info!(payments = swept, "commits that some bank had yet to hear of are told again");
        }
        first = false;
    }
}

/// Once through the list, oldest first, waiting for room; how many there were.
async fn sweep_once<B: Banks, S: Store>(shared: &Arc<Shared<B, S>>) -> usize {
    let (mut after, mut swept) = (None, 0);
    loop {
        let page = match shared.store.unfinished(shared.run.number, after, PAGE).await {
            Ok(page) => page,
            Err(why) => {
                error!(%why, "unfinished commits cannot be read");
                return swept;
            }
        };
        let Some(last) = page.last() else { return swept };
        after = Some(last.id.sequence);
        for record in page {
            if shared.phase_two.committing().contains(&record.id.sequence) {
                continue;
            }
            let permit = shared.phase_two.commits.clone().acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            shared.spawn_commit(Arc::new(record), permit);
            swept += 1;
        }
    }
}
