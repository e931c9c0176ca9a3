//! The switch's questions, answered from the pools; what became of calls, told to their endpoints'
//! loads, the metrics and the access log.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use strife_policy::{Outcome, PickContext};

use crate::{
    access_log::{self, CallRecord, Ended},
    balancer::Balancer,
    endpoint::Endpoint,
    metrics::{CallCode, Retry, ThreadMetrics},
    switch::{CallEnd, Director},
};

/// Directs one thread's calls.
pub(super) struct PoolDirector {
    balancer: Arc<Balancer>,
    /// By number.
    endpoints: Vec<Arc<Endpoint>>,
    context: PickContext,
    metrics: Arc<ThreadMetrics>,
    access_log: Option<access_log::Sender>,
}

impl PoolDirector {
    pub(super) fn new(
        balancer: Arc<Balancer>,
        metrics: Arc<ThreadMetrics>,
        access_log: Option<access_log::Sender>,
    ) -> Self {
        let members = balancer.pools.iter().flat_map(|pool| pool.snapshot().members.clone());
        let mut endpoints: Vec<_> = members.map(|member| member.endpoint).collect();
        endpoints.sort_by_key(|endpoint| endpoint.number);
        let context = PickContext { now: Duration::ZERO, rng: rand::make_rng() };
        Self { balancer, endpoints, context, metrics, access_log }
    }

    pub(super) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    fn log(&self, now: Duration, call: &CallEnd<'_>) {
        let Some(log) = &self.access_log else { return };
        let duration = now.saturating_sub(call.started);
        log.record(&CallRecord {
            time: SystemTime::now() - duration,
            method: call.head.map_or(b"", |head| head.path()),
            authority: call.head.map_or(b"", |head| head.authority()),
            pool: call.pool.map(|pool| self.pool_name(pool)),
            endpoint: call.endpoint.map(|endpoint| self.address(endpoint)),
            client: call.peer.address,
            client_identity: call.peer.identity.as_deref(),
            http_status: call.http_status,
            grpc_status: call.grpc_status,
            duration,
            request_bytes: call.request_bytes,
            response_bytes: call.response_bytes,
            attempts: call.attempts,
            ended: call.ended,
        });
    }
}

impl Director for PoolDirector {
    fn route(&mut self, authority: &str) -> Result<usize, String> {
        let pool = self.balancer.route(authority).map_err(|error| error.to_string())?;
        let number = self.balancer.pools.iter().position(|one| Arc::ptr_eq(one, pool));
        Ok(number.expect("a pool that calls are routed to is one of the pools"))
    }

    fn pick(&mut self, now: Duration, pool: usize, tried: &[usize]) -> Option<usize> {
        self.context.now = now;
        let pool = &self.balancer.pools[pool];
        let picked = if tried.is_empty() {
            pool.pick(&mut self.context)
        } else {
            let tried: Vec<_> = tried.iter().map(|one| self.endpoints[*one].clone()).collect();
            pool.pick_other(&mut self.context, &tried)
        };
        picked.map(|picked| picked.endpoint.number)
    }

    fn started(&mut self, endpoint: usize) {
        self.endpoints[endpoint].load.sent();
    }

    fn moved(&mut self, now: Duration, endpoint: usize, why: Retry) {
        self.metrics.endpoints[endpoint].retries.increment(why);
        // An endpoint that refused a call, or never saw it, has not failed it.
        let outcome = match why {
            Retry::ConnectFailure => Outcome::Failed,
            Retry::Refused | Retry::GoAway | Retry::Unsent => Outcome::Cancelled,
        };
        self.endpoints[endpoint].load.finished(now, outcome);
    }

    fn unavailable(&mut self, pool: usize) {
        self.balancer.pools[pool].count_unavailable();
    }

    fn ended(&mut self, now: Duration, call: &CallEnd<'_>) {
        if let Some(endpoint) = call.endpoint {
            self.endpoints[endpoint].load.finished(now, call.outcome);
            let metrics = &self.metrics.endpoints[endpoint];
            metrics.calls_ended.increment(CallCode::of(call.grpc_status));
            metrics.request_bytes.add(call.request_bytes);
            metrics.response_bytes.add(call.response_bytes);
            if call.ended == Ended::Completed {
                let latency = now.saturating_sub(call.started);
                metrics.latency.record(latency.as_micros() as u64);
            }
        }
        self.log(now, call);
    }

    fn suspect(&mut self, endpoint: usize) {
        self.endpoints[endpoint].suspect();
    }

    fn is_draining(&self, endpoint: usize) -> bool {
        self.endpoints[endpoint].is_draining()
    }

    fn address(&self, endpoint: usize) -> &str {
        &self.endpoints[endpoint].address
    }

    fn pool_name(&self, pool: usize) -> &str {
        &self.balancer.pools[pool].name
    }
}
