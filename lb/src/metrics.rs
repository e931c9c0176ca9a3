//! What the balancer counts: always on, and cheap enough for that.
//!
//! Every thread that carries calls has [`ThreadMetrics`] of its own and is their only writer, so
//! that counting is an addition and nothing else. They are summed when somebody asks: by
//! [`Metrics::render`], which adds what the pools know of their endpoints, for the page that
//! [`serve`] answers.

mod counter;
mod exposition;
mod histogram;
mod labels;
mod page;
mod pool;
mod render;

use std::{num::NonZeroUsize, sync::Arc};

use strife_wire::{Code, Flood};

pub(crate) use self::{
    counter::{Counter, CounterPer, Gauge},
    histogram::{Histogram, Latencies},
    labels::{CallCode, CloseReason, EjectionCause, Label, Refusal, ReportChannel, Retry},
    page::serve,
    pool::{PickMetrics, PoolMetrics},
};
use crate::{config::Limits, line_log::Written, trace::SpanCounts};

/// All of a balancer's counters.
pub(crate) struct Metrics {
    threads: Vec<Arc<ThreadMetrics>>,
    limits: Limits,
    recorded: Recorded,
}

/// What is counted by those who write down what becomes of calls, as far as there are any.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) access_log: Option<Arc<Written>>,
    pub(crate) pick_log: Option<Arc<Written>>,
    pub(crate) spans: Option<Arc<SpanCounts>>,
}

/// What one thread counts. Aligned so that no two threads write to one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ThreadMetrics {
    pub(crate) downstream: LegMetrics,
    pub(crate) upstream: LegMetrics,
    /// Calls of clients, each once however often it was tried.
    pub(crate) calls: Counter,
    /// Calls that the balancer answered itself.
    pub(crate) refused_calls: CounterPer<Refusal, { Refusal::COUNT }>,
    /// Streams that clients reset.
    pub(crate) client_resets_received: Counter,
    /// Streams of clients that we reset.
    pub(crate) client_resets_sent: Counter,
    /// Bytes of calls held because the other side does not take them.
    pub(crate) buffered_bytes: Gauge,
}

/// What one thread counts of its connections to clients, or of those to endpoints.
#[derive(Debug, Default)]
pub(crate) struct LegMetrics {
    pub(crate) connections_opened: Counter,
    pub(crate) connections_active: Gauge,
    pub(crate) connections_closed: CounterPer<CloseReason, { CloseReason::COUNT }>,
    /// Connections that did not get as far as HTTP/2: TLS, ALPN, preface.
    pub(crate) handshake_failures: Counter,
    /// As read from and written to sockets, before TLS.
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    /// Rules that peers broke, on a stream or a connection, by the code they were told.
    pub(crate) protocol_errors: CounterPer<Code, { <Code as Label>::ALL.len() }>,
    pub(crate) floods: CounterPer<Flood, { Flood::ALL.len() }>,
    pub(crate) goaways_received: Counter,
    pub(crate) goaways_sent: Counter,
    /// Bytes that wait for sockets to take them.
    pub(crate) output_bytes: Gauge,
}

/// What one thread counts of an endpoint, which holds it. Calls under way, sent and failed are counted in
/// [`strife_policy::EndpointLoad`], for all threads. Aligned as [`ThreadMetrics`] is.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct EndpointMetrics {
    /// Calls that ended here, however they did; those moved elsewhere are in `retries`.
    pub(crate) calls_ended: CounterPer<CallCode, { CallCode::COUNT }>,
    /// Message bytes with their gRPC prefix, headers not counted.
    pub(crate) request_bytes: Counter,
    pub(crate) response_bytes: Counter,
    /// From a request's headers to the end of its answer, in microseconds; only answered calls.
    pub(crate) latency: Histogram,
    /// Calls that the endpoint reset.
    pub(crate) resets_received: Counter,
    /// Calls reset towards the endpoint: cancelled by their client, late, or in breach of a rule.
    pub(crate) resets_sent: Counter,
    pub(crate) deadlines_exceeded: Counter,
    /// Calls moved away from the endpoint.
    pub(crate) retries: CounterPer<Retry, { Retry::COUNT }>,
    pub(crate) connect_attempts: Counter,
    pub(crate) connect_failures: Counter,
}

impl Metrics {
    /// `threads`: how many carry calls.
    pub(crate) fn new(threads: NonZeroUsize, limits: Limits, recorded: Recorded) -> Arc<Self> {
        let threads = (0..threads.get()).map(|_| Arc::default()).collect();
        Arc::new(Self { threads, limits, recorded })
    }

    /// The counters of thread `n`, counting from 0; they have no other writer.
    pub(crate) fn thread(&self, n: usize) -> Arc<ThreadMetrics> {
        self.threads[n].clone()
    }

    /// Sums a number over all threads.
    fn sum(&self, of: impl Fn(&ThreadMetrics) -> u64) -> u64 {
        self.threads.iter().map(|thread| of(thread)).sum()
    }
}

#[cfg(test)]
mod tests;
