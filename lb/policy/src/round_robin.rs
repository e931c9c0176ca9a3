//! `round_robin`: the endpoints in turn, whatever their load.
//!
//! An endpoint that is ramping up gives most of its turns to the next one. An endpoint that fails
//! keeps its turns: taking it out is the business of outlier ejection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::rngs::SmallRng;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Endpoints, Pick, PickContext, PickInfo, Picker, Policy, PolicyKind, Regime,
    draw::ramped_turn,
    explain::{Choose, Witness},
};

pub(crate) const KIND: PolicyKind = PolicyKind {
    name: "round_robin",
    summary: "the endpoints in turn, whatever their load",
    parameters: &[],
    make: |_| Box::new(RoundRobin::default()),
};

/// One counter, shared by all threads, so that the turn is exact across them.
#[derive(Debug, Default)]
struct RoundRobin {
    next: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Turns {
    next: Arc<AtomicUsize>,
    endpoints: Endpoints,
}

impl Policy for RoundRobin {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn picker(&self, endpoints: Endpoints, _: Duration) -> Box<dyn Picker> {
        Box::new(Turns { next: self.next.clone(), endpoints })
    }

    fn recalled(
        &self,
        endpoints: Endpoints,
        now: Duration,
        memory: &Value,
    ) -> Result<Box<dyn Picker>, serde_json::Error> {
        self.next.store(usize::deserialize(memory)?, Relaxed);
        Ok(self.picker(endpoints, now))
    }
}

impl Choose for Turns {
    fn choose(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        witness: &mut impl Witness,
    ) -> Option<Pick> {
        let (next, count) = (&*self.next, self.endpoints.len());
        witness.remembers(|| next.load(Relaxed));
        let turn = |_: &mut SmallRng| next.fetch_add(1, Relaxed).checked_rem(count).unwrap_or(0);
        let index = ramped_turn(&self.endpoints, info, context, witness, turn)?;
        Some(Pick { index, regime: Regime::Only })
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
}
