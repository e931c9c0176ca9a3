//! Health as calls show it: counted where they end, judged by a task per pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::rngs::SmallRng;
use strife_policy::Outcome;
use tokio::{sync::Notify, time::MissedTickBehavior};

pub(crate) use super::outlier::Verdict;
use super::outlier::{Counts, Detector, Seen};
use crate::{
    clock::Clock,
    config::EjectionConfig,
    membership::Writer,
    pool::Pool,
    snapshot::{Member, State},
};

/// From one look to the next, at least: where everything fails and nobody can be ejected, looks must
/// not be all that this runtime does.
const PAUSE: Duration = Duration::from_millis(10);

/// A server's calls as evidence against it, counted by all threads.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Calls that failed since the last that did not.
    failures: AtomicU32,
    /// So many are told of at once.
    limit: AtomicU32,
    told: Arc<Notify>,
    /// Calls sent before are none, nanoseconds of the balancer's clock: they were sent to it as it was
    /// before its trial, and may end long after.
    begins_at: AtomicU64,
    /// Such calls, by what became of them.
    old_succeeded: AtomicU64,
    old_failed: AtomicU64,
}

impl Evidence {
    /// `told`: woken by as many failures in a row as `limit`, and by as many again.
    pub(crate) fn new(limit: u32, told: Arc<Notify>) -> Self {
        Self { limit: AtomicU32::new(limit), told, ..Self::default() }
    }

    /// A call ended that was sent at `sent_at`. To be told before the endpoint's load is: a call that is
    /// none must never look like one.
    pub(crate) fn record(&self, sent_at: Duration, outcome: Outcome) {
        let is_old = (sent_at.as_nanos() as u64) < self.begins_at.load(Relaxed);
        match outcome {
            Outcome::Cancelled => {}
            Outcome::Succeeded if is_old => {
                self.old_succeeded.fetch_add(1, Relaxed);
            }
            Outcome::Failed | Outcome::TimedOut if is_old => {
                self.old_failed.fetch_add(1, Relaxed);
            }
            Outcome::Succeeded => {
                if self.failures.load(Relaxed) > 0 {
                    self.failures.store(0, Relaxed);
                }
            }
            Outcome::Failed | Outcome::TimedOut => {
                let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
                let limit = self.limit.load(Relaxed);
                if limit > 0 && failures.is_multiple_of(limit) {
                    self.told.notify_one();
                }
            }
        }
    }

    /// For the writer of its pool: it is ejected, and whatever it has yet to answer says nothing of what
    /// it is when it is tried again.
    pub(crate) fn end(&self) {
        self.begins_at.store(u64::MAX, Relaxed);
    }

    /// For the writer of its pool: it is on trial, where each failure is told of.
    pub(crate) fn begin_trial(&self, now: Duration) {
        self.begins_at.store(now.as_nanos() as u64, Relaxed);
        self.begin_anew(1);
    }

    /// For the writer of its pool: forgets the run that was, and tells after so many from now on.
    pub(crate) fn begin_anew(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
        self.failures.store(0, Relaxed);
    }

    fn failures_in_a_row(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    /// What of these counts is evidence.
    fn of(&self, all: Counts) -> Counts {
        let old = |count: &AtomicU64| count.load(Relaxed);
        all - Counts { succeeded: old(&self.old_succeeded), failed: old(&self.old_failed) }
    }
}

/// What was decided of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judgement {
    /// [`crate::endpoint::Endpoint::id`].
    pub(crate) id: u64,
    pub(crate) verdict: Verdict,
}

/// Judges one pool's servers.
pub(crate) struct PassiveTask {
    pub(crate) pool: Arc<Pool>,
    pub(crate) writer: Writer,
    pub(crate) clock: Clock,
    pub(crate) config: EjectionConfig,
    /// The one that the [`Evidence`] of the pool's servers wakes.
    pub(crate) told: Arc<Notify>,
}

impl PassiveTask {
    /// Never ends by itself.
    pub(crate) async fn run(self) {
        let mut rng: SmallRng = rand::make_rng();
        let mut detector = Detector::new(self.config, self.clock.now());
        let mut intervals = tokio::time::interval(self.config.interval);
        intervals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.pool.changes();
        loop {
            tokio::select! {
                _ = intervals.tick() => {}
                () = self.told.notified() => {}
                // The pool is ours: it is not dropped before.
                _ = changes.changed() => {}
            }
            let seen: Vec<_> = self.pool.snapshot().members.iter().map(seen).collect();
            for (id, verdict) in detector.judge(self.clock.now(), &seen, &mut rng) {
                self.writer.judged(Judgement { id, verdict }).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn seen(member: &Member) -> Seen {
    let (load, evidence) = (&member.endpoint.load, &member.endpoint.evidence);
    let all = Counts { succeeded: load.succeeded(), failed: load.failed() + load.timed_out() };
    Seen {
        id: member.endpoint.id,
        counts: evidence.of(all),
        failures_in_a_row: evidence.failures_in_a_row(),
        is_candidate: member.state == State::Ready && !member.draining,
        ready_since: member.ready_since,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn runs_are_told_of_when_they_are_as_long_as_the_limit_and_as_long_again() {
        let told = Arc::<Notify>::default();
        let run = Evidence::new(5, told.clone());
        let tells = |outcome| {
            run.record(Duration::ZERO, outcome);
            pin!(told.notified()).enable()
        };
        let told_at: Vec<_> = (1..=12).filter(|_| tells(Outcome::Failed)).collect();
        assert_eq!(told_at, [5, 10]);
        assert!(!tells(Outcome::Succeeded));
        let told_at: Vec<_> = (1..=6).filter(|_| tells(Outcome::TimedOut)).collect();
        assert_eq!(told_at, [5], "another run");
        run.begin_anew(1);
        assert!(tells(Outcome::Failed) && tells(Outcome::Failed), "on trial each one counts");
    }
    #[test]
    fn calls_sent_before_a_trial_say_nothing_of_it() {
        const SECOND: Duration = Duration::from_secs(1);
        let told = Arc::<Notify>::default();
        let evidence = Evidence::new(5, told.clone());
        let mut all = Counts::default();
        let mut ends = |sent_at: Duration, outcome| {
            evidence.record(sent_at, outcome);
            all += match outcome {
                Outcome::Succeeded => Counts { succeeded: 1, failed: 0 },
                _ => Counts { succeeded: 0, failed: 1 },
            };
            let was_told = pin!(told.notified()).enable();
            (evidence.of(all), evidence.failures_in_a_row(), was_told)
        };
        let one_failed = Counts { succeeded: 0, failed: 1 };
        assert_eq!(ends(SECOND, Outcome::Failed), (one_failed, 1, false));
        evidence.end();
        assert_eq!(ends(SECOND * 2, Outcome::Failed), (one_failed, 1, false));
        evidence.begin_trial(SECOND * 10);
        assert_eq!(ends(SECOND * 2, Outcome::TimedOut), (one_failed, 0, false));
        assert_eq!(ends(SECOND * 2, Outcome::Succeeded), (one_failed, 0, false));
        let both = Counts { succeeded: 1, failed: 1 };
        assert_eq!(ends(SECOND * 10, Outcome::Succeeded), (both, 0, false));
        evidence.begin_anew(5);
        assert_eq!(ends(SECOND * 2, Outcome::Failed), (both, 0, false), "nor after it");
        evidence.begin_trial(SECOND * 11);
        let failed = Counts { succeeded: 1, failed: 2 };
        assert_eq!(ends(SECOND * 12, Outcome::Failed), (failed, 1, true));
    }
}
