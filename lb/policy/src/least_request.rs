//! `least_request`: of a few random endpoints, the one with the fewest of our own calls under way.
//!
//! Envoy's least request and the classic power of two choices (Mitzenmacher, 2001): needs nothing
//! from the servers and is never stale, but sees only the calls of this balancer. An endpoint that
//! fails fast has few calls under way, so failures count as calls.

use std::time::Duration;

use crate::{
    Domain, Endpoints, Figure, Parameter, Pick, PickContext, PickInfo, Picker, Policy, PolicyKind,
    Regime,
    draw::{Candidate, Contest, allowed_turn, one_of, two_allowed},
    explain::{Choose, Witness},
};

pub(crate) const KIND: PolicyKind = PolicyKind {
    name: "least_request",
    summary: "of a few random endpoints, the one with the fewest of our own calls under way",
    parameters: &[Parameter {
        name: "choices",
        meaning: "how many endpoints are compared; Envoy's choice_count",
        domain: Domain::Integer { default: 2, least: 2, most: 100 },
    }],
    make: |arguments| Box::new(LeastRequest { choices: arguments.integer("choices") }),
};

#[derive(Debug)]
struct LeastRequest {
    choices: u64,
}

#[derive(Debug)]
pub(crate) struct FewestCalls {
    endpoints: Endpoints,
    choices: u64,
}

impl Policy for LeastRequest {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn picker(&self, endpoints: Endpoints, _: Duration) -> Box<dyn Picker> {
        Box::new(FewestCalls { endpoints, choices: self.choices })
    }
}

impl FewestCalls {
    /// Of two random endpoints.
    pub(crate) fn of_two(endpoints: Endpoints) -> Self {
        Self { endpoints, choices: 2 }
    }
}

impl Choose for FewestCalls {
    #[inline]
    fn choose(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        witness: &mut impl Witness,
    ) -> Option<Pick> {
        let (count, now) = (self.endpoints.len(), context.now);
        let mut candidate = |index: usize| {
            let load = &self.endpoints[index];
            let cost = (load.known_calls(now) + 1.0) * load.failure_cost(now);
            witness.saw(index, Figure::Calls(cost));
            Candidate { index, cost, ramp: load.ramp(now) }
        };
        let [one, other] = two_allowed(count, info, &mut context.rng)?;
        let mut contest = Contest::between(candidate(one), candidate(other));
        for _ in 2..self.choices {
            let another = || one_of(count, &mut context.rng);
            contest.enter(candidate(allowed_turn(count, info, another)?));
        }
        let index = contest.winner(&mut context.rng, witness);
        Some(Pick { index, regime: Regime::InFlight })
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
}
