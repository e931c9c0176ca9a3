//! `pick_first`: every call to one endpoint, until that endpoint is no longer READY.
//!
//! As gRPC's `pick_first`, it stays with its choice: the endpoint that took over keeps the calls when
//! the first one comes back. With `failback=true` the calls go back to the first one in the pool's
//! order, which is what a primary with standbys wants.
//!
//! Neither load nor slow start is looked at: there is nobody to share with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Domain, EndpointLoad, Endpoints, Parameter, Pick, PickContext, PickInfo, Picker, Policy,
    PolicyKind, Regime,
    draw::next_allowed,
    explain::{Choose, Figure, Witness},
};

pub(crate) const KIND: PolicyKind = PolicyKind {
    name: "pick_first",
    summary: "every call to one endpoint, while it is ready",
    parameters: &[Parameter {
        name: "failback",
        meaning: "go back to the first endpoint when it is ready again; gRPC does not",
        domain: Domain::Flag { default: false },
    }],
    make: |arguments| {
        Box::new(PickFirst { failback: arguments.flag("failback"), chosen: AtomicUsize::new(0) })
    },
};

#[derive(Debug)]
struct PickFirst {
    failback: bool,
    /// The chosen endpoint, by its address in memory; 0: none yet.
    chosen: AtomicUsize,
}

#[derive(Debug)]
struct Chosen {
    endpoints: Endpoints,
    index: usize,
}

impl Policy for PickFirst {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn picker(&self, endpoints: Endpoints, _: Duration) -> Box<dyn Picker> {
        let address = |load: &Arc<EndpointLoad>| Arc::as_ptr(load).addr();
        let chosen = self.chosen.load(Relaxed);
        let still_there = endpoints.iter().position(|load| address(load) == chosen);
        let index = still_there.filter(|_| !self.failback).unwrap_or(0);
        self.chosen.store(endpoints.get(index).map_or(0, address), Relaxed);
        Box::new(Chosen { endpoints, index })
    }

    fn recalled(
        &self,
        endpoints: Endpoints,
        _: Duration,
        memory: &Value,
    ) -> Result<Box<dyn Picker>, serde_json::Error> {
        Ok(Box::new(Chosen { endpoints, index: usize::deserialize(memory)? }))
    }
}

impl Choose for Chosen {
    fn choose(
        &self,
        info: PickInfo<'_>,
        _: &mut PickContext,
        witness: &mut impl Witness,
    ) -> Option<Pick> {
        witness.remembers(|| self.index);
        let index = next_allowed(self.index, self.endpoints.len(), info)?;
        witness.saw(index, Figure::None);
        Some(Pick { index, regime: Regime::Only })
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
}
