//! `LoadBalancerAdmin`: policies switched and the state of everything told.

use std::{sync::Arc, time::Duration};

use strife_proto::lb::v1::{
    EndpointState, EndpointStatus, PoolStatus, SetPolicyRequest, SetPolicyResponse, StatusRequest,
    StatusResponse, load_balancer_admin_server::LoadBalancerAdmin,
};
use strife_runtime::Caller;
use tonic::{Request, Response, Status};
use tracing::info;

use crate::{
    balancer::Balancer,
    error::LbError,
    pool::Pool,
    snapshot::{Member, State},
};

/// The service.
pub(crate) struct Control {
    balancer: Arc<Balancer>,
}

impl Control {
    pub(crate) fn new(balancer: Arc<Balancer>) -> Self {
        Self { balancer }
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
        state: state(member.state).into(),
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

fn state(state: State) -> EndpointState {
    match state {
        State::Idle => EndpointState::Idle,
        State::Connecting => EndpointState::Connecting,
        State::Ready => EndpointState::Ready,
        State::TransientFailure => EndpointState::TransientFailure,
    }
}
