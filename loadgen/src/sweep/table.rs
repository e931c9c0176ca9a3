//! The result table a sweep prints: one line per cell, the median of its trials and their range.

use crate::results::{RunKey, RunRow, SummaryRow};

const HEAD: [&str; 10] = [
    "workload",
    "policy",
    "clients",
    "servers",
    "offered/s",
    "achieved/s",
    "p50 ms",
    "p99 ms",
    "errors",
    "jain",
];

/// The table, ready to print, policies in the plan's order; empty without rows.
pub(super) fn table(rows: &[SummaryRow], policies: &[String]) -> String {
    let cells = of_cells(rows, policies);
    if cells.is_empty() {
        return String::new();
    }
    let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
    lines.extend(cells.iter().map(|(cell, trials)| line(cell, trials)));
    if rows.iter().any(|row| row.queued > 0) {
        add_queued(&mut lines, &cells);
    }
    aligned(&lines)
}

/// A cell, by one of its rows, with all its trials.
pub(super) type Trials<'a> = (&'a SummaryRow, Vec<&'a SummaryRow>);

/// The rows by cell, in the order of the table.
pub(super) fn of_cells<'a>(rows: &'a [SummaryRow], policies: &[String]) -> Vec<Trials<'a>> {
    let mut cells: Vec<Trials<'a>> = Vec::new();
    for row in rows {
        let same = |cell: &SummaryRow| {
            let (a, b) = (cell.key(), row.key());
            RunKey { trial: 0, ..a } == RunKey { trial: 0, ..b }
        };
        match cells.iter_mut().find(|(cell, _)| same(cell)) {
            Some((_, trials)) => trials.push(row),
            None => cells.push((row, vec![row])),
        }
    }
    cells.sort_by_key(|(cell, _)| {
        let key = cell.key();
        let policy = policies.iter().position(|policy| *policy == key.policy);
        (key.workload, key.fault, key.servers, key.rate, key.clients, policy)
    });
    cells
}

fn line(cell: &SummaryRow, trials: &[&SummaryRow]) -> Vec<String> {
    let of = |value: fn(&SummaryRow) -> Option<f64>| -> Vec<f64> {
        trials.iter().filter_map(|row| value(row)).collect()
    };
    let errors: u64 = trials.iter().map(|row| row.errors).sum();
    let mut jain = spread(&of(|row| Some(row.jain)), 3);
    if trials.iter().any(|row| !row.valid) {
        jain.push_str("  INVALID");
    }
    if trials.iter().any(|row| row.saturated) {
        jain.push_str("  SATURATED");
    }
    vec![
        cell.key().of(),
        cell.policy.clone(),
        cell.clients.to_string(),
        cell.servers.to_string(),
        if cell.offered_rps > 0.0 {
            format!("{:.0}", cell.offered_rps)
        } else {
            "closed".to_owned()
        },
        spread(&of(|row| Some(row.achieved_rps)), 0),
        spread(&of(|row| row.p50_us.map(|us| us as f64 / 1000.0)), 1),
        spread(&of(|row| row.p99_us.map(|us| us as f64 / 1000.0)), 1),
        errors.to_string(),
        jain,
    ]
}

/// A column of its own beside the errors, where there is anything to say.
fn add_queued(lines: &mut [Vec<String>], cells: &[Trials<'_>]) {
    let of = |(_, trials): &Trials<'_>| trials.iter().map(|row| row.queued).sum::<u64>();
    let column = ["queued".to_owned()].into_iter().chain(cells.iter().map(|it| of(it).to_string()));
    let place = HEAD.iter().position(|title| *title == "errors").map_or(0, |errors| errors + 1);
    for (line, cell) in lines.iter_mut().zip(column) {
        line.insert(place, cell);
    }
}

/// `median (min–max)`, or just the value where all are alike; `-` where nothing is known.
fn spread(values: &[f64], digits: usize) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (sorted.first(), sorted.last()) else { return "-".to_owned() };
    let show = |value: &f64| format!("{value:.digits$}");
    let median = show(&sorted[sorted.len() / 2]);
    if show(low) == show(high) {
        median
    } else {
        format!("{median} ({}-{})", show(low), show(high))
    }
}

/// Lines of as many cells each, in columns.
pub(crate) fn aligned(lines: &[Vec<String>]) -> String {
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_of_a_cell_share_a_line() {
        let row = |policy: &str, trial: u32, p99_us: u64| SummaryRow {
            policy: policy.to_owned(),
            p99_us: Some(p99_us),
            ..crate::sweep::tests::row(trial)
        };
        let policies = ["b", "a"].map(str::to_owned);
        let text = table(&[row("a", 1, 5000), row("b", 1, 9000), row("a", 2, 7000)], &policies);
        assert!(text.lines().nth(1).is_some_and(|line| line.contains("9.0")), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("7.0 (5.0-7.0)") && text.contains("9.0"), "{text}");
    }

    #[test]
    fn queued_calls_have_a_column_where_there_are_any() {
        let row = |queued| SummaryRow { queued, ..crate::sweep::tests::row(1) };
        let policies = ["a".to_owned()];
        assert!(!table(&[row(0)], &policies).contains("queued"));
        let text = table(&[row(4_321)], &policies);
        let columns: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").filter(|it| !it.is_empty()).collect())
            .collect();
        let place = columns[0].iter().position(|title| title.trim() == "queued");
        assert_eq!(columns[1][place.unwrap()].trim(), "4321", "{text}");
    }

    #[test]
    fn unknown_values_are_a_dash() {
        assert_eq!(spread(&[], 1), "-");
        assert_eq!(spread(&[2.0, 1.0, 3.0], 0), "2 (1-3)");
    }
}
