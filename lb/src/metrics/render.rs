//! The metrics page: what is counted, summed over threads, and what pools know of their endpoints.
//!
//! A family's values of a closed label are all there from the start, so that rates see the first
//! event. Only an endpoint's codes appear one by one, when they first occur: they are many.

mod endpoints;
mod health;
mod legs;
mod limits;
mod pools;
mod sources;

use super::{
    Label, Metrics, Refusal, ThreadMetrics,
    exposition::{Exposition, Kind},
};
use crate::{balancer::Balancer, line_log::Written};

/// A family with one number, summed over threads.
type Counted = (&'static str, &'static str, fn(&ThreadMetrics) -> u64);

impl Metrics {
    /// The page in Prometheus' text format, version 0.0.4.
    pub(crate) fn render(&self, balancer: &Balancer) -> String {
        let mut page = Exposition::default();
        self.process(balancer, &mut page);
        self.calls(&mut page);
        legs::render(self, &mut page);
        pools::render(balancer, &mut page);
        sources::render(balancer, &mut page);
        endpoints::render(balancer, &mut page);
        health::render(balancer, &mut page);
        self.logs(&mut page);
        self.spans(&mut page);
        limits::render(&self.limits, &mut page);
        page.into_text()
    }

    fn process(&self, balancer: &Balancer, page: &mut Exposition) {
        page.family("strife_lb_build_info", Kind::Gauge, "The version that runs; always 1.");
        page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.single(
            "strife_lb_uptime_seconds",
            Kind::Gauge,
            "Time since the balancer started.",
            balancer.clock.now().as_secs_f64(),
        );
        page.single(
            "strife_lb_threads",
            Kind::Gauge,
            "Threads that carry calls.",
            self.threads.len(),
        );
    }

    fn calls(&self, page: &mut Exposition) {
        let counters: [Counted; 3] = [
            (
                "strife_lb_calls_total",
                "Calls of clients, each once however often it was tried.",
                |thread| thread.calls.get(),
            ),
            (
                "strife_lb_client_resets_received_total",
                "Calls that clients reset: cancelled, mostly.",
                |thread| thread.client_resets_received.get(),
            ),
            (
                "strife_lb_client_resets_sent_total",
                "Calls reset towards their clients.",
                |thread| thread.client_resets_sent.get(),
            ),
        ];
        for (family, help, of) in counters {
            page.single(family, Kind::Counter, help, self.sum(of));
        }
        page.family(
            "strife_lb_calls_refused_total",
            Kind::Counter,
            "Calls that the balancer answered itself, by reason.",
        );
        for &reason in Refusal::ALL {
            let refused = self.sum(|thread| thread.refused_calls.get(reason));
            page.sample(&[("reason", reason.as_str())], refused);
        }
        page.single(
            "strife_lb_buffered_bytes",
            Kind::Gauge,
            "Bytes of calls held because the other side does not take them.",
            self.sum(|thread| thread.buffered_bytes.get()),
        );
    }

    fn logs(&self, page: &mut Exposition) {
        if let Some(written) = &self.recorded.access_log {
            access_log(written, page);
        }
        if let Some(written) = &self.recorded.pick_log {
            pick_log(written, page);
        }
    }

    fn spans(&self, page: &mut Exposition) {
        let Some(counts) = &self.recorded.spans else { return };
        page.single(
            "strife_lb_spans_exported_total",
            Kind::Counter,
            "Spans of calls that the collector took.",
            counts.exported(),
        );
        page.single(
            "strife_lb_spans_dropped_total",
            Kind::Counter,
            "Spans of calls that were lost: the collector did not take them, or not fast enough.",
            counts.dropped(),
        );
    }
}

fn access_log(written: &Written, page: &mut Exposition) {
    page.single(
        "strife_lb_access_log_lines_total",
        Kind::Counter,
        "Lines written to the access log.",
        written.lines(),
    );
    page.single(
        "strife_lb_access_log_dropped_total",
        Kind::Counter,
        "Calls not in the access log: it could not be written, or not fast enough.",
        written.dropped(),
    );
}

fn pick_log(written: &Written, page: &mut Exposition) {
    page.single(
        "strife_lb_pick_log_lines_total",
        Kind::Counter,
        "Lines written to the pick log.",
        written.lines(),
    );
    page.single(
        "strife_lb_pick_log_dropped_total",
        Kind::Counter,
        "Explained picks not in the pick log: it could not be written, or not fast enough.",
        written.dropped(),
    );
}
