//! The bounds that hold, so that a chart can show how near to them we are.

use std::time::Duration;

use super::super::exposition::{Exposition, Kind};
use crate::config::Limits;

pub(super) fn render(limits: &Limits, page: &mut Exposition) {
    page.family(
        "strife_lb_limit",
        Kind::Gauge,
        "Bounds that are counts, by name of their flag; absent if there is none.",
    );
    for (limit, count) in counts(limits) {
        if let Some(count) = count {
            page.sample(&[("limit", limit)], count);
        }
    }
    page.family(
        "strife_lb_limit_bytes",
        Kind::Gauge,
        "Bounds that are sizes, by name of their flag.",
    );
    for (limit, bytes) in sizes(limits) {
        page.sample(&[("limit", limit)], bytes);
    }
    page.family(
        "strife_lb_limit_seconds",
        Kind::Gauge,
        "Bounds that are times, by name of their flag; absent if there is none.",
    );
    for (limit, time) in times(limits) {
        if let Some(time) = time {
            page.sample(&[("limit", limit)], time.as_secs_f64());
        }
    }
}

fn counts(limits: &Limits) -> [(&'static str, Option<u64>); 8] {
    [
        ("max_connections", Some(limits.max_connections as u64)),
        ("max_streams", Some(u64::from(limits.max_streams))),
        ("connections_per_server", Some(limits.connections_per_server as u64)),
        ("streams_per_connection", Some(u64::from(limits.streams_per_connection))),
        ("max_calls_per_server", limits.max_calls_per_server),
        ("max_attempts", Some(limits.max_attempts as u64)),
        ("retry_budget", Some(u64::from(limits.retry_budget_percent))),
        ("min_retries", Some(u64::from(limits.min_retries_per_second))),
    ]
}

fn sizes(limits: &Limits) -> [(&'static str, u64); 3] {
    [
        ("max_header_list", u64::from(limits.max_header_list_bytes)),
        ("stream_window", u64::from(limits.stream_window_bytes)),
        ("max_buffer", limits.max_buffer_bytes as u64),
    ]
}

fn times(limits: &Limits) -> [(&'static str, Option<Duration>); 10] {
    [
        ("ready_timeout", Some(limits.ready_timeout)),
        ("connect_timeout", Some(limits.connect_timeout)),
        ("handshake_timeout", Some(limits.handshake_timeout)),
        ("stall_timeout", Some(limits.stall_timeout)),
        ("keepalive", Some(limits.keepalive)),
        ("keepalive_timeout", Some(limits.keepalive_timeout)),
        ("max_connection_age", limits.max_connection_age),
        ("drain_timeout", Some(limits.drain_timeout)),
        ("health_interval", Some(limits.health_interval)),
        ("health_timeout", Some(limits.health_timeout)),
    ]
}
