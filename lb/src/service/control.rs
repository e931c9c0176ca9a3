//! `LoadBalancerAdmin`: policies switched, servers drained, and the state of everything told.

use std::{sync::Arc, time::Duration};

use strife_proto::lb::v1::{
    DrainServerRequest, DrainServerResponse, EndpointState, EndpointStatus, PoolStatus,
    SetPolicyRequest, SetPolicyResponse, SourceStatus, StatusRequest, StatusResponse,
    load_balancer_admin_server::LoadBalancerAdmin,
};
use strife_runtime::Caller;
use tonic::{Request, Response, Status};

use crate::{
    balancer::Balancer,
    discovery::{self, Said},
    error::LbError,
    membership::{Drain, Writer},
    metrics::{EjectionCause, Label},
    pool::Pool,
    snapshot::{Member, State},
};

/// The service.
pub(crate) struct Control {
    balancer: Arc<Balancer>,
    /// One per pool, in the balancer's order.
    writers: Vec<Writer>,
}

/// A pool and who writes it.
#[derive(Clone, Copy)]
struct Place<'a> {
    pool: &'a Arc<Pool>,
    writer: &'a Writer,
}

impl Control {
    pub(crate) fn new(balancer: Arc<Balancer>, writers: Vec<Writer>) -> Self {
        Self { balancer, writers }
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

    /// Switches one pool, or all if `pool` is empty; returns which.
    async fn set_policy(&self, pool: &str, spec: &str) -> Result<Vec<String>, LbError> {
        let pools = self.pools(pool)?;
        for place in &pools {
            place.writer.set_policy(spec).await?;
        }
        Ok(pools.iter().map(|place| place.pool.name.clone()).collect())
    }

    /// Where a server stands: in one pool, or in all if `pool` is empty.
    fn places(&self, pool: &str, address: &str) -> Result<Vec<Place<'_>>, LbError> {
        let mut places = self.pools(pool)?;
        places.retain(|place| place.pool.member(address).is_some());
        if places.is_empty() {
            return Err(LbError::NoServerToDrain(address.to_owned()));
        }
        Ok(places)
    }

    /// In all places or, if one refuses, in none.
    async fn set_draining(
        places: &[Place<'_>],
        address: &str,
        draining: bool,
        force: bool,
    ) -> Result<(), LbError> {
        let drain = Drain { address: address.to_owned(), draining, force };
        let undo = Drain { draining: !draining, force: true, ..drain.clone() };
        let mut changed = Vec::new();
        for place in places {
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
        Ok(())
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
        let pools = self.set_policy(pool, policy).await?;
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
        Self::set_draining(&places, address, *drain, *force).await?;
        Ok(Response::new(DrainServerResponse {
            pools: places.iter().map(|place| place.pool.name.clone()).collect(),
            in_flight: places
                .iter()
                .filter_map(|place| Some(place.pool.endpoint(address)?.load.in_flight()))
                .sum(),
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
        last_error: why(member, now),
        ejected_for_ms: member.ejection.map(|one| one.until.saturating_sub(now).as_millis() as u64),
        ejections: EjectionCause::ALL.iter().map(|one| member.endpoint.ejections.get(*one)).sum(),
    }
}

fn why(member: &Member, now: Duration) -> String {
    match &member.ejection {
        Some(ejection) if member.state == State::Ready => {
            let left =
                Duration::from_secs_f64(ejection.until.saturating_sub(now).as_secs_f64().ceil());
            let cause = ejection.cause.as_str();
            format!("{cause}, ejection {}, tried again in {left:?}", ejection.times)
        }
        _ => member.why.to_string(),
    }
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
