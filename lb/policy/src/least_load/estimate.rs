//! What a call costs at an endpoint.
//!
//! Load is what the server reported, plus what we have sent since, minus what of ours has ended
//! since. Our own part of it is exact at any time; only the part that others sent ages. With the
//! reported service time and slots, load becomes an expected completion time. Failures count as
//! load, so that an endpoint which fails fast is not a sinkhole.

use std::time::Duration;

use crate::EndpointLoad;

/// What others sent is believed by half after this many times the time in which a server is through
/// with the calls it has: by then it has other calls. A report taken for the present for a whole
/// interval makes several balancers swing together (in the simulator of `tests/policies`, eight of
/// them with reports every second have four times the p99).
const RELAXATION: f64 = 1.0;
/// How much each call already there costs even while slots are free: it says how likely a slot is
/// to be free when the call arrives. Without it, noise in the service times alone decides among
/// endpoints with free slots (0, 1/4, 1/2 and 1 compared in the simulator).
const CROWDING: f64 = 1.0;
/// An endpoint whose calls all fail costs this many times more, and proportionally below.
const FAILURE_COST: f64 = 100.0;
/// An endpoint that ended no call for this long may have changed: what it reported of its service
/// time is then discounted toward the pool's mean, entirely so after [`SERVICE_TIME_FORGOTTEN`].
const SERVICE_TIME_KEPT: Duration = Duration::from_secs(1);
const SERVICE_TIME_FORGOTTEN: Duration = Duration::from_secs(5);

/// Means over the pool; 0 while unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means {
    pub(crate) strangers: f64,
    pub(crate) service_time_us: f64,
}

/// One endpoint at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// How far the report is believed, 0 (or there is none) to 1.
    trust: f64,
    /// Our own calls and look-aside picks: what is there whatever reports say.
    known: f64,
    /// Calls that others had sent when the report was made.
    pub(crate) strangers: f64,
    /// How far they are believed to be there still, 0 to 1.
    strangers_trust: f64,
    slots: f64,
    service_time_us: f64,
    /// How far the service time is believed, 0 to 1.
    service_trust: f64,
    failure_ratio: f64,
    /// Share of its normal traffic it should get.
    pub(crate) ramp: f64,
}

impl Reading {
    pub(crate) fn of(endpoint: &EndpointLoad, now: Duration) -> Self {
        let known = (endpoint.in_flight() + endpoint.leased(now)) as f64;
        let mut reading = Self {
            trust: 0.0,
            known,
            strangers: 0.0,
            strangers_trust: 0.0,
            slots: 1.0,
            service_time_us: 0.0,
            service_trust: service_trust(endpoint.quiet_for(now)),
            failure_ratio: endpoint.failure_ratio(now),
            ramp: endpoint.ramp(now),
        };
        if let Some(report) = endpoint.last_report() {
            reading.trust = report.trust(now);
            reading.slots = f64::from(report.slots.max(1));
            reading.service_time_us = f64::from(report.service_time_us);
            let strangers = f64::from(report.in_flight) - report.own_in_flight as f64;
            reading.strangers = strangers.max(0.0);
            let turns = (f64::from(report.in_flight) / reading.slots).max(1.0);
            let passed_us = reading.service_time_us.max(1.0) * turns * RELAXATION;
            let age_us = now.saturating_sub(report.received_at).as_secs_f64() * 1e6;
            reading.strangers_trust = reading.trust / (1.0 + age_us / passed_us);
        }
        reading
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trust > 0.0
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.trust >= 1.0
    }

    /// Fit to stand for the pool: calls that fail take no time worth knowing.
    pub(crate) fn healthy_service_time_us(&self) -> Option<f64> {
        let healthy = self.failure_ratio == 0.0 && self.service_time_us > 0.0;
        healthy.then_some(self.service_time_us)
    }

    /// When a call sent now is expected to be over, in microseconds, failures priced in.
    pub(crate) fn expected_time(&self, means: &Means) -> f64 {
        let strangers = blend(self.strangers_trust, self.strangers, means.strangers);
        let utilization = (self.known + strangers + 1.0) / self.slots;
        let turns = utilization.max(1.0) + CROWDING * utilization;
        self.believed_service_time_us(means) * turns * self.failure_cost()
    }

    /// Calls there if this one is sent too, failures priced in.
    pub(crate) fn in_flight_cost(&self) -> f64 {
        (self.known + 1.0) * self.failure_cost()
    }

    fn believed_service_time_us(&self, means: &Means) -> f64 {
        let mean = if means.service_time_us > 0.0 { means.service_time_us } else { 1.0 };
        if self.service_time_us == 0.0 {
            return mean;
        }
        let believed = blend(self.trust * self.service_trust, self.service_time_us, mean);
        if self.failure_ratio > 0.0 { believed.max(mean) } else { believed }
    }

    fn failure_cost(&self) -> f64 {
        1.0 + FAILURE_COST * self.failure_ratio
    }
}

fn blend(trust: f64, own: f64, mean: f64) -> f64 {
    mean + trust * (own - mean)
}

fn service_trust(quiet_for: Duration) -> f64 {
    if quiet_for <= SERVICE_TIME_KEPT {
        return 1.0;
    }
    let span = (SERVICE_TIME_FORGOTTEN - SERVICE_TIME_KEPT).as_secs_f64();
    (1.0 - (quiet_for - SERVICE_TIME_KEPT).as_secs_f64() / span).max(0.0)
}
