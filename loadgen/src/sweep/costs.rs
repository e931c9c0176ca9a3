//! Where the time goes: CPU time of a call by process, and what a durable commit takes. Shown of fleets that
//! are small enough for a line.

use std::collections::BTreeSet;

use super::table::{aligned, of_cells};
use crate::results::{MemberRow, RunRow, SummaryRow};

/// More processes than that do not fit beside each other.
const MEMBERS_MAX: usize = 8;

/// The table, ready to print, policies in the plan's order; empty if it would not say anything.
pub(super) fn table(rows: &[SummaryRow], members: &[MemberRow], policies: &[String]) -> String {
    aligned(&lines(rows, members, policies))
}

/// A head and a line per cell; medians over the trials.
pub(crate) fn lines(
    rows: &[SummaryRow],
    members: &[MemberRow],
    policies: &[String],
) -> Vec<Vec<String>> {
    let names: BTreeSet<&str> = members.iter().map(|row| row.member.as_str()).collect();
    if names.is_empty() || names.len() > MEMBERS_MAX {
        return Vec::new();
    }
    let mut head: Vec<String> =
        ["CPU us a call:", "clients", "offered/s", "achieved/s"].map(str::to_owned).to_vec();
    head.extend(names.iter().map(|name| (*name).to_owned()));
    head.extend(["all", "cores", "fsync us: bank", "gateway"].map(str::to_owned));
    let mut lines = vec![head];
    for (cell, trials) in of_cells(rows, policies) {
        let median = |value: &dyn Fn(&SummaryRow) -> Option<f64>| {
            let mut values: Vec<f64> = trials.iter().filter_map(|row| value(row)).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let of_run = |row: &SummaryRow, name: Option<&str>, value: fn(&MemberRow) -> f64| -> f64 {
            let key = row.key();
            let of_run = members.iter().filter(|member| member.key() == key);
            let named = of_run.filter(|member| name.is_none_or(|name| member.member == name));
            named.map(value).sum()
        };
        let show = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let cost = |name: Option<&str>| median(&|row| Some(of_run(row, name, |m| m.us_per_call)));
        let cores = median(&|row| Some(of_run(row, None, |member| member.cores)));
        let fsync = |p50: fn(&SummaryRow) -> Option<u64>, p99: fn(&SummaryRow) -> Option<u64>| {
            let of = |value: fn(&SummaryRow) -> Option<u64>| {
                show(median(&|row| value(row).map(|us| us as f64)), 0)
            };
            format!("{}/{}", of(p50), of(p99))
        };
        let offered = (cell.offered_rps > 0.0).then_some(cell.offered_rps);
        let mut line = vec![
            format!("{} {}", cell.key().of(), cell.policy),
            cell.clients.to_string(),
            offered.map_or_else(|| "closed".to_owned(), |rate| format!("{rate:.0}")),
            show(median(&|row| Some(row.achieved_rps)), 0),
        ];
        line.extend(names.iter().map(|name| show(cost(Some(name)), 1)));
        line.extend([show(cost(None), 1), show(cores, 2)]);
        line.push(fsync(|row| row.bank_fsync_p50_us, |row| row.bank_fsync_p99_us));
        line.push(fsync(|row| row.gateway_fsync_p50_us, |row| row.gateway_fsync_p99_us));
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_by_process_and_medians_of_trials() {
        let row = |trial| SummaryRow {
            bank_fsync_p50_us: Some(113),
            bank_fsync_p99_us: Some(153),
            ..crate::sweep::tests::row(trial)
        };
        let member = |trial: u32, member: &str, us_per_call: f64| MemberRow {
            workload: "bank".to_owned(),
            policy: "round_robin".to_owned(),
            trial,
            member: member.to_owned(),
            cores: 0.5,
            us_per_call,
            clients: 128,
            servers: 2,
            offered_rps: 100.0,
            fault: String::new(),
        };
        let members = [
            [member(1, "lb", 4.0), member(1, "icici", 20.0)],
            [member(2, "lb", 6.0), member(2, "icici", 22.0)],
            [member(3, "lb", 5.0), member(3, "icici", 90.0)],
        ];
        let rows = [row(1), row(2), row(3)];
        let text = table(&rows, &members.concat(), &["round_robin".to_owned()]);
        let line: Vec<&str> = text.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        let expected = [
            "bank",
            "round_robin",
            "128",
            "100",
            "100",
            "22.0",
            "5.0",
            "28.0",
            "1.00",
            "113/153",
            "-/-",
        ];
        assert_eq!(line, expected, "{text}");
        assert_eq!(table(&rows, &[], &[]), "");
    }
}
