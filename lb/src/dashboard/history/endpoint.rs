//! What is kept of an endpoint.

use super::{Step, microseconds, steady::Steady, trend::Trend};
use crate::{endpoint::Endpoint, metrics::Latencies};

/// An endpoint in one second. Rates are a second's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in super::super) struct EndpointSample {
    pub(in super::super) calls: f32,
    pub(in super::super) failures: f32,
    pub(in super::super) in_flight: u32,
    /// Of the calls that were answered, in microseconds; `None` if none was.
    pub(in super::super) p50_us: Option<u32>,
    pub(in super::super) p99_us: Option<u32>,
}

/// Counters as they stood at the last sample, and what came of them.
#[derive(Default)]
pub(in super::super) struct EndpointHistory {
    /// The number of that sample.
    seen: u64,
    calls: Steady,
    failed: Steady,
    latencies: Box<Latencies>,
    last: EndpointSample,
    trend: Option<Trend<EndpointSample>>,
}

impl EndpointHistory {
    /// `answered`: what its latencies are added to.
    pub(super) fn sample(&mut self, endpoint: &Endpoint, step: Step, answered: &mut Latencies) {
        let load = &endpoint.load;
        let sent = self.calls.count(load.calls(), step.seconds);
        let failures = self.failed.count(load.failed(), step.seconds);
        let in_flight = load.in_flight();
        // Reading a histogram costs more than all else, and thousands of endpoints may be idle.
        let is_idle = sent == 0.0 && in_flight == 0 && self.last.in_flight == 0;
        let fresh = if is_idle { None } else { Some(self.answered(endpoint)) };
        let quantile = |share| microseconds(fresh.as_ref()?.quantile_us(share));
        let sample = EndpointSample {
            calls: sent as f32,
            failures: failures as f32,
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
        };
        if let Some(fresh) = &fresh {
            answered.merge(fresh);
        }
        (self.seen, self.last) = (step.number, sample);
        if let Some(trend) = &mut self.trend {
            trend.push(sample, step.due);
        }
    }

    /// Latencies since this was last asked.
    fn answered(&mut self, endpoint: &Endpoint) -> Latencies {
        let mut latencies = Latencies::default();
        endpoint.metrics.iter().for_each(|counted| latencies.add(&counted.latency));
        let fresh = latencies.since(&self.latencies);
        *self.latencies = latencies;
        fresh
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) fn is_tracked(&self) -> bool {
        self.trend.is_some()
    }

    /// Keeps its samples from now on.
    pub(super) fn track(&mut self) {
        self.trend = Some(Trend::default());
    }

    /// The newest sample.
    pub(in super::super) fn last(&self) -> EndpointSample {
        self.last
    }

    /// Calls a second over the last seconds, the newest counting most.
    pub(in super::super) fn steady_calls(&self) -> f64 {
        self.calls.rate()
    }

    /// Its samples; `None` if it is not tracked.
    pub(in super::super) fn trend(&self) -> Option<&Trend<EndpointSample>> {
        self.trend.as_ref()
    }
}
