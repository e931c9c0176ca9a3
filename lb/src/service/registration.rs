//! Servers register with a pool and leave it: who may, and with which pool.

use std::sync::Arc;

use strife_proto::lb::v1::{DeregisterServerResponse, RegisterServerResponse};
use strife_runtime::Identity;

use super::look_aside::may_report;
use crate::{
    balancer::Balancer, config::is_address, discovery::Registrations, error::LbError, pool::Pool,
};

/// Longest address that is taken: a host of 253, a colon and a port (RFC 1035, section 2.3.4).
const MAX_ADDRESS_BYTES: usize = 259;

/// The registrations of every pool.
pub(crate) struct Registry {
    balancer: Arc<Balancer>,
    /// One per pool, in the balancer's order.
    registrations: Vec<Arc<Registrations>>,
}

impl Registry {
    pub(crate) fn new(balancer: Arc<Balancer>, registrations: Vec<Arc<Registrations>>) -> Self {
        Self { balancer, registrations }
    }

    /// `pool`: empty for the default pool. `address`: `host:port`.
    pub(super) async fn register(
        &self,
        caller: Option<&Identity>,
        pool: &str,
        address: &str,
    ) -> Result<RegisterServerResponse, LbError> {
        let (pool, registrations) = self.of(caller, pool)?;
        if address.len() > MAX_ADDRESS_BYTES || !is_address(address) {
            let (pool, address) = (pool.name.clone(), address.chars().take(64).collect());
            return Err(LbError::MalformedAddress { pool, address });
        }
        let lease = registrations.register(address).await?;
        let lease_ms = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
        Ok(RegisterServerResponse { lease_ms })
    }

    pub(super) async fn deregister(
        &self,
        caller: Option<&Identity>,
        pool: &str,
        address: &str,
    ) -> Result<DeregisterServerResponse, LbError> {
        let (pool, registrations) = self.of(caller, pool)?;
        let endpoint = pool.endpoint(address);
        if !registrations.deregister(address).await? {
            let (pool, address) = (pool.name.clone(), address.chars().take(64).collect());
            return Err(LbError::NotRegistered { pool, address });
        }
        let in_flight = endpoint.map_or(0, |endpoint| endpoint.load.in_flight());
        Ok(DeregisterServerResponse { in_flight })
    }

    /// The pool and its registrations, if the caller may speak for its servers.
    fn of(
        &self,
        caller: Option<&Identity>,
        name: &str,
    ) -> Result<(&Arc<Pool>, &Registrations), LbError> {
        let pool = self.balancer.pool(name)?;
        if let Some(identity) = caller
            && !may_report(identity, &pool.name)
        {
            let (identity, pool) = (identity.clone(), pool.name.clone());
            return Err(LbError::NotItsPool { identity, pool });
        }
        let mut places = self.balancer.pools.iter().zip(&self.registrations);
        let place = places.find(|(one, _)| Arc::ptr_eq(one, pool));
        let (_, registrations) = place.expect("every pool has its registrations");
        Ok((pool, registrations))
    }
}
