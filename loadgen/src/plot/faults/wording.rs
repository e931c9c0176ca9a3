//! What the fault charts show, in words.

use super::{
    super::numbers::{counted, list, percent},
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

/// The answer for one fault: `name` is the workload's, `told` what the fault is.
pub(crate) fn headline(name: &str, told: &str, standings: &[FaultStanding<'_>]) -> String {
    let during = |s: &FaultStanding<'_>| s.during.p99_us.map(|p99| p99.median);
    let mut known: Vec<&FaultStanding<'_>> =
        standings.iter().filter(|s| during(s).is_some()).collect();
    known.sort_by(|a, b| during(a).unwrap_or(0.0).total_cmp(&during(b).unwrap_or(0.0)));
    let p99 = |s: &FaultStanding<'_>| {
        format!("{} (p99 {} before, {} during it)", s.policy, s.before.p99(), s.during.p99())
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
    match failed.len() {
        0 => "No call failed from its beginning on.".to_owned(),
        _ => format!("Calls that failed from its beginning on: {}.", list(&failed)),
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
