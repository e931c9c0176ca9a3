//! What a run's samples say: percentiles, throughput, how evenly servers were used, and whether the
//! measurement can be trusted.
//!
//! Pure. [`summarize`] computes a [`Summary`]; [`summary_row`], [`server_rows`] and [`timeline_rows`]
//! write it down in the columns of [`crate::results`]; [`phase_rows`] and [`window_rows`] say what a
//! fault did to the run.

use std::{cmp::Reverse, fmt::Write, time::Duration};

use hdrhistogram::Histogram;

use crate::{
    results::{RunKey, ServerRow, SummaryRow, TimelineRow},
    samples::{Counters, Samples, Slice},
};

mod fairness;
mod phases;
#[cfg(test)]
mod tests;
mod verdict;

pub use fairness::Fairness;
pub use phases::{FaultTimes, RECOVERY_FACTOR, SLICE, WINDOW, phase_rows, window_rows};
pub use verdict::Verdict;

/// A percentile is known if at least this many samples lie beyond it.
const SAMPLES_BEYOND: f64 = 10.0;

/// Percentiles of a histogram of microseconds; those that too few samples stand behind are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Percentiles {
    /// The median; known from 20 samples on.
    pub p50: Option<u64>,
    /// Known from 100 samples on.
    pub p90: Option<u64>,
    /// Known from 1,000 samples on.
    pub p99: Option<u64>,
    /// Known from 10,000 samples on.
    pub p999: Option<u64>,
    /// The longest; known from the first sample on.
    pub max: Option<u64>,
}

impl Percentiles {
    /// Of a histogram.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: quantile(histogram, 0.5),
            p90: quantile(histogram, 0.9),
            p99: quantile(histogram, 0.99),
            p999: quantile(histogram, 0.999),
            max: (!histogram.is_empty()).then(|| histogram.max()),
        }
    }
}

/// The value at a quantile, if at least ten samples lie beyond it.
pub fn quantile(histogram: &Histogram<u64>, quantile: f64) -> Option<u64> {
    // Rounded, since 1 - 0.99 is a little less than a hundredth.
    let beyond = (histogram.len() as f64 * (1.0 - quantile) * 1e6).round() / 1e6;
    (beyond >= SAMPLES_BEYOND).then(|| histogram.value_at_quantile(quantile))
}

/// What a run measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Calls a second that were to be sent; `None` in a closed loop.
    pub offered_rps: Option<f64>,
    /// Calls a second answered with status OK within the measured time, but for those that were queued.
    pub achieved_rps: f64,
    /// From the intended send time.
    pub response: Percentiles,
    /// From the real send time.
    pub service: Percentiles,
    /// Between the two.
    pub send_lag: Percentiles,
    /// How evenly the servers were used.
    pub fairness: Fairness,
    /// Whether the measurement can be trusted, and whether the target kept up.
    pub verdict: Verdict,
}

/// Reads a run's samples. `offered_rps`: `None` in a closed loop. `servers`: those that could have
/// answered, so that one that got no call counts too; may be empty.
pub fn summarize(samples: &Samples, offered_rps: Option<f64>, servers: &[String]) -> Summary {
    let achieved_rps = per_second(samples.counters.answered_in_time, samples.wall);
    let calls: Vec<u64> = calls_by_server(samples, servers).into_iter().map(|it| it.1).collect();
    Summary {
        offered_rps,
        achieved_rps,
        response: Percentiles::of(&samples.response()),
        service: Percentiles::of(&samples.service()),
        send_lag: Percentiles::of(&samples.send_lag()),
        fairness: Fairness::of(&calls),
        verdict: Verdict::of(samples, offered_rps.is_some()),
    }
}

fn per_second(count: u64, wall: Duration) -> f64 {
    if wall.is_zero() { 0.0 } else { count as f64 / wall.as_secs_f64() }
}

/// Every known server, then every other that answered.
fn calls_by_server<'a>(samples: &'a Samples, known: &'a [String]) -> Vec<(&'a str, u64)> {
    let calls = |name: &str| {
        samples.servers.iter().find(|server| server.name == name).map_or(0, |server| server.calls)
    };
    let unexpected = samples.servers.iter().filter(|server| !known.contains(&server.name));
    let mut all: Vec<_> = known.iter().map(|name| (name.as_str(), calls(name))).collect();
    all.extend(unexpected.map(|server| (server.name.as_str(), server.calls)));
    all
}

/// The run's row of `summary.csv`; a closed loop offers 0 calls a second. `cpu`: of all processes of
/// the run over what the machine has.
pub fn summary_row(
    key: &RunKey,
    seed: u64,
    cpu: f64,
    samples: &Samples,
    summary: &Summary,
) -> SummaryRow {
    let Summary { response, service, send_lag, fairness, verdict, .. } = summary;
    SummaryRow {
        workload: key.workload.clone(),
        policy: key.policy.clone(),
        clients: key.clients,
        servers: key.servers,
        trial: key.trial,
        offered_rps: summary.offered_rps.unwrap_or(0.0),
        achieved_rps: summary.achieved_rps,
        p50_us: response.p50,
        p90_us: response.p90,
        p99_us: response.p99,
        p999_us: response.p999,
        max_us: response.max,
        errors: samples.counters.all_errors(),
        valid: verdict.is_valid(),
        saturated: verdict.is_saturated(),
        jain: fairness.jain,
        cov: fairness.cov,
        max_over_mean: fairness.max_over_mean,
        duration_s: samples.wall.as_secs_f64(),
        seed,
        sent: samples.counters.sent,
        timeouts: samples.counters.timeouts,
        service_p50_us: service.p50,
        service_p99_us: service.p99,
        send_lag_p99_us: send_lag.p99,
        cpu,
        why: verdict.why(),
        attempts: 1,
        due: samples.counters.due,
        errors_by_code: errors_by_code(&samples.counters),
        fault: key.fault.clone(),
        refused: samples.counters.refused,
        queued: samples.counters.queued,
        bank_fsync_p50_us: None,
        bank_fsync_p99_us: None,
        gateway_fsync_p50_us: None,
        gateway_fsync_p99_us: None,
    }
}

/// `UNAVAILABLE=4666 timeout=538`, the most frequent first.
fn errors_by_code(counters: &Counters) -> String {
    let failed =
        counters.errors.iter().map(|(kind, calls)| (kind.to_string().replace(' ', "_"), *calls));
    let lost = [("timeout".to_owned(), counters.timeouts), ("shed".to_owned(), counters.shed)];
    let mut causes: Vec<(String, u64)> =
        failed.chain(lost).filter(|(_, calls)| *calls > 0).collect();
    causes.sort_by_key(|(_, calls)| Reverse(*calls));
    let pairs: Vec<String> =
        causes.into_iter().map(|(cause, calls)| format!("{cause}={calls}")).collect();
    pairs.join(" ")
}

/// The run's rows of `servers.csv`: every server of `servers` and every other that answered.
pub fn server_rows(key: &RunKey, samples: &Samples, servers: &[String]) -> Vec<ServerRow> {
    let calls = calls_by_server(samples, servers);
    let total: u64 = calls.iter().map(|(_, calls)| calls).sum();
    let row = |(name, calls): (&str, u64)| {
        let answered = samples.servers.iter().find(|server| server.name == name);
        let at = |quantity| answered.and_then(|server| quantile(&server.response, quantity));
        ServerRow {
            workload: key.workload.clone(),
            policy: key.policy.clone(),
            trial: key.trial,
            server: name.to_owned(),
            calls,
            share: if total == 0 { 0.0 } else { calls as f64 / total as f64 },
            p50_us: at(0.5),
            p99_us: at(0.99),
            clients: key.clients,
            servers: key.servers,
            offered_rps: key.rate as f64,
            fault: key.fault.clone(),
        }
    };
    calls.into_iter().map(row).collect()
}

/// The run's rows of `timeline.csv`, one for every slice of the measured time.
pub fn timeline_rows(key: &RunKey, samples: &Samples) -> Vec<TimelineRow> {
    let slices = samples.wall.as_nanos().div_ceil(samples.slice.as_nanos().max(1)) as usize;
    // A slice's histogram is coarser than the run's, and its values are the upper ends of its steps.
    let longest_us = samples.response().max();
    let row = |index: usize| {
        let slice = samples.slices.get(index);
        let at = samples.slice * index as u32;
        let histogram = slice.and_then(|slice| slice.response.as_ref());
        let at_quantile =
            |share| histogram.and_then(|it| quantile(it, share)).map(|us| us.min(longest_us));
        TimelineRow {
            workload: key.workload.clone(),
            policy: key.policy.clone(),
            trial: key.trial,
            at_s: at.as_secs_f64(),
            width_s: samples.slice.min(samples.wall - at).as_secs_f64(),
            calls: slice.map_or(0, |slice| slice.calls),
            errors: slice.map_or(0, |slice| slice.errors),
            queued: slice.map_or(0, |slice| slice.queued),
            p50_us: at_quantile(0.5),
            p99_us: at_quantile(0.99),
            by_server: slice.map(|slice| by_server(samples, slice)).unwrap_or_default(),
            clients: key.clients,
            servers: key.servers,
            offered_rps: key.rate as f64,
            fault: key.fault.clone(),
        }
    };
    (0..slices).map(row).collect()
}

fn by_server(samples: &Samples, slice: &Slice) -> String {
    let mut text = String::new();
    for (server, calls) in samples.servers.iter().zip(&slice.by_server) {
        if *calls > 0 {
            let space = if text.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{space}{}={calls}", server.name);
        }
    }
    text
}
