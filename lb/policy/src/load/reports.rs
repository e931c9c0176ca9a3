//! The last report of an endpoint, kept so that it can be corrected and distrusted.
//!
//! Beside the report itself: our own calls in flight when it arrived (so that what was sent and
//! finished since can be added) and the interval between reports (so that old can be told from
//! young without being told how often servers report).

use std::{
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Report, nanoseconds};

/// Time between reports until two have arrived.
pub const DEFAULT_REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// A report is fully trusted for one interval and not at all after this many.
pub const TRUSTED_INTERVALS: u32 = 5;
/// Bounds of the measured interval: a burst of reports must not make the next one old, nor a long
/// pause make it trusted for ever.
const INTERVAL_BOUNDS_NS: (f64, f64) = (10e6, 2e9);
/// Weight of the newest interval in the measured one.
const INTERVAL_WEIGHT: f64 = 0.2;
/// A gap of more than so many intervals is a pause, or reports that were lost, unless the next one is
/// as long.
const OUTLIER: f64 = 4.0;
/// How long calls that arrived are compared with calls that were sent before both are counted anew: one
/// that was sent and never arrived would else hide a stranger's for ever.
const COMPARED_FOR: Duration = Duration::from_secs(1);

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// It is now what is known.
    Accepted,
    /// Not newer than what was known already, and that is still trusted; or one that arrived at the
    /// same moment is being written: dropped.
    OutOfSequence,
}

/// Our own calls when a report arrives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own {
    pub(crate) in_flight: u64,
    pub(crate) sent: u64,
}

/// The last accepted report.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LastReport {
    /// When it arrived, since the balancer started.
    pub received_at: Duration,
    /// Time between reports, measured.
    pub interval: Duration,
    /// Calls being served, as reported.
    pub in_flight: u32,
    /// Calls waiting, as reported.
    pub queued: u32,
    /// Calls served at once; 0: unknown.
    pub slots: u32,
    /// Microseconds; 0: unknown.
    pub service_time_us: u32,
    /// Microseconds, at as many calls in flight; 0: unknown.
    pub latency_us: u32,
    /// As the server counts its reports.
    pub sequence: u64,
    /// Our own calls in flight when it arrived.
    pub own_in_flight: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// Held while a report is written; reports of one endpoint hardly ever meet.
    writing: AtomicBool,
    known: AtomicBool,
    /// The interval is: two reports have arrived.
    measured: AtomicBool,
    /// The last gap was an outlier.
    paused: AtomicBool,
    epoch: AtomicU64,
    sequence: AtomicU64,
    /// When calls that arrive were last begun to be compared with those we send, and how many there
    /// were of either.
    compared_from_ns: AtomicU64,
    arrived: AtomicU64,
    sent: AtomicU64,
    /// By how many the former were ahead at most since.
    strangers: AtomicU64,
    received_at_ns: AtomicU64,
    interval_ns: AtomicU64,
    own_in_flight: AtomicU64,
    in_flight: AtomicU32,
    queued: AtomicU32,
    slots: AtomicU32,
    service_time_us: AtomicU32,
    latency_us: AtomicU32,
}

impl Reports {
    /// Returns also how many calls reached the server since the last report that we did not send.
    pub(crate) fn record(&self, now: Duration, report: &Report, own: Own) -> (Reported, u64) {
        // Nobody waits: who writes may have lost its processor, and this one is hardly newer.
        if self.writing.compare_exchange(false, true, Acquire, Relaxed).is_err() {
            return (Reported::OutOfSequence, 0);
        }
        let outcome = self.record_alone(now, report, own);
        self.writing.store(false, Release);
        outcome
    }

    fn record_alone(&self, now: Duration, report: &Report, own: Own) -> (Reported, u64) {
        let known = self.known.load(Relaxed);
        let last = (self.epoch.load(Relaxed), self.sequence.load(Relaxed));
        if known && (report.epoch, report.sequence) <= last && !self.is_earlier_start(now, report) {
            return (Reported::OutOfSequence, 0);
        }
        let arrived = report.completed.saturating_add(u64::from(report.in_flight));
        let is_same_start = known && report.epoch == last.0;
        if is_same_start {
            self.measure_interval(now);
        }
        let strangers = self.strangers(now, arrived, own.sent, is_same_start);
        self.epoch.store(report.epoch, Relaxed);
        self.set(&LastReport {
            received_at: now,
            interval: self.interval(),
            in_flight: report.in_flight,
            queued: report.queued,
            slots: report.slots,
            service_time_us: report.service_time_us,
            latency_us: report.latency_us,
            sequence: report.sequence,
            own_in_flight: own.in_flight,
        });
        (Reported::Accepted, strangers)
    }

    pub(crate) fn set(&self, last: &LastReport) {
        self.received_at_ns.store(nanoseconds(last.received_at), Relaxed);
        self.interval_ns.store(nanoseconds(last.interval), Relaxed);
        self.in_flight.store(last.in_flight, Relaxed);
        self.queued.store(last.queued, Relaxed);
        self.slots.store(last.slots, Relaxed);
        self.service_time_us.store(last.service_time_us, Relaxed);
        self.latency_us.store(last.latency_us, Relaxed);
        self.sequence.store(last.sequence, Relaxed);
        self.own_in_flight.store(last.own_in_flight, Relaxed);
        self.known.store(true, Release);
    }

    /// A server that restarts after its clock was set back has a lower epoch than before. It is
    /// believed once the last report no longer is: by then, no report of that start is under way.
    fn is_earlier_start(&self, now: Duration, report: &Report) -> bool {
        report.epoch < self.epoch.load(Relaxed)
            && self.last().is_some_and(|last| last.trust(now) == 0.0)
    }

    /// How many calls have become known to have arrived that we did not send. What we sent and is still
    /// under way to the server counts when it arrives and not twice: only the lead's rise is news.
    fn strangers(&self, now: Duration, arrived: u64, sent: u64, is_same_start: bool) -> u64 {
        let come = arrived.saturating_sub(self.arrived.load(Relaxed));
        let ours = sent.saturating_sub(self.sent.load(Relaxed));
        let (ahead, before) = (come.saturating_sub(ours), self.strangers.load(Relaxed));
        self.strangers.store(ahead.max(before), Relaxed);
        let since = nanoseconds(now).saturating_sub(self.compared_from_ns.load(Relaxed));
        if !is_same_start || since >= nanoseconds(COMPARED_FOR) {
            self.compared_from_ns.store(nanoseconds(now), Relaxed);
            self.arrived.store(arrived, Relaxed);
            self.sent.store(sent, Relaxed);
            self.strangers.store(0, Relaxed);
        }
        if is_same_start { ahead.saturating_sub(before) } else { 0 }
    }

    /// By the clock, not by the reports' numbers: many get reports of one server, and none all of them.
    fn measure_interval(&self, now: Duration) {
        let gap = nanoseconds(now).saturating_sub(self.received_at_ns.load(Relaxed));
        let sample = (gap as f64).clamp(INTERVAL_BOUNDS_NS.0, INTERVAL_BOUNDS_NS.1);
        let next = if self.measured.swap(true, Relaxed) {
            let measured = self.interval_ns.load(Relaxed) as f64;
            let is_outlier = sample > OUTLIER * measured;
            if is_outlier && !self.paused.swap(is_outlier, Relaxed) {
                return;
            }
            self.paused.store(is_outlier, Relaxed);
            measured + INTERVAL_WEIGHT * (sample - measured)
        } else {
            sample
        };
        self.interval_ns.store(next as u64, Relaxed);
    }

    fn interval(&self) -> Duration {
        match self.interval_ns.load(Relaxed) {
            0 => DEFAULT_REPORT_INTERVAL,
            measured => Duration::from_nanos(measured),
        }
    }

    pub(crate) fn last(&self) -> Option<LastReport> {
        if !self.known.load(Acquire) {
            return None;
        }
        Some(LastReport {
            received_at: Duration::from_nanos(self.received_at_ns.load(Relaxed)),
            interval: self.interval(),
            in_flight: self.in_flight.load(Relaxed),
            queued: self.queued.load(Relaxed),
            slots: self.slots.load(Relaxed),
            service_time_us: self.service_time_us.load(Relaxed),
            latency_us: self.latency_us.load(Relaxed),
            sequence: self.sequence.load(Relaxed),
            own_in_flight: self.own_in_flight.load(Relaxed),
        })
    }
}

impl LastReport {
    /// How far it can be believed: 1 within one interval, falling to 0 at
    /// [`TRUSTED_INTERVALS`], linearly.
    pub(crate) fn trust(&self, now: Duration) -> f64 {
        let age = now.saturating_sub(self.received_at);
        if age <= self.interval {
            return 1.0;
        }
        let intervals = age.as_nanos() as f64 / self.interval.as_nanos() as f64;
        let span = f64::from(TRUSTED_INTERVALS - 1);
        ((f64::from(TRUSTED_INTERVALS) - intervals) / span).max(0.0)
    }
}
