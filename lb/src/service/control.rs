//! `LoadBalancerAdmin`: policies switched, servers drained, and the state of everything told.

use std::{sync::Arc, time::Duration};

use strife_proto::lb::v1::{
    DrainServerRequest, DrainServerResponse, EndpointState, EndpointStatus, OrcaStatus, PoolStatus,
    ReportCount, SetPolicyRequest, SetPolicyResponse, SourceStatus, StatusRequest, StatusResponse,
    WatchPicksRequest, load_balancer_admin_server::LoadBalancerAdmin,
};
use strife_runtime::{Caller, Shutdown};
use tonic::{Request, Response, Status};

use super::picks::{Picks, Watchers};
use crate::{
    balancer::Balancer,
    discovery::{self, Said},
    error::LbError,
    membership::{Drain, Writer},
    metrics::{EjectionCause, Label, ReportChannel},
    operator::{Drained, Operator},
    pool::Pool,
    snapshot::{Member, State},
};

/// The service.
pub(crate) struct Control {
    balancer: Arc<Balancer>,
    operator: Operator,
    watchers: Watchers,
}

impl Control {
    /// `writers`: one per pool, in the balancer's order. `shutdown`: ends what does not end by
    /// itself.
    pub(crate) fn new(balancer: Arc<Balancer>, writers: Vec<Writer>, shutdown: Shutdown) -> Self {
        let operator = Operator::new(balancer.clone(), writers);
        Self { operator, balancer, watchers: Watchers::new(shutdown) }
    }

    /// The pool of this name, or all if it is empty.
    fn pools(&self, name: &str) -> Result<Vec<Arc<Pool>>, LbError> {
        if name.is_empty() {
            return Ok(self.balancer.pools.clone());
        }
        Ok(vec![self.balancer.pool(name)?.clone()])
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
        let pools = self.operator.set_policy(pool, policy).await?;
        Ok(Response::new(SetPolicyResponse { pools }))
    }

    async fn drain_server(
        &self,
        request: Request<DrainServerRequest>,
    ) -> Result<Response<DrainServerResponse>, Status> {
        let DrainServerRequest { pool, address, drain, force } = request.get_ref();
        Caller::of(&request)
            .note(|| format!("pool={pool} server={address} drain={drain} force={force}"));
        let drain = Drain { address: address.clone(), draining: *drain, force: *force };
        let Drained { pools, in_flight } = self.operator.drain(pool, drain).await?;
        Ok(Response::new(DrainServerResponse { pools, in_flight }))
    }

    async fn get_status(
        &self,
        _: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let now = self.balancer.clock.now();
        let pools = self.balancer.pools.iter().map(|pool| pool_status(pool, now)).collect();
        Ok(Response::new(StatusResponse { pools }))
    }

    type WatchPicksStream = Picks;

    async fn watch_picks(
        &self,
        request: Request<WatchPicksRequest>,
    ) -> Result<Response<Picks>, Status> {
        let request = request.get_ref();
        let pools = self.pools(&request.pool)?;
        Ok(Response::new(self.watchers.watch(&pools, request)?))
    }
}

fn pool_status(pool: &Pool, now: Duration) -> PoolStatus {
    let snapshot = pool.snapshot();
    PoolStatus {
        name: pool.name.clone(),
        policy: snapshot.policy.spec.clone(),
        endpoints: snapshot.members.iter().map(|member| endpoint_status(member, now)).collect(),
        unavailable: pool.unavailable(),
        sources: pool.sources().iter().map(|source| source_status(source)).collect(),
        panics: snapshot.panics,
    }
}

fn source_status(source: &discovery::SourceStatus) -> SourceStatus {
    let Said { servers, problem, .. } = source.said();
    let servers = u32::try_from(servers).unwrap_or(u32::MAX);
    SourceStatus { source: source.name.clone(), servers, problem }
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
        last_error: member.reason(now),
        ejected_for_ms: member.ejection.map(|one| one.until.saturating_sub(now).as_millis() as u64),
        ejections: EjectionCause::ALL.iter().map(|one| member.endpoint.ejections.get(*one)).sum(),
        reports: ReportChannel::ALL
            .iter()
            .filter_map(|channel| report_count(member, *channel))
            .collect(),
        orca: load.last_orca().map(|orca| OrcaStatus {
            age_ms: age_ms(orca.received_at),
            utilization: orca.utilization,
            rps: orca.rps,
            eps: orca.eps,
        }),
    }
}

fn report_count(member: &Member, channel: ReportChannel) -> Option<ReportCount> {
    let [accepted, out_of_sequence, invalid] = member.endpoint.reports(channel);
    let channel = channel.as_str().to_owned();
    let count = ReportCount { channel, accepted, out_of_sequence, invalid };
    (accepted + out_of_sequence + invalid > 0).then_some(count)
}

fn state(member: &Member) -> EndpointState {
    match member.state {
        _ if member.draining => EndpointState::Draining,
        State::Idle => EndpointState::Idle,
        State::Connecting => EndpointState::Connecting,
        State::Ready if member.ejection.is_some() => EndpointState::Ejected,
        State::Ready => EndpointState::Ready,
        State::TransientFailure => EndpointState::TransientFailure,
    }
}
