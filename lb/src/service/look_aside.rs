//! `LoadBalancer`: picks for clients that connect by themselves, and the servers' load reports.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use strife_policy::{LEASE, PickContext, PickInfo, Reported};
use strife_proto::lb::v1::{
    DeregisterServerRequest, DeregisterServerResponse, LoadAck, LoadReport, RegisterServerRequest,
    RegisterServerResponse, ServerRequest, ServerResponse, load_balancer_server::LoadBalancer,
};
use strife_runtime::{Caller, Identity, Role};
use tonic::{Request, Response, Status};
use tracing::debug;

use super::registration::Registry;
use crate::{
    balancer::Balancer,
    config::DEFAULT_POOL,
    endpoint::Endpoint,
    error::LbError,
    metrics::{PickMetrics, ReportChannel},
    picks::{PickRecorder, Sampler},
    pool::Pool,
    reports::ServerReport,
};

/// Servers that a client may ask to be kept from: more are no advice but a list of its own.
const MAX_AVOIDED: usize = 16;

/// The service.
pub(crate) struct LookAside {
    balancer: Arc<Balancer>,
    registry: Registry,
    picking: Mutex<Picking>,
    recorder: PickRecorder,
    next_pick_id: AtomicU64,
}

/// What picks are made with, and what is counted and written down of each pool's, in the balancer's
/// order.
struct Picking {
    context: PickContext,
    pools: Vec<(Arc<PickMetrics>, Sampler)>,
}

impl LookAside {
    /// `recorder`: where picks are written down.
    pub(crate) fn new(balancer: Arc<Balancer>, registry: Registry, recorder: PickRecorder) -> Self {
        let context = PickContext { now: Duration::ZERO, rng: rand::make_rng() };
        let of_pool = |pool: &Arc<Pool>| {
            (pool.metrics.of_thread(), Sampler::new(pool.picks.clone(), recorder.every))
        };
        let pools = balancer.pools.iter().map(of_pool).collect();
        let picking = Mutex::new(Picking { context, pools });
        Self { balancer, registry, picking, recorder, next_pick_id: AtomicU64::new(1) }
    }

    fn pick(&self, pool: &Pool, request: &ServerRequest) -> Result<ServerResponse, LbError> {
        if request.avoid.len() > MAX_AVOIDED {
            return Err(LbError::TooManyAvoided { named: request.avoid.len(), most: MAX_AVOIDED });
        }
        let now = self.balancer.clock.now();
        let snapshot = pool.snapshot();
        let avoid = places(&snapshot.ready, &request.avoid);
        let info = PickInfo { hash: request.hash, avoid: &avoid };
        let place = self.balancer.pools.iter().position(|one| std::ptr::eq(&**one, pool));
        let place = place.expect("the pool is one of the pools");
        let mut picking = self.picking.lock().unwrap_or_else(PoisonError::into_inner);
        let Picking { context, pools } = &mut *picking;
        let (metrics, sampler) = &mut pools[place];
        context.now = now;
        let pick = match sampler.due(context) {
            None => snapshot.picker.pick(info, context),
            Some(due) => sampler.explain(due, &self.recorder, &pool.name, &snapshot, info, context),
        };
        let Some(pick) = pick else {
            pool.count_unavailable();
            return Err(pool.why_unavailable());
        };
        // Before anybody else picks: who asks at the same moment sees this debt.
        snapshot.ready[pick.index].load.lease(now);
        metrics.count(snapshot.policy.place, pick);
        drop(picking);
        Ok(ServerResponse {
            address: snapshot.ready[pick.index].address.clone(),
            pick_id: self.next_pick_id.fetch_add(1, Relaxed),
            policy: snapshot.policy.policy.name().to_owned(),
            regime: pick.regime.as_str().to_owned(),
            lease_ms: LEASE.as_millis() as u32,
        })
    }

    /// The endpoint a report is about, if the reporter may speak for it.
    fn reported(
        &self,
        reporter: Option<&Identity>,
        report: &LoadReport,
    ) -> Result<Arc<Endpoint>, LbError> {
        let pool = match self.balancer.pool(&report.pool) {
            Ok(pool) => pool,
            // A bank without a pool of its own stands in the default pool.
            Err(unknown) => {
                let default = self.balancer.default_pool();
                default.filter(|pool| pool.endpoint(&report.address).is_some()).ok_or(unknown)?
            }
        };
        // The pool that is meant, and what it was called: another bank's name may mean the default pool.
        let mut names = [&pool.name, &report.pool].into_iter().filter(|name| !name.is_empty());
        if let Some(identity) = reporter
            && let Some(pool) = names.find(|name| !may_report(identity, name))
        {
            let (identity, pool) = (identity.clone(), pool.clone());
            return Err(LbError::NotItsPool { identity, pool });
        }
        let unknown = || LbError::UnknownEndpoint {
            pool: pool.name.clone(),
            address: report.address.clone(),
        };
        pool.endpoint(&report.address).ok_or_else(unknown)
    }
}

/// The places of these addresses among all.
fn places(all: &[Arc<Endpoint>], addresses: &[String]) -> Vec<usize> {
    if addresses.is_empty() {
        return Vec::new();
    }
    let is_meant = |endpoint: &Endpoint| addresses.contains(&endpoint.address);
    all.iter().enumerate().filter(|(_, one)| is_meant(one)).map(|(place, _)| place).collect()
}

/// A bank's servers report for their bank, gateways for the gateways, transaction-id servers
/// for theirs, and all of them for the default pool.
/// `pool`: its own name, for a request may leave it out and mean the only pool, whosever it is.
pub(super) fn may_report(identity: &Identity, pool: &str) -> bool {
    let own = match identity.role {
        Role::Bank => format!("bank.{}", identity.name),
        Role::Gateway => "gateway".to_owned(),
        Role::Txid => "txid".to_owned(),
        _ => return false,
    };
    pool == own || pool == DEFAULT_POOL
}

#[tonic::async_trait]
impl LoadBalancer for LookAside {
    async fn get_best_server(
        &self,
        request: Request<ServerRequest>,
    ) -> Result<Response<ServerResponse>, Status> {
        let request = request.get_ref();
        let pool = self.balancer.pool(&request.pool)?;
        Ok(Response::new(self.pick(pool, request)?))
    }

    async fn report_server_load(
        &self,
        request: Request<LoadReport>,
    ) -> Result<Response<LoadAck>, Status> {
        let caller = Caller::of(&request);
        let report = request.get_ref();
        let endpoint = self.reported(caller.identity.as_ref(), report)?;
        let now = self.balancer.clock.now();
        let reported =
            endpoint.reported(now, ReportChannel::Push, &Ok(ServerReport::from(report)))?;
        let accepted = reported == Reported::Accepted;
        if !accepted {
            debug!(
                endpoint = endpoint.address,
                sequence = report.sequence,
                "report out of sequence"
            );
        }
        Ok(Response::new(LoadAck { sequence: report.sequence, accepted }))
    }

    async fn register_server(
        &self,
        request: Request<RegisterServerRequest>,
    ) -> Result<Response<RegisterServerResponse>, Status> {
        let caller = Caller::of(&request);
        let RegisterServerRequest { pool, address } = request.get_ref();
        caller.note(|| format!("pool={pool} server={address}"));
        let answer = self.registry.register(caller.identity.as_ref(), pool, address).await?;
        Ok(Response::new(answer))
    }

    async fn deregister_server(
        &self,
        request: Request<DeregisterServerRequest>,
    ) -> Result<Response<DeregisterServerResponse>, Status> {
        let caller = Caller::of(&request);
        let DeregisterServerRequest { pool, address } = request.get_ref();
        caller.note(|| format!("pool={pool} server={address}"));
        let answer = self.registry.deregister(caller.identity.as_ref(), pool, address).await?;
        Ok(Response::new(answer))
    }
}

#[cfg(test)]
mod tests;
