//! Logs that replay, logs that do not, and files that are no logs.

use std::{sync::Arc, time::Duration};

use strife_policy::{
    EndpointLoad, Endpoints, Origin, POLICIES, Pick, PickInfo, PickTrace, Ramp, Report, by_spec,
};

use super::*;

fn endpoints() -> Endpoints {
    let endpoint = |n: u32| {
        let load = EndpointLoad::new(&format!("127.0.0.1:{n}"), Ramp::default());
        load.joined(Duration::ZERO);
        (0..n).for_each(|_| load.sent());
        let report = Report {
            in_flight: n,
            service_time_us: 1000 * (n + 1),
            sequence: 1,
            ..Report::default()
        };
        load.report(Duration::from_secs(60), &report).unwrap();
        Arc::new(load)
    };
    (0..5).map(endpoint).collect()
}

/// A log of picks by this policy.
fn log(policy: &str, picks: u64) -> Vec<PickTrace> {
    let made = by_spec(policy).unwrap();
    let picker = made.picker(endpoints(), Duration::from_secs(60));
    let trace = |seed| {
        let origin = Origin { time_unix_ms: seed, pool: "default", policy };
        let (now, info) = (Duration::from_millis(60_000 + 10 * seed), PickInfo::default());
        PickTrace::of_pick(&*picker, origin, info, now, seed)
    };
    (0..picks).map(trace).collect()
}

fn text(traces: &[PickTrace]) -> String {
    traces.iter().map(|trace| serde_json::to_string(trace).unwrap() + "\n").collect()
}

fn same(text: &str) -> Result<Same, Failure> {
    Same::of(Lines::new("picks.jsonl", text.as_bytes()), 10)
}

#[test]
fn a_log_of_every_policy_replays() {
    for kind in POLICIES {
        let found = same(&text(&log(kind.name, 50))).unwrap();
        assert!(
            found.to_string().contains("to the same server:    50\n"),
            "{}:\n{found}",
            kind.name
        );
        assert!(found.verdict().is_ok());
    }
}

#[test]
fn what_went_elsewhere_is_shown_and_fails() {
    let mut traces = log("least_load", 20);
    for trace in &mut traces[..3] {
        let pick = trace.pick.unwrap();
        trace.pick = Some(Pick { index: (pick.index + 1) % 5, ..pick });
    }
    let found = same(&text(&traces)).unwrap();
    let shown = found.to_string();
    assert_eq!(shown.matches("made again: to 127.0.0.1:").count(), 3, "{shown}");
    assert!(shown.contains("to another:            3\n"), "{shown}");
    let failure = found.verdict().unwrap_err();
    assert_eq!(failure.exit_code(), std::process::ExitCode::from(Failure::FAILED));
}

#[test]
fn a_file_that_is_no_log_is_refused_with_the_line() {
    let check = |text: &str, line: &str| {
        let failure = same(text).map(|found| found.to_string()).unwrap_err();
        assert!(failure.to_string().contains(line), "{failure}");
        assert_eq!(failure.exit_code(), std::process::ExitCode::from(Failure::USAGE));
    };
    let good = text(&log("random", 1));
    check("nonsense\n", "picks.jsonl, line 1: ");
    check(&format!("{good}{{\"time\":7}}\n"), "picks.jsonl, line 2: ");
    check(
        &format!("{good}\n{}", good.replace("\"random\"", "\"best\"")),
        "line 3: there is no policy",
    );
    check(&good.replace("\"endpoint_count\":5", "\"endpoint_count\":3"), "line 1: ");
    assert!(same("").unwrap().verdict().is_err(), "nothing is no success");
}

#[test]
fn gaps_and_a_line_that_is_being_written_are_passed_over() {
    let good = text(&log("random", 2));
    let dropped = "{\"time\":\"2026-02-28T12:34:56.000789Z\",\"dropped\":3}\n";
    let found = same(&format!("{good}{dropped}{}", &good[..good.len() / 2 - 10])).unwrap();
    assert!(found.to_string().contains("picks made again:      2\n"), "{found}");
}

#[test]
fn another_policy_says_where_it_would_have_sent_calls() {
    let traces = text(&log("pick_first", 100));
    let found = WhatIf::of(Lines::new("picks.jsonl", traces.as_bytes()), "round_robin").unwrap();
    let shown = found.to_string();
    assert!(shown.starts_with("round_robin would have sent 80 of 100 calls elsewhere (80.0%)\n"));
    assert_eq!(shown.matches("  20\n").count(), 5, "each its turn:\n{shown}");
    let found = WhatIf::of(Lines::new("picks.jsonl", traces.as_bytes()), "pick_first").unwrap();
    assert!(found.to_string().starts_with("pick_first would have sent 0 of 100 calls elsewhere"));
}
