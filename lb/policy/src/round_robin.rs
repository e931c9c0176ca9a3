//! `round_robin`: the endpoints in turn, whatever their load.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{EndpointLoad, Pick, PickContext, Policy, Regime};

pub(crate) const NAME: &str = "round_robin";

/// One counter, shared by all threads, so that the turn is exact across them.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: AtomicUsize,
}

impl Policy for RoundRobin {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pick(&self, endpoints: &[Arc<EndpointLoad>], _: &mut PickContext) -> Option<Pick> {
        let turn = self.next.fetch_add(1, Relaxed);
        let index = turn.checked_rem(endpoints.len())?;
        Some(Pick { index, regime: Regime::Only })
    }
}
