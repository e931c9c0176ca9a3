//! `pick_first`: every call to one endpoint, until that endpoint is no longer READY.
//!
//! As gRPC's `pick_first`, it stays with its choice: the endpoint that took over keeps the calls
//! when the first one comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    EndpointLoad, Endpoints, Pick, PickContext, PickInfo, Picker, Policy, Regime, next_allowed,
};

pub(crate) const NAME: &str = "pick_first";

/// One endpoint for all.
#[derive(Debug, Default)]
pub struct PickFirst {
    /// The chosen endpoint, by its address in memory; 0: none yet.
    chosen: AtomicUsize,
}

#[derive(Debug)]
struct Chosen {
    index: usize,
    count: usize,
}

impl Policy for PickFirst {
    fn name(&self) -> &'static str {
        NAME
    }

    fn picker(&self, endpoints: Endpoints, _: Duration) -> Box<dyn Picker> {
        let address = |load: &Arc<EndpointLoad>| Arc::as_ptr(load).addr();
        let chosen = self.chosen.load(Relaxed);
        let index = endpoints.iter().position(|load| address(load) == chosen).unwrap_or(0);
        self.chosen.store(endpoints.get(index).map_or(0, address), Relaxed);
        Box::new(Chosen { index, count: endpoints.len() })
    }
}

impl Picker for Chosen {
    fn pick(&self, info: PickInfo<'_>, _: &mut PickContext) -> Option<Pick> {
        let index = next_allowed(self.index, self.count, info.avoid)?;
        Some(Pick { index, regime: Regime::Only })
    }
}
