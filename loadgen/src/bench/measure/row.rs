//! From clocks and counts to a row of `runs.csv`, and whether it can be trusted. Pure.

use std::time::{Duration, Instant};

use super::{
    super::{
        plan::{Cell, Due},
        traffic::{Times, percentile_us},
    },
    Timing,
};
use crate::results::peers::{PeerRunRow, Phase};

/// A paced call that is sent later was kept by the load, not by the proxy (DESIGN.md §6).
const MOST_SEND_LAG_US: f64 = 1000.0;
/// Load that uses more of its core than this has none to spare.
const BUSY: f64 = 0.97;
/// A proxy that uses less of its core than this is not what limits a closed loop.
const PROXY_BUSY: f64 = 0.9;
/// A proxy that waits longer for its core, as a share of the time, is not alone on it.
const MOST_WAITED: f64 = 0.1;
/// Of paced calls, what may be unanswered at the end before the proxy counts as left behind.
const MOST_UNFINISHED: f64 = 0.01;

/// Clocks and counts at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) at: Instant,
    /// CPU of the proxy's processes, and of load and servers.
    pub(super) proxy: Duration,
    pub(super) proxy_waited: Duration,
    pub(super) load: Duration,
    pub(super) calls: u64,
}

/// What else was seen at the end.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) errors: u64,
    pub(super) first_error: String,
    pub(super) memory_kib: u64,
}

/// A run that came to its end.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) first: Mark,
    pub(super) last: Mark,
    pub(super) times: Times,
    pub(super) seen: Seen,
}

/// The row of a run; `outcome` is why it came to no end, otherwise.
pub(super) fn row(
    due: Due,
    timing: Timing,
    before_kib: u64,
    outcome: Result<Measured, String>,
) -> PeerRunRow {
    let nothing = empty(due, timing);
    match outcome {
        Ok(measured) => judged(PeerRunRow { memory_kib_before: before_kib, ..nothing }, measured),
        Err(why) => PeerRunRow { errors: 1, valid: false, why, ..nothing },
    }
}

fn empty(due: Due, timing: Timing) -> PeerRunRow {
    let Cell { tls, shape, message_bytes } = due.cell;
    PeerRunRow {
        phase: timing.phase,
        round: due.round,
        proxy: due.proxy.name().to_owned(),
        tls,
        connections: shape.connections,
        streams: shape.streams,
        message_bytes,
        offered_per_s: timing.pace.map_or(0.0, |pace| rounded(pace.per_second, 1)),
        seconds: 0.0,
        calls: 0,
        errors: 0,
        calls_per_s: 0.0,
        cpu_us_per_call: None,
        proxy_busy: 0.0,
        proxy_waited: 0.0,
        load_busy: 0.0,
        p50_us: None,
        p90_us: None,
        p99_us: None,
        p999_us: None,
        max_us: None,
        send_lag_p99_us: None,
        memory_kib_before: 0,
        memory_kib_after: 0,
        valid: true,
        why: String::new(),
    }
}

fn judged(row: PeerRunRow, measured: Measured) -> PeerRunRow {
    let Measured { first, last, times, seen } = measured;
    let seconds = last.at.saturating_duration_since(first.at).as_secs_f64().max(f64::EPSILON);
    let proxy_s = last.proxy.saturating_sub(first.proxy).as_secs_f64();
    let waited_s = last.proxy_waited.saturating_sub(first.proxy_waited).as_secs_f64();
    let load_s = last.load.saturating_sub(first.load).as_secs_f64();
    let calls = last.calls.saturating_sub(first.calls);
    let percentile = |share| percentile_us(&times.latency, share).map(|us| rounded(us, 2));
    let mut row = PeerRunRow {
        seconds: rounded(seconds, 4),
        calls,
        errors: seen.errors,
        calls_per_s: rounded(calls as f64 / seconds, 1),
        cpu_us_per_call: (calls > 0).then(|| rounded(proxy_s * 1e6 / calls as f64, 3)),
        proxy_busy: rounded(proxy_s / seconds, 3),
        proxy_waited: rounded(waited_s / seconds, 3),
        load_busy: rounded(load_s / seconds, 3),
        p50_us: percentile(0.5),
        p90_us: percentile(0.9),
        p99_us: percentile(0.99),
        p999_us: percentile(0.999),
        max_us: (!times.latency.is_empty()).then(|| times.latency.max() as f64 / 1e3),
        send_lag_p99_us: percentile_us(&times.send_lag, 0.99).map(|us| rounded(us, 2)),
        memory_kib_after: seen.memory_kib,
        ..row
    };
    (row.valid, row.why) = verdict(&row, &seen, times.unfinished);
    row
}

/// Whether a run can be trusted, and what must be known of it.
fn verdict(row: &PeerRunRow, seen: &Seen, unfinished: u64) -> (bool, String) {
    let untrusted = |why: String| (false, why);
    if row.errors > 0 {
        return untrusted(format!(
            "{} calls or connections failed: {}",
            row.errors, seen.first_error
        ));
    }
    if row.calls == 0 {
        return untrusted("no call was answered".to_owned());
    }
    let others = || format!("something else had its core for {:.0}%", row.proxy_waited * 100.0);
    let left_behind = unfinished as f64 > MOST_UNFINISHED * (row.calls + unfinished) as f64;
    match row.phase {
        // Latency is then the scheduler's. CPU per call stands.
        Phase::Paced if row.proxy_waited > MOST_WAITED => untrusted(others()),
        Phase::Saturated if row.proxy_waited > MOST_WAITED => (true, others()),
        Phase::Paced if left_behind => (
            true,
            format!(
                "SATURATED: {unfinished} calls had no answer at the end; it cannot keep this pace"
            ),
        ),
        Phase::Paced if row.send_lag_p99_us.is_some_and(|lag| lag > MOST_SEND_LAG_US) => {
            untrusted("calls were sent too late: the load had not enough CPU".to_owned())
        }
        Phase::Saturated if row.load_busy > BUSY && row.proxy_busy < PROXY_BUSY => {
            (true, "load and servers were the limit: the proxy can carry more calls/s".to_owned())
        }
        Phase::Paced | Phase::Saturated | Phase::Idle => (true, String::new()),
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests;
