//! `least_load`: of two random endpoints, the one where a call is expected to be over first.
//!
//! Never the best of all by reports that everybody has seen: that sends every call to one endpoint
//! until the next report (the herd). Two random candidates keep most of the gain without it
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001; Dahlin,
//! "Interpreting Stale Load Information", 2000).
//!
//! [`estimate`] says what a call costs at an endpoint, [`means`] what is usual in the pool, toward
//! which old knowledge is discounted.

mod estimate;
mod means;

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use self::{
    estimate::{Estimate, Trust, Usual},
    means::Means,
};
use crate::{
    Endpoints, Figure, Pick, PickContext, PickInfo, Picker, Policy, PolicyKind, Regime,
    draw::{Candidate, Contest, two_allowed},
    explain::{Choose, Witness},
};

/// How often the pool's means are taken anew: they move slowly.
const REFRESH_EVERY: Duration = Duration::from_millis(250);

pub(crate) const KIND: PolicyKind = PolicyKind {
    name: "least_load",
    summary: "of two random endpoints, the one where a call is expected to be over first, by what \
              servers report and what was sent since",
    parameters: &[],
    make: |_| Box::new(LeastLoad),
};

/// The default policy.
#[derive(Debug)]
struct LeastLoad;

struct LeastLoaded {
    endpoints: Endpoints,
    means: Means,
    usual: Usual,
}

/// A candidate and what is known of it.
struct Weighed {
    index: usize,
    /// Calls of ours that are there.
    known: f32,
    /// Share of its normal traffic it should get.
    ramp: f64,
    estimate: Estimate,
}

impl Policy for LeastLoad {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn picker(&self, endpoints: Endpoints, now: Duration) -> Box<dyn Picker> {
        let means = Means::over(&endpoints, now);
        Box::new(LeastLoaded { endpoints, means, usual: means.into() })
    }

    fn recalled(
        &self,
        endpoints: Endpoints,
        _: Duration,
        memory: &Value,
    ) -> Result<Box<dyn Picker>, serde_json::Error> {
        let means = Means::deserialize(memory)?;
        Ok(Box::new(LeastLoaded { endpoints, means, usual: means.into() }))
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(REFRESH_EVERY)
    }
}

impl Choose for LeastLoaded {
    fn choose(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        witness: &mut impl Witness,
    ) -> Option<Pick> {
        witness.remembers(|| self.means);
        let (count, now) = (self.endpoints.len(), context.now);
        let [one, other] = two_allowed(count, info, &mut context.rng)?;
        let (one, other) = (self.weighed(one, now), self.weighed(other, now));
        let trust = one.estimate.trust.min(other.estimate.trust);
        let (one, other) = (one.candidate(trust), other.candidate(trust));
        witness.saw(one.index, trust.figure(one.cost));
        witness.saw(other.index, trust.figure(other.cost));
        let index = Contest::between(one, other).winner(&mut context.rng, witness);
        Some(Pick { index, regime: trust.regime() })
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
}

impl LeastLoaded {
    #[inline(always)]
    fn weighed(&self, index: usize, now: Duration) -> Weighed {
        let load = &*self.endpoints[index];
        let (known, ramp) = (load.known_calls(now) as f32, load.ramp(now));
        Weighed { index, known, ramp, estimate: Estimate::of(load, now, &self.usual) }
    }
}

impl Weighed {
    #[inline(always)]
    fn candidate(&self, trust: Trust) -> Candidate {
        let cost = match trust {
            Trust::None => self.estimate.in_flight_cost(self.known),
            _ => self.estimate.expected_time_us(self.known),
        };
        Candidate { index: self.index, cost: f64::from(cost), ramp: self.ramp }
    }
}

impl Trust {
    fn regime(self) -> Regime {
        match self {
            Self::None => Regime::InFlight,
            Self::Decayed => Regime::Decayed,
            Self::Full => Regime::Fresh,
        }
    }

    fn figure(self, cost: f64) -> Figure {
        if self == Self::None { Figure::Calls(cost) } else { Figure::ExpectedTimeUs(cost) }
    }
}

#[cfg(test)]
mod tests;
