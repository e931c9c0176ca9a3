//! How a run ends: well, with too many failed calls, or with a measurement that is not valid.

use std::fs;

use strife_runtime::Failure;

use super::report;
use crate::{
    samples::{Counters, Samples},
    summary::Verdict,
};

#[cfg(test)]
mod tests;

/// A run of which a larger part failed says so before anything else,
const MAX_FAILED_UNSAID: f64 = 0.01;
/// and one of which a larger part failed is a failure.
const MAX_FAILED: f64 = 0.5;

/// The part of the calls that were due and failed, timed out or were shed.
fn failed_part(counters: &Counters) -> f64 {
    if counters.due == 0 { 0.0 } else { counters.all_errors() as f64 / counters.due as f64 }
}

/// The line that tells of failed calls, if they are more than a few.
pub(super) fn failed_calls(samples: &Samples) -> Option<String> {
    let (counters, part) = (&samples.counters, failed_part(&samples.counters));
    (part > MAX_FAILED_UNSAID).then(|| {
        let (failed, due, percent) = (counters.all_errors(), counters.due, part * 100.0);
        format!("FAILED {percent:.1}% of calls ({failed} of {due}): {}", causes(samples))
    })
}

fn causes(samples: &Samples) -> String {
    let causes = report::errors(samples).into_iter();
    causes.map(|(cause, count)| format!("{cause}={count}")).collect::<Vec<_>>().join(", ")
}

/// A run in which most calls failed, or whose measurement cannot be trusted, is not a success.
/// `busy`: from [`busy_machine`].
pub(super) fn judge(
    samples: &Samples,
    verdict: &Verdict,
    busy: Option<&str>,
) -> Result<(), Failure> {
    let counters = &samples.counters;
    if samples.stopped_early && counters.due == 0 {
        return Err(Failure::new("stopped before anything was measured"));
    }
    if counters.all_errors() > 0 && counters.ok + counters.refused + counters.queued == 0 {
        return Err(Failure::new(format!(
            "no call succeeded ({}); check the target, the authority and the request",
            causes(samples)
        )));
    }
    if failed_part(counters) > MAX_FAILED {
        let remedy = match counters.failed() > counters.timeouts + counters.shed {
            true => "check the target, the authority and the request",
            false => "lower the rate or raise --timeout",
        };
        return Err(Failure::new(format!(
            "{} of {} calls failed ({}); {remedy}",
            counters.all_errors(),
            counters.due,
            causes(samples)
        )));
    }
    if !verdict.is_valid() {
        let remedy = "lower the rate, add --threads, or free the machine";
        return Err(Failure::invalid_measurement(format!(
            "the measurement is not valid: {}; {}",
            verdict.invalid.join("; "),
            busy.unwrap_or(remedy)
        )));
    }
    Ok(())
}

/// What to do about a machine that has more to do than it has cores; `None` if it has not, or does
/// not tell. `lower`: the flag that makes for less load.
pub(super) fn busy_machine(lower: &str) -> Option<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    busy(&fs::read_to_string("/proc/loadavg").ok()?, cores, lower)
}

/// `loadavg`: the text of `/proc/loadavg`, whose first number is the last minute's (proc(5)).
fn busy(loadavg: &str, cores: usize, lower: &str) -> Option<String> {
    let load: f64 = loadavg.split_whitespace().next()?.parse().ok()?;
    (load > cores as f64).then(|| {
        format!(
            "the machine is busy: load average {load:.1} on {cores} cores; quiet it or lower {lower}"
        )
    })
}
