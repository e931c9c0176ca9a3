//! What is known of one endpoint's load: what we sent it, and what it says itself.
//!
//! Written from many threads, read at every pick, so it is atomics only. Every figure is an
//! estimate read without a lock: two figures of one read may be a call apart, never more.

mod failures;
pub(crate) mod leases;
pub(crate) mod reports;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use thiserror::Error;

use crate::Orca;

use self::{failures::Failures, leases::Leases, reports::Reports};

pub use self::reports::{LastReport, Reported};

/// How an endpoint that became READY is ramped up: slow start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// How long; zero: not at all. Envoy leaves it to the operator; five seconds fill caches and
    /// connection pools without starving the others.
    pub window: Duration,
    /// Least share of its normal traffic that it gets, 0 to 1 (Envoy's `min_weight_percent`).
    pub floor: f64,
}

impl Default for Ramp {
    fn default() -> Self {
        Self { window: Duration::from_secs(5), floor: 0.1 }
    }
}

/// One endpoint's load.
#[derive(Debug, Default)]
pub struct EndpointLoad {
    address: String,
    ramp: Ramp,
    in_flight: AtomicU64,
    sent: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// When a call last ended well or badly, and when the endpoint became READY.
    finished_at_ns: AtomicU64,
    joined_at_ns: AtomicU64,
    failures: Failures,
    reports: Reports,
    leases: Leases,
}

/// How a call ended, as far as the endpoint is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered; a refusal that is the caller's fault is an answer too.
    Succeeded,
    /// A transport error or a server error.
    Failed,
    /// Given up by the caller: says nothing about the endpoint.
    Cancelled,
}

/// A server's own account of its load.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Report {
    /// Calls being served, waiting ones included.
    pub in_flight: u32,
    /// Of those, how many wait for a slot.
    pub queued: u32,
    /// How many calls it serves at once; 0: unknown.
    pub slots: u32,
    /// Mean time to serve a call that did not wait; 0: unknown.
    pub service_time_us: u32,
    /// Median time that a call takes which comes at the present load, microseconds; 0: unknown.
    pub latency_us: u32,
    /// 1.0 is one core.
    pub cpu_utilization: f64,
    /// Calls finished since the process started.
    pub completed: u64,
    /// Rises by one a report.
    pub sequence: u64,
    /// Rises with every start of the server; a lower one counts once the last report is no longer
    /// trusted (the server's clock was set back).
    pub epoch: u64,
}

/// A report that no honest server would send.
#[derive(Debug, Clone, Error, PartialEq)]
pub enum InvalidReport {
    /// Negative, infinite or not a number.
    #[error("cpu_utilization is {0}; it must be a finite number of at least 0")]
    CpuUtilization(f64),
}

impl EndpointLoad {
    /// Of an endpoint that has seen no call yet.
    pub fn new(address: &str, ramp: Ramp) -> Self {
        Self { address: address.to_owned(), ramp, ..Self::default() }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// It became READY: its ramp starts.
    pub fn joined(&self, now: Duration) {
        self.joined_at_ns.store(nanoseconds(now), Relaxed);
    }

    /// A call was sent.
    pub fn sent(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.sent.fetch_add(1, Relaxed);
    }

    /// A call that was [`sent`](Self::sent) ended, `latency` after it was sent.
    pub fn finished(&self, now: Duration, outcome: Outcome, _latency: Duration) {
        self.in_flight.fetch_sub(1, Relaxed);
        let ended = match outcome {
            Outcome::Succeeded => &self.succeeded,
            Outcome::Failed => &self.failed,
            Outcome::Cancelled => return,
        };
        ended.fetch_add(1, Relaxed);
        self.finished_at_ns.store(nanoseconds(now), Relaxed);
        self.failures.record(now, outcome == Outcome::Failed);
    }

    /// A report arrived. One that is older than what is known changes nothing while that is trusted.
    pub fn report(&self, now: Duration, report: &Report) -> Result<Reported, InvalidReport> {
        let cpu = report.cpu_utilization;
        if !cpu.is_finite() || cpu < 0.0 {
            return Err(InvalidReport::CpuUtilization(cpu));
        }
        let (own, sent) = (self.in_flight(), self.sent.load(Relaxed));
        let (reported, seen) = self.reports.record(now, report, own, sent);
        self.leases.settle(now, seen);
        Ok(reported)
    }

    /// An ORCA report arrived.
    pub fn orca(&self, _now: Duration, report: &Orca) -> Result<(), InvalidReport> {
        let cpu = report.cpu_utilization;
        if !cpu.is_finite() || cpu < 0.0 {
            return Err(InvalidReport::CpuUtilization(cpu));
        }
        Ok(())
    }

    /// A look-aside pick sent someone here: one more call expected, for [`leases::LEASE`].
    pub fn lease(&self, now: Duration) {
        self.leases.grant(now);
    }

    /// Our own calls under way.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Look-aside picks that no report has confirmed and whose lease lives.
    pub fn leased(&self, now: Duration) -> u64 {
        self.leases.live(now)
    }

    /// Calls sent since the endpoint is known.
    pub fn calls(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Of those, how many were answered.
    pub fn succeeded(&self) -> u64 {
        self.succeeded.load(Relaxed)
    }

    /// Of those, how many failed by the endpoint's fault.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// The last report that was accepted.
    pub fn last_report(&self) -> Option<LastReport> {
        self.reports.last()
    }

    /// Share of the latest calls that failed, 0 to 1, fading while no call ends.
    pub fn failure_ratio(&self, now: Duration) -> f64 {
        self.failures.ratio(now)
    }

    /// Time since a call last ended.
    pub(crate) fn quiet_for(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_nanos(self.finished_at_ns.load(Relaxed)))
    }

    /// Share of its normal traffic the endpoint should get, [`Ramp::floor`] to 1.
    pub(crate) fn ramp(&self, now: Duration) -> f64 {
        let joined = Duration::from_nanos(self.joined_at_ns.load(Relaxed));
        let (age, Ramp { window, floor }) = (now.saturating_sub(joined), self.ramp);
        if age >= window { 1.0 } else { floor.max(age.as_secs_f64() / window.as_secs_f64()) }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests;
