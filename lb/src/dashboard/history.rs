//! The last minutes of every pool and server, sampled once a second from what is counted anyway.
//!
//! Memory is bounded: an endpoint costs one [`Latencies`] (1.6 kB), the first
//! [`TRACKED_ENDPOINTS`] also a [`Trend`] of [`SAMPLES`] (6 kB each). The rest have current values
//! only, until one of the first leaves.

mod endpoint;
mod steady;
mod trend;

use std::{collections::HashMap, sync::Arc, time::Duration};

use strife_policy::{POLICIES, Regime};

use self::steady::Steady;
pub(super) use self::{
    endpoint::{EndpointHistory, EndpointSample},
    trend::Trend,
};
use crate::{balancer::Balancer, metrics::Latencies, pool::Pool, snapshot::Snapshot};

/// Time between samples.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// Samples that are kept: five minutes.
pub(super) const SAMPLES: usize = 300;
/// Endpoints whose samples are kept.
pub(super) const TRACKED_ENDPOINTS: usize = 1000;

/// All that is kept.
pub(super) struct History {
    balancer: Arc<Balancer>,
    pools: Vec<PoolHistory>,
    /// Samples taken, and the seconds they stand for.
    taken: u64,
    seconds: u64,
    taken_at: Duration,
    /// Endpoints with a trend.
    tracked: usize,
}

/// What is kept of a pool.
#[derive(Default)]
pub(super) struct PoolHistory {
    /// By [`crate::endpoint::Endpoint::id`].
    pub(super) endpoints: HashMap<u64, EndpointHistory>,
    pub(super) trend: Trend<PoolSample>,
    unavailable: Steady,
    /// Picks, by [`Regime::index`].
    picks: [Steady; Regime::ALL.len()],
}

/// A pool in one second. Rates are a second's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PoolSample {
    pub(super) calls: f32,
    pub(super) failures: f32,
    /// Calls refused because no endpoint was ready.
    pub(super) unavailable: f32,
    pub(super) in_flight: u32,
    /// Of the calls that were answered, in microseconds; `None` if none was.
    pub(super) p50_us: Option<u32>,
    pub(super) p99_us: Option<u32>,
    /// Jain's index of the calls of those that take calls: from one over their number (one has it
    /// all) to 1 (all have the same). `None` without calls. (Jain, Chiu and Hawe, 1984.)
    pub(super) fairness: Option<f32>,
}

/// What passed since the last sample.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Of this sample, from 1.
    number: u64,
    seconds: f64,
    /// As many samples are due: more than one if the process was held up.
    due: usize,
}

impl History {
    pub(super) fn new(balancer: Arc<Balancer>) -> Self {
        let pools = balancer.pools.iter().map(|_| PoolHistory::default()).collect();
        let taken_at = balancer.clock.now();
        Self { balancer, pools, taken: 0, seconds: 0, taken_at, tracked: 0 }
    }

    /// Every pool and what is kept of it.
    pub(super) fn pools(&self) -> impl Iterator<Item = (&Arc<Pool>, &PoolHistory)> {
        self.balancer.pools.iter().zip(&self.pools)
    }

    /// Seconds that were sampled: the newest sample is of the last of them.
    pub(super) fn seconds(&self) -> u64 {
        self.seconds
    }

    /// Takes a sample of everything. To be called every [`PERIOD`].
    pub(super) fn sample(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.taken_at);
        if elapsed.is_zero() {
            return;
        }
        let due = (elapsed.as_secs_f64() / PERIOD.as_secs_f64()).round() as usize;
        self.taken += 1;
        self.taken_at = now;
        let due = due.clamp(1, SAMPLES);
        self.seconds += due as u64;
        let step = Step { number: self.taken, seconds: elapsed.as_secs_f64(), due };
        for (pool, history) in self.balancer.pools.iter().zip(&mut self.pools) {
            let mut free = TRACKED_ENDPOINTS - self.tracked;
            let before = free;
            history.sample(pool, step, &mut free);
            self.tracked = self.tracked + before - free;
        }
    }
}

impl PoolHistory {
    /// `free`: how many more endpoints may have a trend.
    fn sample(&mut self, pool: &Pool, step: Step, free: &mut usize) {
        let snapshot = pool.snapshot();
        let mut latencies = Latencies::default();
        let mut sum = PoolSample::default();
        for member in snapshot.members.iter() {
            let endpoint = self.endpoints.entry(member.endpoint.id).or_default();
            if !endpoint.is_tracked() && *free > 0 {
                endpoint.track();
                *free -= 1;
            }
            endpoint.sample(&member.endpoint, step, &mut latencies);
            let sample = endpoint.last();
            sum.calls += sample.calls;
            sum.failures += sample.failures;
            sum.in_flight = sum.in_flight.saturating_add(sample.in_flight);
        }
        self.endpoints.retain(|_, endpoint| {
            let is_member = endpoint.seen() == step.number;
            *free += usize::from(!is_member && endpoint.is_tracked());
            is_member
        });
        for (regime, picks) in Regime::ALL.iter().zip(&mut self.picks) {
            let counted = (0..POLICIES.len()).map(|policy| pool.metrics.picks(policy, *regime));
            picks.count(counted.sum(), step.seconds);
        }
        let sample = PoolSample {
            unavailable: self.unavailable.count(pool.unavailable(), step.seconds) as f32,
            p50_us: microseconds(latencies.quantile_us(0.5)),
            p99_us: microseconds(latencies.quantile_us(0.99)),
            fairness: self.fairness(&snapshot),
            ..sum
        };
        self.trend.push(sample, step.due);
    }

    /// Of all endpoints' steady calls.
    pub(super) fn steady_calls(&self) -> f64 {
        self.endpoints.values().map(EndpointHistory::steady_calls).sum()
    }

    /// Which rules decided the picks of the last seconds, and their shares, 0 to 1.
    pub(super) fn regimes(&self) -> impl Iterator<Item = (Regime, f64)> {
        let all: f64 = self.picks.iter().map(Steady::rate).sum();
        let picked = Regime::ALL.into_iter().zip(&self.picks);
        let shares = picked.map(move |(regime, picks)| (regime, picks.rate() / all));
        shares.filter(|(_, share)| *share > 0.0)
    }

    fn fairness(&self, snapshot: &Snapshot) -> Option<f32> {
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for endpoint in snapshot.ready.iter().filter_map(|one| self.endpoints.get(&one.id)) {
            let calls = endpoint.steady_calls();
            sum += calls;
            squares += calls * calls;
            count += 1.0;
        }
        (squares > 0.0).then(|| (sum * sum / (count * squares)) as f32)
    }
}

/// Latencies end at a minute or so.
fn microseconds(latency_us: Option<u64>) -> Option<u32> {
    latency_us.map(|us| u32::try_from(us).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
