//! What a call costs at an endpoint.
//!
//! Load is what the server reported, plus what we have sent since, minus what of ours has ended
//! since. Our own part of it is exact at any time; only the part that others sent ages. With the
//! reported service time and slots, load becomes an expected completion time. Failures count as
//! load, so that an endpoint which fails fast is not a sinkhole.

use std::time::Duration;

use super::means::{Means, SPREAD};
use crate::{EndpointLoad, load::Reading};

/// What others sent is believed by half after this many times the time in which a server is through
/// with the calls it has: by then it has other calls. A report taken for the present for a whole
/// interval makes several balancers swing together (in the simulator of `tests/policies`, eight of
/// them with reports every second have four times the p99).
const RELAXATION: f32 = 1.0;
/// How much each call already there costs even while slots are free: it says how likely a slot is
/// to be free when the call arrives. Without it, noise in the service times alone decides among
/// endpoints with free slots (0, 1/4, 1/2 and 1 compared in the simulator).
const CROWDING: f32 = 1.0;
/// An endpoint that ended no call for this long may have changed: what it reported of its service
/// time is then discounted toward the pool's mean, entirely so after [`SERVICE_TIME_FORGOTTEN_NS`].
const SERVICE_TIME_KEPT_NS: u64 = 1_000_000_000;
const SERVICE_TIME_FORGOTTEN_NS: u64 = 5_000_000_000;

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

/// What is usual in the pool, as an estimate needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual {
    strangers: f32,
    /// 0: not known.
    service_time_us: f32,
    least_service_time_us: f32,
    /// Of whoever does not say how many calls it serves at once.
    inverse_slots: f32,
    least_inverse_slots: f32,
}

/// All that a cost needs beside the calls that we know are there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) trust: Trust,
    /// Calls that others have sent.
    strangers: f32,
    inverse_slots: f32,
    service_time_us: f32,
    /// What failures multiply the cost by.
    failure_cost: f32,
}

impl From<Means> for Usual {
    fn from(means: Means) -> Self {
        let Means { strangers, service_time_us, slots } = means;
        let knows_slots = slots > 0.0;
        Self {
            strangers: strangers as f32,
            service_time_us: service_time_us as f32,
            least_service_time_us: (service_time_us / SPREAD) as f32,
            inverse_slots: if knows_slots { (1.0 / slots) as f32 } else { 1.0 },
            least_inverse_slots: if knows_slots { (1.0 / (slots * SPREAD)) as f32 } else { 0.0 },
        }
    }
}

impl Usual {
    #[inline]
    fn believed_strangers(&self, reading: &Reading) -> f32 {
        let relaxation_ns = RELAXATION * reading.relaxation_ns;
        let trust = reading.trust * relaxation_ns / (relaxation_ns + reading.age_ns);
        blend(trust, reading.strangers, self.strangers)
    }

    #[inline]
    fn believed_inverse_slots(&self, reading: &Reading) -> f32 {
        if reading.inverse_slots == 0.0 {
            return self.inverse_slots;
        }
        reading.inverse_slots.max(self.least_inverse_slots)
    }

    #[inline]
    fn believed_service_time_us(&self, reading: &Reading, quiet_for_ns: u64, fails: bool) -> f32 {
        let (own, mean) = (reading.service_time_us, self.service_time_us);
        if own == 0.0 || mean == 0.0 {
            return own.max(mean).max(1.0);
        }
        let is_known = reading.is_fresh() && quiet_for_ns <= SERVICE_TIME_KEPT_NS;
        let believed = if is_known { own } else { discounted(reading, quiet_for_ns, mean) };
        believed.max(if fails { mean } else { self.least_service_time_us })
    }
}

/// The service time of an endpoint that was quiet, or whose report is old.
#[cold]
fn discounted(reading: &Reading, quiet_for_ns: u64, mean: f32) -> f32 {
    let span_ns = SERVICE_TIME_FORGOTTEN_NS - SERVICE_TIME_KEPT_NS;
    let forgotten = quiet_for_ns.saturating_sub(SERVICE_TIME_KEPT_NS) as f32 / span_ns as f32;
    blend(reading.trust * (1.0 - forgotten).max(0.0), reading.service_time_us, mean)
}

impl Estimate {
    #[inline(always)]
    pub(crate) fn of(load: &EndpointLoad, now: Duration, usual: &Usual) -> Self {
        let failures = load.failures_now(now);
        let failure_cost = failures.cost as f32;
        let Some(reading) = load.reading(now) else {
            return Self {
                trust: Trust::None,
                strangers: 0.0,
                inverse_slots: 1.0,
                service_time_us: 1.0,
                failure_cost,
            };
        };
        let quiet_for_ns = load.quiet_for_ns(now);
        Self {
            trust: if reading.is_fresh() { Trust::Full } else { Trust::Decayed },
            strangers: usual.believed_strangers(&reading),
            inverse_slots: usual.believed_inverse_slots(&reading),
            service_time_us: usual.believed_service_time_us(&reading, quiet_for_ns, failures.any),
            failure_cost,
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

#[inline]
fn blend(trust: f32, own: f32, mean: f32) -> f32 {
    mean + trust * (own - mean)
}
