//! `random`: any endpoint, each as likely as any other.
//!
//! Needs no memory that threads share, so it never contends. An endpoint that is ramping up gives
//! most of its turns to others. One that fails keeps its share: taking it out is the business of
//! outlier ejection.

use std::time::Duration;

use rand::rngs::SmallRng;

use crate::{
    Endpoints, Pick, PickContext, PickInfo, Picker, Policy, PolicyKind, Regime,
    draw::{one_of, ramped_turn},
    explain::{Choose, Witness},
};

pub(crate) const KIND: PolicyKind = PolicyKind {
    name: "random",
    summary: "any endpoint, each as likely as any other",
    parameters: &[],
    make: |_| Box::new(Random),
};

#[derive(Debug)]
struct Random;

#[derive(Debug)]
struct AnyOf {
    endpoints: Endpoints,
}

impl Policy for Random {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn picker(&self, endpoints: Endpoints, _: Duration) -> Box<dyn Picker> {
        Box::new(AnyOf { endpoints })
    }
}

impl Choose for AnyOf {
    fn choose(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        witness: &mut impl Witness,
    ) -> Option<Pick> {
        let count = self.endpoints.len();
        let turn = |rng: &mut SmallRng| one_of(count, rng);
        let index = ramped_turn(&self.endpoints, info, context, witness, turn)?;
        Some(Pick { index, regime: Regime::Only })
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
}
