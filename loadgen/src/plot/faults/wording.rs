//! What the fault charts show, in words.

use super::{
    super::{
        data::Workload,
        numbers::{counted, list, percent},
    },
    standing::{Back, FaultStanding},
};
use crate::summary::{RECOVERY_FACTOR, WINDOW};

/// What it means to be back, for a chart's reading.
pub(crate) fn back_means() -> String {
    format!(
        "back: 99% of calls answered within {RECOVERY_FACTOR}× the p99 of before, in every {} ms from \
         then on",
        WINDOW.as_millis()
    )
}

/// What figures stand for: `3 trials, medians`.
pub(crate) fn over_trials(workloads: &[&Workload]) -> String {
    let trials = workloads.iter().flat_map(|workload| &workload.policies);
    match trials.map(|runs| runs.trials.len()).max().unwrap_or(0) {
        most @ (0 | 1) => counted(most, "trial"),
        most => format!("{}, medians", counted(most, "trial")),
    }
}

/// The answer for one fault: `name` is the workload's, `told` what the fault is.
pub(crate) fn headline(name: &str, told: &str, standings: &[FaultStanding<'_>]) -> String {
    let mut known: Vec<&FaultStanding<'_>> =
        standings.iter().filter(|s| s.during.p99_us.is_some() || s.fails_its_p99()).collect();
    // Whoever fails more calls than the p99 leaves out served the hundredth call worst of all.
    let p99_us = |s: &FaultStanding<'_>| match s.during.p99_us {
        Some(p99) if !s.fails_its_p99() => p99.median,
        _ => f64::INFINITY,
    };
    known.sort_by(|a, b| {
        let failed = a.during.error_share().total_cmp(&b.during.error_share());
        p99_us(a).total_cmp(&p99_us(b)).then(failed)
    });
    let p99 = |s: &FaultStanding<'_>| {
        let during = match s.fails_its_p99() {
            true => format!("{} of calls failed", percent(s.during.error_share())),
            false => s.during.p99(),
        };
        let during = match s.during.queued_share() {
            0.0 => during,
            share => format!("{during} and {} of calls queued", percent(share)),
        };
        format!("{} (p99 {} before, {during} during it)", s.policy, s.before.p99())
    };
    let latency = match known.as_slice() {
        [] => "no policy answered enough calls for a p99".to_owned(),
        [only] => p99(only),
        [best, .., worst] => format!("best served by {}, worst by {}", p99(best), p99(worst)),
    };
    format!("{name}: {told}: {latency}. {}", errors(standings))
}

/// Who worked around one fault, how fast, and who did not.
pub(crate) fn finding(standings: &[FaultStanding<'_>]) -> String {
    let with = |keep: fn(Back) -> bool, say: fn(&FaultStanding<'_>) -> String| -> Vec<String> {
        standings.iter().filter(|s| keep(s.during.back)).map(say).collect()
    };
    let name = |s: &FaultStanding<'_>| s.policy.to_owned();
    let unfelt = with(|back| back == Back::After(0.0), name);
    let around = with(
        |back| matches!(back, Back::After(seconds) if seconds > 0.0),
        |s| format!("{} after {}", s.policy, s.during.back.text()),
    );
    let not = with(
        |back| matches!(back, Back::NotWithin(_)),
        |s| format!("{} (back {} after its end)", s.policy, s.after.back.text()),
    );
    let parts =
        [("Not felt under", unfelt), ("Worked around by", around), ("Felt to its end under", not)];
    let parts = parts.iter().filter(|(_, policies)| !policies.is_empty());
    let said: Vec<String> =
        parts.map(|(what, policies)| format!("{what} {}.", list(policies))).collect();
    format!("{} {}", said.join(" "), errors(standings)).trim().to_owned()
}

fn errors(standings: &[FaultStanding<'_>]) -> String {
    let failed = standings.iter().filter(|s| s.error_share() > 0.0);
    let failed: Vec<String> =
        failed.map(|s| format!("{} under {}", percent(s.error_share()), s.policy)).collect();
    let failed = match failed.len() {
        0 => "No call failed from its beginning on.".to_owned(),
        _ => format!("Calls that failed from its beginning on: {}.", list(&failed)),
    };
    failed + &queued(standings)
}

/// Calls that were queued, if any were.
fn queued(standings: &[FaultStanding<'_>]) -> String {
    let queued = standings.iter().filter(|s| s.queued_share() > 0.0);
    let queued: Vec<String> =
        queued.map(|s| format!("{} under {}", percent(s.queued_share()), s.policy)).collect();
    match queued.len() {
        0 => String::new(),
        _ => format!(" Calls that were queued: {}.", list(&queued)),
    }
}

/// All faults together: by policy how many were worked around, how fast, and what they cost.
pub(crate) fn overall(faults: &[(String, Vec<FaultStanding<'_>>)]) -> String {
    let mut policies: Vec<&str> = Vec::new();
    for standing in faults.iter().flat_map(|(_, standings)| standings) {
        if !policies.contains(&standing.policy) {
            policies.push(standing.policy);
        }
    }
    let of = |policy: &str| -> Vec<&FaultStanding<'_>> {
        let all = faults.iter().flat_map(|(_, standings)| standings);
        all.filter(|standing| standing.policy == policy).collect()
    };
    let mut told: Vec<(usize, f64, String)> = Vec::new();
    for policy in policies {
        let standings = of(policy);
        let backs = standings.iter().map(|s| s.during.back.seconds());
        let finite: Vec<f64> = backs.filter(|seconds| seconds.is_finite()).collect();
        let longest = finite.iter().copied().fold(0.0, f64::max);
        let share = standings.iter().map(|s| s.error_share()).fold(0.0, f64::max);
        let felt = match finite.len() {
            0 => String::new(),
            _ if longest == 0.0 => ", at once".to_owned(),
            _ => format!(", after at most {longest:.1} s"),
        };
        let line = format!(
            "{policy} {} of {}{felt} (at most {} of calls failed)",
            finite.len(),
            standings.len(),
            percent(share)
        );
        told.push((finite.len(), share, line));
    }
    told.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.total_cmp(&b.1)));
    let lines: Vec<String> = told.into_iter().map(|(_, _, line)| line).collect();
    format!(
        "Of {}, worked around while they lasted: {}.",
        counted(faults.len(), "fault"),
        lines.join("; ")
    )
}
