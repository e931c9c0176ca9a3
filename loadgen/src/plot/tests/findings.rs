//! What is said about made-up summaries.

use super::{super::findings::*, fixture::workload_rows};
use crate::results::SummaryRow;

/// Runs of a policy with the given p99, ms, one per trial.
fn runs(policy: &str, p99_ms: &[u64]) -> Vec<SummaryRow> {
    let template = &workload_rows("bank", &["round_robin"], 128)[0];
    let row = |(index, ms): (usize, &u64)| SummaryRow {
        policy: policy.into(),
        trial: index as u32 + 1,
        p99_us: Some(ms * 1_000),
        ..template.clone()
    };
    p99_ms.iter().enumerate().map(row).collect()
}

fn ranked(policies: &[(&str, Vec<SummaryRow>)]) -> Vec<Standing> {
    standings(policies)
}

fn names(standings: &[Standing]) -> Vec<&str> {
    standings.iter().map(|standing| standing.policy.as_str()).collect()
}

#[test]
fn a_clear_win_has_ranges_apart() {
    let standings = ranked(&[
        ("round_robin", runs("round_robin", &[80, 100, 90])),
        ("least_load", runs("least_load", &[40, 42, 41])),
    ]);
    assert!(matches!(verdict(&standings), Verdict::Clear(best) if best.policy == "least_load"));
    let ratio = standings[0].ratio.unwrap();
    assert!((ratio.low - 0.42).abs() < 1e-9 && (ratio.high - 0.5).abs() < 1e-9, "by trial");
    let said = headline("bank", &standings);
    assert!(said.starts_with("bank: least_load serves best: p99 41.0 ms (40.0–42.0 ms)"), "{said}");
    assert!(said.contains("0.46× (0.42–0.50×) of round_robin's"), "{said}");
}

#[test]
fn ranges_that_meet_are_no_clear_difference() {
    let standings = ranked(&[
        ("round_robin", runs("round_robin", &[80, 100, 90])),
        ("least_load", runs("least_load", &[40, 81, 41])),
        ("pick_first", runs("pick_first", &[300, 310, 320])),
    ]);
    let Verdict::Tie { best, rivals } = verdict(&standings) else { panic!("not a tie") };
    assert_eq!((best.policy.as_str(), rivals.len()), ("least_load", 1));
    let said = headline("bank", &standings);
    assert!(
        said.contains("no clear difference in p99 between least_load and round_robin"),
        "{said}"
    );
    assert!(!said.contains("best"), "{said}");
}

#[test]
fn a_saturated_policy_ranks_last_whatever_its_latency() {
    let mut fast = runs("pick_first", &[10, 11, 12]);
    fast.iter_mut().for_each(|row| row.saturated = true);
    let standings =
        ranked(&[("pick_first", fast.clone()), ("least_load", runs("least_load", &[40, 42, 41]))]);
    assert_eq!(names(&standings), ["least_load", "pick_first"]);
    let said = headline("bank", &standings);
    assert!(said.contains("least_load serves best"), "{said}");
    assert!(said.contains("not served in full under pick_first."), "{said}");

    let alone = ranked(&[("pick_first", fast)]);
    assert_eq!(verdict(&alone), Verdict::NoneServes);
    assert!(headline("bank", &alone).contains("not ranked; pick_first answered most"));
}

#[test]
fn failed_calls_disqualify_and_are_mentioned() {
    let mut failing = runs("pick_first", &[10, 11, 12]);
    failing.iter_mut().for_each(|row| row.errors = row.sent / 50);
    let mut shaky = runs("least_load", &[20, 21, 22]);
    shaky.iter_mut().for_each(|row| row.errors = row.sent / 500);
    let standings = ranked(&[("pick_first", failing), ("least_load", shaky)]);
    assert_eq!(names(&standings), ["least_load", "pick_first"]);
    let said = headline("bank", &standings);
    assert!(said.contains("0.20% of least_load's calls failed."), "{said}");
    assert!(on_throughput(&standings).contains("under pick_first (2.00%)"));
}

#[test]
fn one_policy_is_not_called_best() {
    let standings = ranked(&[("least_load", runs("least_load", &[40, 42, 41]))]);
    assert!(matches!(verdict(&standings), Verdict::Alone(_)));
    let said = headline("bank", &standings);
    assert!(said.contains("only least_load was measured") && !said.contains("best"), "{said}");
}

#[test]
fn one_trial_is_only_a_hint() {
    let standings = ranked(&[
        ("round_robin", runs("round_robin", &[90])),
        ("least_load", runs("least_load", &[40])),
    ]);
    assert!(matches!(verdict(&standings), Verdict::Hint(best) if best.policy == "least_load"));
    assert!(headline("bank", &standings).contains("one trial cannot tell"));
}

#[test]
fn invalid_runs_count_for_nothing() {
    let mut some = runs("least_load", &[1, 42, 41]);
    some[0].valid = false;
    let mut none = runs("round_robin", &[5, 5, 5]);
    none.iter_mut().for_each(|row| row.valid = false);
    let standings = ranked(&[("round_robin", none), ("least_load", some)]);
    assert_eq!(names(&standings), ["least_load", "round_robin"]);
    assert!((standings[0].p99_us.unwrap().low - 41_000.0).abs() < 1e-9);
    assert_eq!(standings[1].p99_us, None);
    assert_eq!(standings[0].ratio, None, "no valid run to compare with");
}

#[test]
fn nothing_known_is_said_so() {
    let mut rows = runs("least_load", &[1, 2]);
    rows.iter_mut().for_each(|row| row.p99_us = None);
    let standings = ranked(&[("least_load", rows)]);
    assert_eq!(verdict(&standings), Verdict::Unknown);
    assert!(on_latency(&standings).contains("enough calls"));
    assert_eq!(verdict(&[]), Verdict::Unknown);
}

#[test]
fn spreads() {
    assert_eq!(Spread::of([f64::NAN].into_iter()), None);
    let spread = Spread::of([4.0, 1.0, 2.0, f64::INFINITY, 3.0].into_iter()).unwrap();
    assert_eq!((spread.median, spread.low, spread.high), (2.5, 1.0, 4.0));
    assert_eq!(Spread::of([1.0].into_iter()).unwrap().as_ratio(), "1.00×");
}
