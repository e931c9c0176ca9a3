//! The switch's questions, answered from the pools; what became of calls, told to their endpoints'
//! loads, the metrics and the access log.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use slab::Slab;
use strife_policy::{Outcome, POLICIES, PickContext, PickInfo, Regime, hash};
use strife_wire::Head;
use tracing::debug;

use crate::{
    access_log::{CallRecord, Ended},
    balancer::Balancer,
    endpoint::Endpoint,
    line_log,
    metrics::{CallCode, EndpointMetrics, Label, PickMetrics, ReportChannel, Retry},
    picks::{PickRecorder, Sampler},
    pool::{Pool, View},
    records::Recorders,
    switch::{Avoid, CallEnd, Director, TrailerReport},
    trace::{self, CallTrace, Tracer},
};

/// Directs one thread's calls.
pub(super) struct PoolDirector {
    balancer: Arc<Balancer>,
    /// Of this thread.
    thread: usize,
    /// In the balancer's order.
    views: Vec<PoolView>,
    /// Those that got calls of this thread, by the number that the switch knows them by.
    endpoints: Slab<Arc<Endpoint>>,
    /// The same numbers, by [`Endpoint::id`].
    numbers: HashMap<u64, usize>,
    context: PickContext,
    last_pick: (&'static str, Regime),
    pick_recorder: PickRecorder,
    access_log: Option<line_log::Sender>,
    tracer: Option<Tracer>,
}

/// A pool as this thread saw it last.
struct PoolView {
    snapshot: View,
    /// Of this thread.
    metrics: Arc<PickMetrics>,
    sampler: Sampler,
    ready: Arc<[Arc<Endpoint>]>,
    /// Of the ready ones, in their order; `None` until the first pick.
    numbers: Vec<Option<usize>>,
}

impl PoolDirector {
    /// Of the thread of this number.
    pub(super) fn new(balancer: Arc<Balancer>, thread: usize, recorders: Recorders) -> Self {
        let view = |pool: &Arc<Pool>| PoolView {
            snapshot: pool.view(),
            metrics: pool.metrics.of_thread(),
            sampler: Sampler::new(pool.picks.clone(), recorders.picks.every),
            ready: Arc::new([]),
            numbers: Vec::new(),
        };
        let views = balancer.pools.iter().map(view).collect();
        let context = PickContext { now: Duration::ZERO, rng: rand::make_rng() };
        Self {
            balancer,
            thread,
            views,
            endpoints: Slab::new(),
            numbers: HashMap::new(),
            context,
            last_pick: ("", Regime::Only),
            access_log: recorders.access_log,
            tracer: recorders.tracer,
            pick_recorder: recorders.picks,
        }
    }

    /// By the number that the switch knows it by.
    pub(super) fn endpoint(&self, number: usize) -> &Arc<Endpoint> {
        &self.endpoints[number]
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

    fn pick(
        &mut self,
        now: Duration,
        pool: usize,
        head: Option<&Head>,
        Avoid { tried, full_from }: Avoid<'_>,
    ) -> Option<usize> {
        self.context.now = now;
        let view = &mut self.views[pool];
        let snapshot = view.snapshot.load();
        if !Arc::ptr_eq(&view.ready, &snapshot.ready) {
            view.ready = snapshot.ready.clone();
            let known = |endpoint: &Arc<Endpoint>| self.numbers.get(&endpoint.id).copied();
            view.numbers = view.ready.iter().map(known).collect();
        }
        let policy = &snapshot.policy.policy;
        let hashed = policy.hashed_header().zip(head);
        let hash = hashed.and_then(|(name, head)| head.fields().get(name.as_bytes())).map(hash);
        let avoid = match full_from {
            None => places(&view.numbers, tried),
            Some(most) => places_with_full((&view.ready, &view.numbers), tried, most),
        };
        if full_from.is_some() && avoid.len() == view.ready.len() {
            return None;
        }
        let (info, context) = (PickInfo { hash, avoid: &avoid }, &mut self.context);
        let pick = match view.sampler.due(context) {
            None => snapshot.picker.pick(info, context)?,
            Some(due) => {
                let (recorder, pool) = (&self.pick_recorder, &self.balancer.pools[pool].name);
                view.sampler.explain(due, recorder, pool, snapshot, info, context)?
            }
        };
        view.metrics.count(snapshot.policy.place, pick);
        self.last_pick = (POLICIES[snapshot.policy.place].name, pick.regime);
        let number = view.numbers[pick.index].unwrap_or_else(|| {
            let endpoint = view.ready[pick.index].clone();
            *self.numbers.entry(endpoint.id).or_insert_with(|| self.endpoints.insert(endpoint))
        });
        view.numbers[pick.index] = Some(number);
        Some(number)
    }

    fn trace(&mut self, head: &Head) -> Option<Box<CallTrace>> {
        self.tracer.as_mut()?.begin(head)
    }

    fn last_pick(&self) -> (&'static str, &'static str) {
        let (policy, regime) = self.last_pick;
        (policy, Label::as_str(regime))
    }

    fn is_idempotent(&self, pool: usize, path: &[u8]) -> bool {
        self.balancer.pools[pool].route.is_idempotent(path)
    }

    fn has_other(&mut self, pool: usize, tried: &[usize]) -> bool {
        let ready = &self.views[pool].snapshot.load().ready;
        let is_tried = |id| tried.iter().any(|one| self.endpoints[*one].id == id);
        ready.iter().any(|endpoint| !is_tried(endpoint.id))
    }

    fn in_flight(&self, endpoint: usize) -> u64 {
        self.endpoints[endpoint].load.in_flight()
    }

    fn started(&mut self, endpoint: usize) {
        self.endpoints[endpoint].load.sent();
    }

    fn retry_denied(&mut self, pool: usize) {
        self.balancer.pools[pool].metrics.retries_denied.increment();
    }

    fn moved(&mut self, now: Duration, endpoint: usize, assigned_at: Duration, why: Retry) {
        self.metrics(endpoint).retries.increment(why);
        // An endpoint that refused a call, or never saw it, has not failed it.
        let outcome = match why {
            Retry::ConnectFailure | Retry::Idempotent => Outcome::Failed,
            Retry::Refused | Retry::GoAway | Retry::Unsent => Outcome::Cancelled,
        };
        self.endpoints[endpoint].evidence.record(assigned_at, outcome);
        self.endpoints[endpoint].load.finished(now, outcome, Duration::ZERO);
    }

    fn reported(&mut self, now: Duration, endpoint: usize, report: &TrailerReport) {
        let endpoint = &self.endpoints[endpoint];
        if let Err(error) = endpoint.reported(now, ReportChannel::Trailers, report) {
            debug!(endpoint = endpoint.address, %error, "load report in trailers");
        }
    }

    fn unavailable(&mut self, pool: usize) -> String {
        let pool = &self.balancer.pools[pool];
        pool.count_unavailable();
        pool.why_unavailable().to_string()
    }

    fn ended(&mut self, now: Duration, call: &CallEnd<'_>) {
        if let Some(endpoint) = call.endpoint {
            self.endpoints[endpoint].evidence.record(call.assigned_at, call.outcome);
            self.endpoints[endpoint].load.finished(now, call.outcome, call.latency);
            let metrics = self.metrics(endpoint);
            metrics.calls_ended.increment(CallCode::of(call.grpc_status));
            metrics.request_bytes.add(call.request_bytes);
            metrics.response_bytes.add(call.response_bytes);
            if call.ended == Ended::Completed {
                let latency = now.saturating_sub(call.started);
                metrics.latency.record(latency.as_micros() as u64);
            }
        }
        if let (Some(tracer), Some(_)) = (&self.tracer, call.trace) {
            let pool = call.pool.map(|pool| self.pool_name(pool));
            let endpoint = call.endpoint.map(|endpoint| self.address(endpoint));
            tracer.end(now, call, trace::Names { pool, endpoint });
        }
        self.log(now, call);
    }

    fn suspect(&mut self, endpoint: usize) {
        self.endpoints[endpoint].suspect();
    }

    fn times_ready(&self, endpoint: usize) -> u64 {
        self.endpoints[endpoint].times_ready()
    }

    fn is_draining(&self, endpoint: usize) -> bool {
        self.endpoints[endpoint].is_draining()
    }

    fn is_gone(&self, endpoint: usize) -> bool {
        self.endpoints.get(endpoint).is_some_and(|endpoint| endpoint.is_gone())
    }

    fn released(&mut self, number: usize) {
        let endpoint = self.endpoints.remove(number);
        self.numbers.remove(&endpoint.id);
        // Picked again it would be another: a snapshot that still has it may be the newest.
        let views = self.views.iter_mut().flat_map(|view| &mut view.numbers);
        views.filter(|one| **one == Some(number)).for_each(|one| *one = None);
    }

    fn metrics(&self, endpoint: usize) -> &EndpointMetrics {
        &self.endpoints[endpoint].metrics[self.thread]
    }

    fn address(&self, endpoint: usize) -> &str {
        &self.endpoints[endpoint].address
    }

    fn pool_name(&self, pool: usize) -> &str {
        &self.balancer.pools[pool].name
    }
}

/// The places of these numbers among all, and of those that have so many calls.
fn places_with_full(
    (ready, all): (&[Arc<Endpoint>], &[Option<usize>]),
    numbers: &[usize],
    most: u64,
) -> Vec<usize> {
    let is_meant = |place: &usize| {
        ready[*place].load.in_flight() >= most
            || all[*place].is_some_and(|one| numbers.contains(&one))
    };
    (0..ready.len()).filter(is_meant).collect()
}

/// The places of these numbers among all.
fn places(all: &[Option<usize>], numbers: &[usize]) -> Vec<usize> {
    if numbers.is_empty() {
        return Vec::new();
    }
    let is_meant = |number: &Option<usize>| number.is_some_and(|one| numbers.contains(&one));
    all.iter().enumerate().filter(|(_, one)| is_meant(one)).map(|(place, _)| place).collect()
}
