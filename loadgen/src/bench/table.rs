//! What a comparison prints at its end: a table per cell, and the goals.

use super::{
    plan::{Cell, Shape},
    proxies::Proxy,
};
use crate::{
    results::peers::{
        GoalRow, PeerSummaryRow, ProxyRow,
        measure::{CALLS, CPU, IDLE_MEMORY, MEMORY, PACED_P50, PACED_P99},
    },
    sweep::table::aligned,
};

/// One proxy's row: everything that was measured of it in a cell, in columns.
const HEAD: [&str; 9] = [
    "proxy",
    "CPU us/call",
    "x best peer",
    "x TCP copy",
    "calls/s",
    "paced p50 us",
    "paced p99 us",
    "KiB/connection",
    "idle KiB/connection",
];

/// The tables of all cells; empty without results.
pub(super) fn cells(summary: &[PeerSummaryRow]) -> String {
    let mut cells: Vec<Cell> = summary.iter().map(cell).collect();
    cells.sort_unstable();
    cells.dedup();
    let mut text = String::new();
    for cell in cells {
        let rows: Vec<&PeerSummaryRow> =
            summary.iter().filter(|row| self::cell(row) == cell).collect();
        let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
        let named = Proxy::ALL.iter().map(|proxy| line(proxy.name(), &rows));
        lines.extend(named.flatten());
        text.push_str(&format!("{cell}\n{}\n", aligned(&without_empty_columns(&lines))));
    }
    text
}

fn cell(row: &PeerSummaryRow) -> Cell {
    let shape = Shape { connections: row.connections, streams: row.streams };
    Cell { tls: row.tls, shape, message_bytes: row.message_bytes }
}

fn line(proxy: &str, rows: &[&PeerSummaryRow]) -> Option<Vec<String>> {
    let rows: Vec<_> = rows.iter().filter(|row| row.proxy == proxy).collect();
    if rows.is_empty() {
        return None;
    }
    let find = |measure: &str| rows.iter().find(|row| row.measure == measure);
    let value = |measure: &str, digits: usize| {
        let row = find(measure);
        row.map_or_else(String::new, |row| spread(row.median, row.min, row.max, digits))
    };
    let ratio = |median: Option<f64>, min: Option<f64>, max: Option<f64>| {
        let known = median.zip(min).zip(max);
        known.map_or_else(String::new, |((median, min), max)| spread(median, min, max, 2))
    };
    let cpu = find(CPU);
    let best = cpu.map(|row| ratio(row.vs_best_median, row.vs_best_min, row.vs_best_max));
    let copy = cpu.map(|row| ratio(row.vs_copy_median, row.vs_copy_min, row.vs_copy_max));
    Some(vec![
        proxy.to_owned(),
        value(CPU, 2),
        best.unwrap_or_default(),
        copy.unwrap_or_default(),
        value(CALLS, 0),
        value(PACED_P50, 0),
        value(PACED_P99, 0),
        value(MEMORY, 1),
        value(IDLE_MEMORY, 1),
    ])
}

fn without_empty_columns(lines: &[Vec<String>]) -> Vec<Vec<String>> {
    let is_used = |column: &usize| lines.iter().skip(1).any(|line| !line[*column].is_empty());
    let columns: Vec<usize> = (0..HEAD.len()).filter(is_used).collect();
    lines.iter().map(|line| columns.iter().map(|column| line[*column].clone()).collect()).collect()
}

/// `median (min-max)`, or just the value where all are alike.
fn spread(median: f64, min: f64, max: f64, digits: usize) -> String {
    let show = |value: f64| format!("{value:.digits$}");
    if show(min) == show(max) {
        show(median)
    } else {
        format!("{} ({}-{})", show(median), show(min), show(max))
    }
}

/// A line per goal: met or missed, and by how much.
pub(super) fn goals(goals: &[GoalRow]) -> String {
    let line = |goal: &GoalRow| {
        let shape = Shape { connections: goal.connections, streams: goal.streams };
        let cell = Cell { tls: goal.tls, shape, message_bytes: goal.message_bytes };
        let (unit, against) = match goal.against.as_str() {
            "" => ("", String::new()),
            against => ("x ", against.to_owned()),
        };
        vec![
            if goal.met { "met" } else { "MISSED" }.to_owned(),
            goal.measure.clone(),
            cell.to_string(),
            format!("{} {unit}{against}", spread(goal.median, goal.min, goal.max, 2)),
            format!("at most {}", goal.limit),
        ]
    };
    aligned(&goals.iter().map(line).collect::<Vec<_>>())
}

/// A line per proxy: its version, and why it was not measured if so.
pub(super) fn proxies(proxies: &[ProxyRow]) -> String {
    let line = |row: &ProxyRow| vec![row.proxy.clone(), row.version.clone(), row.status.clone()];
    aligned(&proxies.iter().map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(measure: &str, proxy: &str, median: f64) -> PeerSummaryRow {
        PeerSummaryRow {
            measure: measure.to_owned(),
            tls: false,
            connections: 16,
            streams: 8,
            message_bytes: 100,
            proxy: proxy.to_owned(),
            rounds: 3,
            median,
            min: median,
            max: median * 2.0,
            best_peer: "haproxy".to_owned(),
            vs_best_median: Some(0.2),
            vs_best_min: Some(0.2),
            vs_best_max: Some(0.2),
            vs_copy_median: None,
            vs_copy_min: None,
            vs_copy_max: None,
        }
    }

    #[test]
    fn a_table_has_what_was_measured_and_no_more() {
        let text = cells(&[row(CPU, "haproxy", 15.0), row(CPU, "strife", 3.0)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "plaintext 16x8 100 B");
        assert!(lines[2].starts_with("strife") && lines[2].contains("3.00 (3.00-6.00)"), "{text}");
        assert!(lines[3].starts_with("haproxy"), "ours stands first: {text}");
        assert!(!text.contains("TCP copy") && !text.contains("KiB"), "{text}");
    }

    #[test]
    fn a_goal_says_whether_it_is_met() {
        let goal = |met| GoalRow {
            measure: CPU.to_owned(),
            tls: true,
            connections: 100,
            streams: 10,
            message_bytes: 16_384,
            against: "haproxy".to_owned(),
            limit: 0.5,
            median: 0.4,
            min: 0.3,
            max: 0.6,
            met,
        };
        let text = goals(&[goal(true), goal(false)]);
        assert!(text.contains("met") && text.contains("MISSED"), "{text}");
        assert!(text.contains("TLS 100x10 16 KiB") && text.contains("0.40 (0.30-0.60) x haproxy"));
    }
}
