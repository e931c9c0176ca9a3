//! Spans of sampled calls, for whoever collects OpenTelemetry's traces.
//!
//! A traced call is one span: the balancer stands in its client's trace (W3C Trace Context), and
//! the endpoint is told that span as its parent. Which calls are traced is their client's decision
//! where it made one; the others are drawn by lot. Spans go to a task that sends them on in
//! batches: no call waits for a collector, and none fails for one.

mod context;
mod export;
mod span;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use rand::{Rng, RngExt, rngs::SmallRng};
use strife_wire::Head;
use tokio::sync::mpsc;

use self::{context::Incoming, export::Exporter, span::Told};
pub(crate) use self::{
    context::{CallTrace, TRACEPARENT},
    span::Span,
};
use crate::switch::CallEnd;

/// Spans that wait to be exported.
const QUEUE: usize = 4096;

/// Where spans go and which calls have one.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// The collector: `http://HOST:PORT`, OTLP over gRPC.
    pub endpoint: http::Uri,
    /// Share of the calls without a decision of their client that are traced, 0 to 1.
    pub ratio: f64,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct SpanCounts {
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl SpanCounts {
    /// Taken by the collector.
    pub(crate) fn exported(&self) -> u64 {
        self.exported.load(Relaxed)
    }

    /// Not taken by the collector, or lost on the way to it.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// Traces the calls of one thread.
pub(crate) struct Tracer {
    ratio: f64,
    rng: SmallRng,
    spans: mpsc::Sender<Span>,
    counts: Arc<SpanCounts>,
}

/// What a thread knows of a traced call beside what the switch says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) pool: Option<&'a str>,
    pub(crate) endpoint: Option<&'a str>,
}

/// A tracer for each thread, and the task that sends their spans on. It ends once all tracers are
/// dropped and their spans sent. `instance`: tells this balancer from others.
pub(crate) fn tracers(
    tracing: &Tracing,
    threads: usize,
    instance: &str,
) -> (Vec<Tracer>, Arc<SpanCounts>, impl Future<Output = ()> + Send + use<>) {
    let (spans, received) = mpsc::channel(QUEUE);
    let counts = Arc::<SpanCounts>::default();
    let tracer = |_| Tracer {
        ratio: tracing.ratio,
        rng: rand::make_rng(),
        spans: spans.clone(),
        counts: counts.clone(),
    };
    let tracers = (0..threads).map(tracer).collect();
    let exporter = Exporter::new(&tracing.endpoint, instance, counts.clone());
    (tracers, counts, exporter.run(received))
}

impl Tracer {
    /// Whether a call is traced, and as what.
    pub(crate) fn begin(&mut self, head: &Head) -> Option<Box<CallTrace>> {
        let incoming = Incoming::of(head.fields());
        let is_traced = match &incoming {
            Incoming::Valid(context) => context.is_sampled(),
            Incoming::None | Incoming::Malformed => self.rng.random_bool(self.ratio),
        };
        is_traced.then(|| {
            let mut ids = [0; 24];
            self.rng.fill_bytes(&mut ids);
            Box::new(CallTrace::new(&incoming, &ids))
        })
    }

    /// A traced call ended. Does not wait.
    pub(crate) fn end(&self, now: Duration, call: &CallEnd<'_>, names: Names<'_>) {
        let Some(trace) = call.trace else { return };
        let span = Span::new(trace, call, &Told { now, ended_at: SystemTime::now(), names });
        if self.spans.try_send(span).is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
