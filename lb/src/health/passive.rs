//! Health as calls show it: counted where they end, judged by a task per pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
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

/// A server's calls that failed in a row, counted by all threads.
#[derive(Debug, Default)]
pub(crate) struct FailureRun {
    failures: AtomicU32,
    /// So many are told of at once.
    limit: AtomicU32,
    told: Arc<Notify>,
}

impl FailureRun {
    /// `told`: woken by as many failures in a row as `limit`, and by as many again.
    pub(crate) fn new(limit: u32, told: Arc<Notify>) -> Self {
        Self { failures: AtomicU32::new(0), limit: AtomicU32::new(limit), told }
    }

    /// A call ended.
    pub(crate) fn record(&self, outcome: Outcome) {
        match outcome {
            Outcome::Cancelled => {}
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

    /// For the writer of its pool: forgets what was, and tells after so many from now on.
    pub(crate) fn begin_anew(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
        self.failures.store(0, Relaxed);
    }

    fn get(&self) -> u32 {
        self.failures.load(Relaxed)
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
    /// The one that the [`FailureRun`]s of the pool wake.
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
    let load = &member.endpoint.load;
    Seen {
        id: member.endpoint.id,
        counts: Counts { succeeded: load.succeeded(), failed: load.failed() + load.timed_out() },
        failures_in_a_row: member.endpoint.failures.get(),
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
        let run = FailureRun::new(5, told.clone());
        let tells = |outcome| {
            run.record(outcome);
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
}
