//! The findings in words: the headline of a workload and the sentences below its charts.

use super::{
    super::numbers::{count, counted, list, percent, quantity},
    BASELINE, Standing, Verdict, verdict,
};

/// A policy that answered less than this share of what was due fell behind.
const KEPT_UP: f64 = 0.99;
/// From this share of failed calls on, an answer about latency mentions them.
const MENTIONED_ERROR_SHARE: f64 = 0.001;

/// The answer: which policy serves best, and how evenly. `cell`: which of several it is about.
pub(crate) fn headline(workload: &str, cell: Option<&str>, standings: &[Standing]) -> String {
    let answer = match verdict(standings) {
        Verdict::Unknown => {
            "no valid run has enough calls for a p99, so no policy is ranked".into()
        }
        Verdict::Alone(only) => {
            format!("only {} was measured: p99 {}", only.policy, p99(only))
        }
        Verdict::NoneServes => {
            let achieved = |standing: &Standing| standing.achieved_rps.map_or(0.0, |r| r.median);
            let best = standings.iter().max_by(|a, b| achieved(a).total_cmp(&achieved(b)));
            let most = best.map_or_else(String::new, |best| {
                format!("; {} answered most, {} calls/s", best.policy, quantity(achieved(best)))
            });
            format!("no policy served all that was offered, so latencies are not ranked{most}")
        }
        Verdict::Hint(best) => format!(
            "{} had the lowest p99, {}{}{}, but one trial cannot tell a difference from chance",
            best.policy,
            p99(best),
            against(best, standings),
            worst(&[best], compared(best, standings), standings)
        ),
        Verdict::Clear(best) => format!(
            "{} serves best: p99 {} over {}{}{}",
            best.policy,
            p99(best),
            counted(best.usable(), "trial"),
            against(best, standings),
            worst(&[best], compared(best, standings), standings)
        ),
        Verdict::Tie { best, rivals } => {
            let mut names = vec![best.policy.as_str()];
            names.extend(rivals.iter().map(|rival| rival.policy.as_str()));
            let tied: Vec<&Standing> = std::iter::once(best).chain(rivals).collect();
            let each: Vec<String> =
                tied.iter().map(|s| format!("{} {}", s.policy, p99(s))).collect();
            format!(
                "no clear difference in p99 between {}, whose ranges meet: {}{}",
                list(&names),
                list(&each),
                worst(&tied, None, standings)
            )
        }
    };
    let failing = standings
        .first()
        .filter(|best| best.p99_us.is_some() && best.error_share.median >= MENTIONED_ERROR_SHARE)
        .map(|best| {
            format!(" {} of {}'s calls failed.", percent(best.error_share.median), best.policy)
        });
    let cell = cell.map_or_else(String::new, |cell| format!("at {cell}: "));
    format!(
        "{workload}: {cell}{answer}.{}{}{}",
        overwhelmed(standings),
        failing.unwrap_or_default(),
        evenness(standings)
    )
}

/// Names the policies that some others outdo by serving the load at all.
fn overwhelmed(standings: &[Standing]) -> String {
    let (serving, rest): (Vec<&Standing>, Vec<&Standing>) =
        standings.iter().filter(|s| s.usable() > 0).partition(|standing| standing.serves());
    let rest: Vec<&str> = rest.iter().map(|standing| standing.policy.as_str()).collect();
    if serving.is_empty() || rest.is_empty() {
        return String::new();
    }
    format!(" What was offered was not served in full under {}.", list(&rest))
}

fn p99(standing: &Standing) -> String {
    standing.p99_us.map_or_else(|| "unknown".into(), |p99| p99.as_time())
}

/// Whom the best is compared with: the baseline, or the runner-up where the best is the baseline
/// itself or the baseline has no ratio.
fn compared<'s>(best: &Standing, standings: &'s [Standing]) -> Option<&'s Standing> {
    let others = || standings.iter().filter(|s| s.policy != best.policy && s.p99_us.is_some());
    let baseline = others().find(|s| s.policy == BASELINE && best.ratio.is_some());
    baseline.or_else(|| others().find(|s| s.serves()))
}

/// `, 0.46× (0.44–0.49×) of round_robin's`, or `; next is …`.
fn against(best: &Standing, standings: &[Standing]) -> String {
    match (compared(best, standings), best.ratio) {
        (Some(other), Some(ratio)) if other.policy == BASELINE => {
            format!(", {} of {BASELINE}'s", ratio.as_ratio())
        }
        (Some(other), _) => format!("; next is {} with {}", other.policy, p99(other)),
        (None, _) => String::new(),
    }
}

/// `; round_robin is worst: 56.9 ms, 2.20× (2.10–2.30×) least_load's`, of those that serve the load;
/// nothing if the words before name it already.
fn worst(best: &[&Standing], named: Option<&Standing>, standings: &[Standing]) -> String {
    let mut serving = standings.iter().filter(|s| s.serves() && s.p99_us.is_some());
    let worst = serving.next_back().filter(|worst| !best.contains(worst) && named != Some(worst));
    let (Some(worst), Some(first)) = (worst, best.first()) else { return String::new() };
    let ratio = worst.ratio_to(first);
    let ratio = ratio
        .map_or_else(String::new, |ratio| format!(", {} {}'s", ratio.as_ratio(), first.policy));
    format!("; {} is worst: {}{ratio}", worst.policy, p99(worst))
}

/// Who spreads calls most evenly, and how evenly the best by latency does.
fn evenness(standings: &[Standing]) -> String {
    let known: Vec<(&Standing, f64)> =
        standings.iter().filter_map(|s| Some((s, s.jain?.median))).collect();
    let Some((most, jain)) = known.iter().max_by(|(_, one), (_, other)| one.total_cmp(other))
    else {
        return String::new();
    };
    let mut text = match known.len() {
        1 => format!(" Its Jain index of calls per server is {jain:.3}"),
        _ => format!(" Calls are spread most evenly by {} (Jain {jain:.3})", most.policy),
    };
    let best = known.iter().find(|(standing, _)| standing.p99_us.is_some());
    if let Some((best, jain)) = best.filter(|(best, _)| best.policy != most.policy) {
        text += &format!(", {} reaches {jain:.3}", best.policy);
    }
    text + "."
}

/// The percentile chart's finding.
pub(crate) fn on_latency(standings: &[Standing]) -> String {
    let part = |standing: &Standing| {
        let p99 = standing.p99_us.as_ref()?;
        let ratio = standing
            .ratio
            .filter(|_| standing.policy != BASELINE)
            .map_or_else(String::new, |ratio| format!(", {} {BASELINE}'s", ratio.as_ratio()));
        let meets = standing.ratio.is_some_and(|r| r.low <= 1.0 && r.high >= 1.0);
        let unclear =
            if meets && standing.policy != BASELINE { ", no clear difference" } else { "" };
        Some(format!("{} {}{ratio}{unclear}", standing.policy, p99.as_time()))
    };
    let parts: Vec<String> = standings.iter().filter_map(part).collect();
    if parts.is_empty() {
        return "No valid run has enough calls for a p99.".into();
    }
    format!("p99, median and range over valid trials: {}.", parts.join("; "))
}

/// The throughput chart's finding.
pub(crate) fn on_throughput(standings: &[Standing]) -> String {
    let shares: Vec<(&Standing, f64)> =
        standings.iter().filter_map(|s| Some((s, s.answered_share?.median))).collect();
    let behind: Vec<String> = shares
        .iter()
        .filter(|(_, share)| *share < KEPT_UP)
        .map(|(standing, share)| format!("{} {}", standing.policy, percent(*share)))
        .collect();
    let kept = if shares.is_empty() {
        "Nothing was offered at a rate of its own, or no run is valid".to_owned()
    } else if behind.is_empty() {
        "Every policy answered at least 99% of the calls that were due".to_owned()
    } else {
        format!("Less than 99% of the calls that were due were answered: {}", list(&behind))
    };
    let failed: Vec<String> = standings
        .iter()
        .filter(|standing| standing.errors > 0)
        .map(|s| format!("{} under {}", percent(s.error_share.median), s.policy))
        .collect();
    let errors = match failed.len() {
        0 => "no call failed".to_owned(),
        _ => format!("failed calls: {}", list(&failed)),
    };
    format!("{kept}; {errors}. {}", on_due(standings))
}

/// What was due beside what was planned.
fn on_due(standings: &[Standing]) -> String {
    let due = || standings.iter().filter_map(|standing| standing.due_rps);
    let planned = standings.first().map_or(0.0, |standing| standing.planned_rps);
    let low = due().map(|due| due.low).fold(f64::MAX, f64::min);
    let high = due().map(|due| due.high).fold(0.0, f64::max);
    if low > high {
        return String::new();
    }
    let (low, high) = (quantity(low), quantity(high));
    let range = if low == high { low } else { format!("{low}–{high}") };
    format!(
        "Planned were {} calls/s; the seeds' random schedules held {range}, and that is what was due.",
        quantity(planned)
    )
}

/// What failed calls died of, policy by policy; nothing if none failed.
pub(crate) fn on_errors(standings: &[Standing]) -> Option<String> {
    let of_policy = |standing: &Standing| {
        let causes: Vec<String> = standing
            .causes
            .iter()
            .map(|(cause, calls)| format!("{cause} {}", count(*calls as f64)))
            .collect();
        (!causes.is_empty()).then(|| format!("{}: {}", standing.policy, list(&causes)))
    };
    let policies: Vec<String> = standings.iter().filter_map(of_policy).collect();
    (!policies.is_empty())
        .then(|| format!("Failed calls of all trials by cause. {}.", policies.join("; ")))
}
