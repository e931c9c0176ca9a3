//! A comparison's files become charts and a report.

use std::fs;

use super::*;
use crate::results::{peers::Phase, write_rows};

fn summary(measure: &str, proxy: &str, cell: (u32, u32), median: f64) -> PeerSummaryRow {
    PeerSummaryRow {
        measure: measure.to_owned(),
        tls: false,
        connections: cell.0,
        streams: cell.1,
        message_bytes: 100,
        proxy: proxy.to_owned(),
        rounds: 3,
        median,
        min: median * 0.9,
        max: median * 1.2,
        best_peer: "haproxy".to_owned(),
        vs_best_median: Some(median / 15.0),
        vs_best_min: Some(median / 16.0),
        vs_best_max: Some(median / 14.0),
        vs_copy_median: Some(median / 2.0),
        vs_copy_min: None,
        vs_copy_max: None,
    }
}

fn run(proxy: &str, valid: bool) -> PeerRunRow {
    PeerRunRow {
        phase: Phase::Paced,
        round: 3,
        proxy: proxy.to_owned(),
        tls: false,
        connections: 16,
        streams: 8,
        message_bytes: 100,
        offered_per_s: 41_000.0,
        seconds: 1.0,
        calls: 41_000,
        errors: 0,
        calls_per_s: 41_000.0,
        cpu_us_per_call: Some(3.0),
        proxy_busy: 0.2,
        proxy_waited: 0.0,
        load_busy: 0.2,
        p50_us: Some(60.0),
        p90_us: Some(80.0),
        p99_us: Some(120.0),
        p999_us: None,
        max_us: Some(900.0),
        send_lag_p99_us: Some(20.0),
        memory_kib_before: 900,
        memory_kib_after: 2000,
        valid,
        why: if valid { "" } else { "a call <failed>" }.to_owned(),
    }
}

fn goal(against: &str, limit: f64, met: bool) -> GoalRow {
    GoalRow {
        measure: CPU.to_owned(),
        tls: false,
        connections: 16,
        streams: 8,
        message_bytes: 100,
        against: against.to_owned(),
        limit,
        median: 0.2,
        min: 0.18,
        max: 0.24,
        met,
    }
}

/// Writes a directory as a comparison leaves it, but for the charts.
fn write(dir: &PeersDir) {
    let mut rows = Vec::new();
    for (proxy, factor) in [("strife", 1.0), ("haproxy", 5.0), ("tcp_copy", 0.7)] {
        for cell in [(1, 1), (16, 8)] {
            rows.push(summary(CPU, proxy, cell, 3.0 * factor));
        }
        rows.push(summary(PACED_P50, proxy, (16, 8), 50.0 * factor));
        rows.push(summary(PACED_P99, proxy, (16, 8), 90.0 * factor));
        rows.push(summary(IDLE_MEMORY, proxy, (1000, 1), 4.0 * factor));
    }
    write_rows(&dir.summary(), &rows).unwrap();
    write_rows(&dir.goals(), &[goal("haproxy", 0.25, true), goal("tcp_copy", 1.5, false)]).unwrap();
    write_rows(&dir.runs(), &[run("strife", true), run("haproxy", false)]).unwrap();
    let proxy = |proxy: &str, version: &str, status: &str| ProxyRow {
        proxy: proxy.to_owned(),
        version: version.to_owned(),
        status: status.to_owned(),
    };
    let proxies =
        [proxy("haproxy", "2.6.12", "measured"), proxy("nginx", "", "not measured: not installed")];
    write_rows(&dir.proxies(), &proxies).unwrap();
    fs::write(dir.plan(), "rounds = 3\n").unwrap();
    let machine = crate::sweep::machine::describe(dir.path()).unwrap();
    fs::write(dir.machine(), serde_json::to_vec(&machine).unwrap()).unwrap();
}

#[test]
fn a_comparison_becomes_charts_and_a_report() {
    let place = tempfile::tempdir().unwrap();
    let dir = PeersDir::new(place.path());
    write(&dir);
    let drawn = draw(&dir).unwrap();
    let names: Vec<_> = drawn.charts.iter().map(|path| path.file_name().unwrap()).collect();
    for chart in ["cpu-plaintext-100", "latency-plaintext-100", "memory"] {
        for kind in ["svg", "png"] {
            assert!(names.contains(&format!("{chart}.{kind}").as_ref()), "{chart}: {names:?}");
        }
    }
    let report = fs::read_to_string(drawn.report).unwrap();
    for word in ["HAProxy 2.6.12", "nginx: not measured", "MISSED", "a call &lt;failed&gt;", "<svg"]
    {
        assert!(report.contains(word), "no `{word}` in the report");
    }
    let svg = fs::read_to_string(dir.charts().join("cpu-plaintext-100.svg")).unwrap();
    assert!(svg.contains("goal: 0.25 × HAProxy") && svg.contains("TCP copy"));
    assert_eq!(drawn.headlines[0], "1 of 2 goals met");
    assert!(drawn.headlines[1].contains("1.5"), "{:?}", drawn.headlines);
}

#[test]
fn nothing_measured_cannot_be_drawn() {
    let place = tempfile::tempdir().unwrap();
    let drawn = draw(&PeersDir::new(place.path()));
    assert!(matches!(drawn, Err(PlotError::NoRuns { .. })));
}
