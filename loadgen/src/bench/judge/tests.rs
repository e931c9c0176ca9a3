//! Ratios within rounds, the best peer, and goals.

use super::*;

/// A run of a closed loop at 16x8 with 100 B.
fn run(proxy: Proxy, round: u32, cpu_us: f64) -> PeerRunRow {
    PeerRunRow {
        phase: Phase::Saturated,
        round,
        proxy: proxy.name().to_owned(),
        tls: false,
        connections: 16,
        streams: 8,
        message_bytes: 100,
        offered_per_s: 0.0,
        seconds: 1.0,
        calls: 1000,
        errors: 0,
        calls_per_s: 1e6 / cpu_us,
        cpu_us_per_call: Some(cpu_us),
        proxy_busy: 1.0,
        proxy_waited: 0.0,
        load_busy: 0.5,
        p50_us: Some(50.0),
        p90_us: None,
        p99_us: Some(90.0),
        p999_us: None,
        max_us: None,
        send_lag_p99_us: None,
        memory_kib_before: 1000,
        memory_kib_after: 1160,
        valid: true,
        why: String::new(),
    }
}

/// Three rounds in which the machine gets twice as slow each time, for all alike.
fn runs() -> Vec<PeerRunRow> {
    let mut runs = Vec::new();
    for (round, slow) in [(1, 1.0), (2, 2.0), (3, 4.0)] {
        for (proxy, cpu_us) in [
            (Proxy::Strife, 3.0),
            (Proxy::Haproxy, 15.0),
            (Proxy::Envoy, 30.0),
            (Proxy::TcpCopy, 2.5),
        ] {
            runs.push(run(proxy, round, cpu_us * slow));
        }
    }
    runs
}

fn find<'a>(rows: &'a [PeerSummaryRow], measure: &str, proxy: Proxy) -> &'a PeerSummaryRow {
    let found = rows.iter().find(|row| row.measure == measure && row.proxy == proxy.name());
    found.unwrap_or_else(|| panic!("no {measure} of {proxy}"))
}

#[test]
fn ratios_are_taken_within_a_round() {
    let rows = summary(&runs());
    let ours = find(&rows, CPU, Proxy::Strife);
    assert_eq!((ours.median, ours.min, ours.max, ours.rounds), (6.0, 3.0, 12.0, 3));
    assert_eq!(ours.best_peer, "haproxy");
    let vs_best = (ours.vs_best_min, ours.vs_best_median, ours.vs_best_max);
    assert_eq!(vs_best, (Some(0.2), Some(0.2), Some(0.2)), "however slow the machine was");
    assert_eq!(ours.vs_copy_median, Some(1.2));
}

#[test]
fn more_calls_are_better() {
    let rows = summary(&runs());
    let calls = find(&rows, CALLS, Proxy::Strife);
    assert_eq!(calls.best_peer, "haproxy");
    assert_eq!(calls.vs_best_median, Some(5.0));
    assert_eq!(find(&rows, MEMORY, Proxy::Envoy).median, 10.0, "160 KiB for 16 connections");
}

#[test]
fn runs_that_went_wrong_do_not_count() {
    let mut runs = runs();
    let ours = |row: &&mut PeerRunRow| row.proxy == "strife" && row.round == 3;
    runs.iter_mut().filter(ours).for_each(|row| row.valid = false);
    let row = find(&summary(&runs), CPU, Proxy::Strife).clone();
    assert_eq!((row.rounds, row.max), (2, 6.0));
}

#[test]
fn goals_are_met_or_missed_by_the_median() {
    let goals_of = |runs: &[PeerRunRow]| -> Vec<(String, f64, bool)> {
        let goals = goals(&summary(runs)).into_iter().filter(|goal| goal.measure == CPU);
        goals.map(|goal| (goal.against, goal.limit, goal.met)).collect()
    };
    let (haproxy, copy) = ("haproxy".to_owned(), "tcp_copy".to_owned());
    let expected = [(haproxy.clone(), 0.25, true), (copy.clone(), 1.5, true)];
    assert_eq!(goals_of(&runs()), expected);
    let mut slower = runs();
    let ours = |row: &&mut PeerRunRow| row.proxy == "strife";
    slower.iter_mut().filter(ours).for_each(|row| row.cpu_us_per_call = Some(16.0));
    assert_eq!(goals_of(&slower), [(haproxy, 0.25, false), (copy, 1.5, false)]);
}

#[test]
fn without_peers_there_is_nothing_to_be_better_than() {
    let mut runs = runs();
    runs.retain(|row| !["haproxy", "envoy"].contains(&row.proxy.as_str()));
    let rows = summary(&runs);
    let ours = find(&rows, CPU, Proxy::Strife);
    assert_eq!((ours.best_peer.as_str(), ours.vs_best_median), ("", None));
    let against: Vec<String> = goals(&rows).into_iter().map(|goal| goal.against).collect();
    assert_eq!(against, ["tcp_copy"]);
}

#[test]
fn idle_connections_have_a_bound_of_their_own() {
    let mut row = run(Proxy::Strife, 1, 1.0);
    (row.phase, row.connections, row.streams) = (Phase::Idle, 1000, 1);
    (row.memory_kib_before, row.memory_kib_after) = (5000, 25_000);
    let goals = goals(&summary(&[row]));
    assert_eq!(goals.len(), 1);
    let goal = &goals[0];
    assert_eq!((goal.median, goal.limit, goal.met), (20.0, 16.0, false));
}
