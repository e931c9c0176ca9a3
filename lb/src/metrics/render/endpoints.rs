//! Pools and endpoints: what the threads count of them, and what policies go by.

use std::{sync::Arc, time::Duration};

use super::super::{
    CallCode, EndpointMetrics, Label, Latencies, Retry,
    exposition::{Exposition, Kind, seconds},
};
use crate::{
    balancer::Balancer,
    pool::Pool,
    snapshot::{Member, Snapshot, State},
};

/// A pool as all of the page shows it.
struct Shown<'a> {
    pool: &'a Pool,
    snapshot: Arc<Snapshot>,
}

/// A family with a number for each endpoint, summed over threads.
type Counted = (&'static str, &'static str, fn(&EndpointMetrics) -> u64);

const COUNTED: [Counted; 7] = [
    (
        "strife_lb_endpoint_request_bytes_total",
        "Bytes of requests sent to the endpoint, headers not counted.",
        |endpoint| endpoint.request_bytes.get(),
    ),
    (
        "strife_lb_endpoint_response_bytes_total",
        "Bytes of responses received from the endpoint, headers not counted.",
        |endpoint| endpoint.response_bytes.get(),
    ),
    ("strife_lb_endpoint_resets_received_total", "Calls the endpoint reset.", |endpoint| {
        endpoint.resets_received.get()
    }),
    (
        "strife_lb_endpoint_resets_sent_total",
        "Calls reset towards the endpoint: cancelled by their client, mostly.",
        |endpoint| endpoint.resets_sent.get(),
    ),
    (
        "strife_lb_endpoint_deadlines_exceeded_total",
        "Calls whose deadline passed before the endpoint answered.",
        |endpoint| endpoint.deadlines_exceeded.get(),
    ),
    (
        "strife_lb_endpoint_connect_attempts_total",
        "Connections to the endpoint that were tried.",
        |endpoint| endpoint.connect_attempts.get(),
    ),
    (
        "strife_lb_endpoint_connect_failures_total",
        "Connections to the endpoint that did not come about.",
        |endpoint| endpoint.connect_failures.get(),
    ),
];

/// The `error_utilization_penalty` of a `weighted_round_robin` that is told none.
const DEFAULT_ERROR_PENALTY: f64 = 1.0;

/// A family with what is known of each endpoint now; no sample where it is not known.
type Known = (&'static str, Kind, &'static str, fn(&Member, Duration) -> Option<f64>);

const KNOWN: [Known; 13] = [
    ("strife_lb_endpoint_ready", Kind::Gauge, "1 if it is connected and well.", |member, _| {
        Some(if member.state == State::Ready { 1.0 } else { 0.0 })
    }),
    (
        "strife_lb_endpoint_draining",
        Kind::Gauge,
        "1 if an operator keeps new calls from it.",
        |member, _| Some(if member.draining { 1.0 } else { 0.0 }),
    ),
    (
        "strife_lb_endpoint_calls_total",
        Kind::Counter,
        "Calls sent to the endpoint.",
        |member, _| Some(member.endpoint.load.calls() as f64),
    ),
    (
        "strife_lb_endpoint_calls_failed_total",
        Kind::Counter,
        "Calls that failed by the endpoint's fault, as policies count them.",
        |member, _| Some(member.endpoint.load.failed() as f64),
    ),
    (
        "strife_lb_endpoint_calls_in_flight",
        Kind::Gauge,
        "Calls under way at the endpoint.",
        |member, _| Some(member.endpoint.load.in_flight() as f64),
    ),
    (
        "strife_lb_endpoint_failure_ratio",
        Kind::Gauge,
        "Share of the latest calls that failed, 0 to 1, as policies see it.",
        |member, now| Some(member.endpoint.load.failure_ratio(now)),
    ),
    (
        "strife_lb_endpoint_report_age_seconds",
        Kind::Gauge,
        "Time since the endpoint last reported its load; absent if it never did.",
        |member, now| {
            let report = member.endpoint.load.last_report()?;
            Some(now.saturating_sub(report.received_at).as_secs_f64())
        },
    ),
    (
        "strife_lb_endpoint_reported_in_flight",
        Kind::Gauge,
        "Calls under way as the endpoint last reported; absent if it never did.",
        |member, _| Some(f64::from(member.endpoint.load.last_report()?.in_flight)),
    ),
    (
        "strife_lb_endpoint_reported_service_time_seconds",
        Kind::Gauge,
        "Mean time to serve a call as the endpoint last reported; absent if unknown.",
        |member, _| {
            let reported_us = member.endpoint.load.last_report()?.service_time_us;
            (reported_us > 0).then(|| seconds(u64::from(reported_us)))
        },
    ),
    (
        "strife_lb_endpoint_orca_utilization",
        Kind::Gauge,
        "Utilization as the endpoint last reported it by ORCA; absent if it never did.",
        |member, _| Some(member.endpoint.load.last_orca()?.utilization),
    ),
    (
        "strife_lb_endpoint_orca_weight",
        Kind::Gauge,
        "Calls a second at full utilization (gRFC A58), errors taken for utilization too; absent \
         if it is not known.",
        |member, _| {
            let weight = member.endpoint.load.last_orca()?.weight(DEFAULT_ERROR_PENALTY);
            (weight > 0.0).then_some(weight)
        },
    ),
    (
        "strife_lb_endpoint_orca_weight_known_seconds",
        Kind::Gauge,
        "Time since the endpoint first reported a weight by ORCA; absent if it never did.",
        |member, now| {
            let since = member.endpoint.load.last_orca()?.useful_since?;
            Some(now.saturating_sub(since).as_secs_f64())
        },
    ),
    (
        "strife_lb_endpoint_orca_weight_age_seconds",
        Kind::Gauge,
        "Time since the endpoint last reported a weight by ORCA; absent if it never did.",
        |member, now| {
            let at = member.endpoint.load.last_orca()?.useful_at?;
            Some(now.saturating_sub(at).as_secs_f64())
        },
    ),
];

pub(super) fn render(balancer: &Balancer, page: &mut Exposition) {
    let shown: Vec<_> =
        balancer.pools.iter().map(|pool| Shown { pool, snapshot: pool.snapshot() }).collect();
    pools(&shown, page);
    let now = balancer.clock.now();
    for (family, kind, help, of) in KNOWN {
        page.family(family, kind, help);
        each(&shown, |labels, member| {
            if let Some(value) = of(member, now) {
                page.sample(&labels, value);
            }
        });
    }
    for (family, help, of) in COUNTED {
        page.family(family, Kind::Counter, help);
        each(&shown, |labels, member| {
            page.sample(&labels, sum(member, of));
        });
    }
    calls_ended(&shown, page);
    retries(&shown, page);
    latencies(&shown, page);
}

fn pools(shown: &[Shown<'_>], page: &mut Exposition) {
    page.family("strife_lb_pool_policy_info", Kind::Gauge, "The pool's policy; always 1.");
    for Shown { pool, snapshot } in shown {
        page.sample(&[("pool", &pool.name), ("policy", snapshot.policy.policy.name())], 1);
    }
    page.family("strife_lb_pool_endpoints", Kind::Gauge, "Endpoints of the pool.");
    for Shown { pool, snapshot } in shown {
        page.sample(&[("pool", &pool.name)], snapshot.members.len());
    }
    page.family(
        "strife_lb_pool_endpoints_ready",
        Kind::Gauge,
        "Endpoints of the pool that take calls.",
    );
    for Shown { pool, snapshot } in shown {
        page.sample(&[("pool", &pool.name)], snapshot.ready.len());
    }
    page.family(
        "strife_lb_pool_calls_unavailable_total",
        Kind::Counter,
        "Calls refused because no endpoint of the pool was ready.",
    );
    for Shown { pool, .. } in shown {
        page.sample(&[("pool", &pool.name)], pool.unavailable());
    }
}

fn calls_ended(shown: &[Shown<'_>], page: &mut Exposition) {
    page.family(
        "strife_lb_endpoint_calls_ended_total",
        Kind::Counter,
        "Calls that ended at the endpoint, by gRPC status; `none` without one.",
    );
    each(shown, |[pool, endpoint], member| {
        for &code in CallCode::ALL {
            let ended = sum(member, |counted| counted.calls_ended.get(code));
            if ended > 0 || code == CallCode::Ok {
                page.sample(&[pool, endpoint, ("code", code.as_str())], ended);
            }
        }
    });
}

fn retries(shown: &[Shown<'_>], page: &mut Exposition) {
    page.family(
        "strife_lb_endpoint_retries_total",
        Kind::Counter,
        "Calls moved away from the endpoint, by reason.",
    );
    each(shown, |[pool, endpoint], member| {
        for &reason in Retry::ALL {
            let retries = sum(member, |counted| counted.retries.get(reason));
            page.sample(&[pool, endpoint, ("reason", reason.as_str())], retries);
        }
    });
}

fn latencies(shown: &[Shown<'_>], page: &mut Exposition) {
    page.family(
        "strife_lb_endpoint_call_duration_seconds",
        Kind::Histogram,
        "From a call's headers to the end of its answer; only calls that were answered.",
    );
    each(shown, |labels, member| {
        let mut latencies = Latencies::default();
        member.endpoint.metrics.iter().for_each(|counted| latencies.add(&counted.latency));
        page.histogram(&labels, &latencies);
    });
}

/// Visits every endpoint with its labels.
fn each(shown: &[Shown<'_>], mut visit: impl FnMut([(&str, &str); 2], &Member)) {
    for Shown { pool, snapshot } in shown {
        for member in snapshot.members.iter() {
            visit([("pool", &pool.name), ("endpoint", &member.endpoint.address)], member);
        }
    }
}

/// Sums a number of an endpoint over all threads.
fn sum(member: &Member, of: impl Fn(&EndpointMetrics) -> u64) -> u64 {
    member.endpoint.metrics.iter().map(of).sum()
}
