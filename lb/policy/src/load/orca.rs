//! What servers say by ORCA (gRFC A51, xDS' Open Request Cost Aggregation): utilization and rates,
//! not calls. Feeds `weighted_round_robin`, and `least_load` when a server sends nothing better.

use std::{
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{InvalidReport, LastReport, nanoseconds, reports::DEFAULT_REPORT_INTERVAL};

/// Bounds of the measured time between reports: reports in trailers come with every call and are
/// good for longer than that; out of band they come as seldom as the server likes.
const INTERVAL_BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Weight of the newest interval in the measured one.
const INTERVAL_WEIGHT: f64 = 0.2;
/// A queue's length has no bound as its utilization nears 1; ours does.
const MOST_UTILIZATION: f64 = 0.95;

/// An ORCA load report: the fields of `xds.data.orca.v3.OrcaLoadReport` that policies use. 0: unset.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Orca {
    /// 1.0 is all that the server may use; above it if it may burst.
    pub cpu_utilization: f64,
    /// 0 to 1.
    pub mem_utilization: f64,
    /// As the application measures it; goes before `cpu_utilization`.
    pub application_utilization: f64,
    /// Calls a second (`rps_fractional`).
    pub rps: f64,
    /// Errors a second.
    pub eps: f64,
}

/// The last ORCA report of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LastOrca {
    /// When it arrived, since the balancer started.
    pub received_at: Duration,
    /// When the first one arrived of those that say enough for a weight, none of them too old.
    pub useful_since: Option<Duration>,
    /// When the last one arrived that says enough for a weight.
    pub useful_at: Option<Duration>,
    /// Time between reports, measured; at least 100 ms.
    pub interval: Duration,
    /// The application's, or else the processor's; this, `rps` and `eps` are those of the last report
    /// that said enough for a weight.
    pub utilization: f64,
    /// 0 to 1; 0: unset.
    pub mem_utilization: f64,
    /// Calls a second.
    pub rps: f64,
    /// Errors a second.
    pub eps: f64,
    /// It said that there is nothing to do: neither utilization nor calls.
    pub idle: bool,
    /// Our own calls in flight when it arrived.
    pub own_in_flight: u64,
}

/// Figures that are no times are `f64`s as bits, times are nanoseconds, 0: never. Two reports that
/// arrive at once may mix their figures.
#[derive(Debug, Default)]
pub(crate) struct OrcaReports {
    received_at_ns: AtomicU64,
    useful_since_ns: AtomicU64,
    useful_at_ns: AtomicU64,
    interval_ns: AtomicU64,
    utilization: AtomicU64,
    mem_utilization: AtomicU64,
    rps: AtomicU64,
    eps: AtomicU64,
    idle: AtomicBool,
    own_in_flight: AtomicU64,
}

impl Orca {
    pub(crate) fn check(&self) -> Result<(), InvalidReport> {
        InvalidReport::unless_sound("cpu_utilization", self.cpu_utilization)?;
        InvalidReport::unless_sound("mem_utilization", self.mem_utilization)?;
        InvalidReport::unless_sound("application_utilization", self.application_utilization)?;
        InvalidReport::unless_sound("rps_fractional", self.rps)?;
        InvalidReport::unless_sound("eps", self.eps)
    }

    /// gRFC A58: the application's own measure goes first.
    fn utilization(&self) -> f64 {
        if self.application_utilization > 0.0 {
            self.application_utilization
        } else {
            self.cpu_utilization
        }
    }
}

impl OrcaReports {
    pub(crate) fn record(&self, now: Duration, report: &Orca, own_in_flight: u64) {
        let last = self.last();
        let utilization = report.utilization();
        let is_useful = utilization > 0.0 && report.rps > 0.0;
        let useful_at = is_useful.then_some(now);
        let mut next = LastOrca {
            received_at: now,
            useful_since: useful_at,
            useful_at,
            interval: last.map_or(DEFAULT_REPORT_INTERVAL, |last| last.next_interval(now)),
            utilization,
            mem_utilization: report.mem_utilization,
            rps: report.rps,
            eps: report.eps,
            idle: utilization == 0.0 && report.rps == 0.0,
            own_in_flight,
        };
        if let Some(last) = last {
            next.useful_since = last.useful_since.or(next.useful_since);
            if !is_useful {
                let LastOrca { useful_since, useful_at, utilization, rps, eps, .. } = last;
                next = LastOrca { useful_since, useful_at, utilization, rps, eps, ..next };
            }
        }
        self.set(&next);
    }

    pub(crate) fn set(&self, last: &LastOrca) {
        let time = |time: Option<Duration>| time.map_or(0, nanoseconds);
        self.useful_since_ns.store(time(last.useful_since), Relaxed);
        self.useful_at_ns.store(time(last.useful_at), Relaxed);
        self.interval_ns.store(nanoseconds(last.interval), Relaxed);
        self.utilization.store(last.utilization.to_bits(), Relaxed);
        self.mem_utilization.store(last.mem_utilization.to_bits(), Relaxed);
        self.rps.store(last.rps.to_bits(), Relaxed);
        self.eps.store(last.eps.to_bits(), Relaxed);
        self.idle.store(last.idle, Relaxed);
        self.own_in_flight.store(last.own_in_flight, Relaxed);
        self.received_at_ns.store(nanoseconds(last.received_at).max(1), Release);
    }

    pub(crate) fn last(&self) -> Option<LastOrca> {
        let time = |time: &AtomicU64| Some(time.load(Relaxed)).filter(|ns| *ns > 0);
        let time = |at| time(at).map(Duration::from_nanos);
        let figure = |figure: &AtomicU64| f64::from_bits(figure.load(Relaxed));
        let received_at = Duration::from_nanos(self.received_at_ns.load(Acquire));
        (received_at > Duration::ZERO).then(|| LastOrca {
            received_at,
            useful_since: time(&self.useful_since_ns),
            useful_at: time(&self.useful_at_ns),
            interval: Duration::from_nanos(self.interval_ns.load(Relaxed)),
            utilization: figure(&self.utilization),
            mem_utilization: figure(&self.mem_utilization),
            rps: figure(&self.rps),
            eps: figure(&self.eps),
            idle: self.idle.load(Relaxed),
            own_in_flight: self.own_in_flight.load(Relaxed),
        })
    }

    /// The next useful report is the first one again.
    pub(crate) fn start_anew(&self) {
        self.useful_since_ns.store(0, Relaxed);
    }
}

impl LastOrca {
    /// gRFC A58's weight: calls a second at full utilization, errors taken for utilization too; 0 if
    /// the report does not say enough.
    pub fn weight(&self, error_utilization_penalty: f64) -> f64 {
        if self.utilization <= 0.0 || self.rps <= 0.0 {
            return 0.0;
        }
        let weight =
            self.rps / (self.utilization + self.eps / self.rps * error_utilization_penalty);
        if weight.is_finite() { weight } else { 0.0 }
    }

    /// What utilization and rate let one conclude about calls. A server that is busy for a share ρ
    /// of its time with λ calls a second spends ρ/λ of its capacity on each: its service time, had it
    /// one slot only. Such a server has ρ/(1 − ρ) calls on average (M/M/1). So two of these servers
    /// compare well by capacity and by how near to it they are, but how many calls one serves side
    /// by side, and how long each takes, stays unknown. A server that has fallen idle since has no
    /// calls, whatever it had when it was last busy.
    pub(crate) fn as_report(&self) -> Option<LastReport> {
        let service_time_us = self.utilization / self.rps * 1e6;
        let known = self.utilization > 0.0 && service_time_us.is_finite();
        let utilization = self.utilization.min(MOST_UTILIZATION);
        let busy = (utilization / (1.0 - utilization)).round() as u32;
        known.then(|| LastReport {
            received_at: if self.idle {
                self.received_at
            } else {
                self.useful_at.unwrap_or_default()
            },
            interval: self.interval,
            in_flight: if self.idle { 0 } else { busy },
            queued: 0,
            slots: 1,
            service_time_us: service_time_us.max(1.0) as u32,
            latency_us: 0,
            sequence: 0,
            own_in_flight: self.own_in_flight,
        })
    }

    fn next_interval(&self, now: Duration) -> Duration {
        let (shortest, longest) = INTERVAL_BOUNDS;
        let sample = now.saturating_sub(self.received_at).clamp(shortest, longest);
        self.interval.mul_f64(1.0 - INTERVAL_WEIGHT) + sample.mul_f64(INTERVAL_WEIGHT)
    }
}
