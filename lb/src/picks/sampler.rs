//! Which picks of one thread are written down, and making such a pick.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rand::{RngExt, rngs::SmallRng};
use strife_policy::{Origin, Pick, PickContext, PickInfo, PickTrace};

use super::PoolPicks;
use crate::{line_log, snapshot::Snapshot};

/// Picks that one thread writes down for those who watch a pool, a second.
const WATCHED_PER_SECOND: f64 = 100.0;

/// Where a thread's picks are written to, and how many of them.
#[derive(Default)]
pub(crate) struct PickRecorder {
    /// One in so many; 0: none, but for who watches.
    pub(crate) every: u64,
    pub(crate) log: Option<line_log::Sender>,
}

/// Chooses among one thread's picks in one pool.
pub(crate) struct Sampler {
    picks: Arc<PoolPicks>,
    every: u64,
    /// Picks until the next that is written down, for the log and for who watches.
    left: Gap,
    watched_left: Gap,
    /// What of [`WATCHED_PER_SECOND`] is not used up, and as of when.
    allowance: f64,
    allowed_at: Duration,
}

/// Why a pick is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// It is one in so many.
    Sampled,
    /// Somebody watches.
    Watched,
}

/// Picks to go.
#[derive(Debug, Clone, Copy, Default)]
struct Gap(u64);

impl Gap {
    /// Whether it is over. Gaps are drawn, so that they do not march in step with a policy's turns.
    fn is_over(&mut self, every: u64, rng: &mut SmallRng) -> bool {
        let most = 2 * every - 1;
        // What was asked for may have become less since.
        self.0 = self.0.min(most);
        if self.0 > 1 {
            self.0 -= 1;
            return false;
        }
        self.0 = rng.random_range(1..=most);
        true
    }
}

impl Sampler {
    /// `every`: as [`PickRecorder::every`].
    pub(crate) fn new(picks: Arc<PoolPicks>, every: u64) -> Self {
        let (left, watched_left) = (Gap(every), Gap::default());
        let allowed_at = Duration::ZERO;
        Self { picks, every, left, watched_left, allowance: WATCHED_PER_SECOND, allowed_at }
    }

    /// Whether the pick that comes now is to be written down.
    pub(crate) fn due(&mut self, context: &mut PickContext) -> Option<Due> {
        let watched = self.picks.watched_every.load(Relaxed);
        if self.every | watched == 0 { None } else { self.look(watched, context) }
    }

    fn look(&mut self, watched: u64, context: &mut PickContext) -> Option<Due> {
        if self.every > 0 && self.left.is_over(self.every, &mut context.rng) {
            return Some(Due::Sampled);
        }
        let is_watched = watched > 0
            && self.watched_left.is_over(watched, &mut context.rng)
            && self.may(context.now);
        is_watched.then_some(Due::Watched)
    }

    /// Whether one more may be written down for who watches.
    fn may(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.allowed_at).as_secs_f64();
        self.allowed_at = now;
        self.allowance = (self.allowance + passed * WATCHED_PER_SECOND).min(WATCHED_PER_SECOND);
        let may = self.allowance >= 1.0;
        if may {
            self.allowance -= 1.0;
        }
        may
    }

    /// A pick as any other, written down.
    pub(crate) fn explain(
        &self,
        due: Due,
        recorder: &PickRecorder,
        pool: &str,
        snapshot: &Snapshot,
        info: PickInfo<'_>,
        context: &mut PickContext,
    ) -> Option<Pick> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin = Origin {
            time_unix_ms: since_epoch.as_millis() as u64,
            pool,
            policy: &snapshot.policy.spec,
        };
        let (now, seed) = (context.now, context.rng.random());
        let trace = PickTrace::of_pick(&*snapshot.picker, origin, info, now, seed);
        if due == Due::Sampled
            && let Some(log) = &recorder.log
        {
            log.append(|text| write_line(&trace, text));
        }
        let pick = trace.pick;
        self.picks.keep(trace);
        pick
    }
}

fn write_line(trace: &PickTrace, text: &mut Vec<u8>) {
    serde_json::to_writer(&mut *text, trace).expect("a buffer takes all that is written to it");
    text.push(b'\n');
}
