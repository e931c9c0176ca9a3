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
    let said = headline("bank", None, &standings);
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
    let said = headline("bank", None, &standings);
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
    let said = headline("bank", None, &standings);
    assert!(said.contains("least_load serves best"), "{said}");
    assert!(said.contains("not served in full under pick_first."), "{said}");

    let alone = ranked(&[("pick_first", fast)]);
    assert_eq!(verdict(&alone), Verdict::NoneServes);
    assert!(headline("bank", None, &alone).contains("not ranked; pick_first answered most"));
}

#[test]
fn failed_calls_disqualify_and_are_mentioned() {
    let mut failing = runs("pick_first", &[10, 11, 12]);
    failing.iter_mut().for_each(|row| row.errors = row.sent / 50);
    let mut shaky = runs("least_load", &[20, 21, 22]);
    shaky.iter_mut().for_each(|row| row.errors = row.sent / 500);
    let standings = ranked(&[("pick_first", failing), ("least_load", shaky)]);
    assert_eq!(names(&standings), ["least_load", "pick_first"]);
    let said = headline("bank", None, &standings);
    assert!(said.contains("0.20% of least_load's calls failed."), "{said}");
    assert!(on_throughput(&standings).contains("2.00% under pick_first"));
}

#[test]
fn one_policy_is_not_called_best() {
    let standings = ranked(&[("least_load", runs("least_load", &[40, 42, 41]))]);
    assert!(matches!(verdict(&standings), Verdict::Alone(_)));
    let said = headline("bank", None, &standings);
    assert!(said.contains("only least_load was measured") && !said.contains("best"), "{said}");
}

#[test]
fn one_trial_is_only_a_hint() {
    let standings = ranked(&[
        ("round_robin", runs("round_robin", &[90])),
        ("least_load", runs("least_load", &[40])),
    ]);
    assert!(matches!(verdict(&standings), Verdict::Hint(best) if best.policy == "least_load"));
    assert!(headline("bank", None, &standings).contains("one trial cannot tell"));
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

#[test]
fn several_cells_name_the_one_the_verdict_is_about() {
    let standings = ranked(&[("least_load", runs("least_load", &[40, 42, 41]))]);
    let said = headline("bank", Some("128 clients, 12 servers, 2,000 calls/s"), &standings);
    assert!(said.starts_with("bank: at 128 clients, 12 servers, 2,000 calls/s: only"), "{said}");
}

#[test]
fn a_schedule_below_the_plan_is_not_the_policys_fault() {
    let mut rows = runs("least_load", &[40, 42, 41]);
    for row in &mut rows {
        (row.due, row.sent, row.achieved_rps, row.offered_rps) = (2_420, 2_420, 242.0, 250.0);
    }
    let said = on_throughput(&ranked(&[("least_load", rows.clone())]));
    assert!(said.starts_with("Every policy answered at least 99%"), "{said}");
    assert!(said.contains("Planned were 250 calls/s") && said.contains("held 242,"), "{said}");
    rows.iter_mut().for_each(|row| row.achieved_rps = 230.0);
    let said = on_throughput(&ranked(&[("least_load", rows)]));
    assert!(said.contains("were due were answered: least_load 95.0%"), "{said}");
}

#[test]
fn the_worst_is_named_with_its_ratio() {
    let standings = ranked(&[
        ("pick_first", runs("pick_first", &[40, 42, 41])),
        ("least_load", runs("least_load", &[41, 43, 42])),
        ("round_robin", runs("round_robin", &[80, 84, 82])),
    ]);
    let said = headline("payments", None, &standings);
    assert!(said.contains("; round_robin is worst: 82.0 ms (80.0–84.0 ms), 2.00× pick_"), "{said}");
}

#[test]
fn failed_calls_are_one_number_and_explained() {
    let mut rows = runs("pick_first", &[10, 11, 12]);
    for (row, errors) in rows.iter_mut().zip([200, 400, 9_000]) {
        row.errors = errors;
        row.errors_by_code = format!("timeout={} UNAVAILABLE=150", errors - 150);
    }
    let standings = ranked(&[("pick_first", rows)]);
    assert_eq!(standings[0].error_share.median, 0.02, "the median over trials");
    assert!(on_throughput(&standings).contains("failed calls: 2.00% under pick_first"));
    let said = on_errors(&standings).unwrap();
    assert!(said.ends_with("pick_first: timeout 9,150 and UNAVAILABLE 450."), "{said}");
    assert_eq!(on_errors(&ranked(&[("a", runs("a", &[1]))])), None);
}
