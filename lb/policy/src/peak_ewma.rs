//! `peak_ewma`: of two random endpoints, the one where latency times calls under way is less.
//!
//! Finagle's and linkerd's: the latency is a moving average that believes a peak at once and forgets
//! it in `decay`, so a server that slows down is left alone before its queue is long. It needs nothing
//! from the servers. An endpoint that fails fast looks quick, so failures multiply what it costs.

use std::time::Duration;

use crate::{
    Domain, EndpointLoad, Endpoints, Figure, Parameter, Pick, PickContext, PickInfo, Picker,
    Policy, PolicyKind, Regime,
    draw::{Candidate, Contest, two_allowed},
    explain::{Choose, Witness},
    load::Decay,
};

/// Finagle's and linkerd's.
pub(crate) const DEFAULT_DECAY: Duration = Duration::from_secs(10);
/// What a call takes at an endpoint of which we only know that its first calls are not over yet
/// (linkerd's default round trip). The very first call costs nothing: it is sent to find out.
const UNKNOWN_LATENCY_NS: f64 = 1e9;

pub(crate) const KIND: PolicyKind = PolicyKind {
    name: "peak_ewma",
    summary: "of two random endpoints, the one where recent peak latency times calls under way is less",
    parameters: &[Parameter {
        name: "decay",
        meaning: "how soon a peak is forgotten",
        domain: Domain::Time {
            default: DEFAULT_DECAY,
            least: Duration::from_millis(100),
            most: Duration::from_secs(600),
        },
    }],
    make: |arguments| Box::new(PeakEwma { decay: arguments.time("decay") }),
};

#[derive(Debug)]
struct PeakEwma {
    decay: Duration,
}

#[derive(Debug)]
struct Quickest {
    endpoints: Endpoints,
    decay: Decay,
}

impl Policy for PeakEwma {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn picker(&self, endpoints: Endpoints, _: Duration) -> Box<dyn Picker> {
        endpoints.iter().for_each(|load| load.forget_latency_in(self.decay));
        Box::new(Quickest { endpoints, decay: self.decay.into() })
    }
}

impl Choose for Quickest {
    fn choose(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        witness: &mut impl Witness,
    ) -> Option<Pick> {
        let (count, now) = (self.endpoints.len(), context.now);
        let mut candidate = |index: usize| {
            let load = &self.endpoints[index];
            let cost = self.cost_ns(load, now);
            witness.saw(index, Figure::LatencyUs(cost / 1e3));
            Candidate { index, cost, ramp: load.ramp(now) }
        };
        let [one, other] = two_allowed(count, info, &mut context.rng)?;
        let contest = Contest::between(candidate(one), candidate(other));
        let index = contest.winner(&mut context.rng, witness);
        Some(Pick { index, regime: Regime::Latency })
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
}

impl Quickest {
    #[inline]
    fn cost_ns(&self, load: &EndpointLoad, now: Duration) -> f64 {
        let (calls, latency_ns) = (load.known_calls(now), load.latency_ns(now, self.decay));
        let unpriced =
            if latency_ns > 0.0 { latency_ns * (calls + 1.0) } else { UNKNOWN_LATENCY_NS * calls };
        unpriced * load.failure_cost(now)
    }
}
