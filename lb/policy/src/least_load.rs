//! `least_load`: of two random endpoints, the one where a call is expected to be over first.
//!
//! Never the best of all by reports that everybody has seen: that sends every call to one endpoint
//! until the next report (the herd). Two random candidates keep most of the gain without it
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001; Dahlin,
//! "Interpreting Stale Load Information", 2000).
//!
//! [`estimate`] says what a call costs at an endpoint; this file draws, compares and keeps the
//! pool's means, toward which old knowledge is discounted.

mod estimate;
mod mean;

use std::{sync::Arc, time::Duration};

use rand::{RngExt, rngs::SmallRng};

use self::{
    estimate::{Means, Reading},
    mean::Mean,
};
use crate::{Endpoints, Pick, PickContext, PickInfo, Picker, Policy, Regime, next_allowed};

pub(crate) const NAME: &str = "least_load";

/// One pick in this many updates the pool's means, so that threads seldom write what all read.
const SAMPLE_EVERY: u32 = 8;

/// The default policy.
#[derive(Debug, Default)]
pub struct LeastLoad {
    means: Arc<PoolMeans>,
}

#[derive(Debug, Default)]
struct PoolMeans {
    strangers: Mean,
    service_time_us: Mean,
}

struct LeastLoaded {
    endpoints: Endpoints,
    means: Arc<PoolMeans>,
}

impl Policy for LeastLoad {
    fn name(&self) -> &'static str {
        NAME
    }

    fn picker(&self, endpoints: Endpoints, _: Duration) -> Box<dyn Picker> {
        Box::new(LeastLoaded { endpoints, means: self.means.clone() })
    }
}

impl Picker for LeastLoaded {
    fn pick(&self, info: PickInfo<'_>, context: &mut PickContext) -> Option<Pick> {
        let endpoints = &self.endpoints;
        let candidates = two_of(endpoints.len(), &mut context.rng)?;
        let candidates = candidates
            .map(|index| next_allowed(index, endpoints.len(), info.avoid).unwrap_or(index));
        let now = context.now;
        let readings = candidates.map(|index| Reading::of(&endpoints[index], now));
        let means = self.means.of(&readings, &mut context.rng);
        let (regime, costs) = if readings.iter().all(Reading::is_trusted) {
            let fresh = readings.iter().all(Reading::is_fresh);
            let regime = if fresh { Regime::Fresh } else { Regime::Decayed };
            (regime, readings.map(|reading| reading.expected_time(&means)))
        } else {
            (Regime::InFlight, readings.map(|reading| reading.in_flight_cost()))
        };
        // The candidates come in random order, so equal costs are split evenly.
        let mut chosen = usize::from(costs[1] < costs[0]);
        let share = readings[chosen].ramp / readings[1 - chosen].ramp;
        if share < 1.0 && context.rng.random::<f64>() >= share {
            chosen = 1 - chosen;
        }
        Some(Pick { index: candidates[chosen], regime })
    }
}

impl PoolMeans {
    /// Random candidates are a fair sample of the pool, so their average is the pool's mean, at no
    /// cost in the size of the pool.
    fn of(&self, readings: &[Reading; 2], rng: &mut SmallRng) -> Means {
        if !self.strangers.is_known() || rng.random_ratio(1, SAMPLE_EVERY) {
            for reading in readings.iter().filter(|reading| reading.is_fresh()) {
                self.strangers.add(reading.strangers);
                if let Some(service_time_us) = reading.healthy_service_time_us() {
                    self.service_time_us.add(service_time_us);
                }
            }
        }
        Means { strangers: self.strangers.get(), service_time_us: self.service_time_us.get() }
    }
}

/// Two different indices below `count`; the same one twice if there is only one.
fn two_of(count: usize, rng: &mut SmallRng) -> Option<[usize; 2]> {
    match count {
        0 => None,
        1 => Some([0, 0]),
        _ => {
            let first = rng.random_range(0..count);
            let second = rng.random_range(0..count - 1);
            Some([first, second + usize::from(second >= first)])
        }
    }
}

#[cfg(test)]
mod tests;
