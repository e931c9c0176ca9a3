//! What the switch asks and tells the rest of the balancer: the seam between moving bytes and
//! deciding where they go.

use std::time::Duration;

use strife_policy::Outcome;
use strife_wire::Head;

use super::{Peer, TrailerReport};
use crate::{
    access_log::Ended,
    metrics::{EndpointMetrics, Retry},
    trace::CallTrace,
};

/// Decides for one thread. Pools and endpoints are known by number; an endpoint's is the director's to
/// give, small, and its own until it is [released](Director::released).
pub(crate) trait Director {
    /// The pool of a call to this authority, or what to tell the client instead.
    fn route(&mut self, authority: &str) -> Result<usize, String>;

    /// An endpoint for a call, another than those to avoid if there is one; `None` when none is ready,
    /// or when full ones are to be avoided and there is no other.
    fn pick(
        &mut self,
        now: Duration,
        pool: usize,
        head: Option<&Head>,
        avoid: Avoid<'_>,
    ) -> Option<usize>;

    /// The trace of a call that is to have one.
    fn trace(&mut self, _: &Head) -> Option<Box<CallTrace>> {
        None
    }

    /// The policy of the last pick, and which of its rules decided.
    fn last_pick(&self) -> (&'static str, &'static str) {
        ("", "")
    }

    /// Whether calls of this path may run twice.
    fn is_idempotent(&self, pool: usize, path: &[u8]) -> bool;

    /// Whether an endpoint beside those that were `tried` is ready.
    fn has_other(&mut self, pool: usize, tried: &[usize]) -> bool;

    /// Calls under way at it, over all threads.
    fn in_flight(&self, endpoint: usize) -> u64;

    /// A call goes to an endpoint.
    fn started(&mut self, endpoint: usize);

    /// A call was not sent again because its pool's budget is used up.
    fn retry_denied(&mut self, pool: usize);

    /// A call is taken away from an endpoint that it was given to at `assigned_at`, to be sent elsewhere.
    fn moved(&mut self, now: Duration, endpoint: usize, assigned_at: Duration, why: Retry);

    /// No endpoint of the pool became ready in time for a call; what to tell its client.
    fn unavailable(&mut self, pool: usize) -> String;

    /// The endpoint said in the trailers of a call what its load is.
    fn reported(&mut self, now: Duration, endpoint: usize, report: &TrailerReport);

    /// A call ended. `started` was told of its endpoint.
    fn ended(&mut self, now: Duration, call: &CallEnd<'_>);

    /// A connection to it could not be made, or was lost.
    fn suspect(&mut self, endpoint: usize);

    /// How often it was found to be ready: a connection that failed before the last time says nothing of
    /// it any more.
    fn times_ready(&self, _endpoint: usize) -> u64 {
        0
    }

    /// Whether it gets no new calls: an operator's wish, or it left its pool.
    fn is_draining(&self, endpoint: usize) -> bool;

    /// Whether it left its pool, and does not come back.
    fn is_gone(&self, endpoint: usize) -> bool;

    /// Nothing is left of an endpoint that is gone: its number may be another's from now on.
    fn released(&mut self, endpoint: usize);

    /// What this thread counts of it.
    fn metrics(&self, endpoint: usize) -> &EndpointMetrics;

    /// `host:port`.
    fn address(&self, endpoint: usize) -> &str;

    /// Of a pool.
    fn pool_name(&self, pool: usize) -> &str;
}

/// Whom a call should not go to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avoid<'c> {
    /// It was tried on them.
    pub(crate) tried: &'c [usize],
    /// All that have so many calls under way, over all threads. To look at each of them costs as much as
    /// there are, so nobody does before one was found full.
    pub(crate) full_from: Option<u64>,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) struct CallEnd<'a> {
    /// `None` if its header block was too large to be kept.
    pub(crate) head: Option<&'a Head>,
    pub(crate) peer: &'a Peer,
    pub(crate) pool: Option<usize>,
    /// Who had it last.
    pub(crate) endpoint: Option<usize>,
    /// What that says of the endpoint.
    pub(crate) outcome: Outcome,
    pub(crate) ended: Ended,
    /// As the client saw it; 0 if it saw none.
    pub(crate) http_status: u16,
    pub(crate) grpc_status: Option<u32>,
    pub(crate) started: Duration,
    /// When it was given to the endpoint that had it last.
    pub(crate) assigned_at: Duration,
    /// From when it was given to the endpoint to the head of the answer, or to the end without one.
    pub(crate) latency: Duration,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) attempts: u8,
    /// If it is traced.
    pub(crate) trace: Option<&'a CallTrace>,
}
