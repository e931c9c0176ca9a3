//! `least_load`: of two random endpoints, the one where a call is expected to be over first.
//!
//! Never the best of all by reports that everybody has seen: that sends every call to one endpoint
//! until the next report (the herd). Two random candidates keep most of the gain without it
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001; Dahlin,
//! "Interpreting Stale Load Information", 2000).
//!
//! [`estimate`] says what a call costs at an endpoint, [`means`] what is usual in the pool, toward
//! which old knowledge is discounted; [`digest`] keeps an estimate for as long as it is good.

mod digest;
mod estimate;
mod means;

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use self::{
    digest::Digest,
    estimate::{Estimate, Trust},
    means::Means,
};
use crate::{
    EndpointLoad, Endpoints, Figure, Pick, PickContext, PickInfo, Picker, Policy, PolicyKind,
    Regime,
    draw::{Candidate, Contest, next_allowed, two_of},
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
    members: Box<[Member]>,
    means: Means,
}

/// What a pick reads of an endpoint beside its calls in flight, in one cache line.
#[repr(align(64))]
struct Member {
    load: Arc<EndpointLoad>,
    digest: Digest,
}

impl Policy for LeastLoad {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn picker(&self, endpoints: Endpoints, now: Duration) -> Box<dyn Picker> {
        let means = Means::over(&endpoints, now);
        Box::new(LeastLoaded::new(endpoints, means))
    }

    fn recalled(
        &self,
        endpoints: Endpoints,
        _: Duration,
        memory: &Value,
    ) -> Result<Box<dyn Picker>, serde_json::Error> {
        Ok(Box::new(LeastLoaded::new(endpoints, Means::deserialize(memory)?)))
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(REFRESH_EVERY)
    }
}

impl LeastLoaded {
    fn new(endpoints: Endpoints, means: Means) -> Self {
        let member =
            |load: &Arc<EndpointLoad>| Member { load: load.clone(), digest: Digest::default() };
        Self { members: endpoints.iter().map(member).collect(), endpoints, means }
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
        let (count, now) = (self.members.len(), context.now);
        let [one, other] = two_of(count, &mut context.rng)?;
        let indices = [next_allowed(one, count, info)?, next_allowed(other, count, info)?];
        let members = indices.map(|index| &self.members[index]);
        let known = members.map(|member| member.load.known_calls(now) as f32);
        let estimates = members.map(|member| member.estimate(now, &self.means, witness));
        let trust = estimates[0].trust.min(estimates[1].trust);
        let costs = match trust {
            Trust::None => [0, 1].map(|one| estimates[one].in_flight_cost(known[one])),
            _ => [0, 1].map(|one| estimates[one].expected_time_us(known[one])),
        };
        let [one, other] = [0, 1].map(|one| {
            let (index, cost) = (indices[one], f64::from(costs[one]));
            witness.saw(index, trust.figure(cost));
            Candidate { index, cost, ramp: f64::from(estimates[one].ramp) }
        });
        let index = Contest::between(one, other).winner(&mut context.rng, witness);
        Some(Pick { index, regime: trust.regime() })
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
}

impl Member {
    #[inline]
    fn estimate<W: Witness>(&self, now: Duration, means: &Means, _: &W) -> Estimate {
        if W::WATCHES {
            return self.digest.renewed(&self.load, now, means);
        }
        let kept = self.digest.kept(&self.load, now);
        kept.unwrap_or_else(|| self.digest.renewed(&self.load, now, means))
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
