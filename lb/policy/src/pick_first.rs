//! `pick_first`: every call to one endpoint, until that endpoint is no longer READY.
//!
//! As gRPC's `pick_first`, it stays with its choice: the endpoint that took over keeps the calls
//! when the first one comes back.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{EndpointLoad, Pick, PickContext, Policy, Regime};

pub(crate) const NAME: &str = "pick_first";

/// One endpoint for all.
#[derive(Debug, Default)]
pub struct PickFirst {
    /// The chosen endpoint, by its address in memory (0: none yet), and where it was last seen.
    chosen: AtomicUsize,
    index: AtomicUsize,
}

impl Policy for PickFirst {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pick(&self, endpoints: &[Arc<EndpointLoad>], _: &mut PickContext) -> Option<Pick> {
        let chosen = self.chosen.load(Relaxed);
        let is_chosen = |load: &Arc<EndpointLoad>| Arc::as_ptr(load).addr() == chosen;
        let last = self.index.load(Relaxed);
        if endpoints.get(last).is_some_and(is_chosen) {
            return Some(Pick { index: last, regime: Regime::Only });
        }
        // Only after the set of READY endpoints changed.
        let index = endpoints.iter().position(is_chosen).unwrap_or(0);
        self.chosen.store(Arc::as_ptr(endpoints.get(index)?).addr(), Relaxed);
        self.index.store(index, Relaxed);
        Some(Pick { index, regime: Regime::Only })
    }
}
