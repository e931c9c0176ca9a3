//! What operators may change while the balancer runs, whichever way they ask: by `strife admin` or
//! on the dashboard.

use std::sync::Arc;

use crate::{
    balancer::Balancer,
    error::LbError,
    membership::{Drain, Writer},
    pool::Pool,
};

/// The hand that changes pools.
pub(crate) struct Operator {
    balancer: Arc<Balancer>,
    /// One per pool, in the balancer's order.
    writers: Vec<Writer>,
}

/// Where a server was drained or undrained.
#[derive(Debug)]
pub(crate) struct Drained {
    /// The pools it is in, of those asked for.
    pub(crate) pools: Vec<String>,
    /// Its calls under way there.
    pub(crate) in_flight: u64,
}

/// A pool and who writes it.
#[derive(Clone, Copy)]
struct Place<'a> {
    pool: &'a Arc<Pool>,
    writer: &'a Writer,
}

impl Operator {
    /// `writers`: one per pool, in the balancer's order.
    pub(crate) fn new(balancer: Arc<Balancer>, writers: Vec<Writer>) -> Self {
        Self { balancer, writers }
    }

    /// Switches one pool, or all if `pool` is empty; returns which.
    pub(crate) async fn set_policy(&self, pool: &str, spec: &str) -> Result<Vec<String>, LbError> {
        let pools = self.pools(pool)?;
        for place in &pools {
            place.writer.set_policy(spec).await?;
        }
        Ok(names(&pools))
    }

    /// Drains or undrains a server: in one pool, or in all it is in if `pool` is empty. In all
    /// places or, if one refuses, in none.
    pub(crate) async fn drain(&self, pool: &str, drain: Drain) -> Result<Drained, LbError> {
        let places = self.places(pool, &drain.address)?;
        let undo = Drain { draining: !drain.draining, force: true, ..drain.clone() };
        let mut changed = Vec::new();
        for place in &places {
            match place.writer.drain(drain.clone()).await {
                Ok(true) => changed.push(place),
                Ok(false) => {}
                Err(refused) => {
                    for place in changed {
                        place.writer.drain(undo.clone()).await?;
                    }
                    return Err(refused);
                }
            }
        }
        let endpoints = places.iter().filter_map(|place| place.pool.endpoint(&drain.address));
        let in_flight = endpoints.map(|endpoint| endpoint.load.in_flight()).sum();
        Ok(Drained { pools: names(&places), in_flight })
    }

    /// The pool of this name, or all if it is empty.
    fn pools(&self, name: &str) -> Result<Vec<Place<'_>>, LbError> {
        let asked = if name.is_empty() { None } else { Some(self.balancer.pool(name)?) };
        let pools = self.balancer.pools.iter().zip(&self.writers);
        Ok(pools
            .filter(|(pool, _)| asked.is_none_or(|asked| Arc::ptr_eq(asked, pool)))
            .map(|(pool, writer)| Place { pool, writer })
            .collect())
    }

    /// Where a server stands, or was drained and left: in one pool, or in all if `pool` is empty.
    fn places(&self, pool: &str, address: &str) -> Result<Vec<Place<'_>>, LbError> {
        let mut places = self.pools(pool)?;
        places.retain(|Place { pool, .. }| {
            let has_drained = || pool.absent_drained().iter().any(|one| one == address);
            pool.endpoint(address).is_some() || has_drained()
        });
        if places.is_empty() {
            return Err(LbError::NoServerToDrain(address.to_owned()));
        }
        Ok(places)
    }
}

fn names(places: &[Place<'_>]) -> Vec<String> {
    places.iter().map(|place| place.pool.name.clone()).collect()
}
