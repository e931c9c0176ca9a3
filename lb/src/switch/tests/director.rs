//! A director in memory: round robin, and a judge of what it is told.

use std::time::Duration;

use strife_policy::Outcome;
use strife_wire::Head;

use crate::{
    access_log::Ended,
    metrics::{EndpointMetrics, Retry},
    switch::{Avoid, CallEnd, Director, TrailerReport},
};

/// What became of a call, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) path: String,
    pub(super) endpoint: Option<usize>,
    pub(super) outcome: Outcome,
    pub(super) ended: Ended,
    pub(super) status: (u16, Option<u32>),
    pub(super) bytes: (u64, u64),
    pub(super) attempts: u8,
}

/// Calls whose paths begin so may run twice.
pub(super) const IDEMPOTENT: &str = "/read/";

/// Directs all calls to one pool.
#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) addresses: Vec<String>,
    pub(super) is_ready: Vec<bool>,
    pub(super) is_draining: Vec<bool>,
    pub(super) is_gone: Vec<bool>,
    pub(super) times_ready: Vec<u64>,
    pub(super) released: Vec<usize>,
    metrics: Vec<EndpointMetrics>,
    pub(super) in_flight: Vec<usize>,
    pub(super) next: usize,
    pub(super) moved: Vec<(usize, Retry)>,
    pub(super) reported: Vec<(usize, TrailerReport)>,
    pub(super) ends: Vec<End>,
    pub(super) suspected: Vec<usize>,
    pub(super) unavailable: usize,
    pub(super) retries_denied: usize,
}

impl Fake {
    pub(super) fn new(endpoints: usize) -> Self {
        Self {
            addresses: (0..endpoints).map(|number| format!("endpoint-{number}:1")).collect(),
            is_ready: vec![true; endpoints],
            is_draining: vec![false; endpoints],
            is_gone: vec![false; endpoints],
            times_ready: vec![1; endpoints],
            metrics: (0..endpoints).map(|_| EndpointMetrics::default()).collect(),
            in_flight: vec![0; endpoints],
            ..Self::default()
        }
    }

    fn finished(&mut self, endpoint: usize) {
        let left = self.in_flight[endpoint].checked_sub(1);
        self.in_flight[endpoint] = left.expect("a call that ended began");
    }
}

impl Director for Fake {
    fn route(&mut self, authority: &str) -> Result<usize, String> {
        if authority == "nowhere" { Err("no pool `nowhere`".to_owned()) } else { Ok(0) }
    }

    fn pick(
        &mut self,
        _: Duration,
        _: usize,
        _: Option<&Head>,
        Avoid { tried, full_from }: Avoid<'_>,
    ) -> Option<usize> {
        let count = self.addresses.len();
        let order = (0..count).map(|step| (self.next + step) % count);
        let ready: Vec<_> = order.filter(|one| self.is_ready[*one]).collect();
        let is_full = |one: usize| full_from.is_some_and(|most| self.in_flight(one) >= most);
        let other = ready.iter().find(|one| !tried.contains(one) && !is_full(**one));
        let picked = *other.or(ready.first().filter(|_| full_from.is_none()))?;
        self.next = (picked + 1) % count;
        Some(picked)
    }

    fn is_idempotent(&self, _: usize, path: &[u8]) -> bool {
        path.starts_with(IDEMPOTENT.as_bytes())
    }

    fn has_other(&mut self, _: usize, tried: &[usize]) -> bool {
        (0..self.addresses.len()).any(|one| self.is_ready[one] && !tried.contains(&one))
    }

    fn in_flight(&self, endpoint: usize) -> u64 {
        self.in_flight[endpoint] as u64
    }

    fn retry_denied(&mut self, _: usize) {
        self.retries_denied += 1;
    }

    fn started(&mut self, endpoint: usize) {
        self.in_flight[endpoint] += 1;
    }

    fn moved(&mut self, _: Duration, endpoint: usize, _: Duration, why: Retry) {
        self.moved.push((endpoint, why));
        self.finished(endpoint);
    }

    fn unavailable(&mut self, _: usize) -> String {
        self.unavailable += 1;
        "no server is ready".to_owned()
    }

    fn reported(&mut self, _: Duration, endpoint: usize, report: &TrailerReport) {
        assert!(self.in_flight[endpoint] > 0, "reports come with calls");
        self.reported.push((endpoint, report.clone()));
    }

    fn ended(&mut self, _: Duration, call: &CallEnd<'_>) {
        if let Some(endpoint) = call.endpoint {
            self.finished(endpoint);
        }
        let path = call.head.map_or(&b""[..], |head| head.path());
        self.ends.push(End {
            path: String::from_utf8_lossy(path).into_owned(),
            endpoint: call.endpoint,
            outcome: call.outcome,
            ended: call.ended,
            status: (call.http_status, call.grpc_status),
            bytes: (call.request_bytes, call.response_bytes),
            attempts: call.attempts,
        });
    }

    fn suspect(&mut self, endpoint: usize) {
        self.suspected.push(endpoint);
    }

    fn times_ready(&self, endpoint: usize) -> u64 {
        self.times_ready[endpoint]
    }

    fn is_draining(&self, endpoint: usize) -> bool {
        self.is_draining[endpoint] || self.is_gone[endpoint]
    }

    fn is_gone(&self, endpoint: usize) -> bool {
        self.is_gone[endpoint] && !self.released.contains(&endpoint)
    }

    fn released(&mut self, endpoint: usize) {
        assert!(self.is_gone[endpoint], "only who is gone is forgotten");
        assert_eq!(self.in_flight[endpoint], 0, "nobody is forgotten who has calls");
        self.released.push(endpoint);
    }

    fn metrics(&self, endpoint: usize) -> &EndpointMetrics {
        &self.metrics[endpoint]
    }

    fn address(&self, endpoint: usize) -> &str {
        &self.addresses[endpoint]
    }

    fn pool_name(&self, _: usize) -> &str {
        "pool"
    }
}
