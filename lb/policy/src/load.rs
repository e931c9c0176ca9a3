//! What is known of one endpoint's load: what we sent it, and what it says itself.
//!
//! Written from many threads, read at every pick, so it is atomics only, and what every pick reads
//! shares one cache line. Every figure is an estimate read without a lock: two figures of one read
//! may be a call apart, never more.

mod failures;
mod figures;
mod latency;
pub(crate) mod leases;
mod orca;
pub(crate) mod reports;
mod state;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::{
    failures::{Failures, FailuresNow},
    figures::Figures,
    latency::PeakEwma,
    leases::Leases,
    orca::OrcaReports,
    reports::{Own, Reports},
};

use crate::peak_ewma::DEFAULT_DECAY;

pub(crate) use self::state::LONGEST;
pub(crate) use self::{figures::Reading, latency::Decay};
pub use self::{
    orca::{LastOrca, Orca},
    reports::{LastReport, Reported},
    state::EndpointState,
};

/// How an endpoint that became READY is ramped up: slow start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ramp {
    /// How long; zero: not at all. Envoy leaves it to the operator; after a second a server that was
    /// added to a busy pool carries its share, and its first calls have shown what it can bear.
    pub window: Duration,
    /// Least share of its normal traffic that it gets, 0 to 1 (Envoy's `min_weight_percent`).
    pub floor: f64,
}

impl Default for Ramp {
    fn default() -> Self {
        Self { window: Duration::from_secs(1), floor: 0.1 }
    }
}

/// One endpoint's load.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct EndpointLoad {
    // What a pick reads: one cache line, and a second one of what the server reports.
    in_flight: AtomicU64,
    ramped_at_ns: AtomicU64,
    failures: Failures,
    /// When a call last ended well or badly.
    finished_at_ns: AtomicU64,
    latency: PeakEwma,
    leases: Leases,
    figures: Figures,
    // The rest.
    sent: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
    /// When the endpoint became READY.
    joined_at_ns: AtomicU64,
    reports: Reports,
    orca: OrcaReports,
    latency_decay_ns: AtomicU64,
    address: String,
    ramp: Ramp,
}

/// How a call ended, as far as the endpoint is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered; a refusal that is the caller's fault is an answer too.
    Succeeded,
    /// A transport error or a server error.
    Failed,
    /// Its deadline passed while it was at the endpoint. Half a failure: the endpoint may be frozen,
    /// or the caller in too much of a hurry; and the time it took is no less than the deadline.
    TimedOut,
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
    /// Median time that calls lately took which found about as many calls there as there are now; 0:
    /// unknown.
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

/// A report that no honest server would send: a figure that is negative, infinite or not a number.
#[derive(Debug, Clone, Error, PartialEq)]
#[error("{figure} is {value}; it must be a finite number of at least 0")]
pub struct InvalidReport {
    /// As the report's field is called.
    pub figure: &'static str,
    /// What it was.
    pub value: f64,
}

impl InvalidReport {
    fn unless_sound(figure: &'static str, value: f64) -> Result<(), Self> {
        let sound = value.is_finite() && value >= 0.0;
        if sound { Ok(()) } else { Err(Self { figure, value }) }
    }
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

    /// It became READY, or has another chance: its ramp starts. Nothing is held against it, for it may
    /// be another process than the one that failed.
    pub fn joined(&self, now: Duration) {
        self.ramps_from(now);
        self.begin_anew();
    }

    /// Its ramp starts at `at`; until then it gets [`Ramp::floor`] of its share.
    pub fn ramps_from(&self, at: Duration) {
        self.joined_at_ns.store(nanoseconds(at), Relaxed);
        self.ramped_at_ns.store(nanoseconds(at + self.ramp.window), Relaxed);
    }

    /// It became READY with the rest of its pool: there is nobody whose traffic it could get slowly.
    pub fn joined_with_all(&self) {
        self.ramped_at_ns.store(0, Relaxed);
        self.begin_anew();
    }

    fn begin_anew(&self) {
        self.failures.set(Duration::ZERO, 0.0);
        self.latency.set(Duration::ZERO, 0.0);
        self.orca.start_anew();
    }

    /// A call was sent.
    pub fn sent(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.sent.fetch_add(1, Relaxed);
    }

    /// A call that was [`sent`](Self::sent) ended, `latency` after it was sent; zero: not known.
    pub fn finished(&self, now: Duration, outcome: Outcome, latency: Duration) {
        self.in_flight.fetch_sub(1, Relaxed);
        let (ended, failure) = match outcome {
            Outcome::Succeeded => (&self.succeeded, 0.0),
            Outcome::Failed => (&self.failed, 1.0),
            Outcome::TimedOut => (&self.timed_out, failures::TIMEOUT),
            Outcome::Cancelled => return,
        };
        ended.fetch_add(1, Relaxed);
        self.finished_at_ns.store(nanoseconds(now), Relaxed);
        self.failures.record(now, failure);
        if latency > Duration::ZERO {
            self.latency.record(now, latency, outcome == Outcome::Failed, self.latency_decay());
        }
    }

    /// A report arrived. One that is older than what is known changes nothing while that is trusted.
    pub fn report(&self, now: Duration, report: &Report) -> Result<Reported, InvalidReport> {
        InvalidReport::unless_sound("cpu_utilization", report.cpu_utilization)?;
        let (own, sent) = (self.in_flight(), self.sent.load(Relaxed));
        let (reported, seen) = self.reports.record(now, report, Own { in_flight: own, sent });
        self.leases.settle(now, seen);
        if let (Reported::Accepted, Some(last)) = (reported, self.reports.last()) {
            self.figures.set(&last);
        }
        Ok(reported)
    }

    /// An ORCA report arrived, in a call's trailers or out of band.
    pub fn orca(&self, now: Duration, report: &Orca) -> Result<(), InvalidReport> {
        report.check()?;
        self.orca.record(now, report, self.in_flight());
        self.conclude_from_orca();
        Ok(())
    }

    /// What ORCA reports let one conclude counts once the server's own reports have ended.
    fn conclude_from_orca(&self) {
        let Some(orca) = self.orca.last().and_then(|orca| orca.as_report()) else { return };
        if self.reports.last().is_none_or(|own| own.trust(orca.received_at) == 0.0) {
            self.figures.set(&orca);
        }
    }

    /// A look-aside pick sent someone here: one more call expected, for [`leases::LEASE`].
    pub fn lease(&self, now: Duration) {
        self.leases.grant(now, 1);
    }

    /// Our own calls under way.
    #[inline]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Look-aside picks that no report has confirmed and whose lease lives.
    #[inline]
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

    /// Of those, how many were at the endpoint when their deadline passed.
    pub fn timed_out(&self) -> u64 {
        self.timed_out.load(Relaxed)
    }

    /// The last report that was accepted.
    pub fn last_report(&self) -> Option<LastReport> {
        self.reports.last()
    }

    /// The last ORCA report.
    pub fn last_orca(&self) -> Option<LastOrca> {
        self.orca.last()
    }

    /// Peak-sensitive moving average of how long calls took, as `peak_ewma` sees it; `None`: no call
    /// ended yet.
    pub fn latency(&self, now: Duration) -> Option<Duration> {
        let decayed_ns = self.latency.decayed_ns(now, self.latency_decay());
        (decayed_ns > 0.0).then(|| Duration::from_nanos(decayed_ns as u64))
    }

    /// Share of the latest calls that failed, 0 to 1, fading while no call ends.
    pub fn failure_ratio(&self, now: Duration) -> f64 {
        self.failures.ratio(now)
    }

    /// Share of its normal traffic the endpoint should get, [`Ramp::floor`] to 1.
    #[inline]
    pub fn ramp(&self, now: Duration) -> f64 {
        let is_ramped = nanoseconds(now) >= self.ramped_at_ns.load(Relaxed);
        if is_ramped { 1.0 } else { self.ramp_so_far(now) }
    }

    #[cold]
    fn ramp_so_far(&self, now: Duration) -> f64 {
        let joined = Duration::from_nanos(self.joined_at_ns.load(Relaxed));
        let (age, Ramp { window, floor }) = (now.saturating_sub(joined), self.ramp);
        if window.is_zero() {
            return 1.0;
        }
        floor.max(age.as_secs_f64() / window.as_secs_f64()).min(1.0)
    }

    /// Our own calls and look-aside picks: what is there whatever reports say.
    #[inline]
    pub(crate) fn known_calls(&self, now: Duration) -> f64 {
        // Signed: x86-64 makes a float of a signed word in one step, of an unsigned one in many.
        (self.in_flight() + self.leased(now)).cast_signed() as f64
    }

    /// What failures multiply the cost of a call by, at least 1.
    #[inline]
    pub(crate) fn failure_cost(&self, now: Duration) -> f64 {
        self.failures_now(now).cost
    }

    /// What its latest failures say.
    #[inline]
    pub(crate) fn failures_now(&self, now: Duration) -> FailuresNow {
        self.failures.now(now)
    }

    /// What its last report says; `None`: nothing that can be believed.
    #[inline]
    pub(crate) fn reading(&self, now: Duration) -> Option<Reading> {
        self.figures.read(now)
    }

    /// Nanoseconds; 0 while no call ended.
    #[inline]
    pub(crate) fn latency_ns(&self, now: Duration, decay: Decay) -> f64 {
        self.latency.decayed_ns(now, decay)
    }

    /// `peak_ewma` forgets peaks in this time.
    pub(crate) fn forget_latency_in(&self, decay: Duration) {
        self.latency_decay_ns.store(nanoseconds(decay), Relaxed);
    }

    fn latency_decay(&self) -> Decay {
        match self.latency_decay_ns.load(Relaxed) {
            0 => DEFAULT_DECAY.into(),
            decay_ns => Duration::from_nanos(decay_ns).into(),
        }
    }

    /// Its weight is unknown again: the blackout of `weighted_round_robin` starts with the next report.
    pub(crate) fn forget_weight(&self) {
        self.orca.start_anew();
    }

    /// When it last became READY, if it ever did.
    pub(crate) fn joined_at(&self) -> Option<Duration> {
        let has_joined = self.ramped_at_ns.load(Relaxed) > 0;
        has_joined.then(|| Duration::from_nanos(self.joined_at_ns.load(Relaxed)))
    }

    /// Nanoseconds since a call last ended.
    #[inline]
    pub(crate) fn quiet_for_ns(&self, now: Duration) -> u64 {
        nanoseconds(now).saturating_sub(self.finished_at_ns.load(Relaxed))
    }
}

#[inline]
fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests;
