//! What a call costs at an endpoint.
//!
//! Load is what the server reported, plus what we have sent since, minus what of ours has ended
//! since. Our own part of it is exact at any time; only the part that others sent ages. With the
//! reported service time and slots, load becomes an expected completion time. Failures count as
//! load, so that an endpoint which fails fast is not a sinkhole.

use std::time::Duration;

use super::means::{Means, SPREAD};
use crate::{EndpointLoad, LastReport};

/// What others sent is believed by half after this many times the time in which a server is through
/// with the calls it has: by then it has other calls. A report taken for the present for a whole
/// interval makes several balancers swing together (in the simulator of `tests/policies`, eight of
/// them with reports every second have four times the p99).
const RELAXATION: f64 = 1.0;
/// How much each call already there costs even while slots are free: it says how likely a slot is
/// to be free when the call arrives. Without it, noise in the service times alone decides among
/// endpoints with free slots (0, 1/4, 1/2 and 1 compared in the simulator).
const CROWDING: f32 = 1.0;
/// An endpoint that ended no call for this long may have changed: what it reported of its service
/// time is then discounted toward the pool's mean, entirely so after [`SERVICE_TIME_FORGOTTEN`].
const SERVICE_TIME_KEPT: Duration = Duration::from_secs(1);
const SERVICE_TIME_FORGOTTEN: Duration = Duration::from_secs(5);

/// How far an endpoint's report is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// Not at all, or there is none.
    None,
    /// It is older than one interval.
    Decayed,
    /// It is the latest there can be.
    Full,
}

/// What a report says at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// 0 to 1.
    trust: f64,
    /// Calls that others had sent when the report was made.
    pub(crate) strangers: f64,
    /// The time in which they are believed by half.
    pub(crate) relaxation: Duration,
    age: Duration,
    /// 0: not known.
    pub(crate) slots: f64,
    /// 0: not known.
    pub(crate) service_time_us: f64,
    pub(crate) fails: bool,
}

/// All that a cost needs beside the calls that we know are there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) trust: Trust,
    /// Calls that others have sent.
    pub(crate) strangers: f32,
    pub(crate) inverse_slots: f32,
    pub(crate) service_time_us: f32,
    /// What failures multiply the cost by.
    pub(crate) failure_cost: f32,
    /// Share of its normal traffic it should get.
    pub(crate) ramp: f32,
}

impl Reading {
    /// Of a server's own report, or else of what its ORCA reports let one conclude, if they go on after
    /// its own have ended: most servers say both at once, and the latter in other units. `None`: neither
    /// can be trusted.
    pub(crate) fn of(load: &EndpointLoad, now: Duration) -> Option<Self> {
        let trusted = |report: &LastReport| report.trust(now) > 0.0;
        let own = load.last_report();
        let is_news = |orca: &LastReport| own.is_none_or(|own| own.trust(orca.received_at) == 0.0);
        let orca = || load.last_orca()?.as_report().filter(|orca| trusted(orca) && is_news(orca));
        let report = own.filter(trusted).or_else(orca)?;
        let slots = f64::from(report.slots);
        let service_time_us = f64::from(report.service_time_us);
        // Whoever does not say how many it serves at once serves all that are there.
        let turns = if slots > 0.0 { (f64::from(report.in_flight) / slots).max(1.0) } else { 1.0 };
        let strangers = f64::from(report.in_flight) - report.own_in_flight as f64;
        Some(Self {
            trust: report.trust(now),
            strangers: strangers.max(0.0),
            relaxation: Duration::from_secs_f64(
                service_time_us.max(1.0) * turns * RELAXATION / 1e6,
            ),
            age: now.saturating_sub(report.received_at),
            slots,
            service_time_us,
            fails: load.failure_ratio(now) > 0.0,
        })
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.trust >= 1.0
    }

    fn believed_strangers(&self, means: &Means) -> f64 {
        let ages = self.age.as_secs_f64() / self.relaxation.as_secs_f64();
        blend(self.trust / (1.0 + ages), self.strangers, means.strangers)
    }

    fn believed_slots(&self, means: &Means) -> f64 {
        match (self.slots > 0.0, means.slots > 0.0) {
            (true, true) => self.slots.min(means.slots * SPREAD),
            (true, false) => self.slots,
            (false, true) => means.slots,
            (false, false) => 1.0,
        }
    }

    fn believed_service_time_us(&self, means: &Means, quiet_for: Duration) -> f64 {
        let (own, mean) = (self.service_time_us, means.service_time_us);
        if own == 0.0 || mean == 0.0 {
            return own.max(mean).max(1.0);
        }
        let believed = blend(self.trust * service_trust(quiet_for), own, mean);
        believed.max(if self.fails { mean } else { mean / SPREAD })
    }
}

impl Estimate {
    pub(crate) fn of(load: &EndpointLoad, now: Duration, means: &Means) -> Self {
        let nothing_reported = Self {
            trust: Trust::None,
            strangers: 0.0,
            inverse_slots: 1.0,
            service_time_us: 1.0,
            failure_cost: load.failure_cost(now) as f32,
            ramp: load.ramp(now) as f32,
        };
        let Some(reading) = Reading::of(load, now) else { return nothing_reported };
        let service_time_us = reading.believed_service_time_us(means, load.quiet_for(now));
        Self {
            trust: if reading.is_fresh() { Trust::Full } else { Trust::Decayed },
            strangers: reading.believed_strangers(means) as f32,
            inverse_slots: 1.0 / reading.believed_slots(means) as f32,
            service_time_us: service_time_us as f32,
            ..nothing_reported
        }
    }

    /// When a call sent now is expected to be over, failures priced in, if `known` calls of ours are
    /// there.
    #[inline]
    pub(crate) fn expected_time_us(&self, known: f32) -> f32 {
        let utilization = (known + self.strangers + 1.0) * self.inverse_slots;
        let turns = utilization.max(1.0) + CROWDING * utilization;
        self.service_time_us * turns * self.failure_cost
    }

    /// Calls there if this one is sent too, failures priced in.
    #[inline]
    pub(crate) fn in_flight_cost(&self, known: f32) -> f32 {
        (known + 1.0) * self.failure_cost
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
