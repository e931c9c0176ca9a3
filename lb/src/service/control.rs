//! `LoadBalancerAdmin`: policies switched, servers drained, and the state of everything told.

use std::{sync::Arc, time::Duration};

use strife_proto::lb::v1::{
    DrainServerRequest, DrainServerResponse, EndpointState, EndpointStatus, PoolStatus,
    SetPolicyRequest, SetPolicyResponse, StatusRequest, StatusResponse,
    load_balancer_admin_server::LoadBalancerAdmin,
};
use strife_runtime::Caller;
use tonic::{Request, Response, Status};
use tracing::info;

use crate::{
    balancer::Balancer,
    error::LbError,
    membership::{Drain, Writer},
    pool::Pool,
    snapshot::{Member, State},
};

/// The service.
pub(crate) struct Control {
    balancer: Arc<Balancer>,
    /// One per pool, in the balancer's order.
    writers: Vec<Writer>,
}

/// A server's place in one pool.
struct Place<'a> {
    pool: &'a Pool,
    writer: &'a Writer,
    index: usize,
}

impl Control {
    pub(crate) fn new(balancer: Arc<Balancer>, writers: Vec<Writer>) -> Self {
        Self { balancer, writers }
    }

    /// Switches one pool, or all if `pool` is empty; returns which.
    fn set_policy(&self, pool: &str, policy: &str) -> Result<Vec<String>, LbError> {
        let pools = if pool.is_empty() {
            self.balancer.pools.as_slice()
        } else {
            std::slice::from_ref(self.balancer.pool(pool)?)
        };
        for pool in pools {
            pool.set_policy(policy)?;
            info!(pool = pool.name, policy, "policy set");
        }
        Ok(pools.iter().map(|pool| pool.name.clone()).collect())
    }

    /// Where a server stands: in one pool, or in all if `pool` is empty.
    fn places(&self, pool: &str, address: &str) -> Result<Vec<Place<'_>>, LbError> {
        let asked = if pool.is_empty() { None } else { Some(self.balancer.pool(pool)?) };
        let pools = self.balancer.pools.iter().zip(&self.writers);
        let places: Vec<_> = pools
            .filter(|(pool, _)| asked.is_none_or(|asked| Arc::ptr_eq(asked, pool)))
            .filter_map(|(pool, writer)| {
                let snapshot = pool.snapshot();
                let mut members = snapshot.members.iter();
                let index = members.position(|member| member.endpoint.address == address)?;
                Some(Place { pool, writer, index })
            })
            .collect();
        if places.is_empty() {
            return Err(LbError::NoServerToDrain(address.to_owned()));
        }
        Ok(places)
    }

    /// In all places or, if one refuses, in none.
    async fn set_draining(
        places: &[Place<'_>],
        draining: bool,
        force: bool,
    ) -> Result<(), LbError> {
        let mut changed = Vec::new();
        for Place { writer, index, .. } in places {
            match writer.drain(Drain { index: *index, draining, force }).await {
                Ok(true) => changed.push((writer, *index)),
                Ok(false) => {}
                Err(refused) => {
                    for (writer, index) in changed {
                        writer.drain(Drain { index, draining: !draining, force: true }).await?;
                    }
                    return Err(refused);
                }
            }
        }
        Ok(())
    }
}

impl Place<'_> {
    fn in_flight(&self) -> u64 {
        self.pool.snapshot().members[self.index].endpoint.load.in_flight()
    }
}

#[tonic::async_trait]
impl LoadBalancerAdmin for Control {
    async fn set_policy(
        &self,
        request: Request<SetPolicyRequest>,
    ) -> Result<Response<SetPolicyResponse>, Status> {
        let SetPolicyRequest { pool, policy } = request.get_ref();
        Caller::of(&request).note(|| format!("pool={pool} policy={policy}"));
        let pools = self.set_policy(pool, policy)?;
        Ok(Response::new(SetPolicyResponse { pools }))
    }

    async fn drain_server(
        &self,
        request: Request<DrainServerRequest>,
    ) -> Result<Response<DrainServerResponse>, Status> {
        let DrainServerRequest { pool, address, drain, force } = request.get_ref();
        Caller::of(&request)
            .note(|| format!("pool={pool} server={address} drain={drain} force={force}"));
        let places = self.places(pool, address)?;
        Self::set_draining(&places, *drain, *force).await?;
        Ok(Response::new(DrainServerResponse {
            pools: places.iter().map(|place| place.pool.name.clone()).collect(),
            in_flight: places.iter().map(Place::in_flight).sum(),
        }))
    }

    async fn get_status(
        &self,
        _: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let now = self.balancer.clock.now();
        let pools = self.balancer.pools.iter().map(|pool| pool_status(pool, now)).collect();
        Ok(Response::new(StatusResponse { pools }))
    }
}

fn pool_status(pool: &Pool, now: Duration) -> PoolStatus {
    let snapshot = pool.snapshot();
    PoolStatus {
        name: pool.name.clone(),
        policy: pool.policy_name().to_owned(),
        endpoints: snapshot.members.iter().map(|member| endpoint_status(member, now)).collect(),
        unavailable: pool.unavailable(),
    }
}

fn endpoint_status(member: &Member, now: Duration) -> EndpointStatus {
    let load = &member.endpoint.load;
    let report = load.last_report();
    let age_ms = |received_at| now.saturating_sub(received_at).as_millis() as u64;
    EndpointStatus {
        address: member.endpoint.address.clone(),
        state: state(member).into(),
        in_flight: u32::try_from(load.in_flight()).unwrap_or(u32::MAX),
        calls: load.calls(),
        succeeded: load.succeeded(),
        failed: load.failed(),
        report_age_ms: report.map(|report| age_ms(report.received_at)),
        reported_in_flight: report.map_or(0, |report| report.in_flight),
        reported_service_time_us: report.map_or(0, |report| report.service_time_us),
        last_error: member.why.clone(),
    }
}

fn state(member: &Member) -> EndpointState {
    match member.state {
        _ if member.draining => EndpointState::Draining,
        State::Idle => EndpointState::Idle,
        State::Connecting => EndpointState::Connecting,
        State::Ready => EndpointState::Ready,
        State::TransientFailure => EndpointState::TransientFailure,
    }
}
