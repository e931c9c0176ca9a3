//! `report.html` of a comparison: goals, charts, all numbers, and how it was measured.

use std::fmt::Write as _;

use super::{Comparison, PROXIES, cell_name, kind, shown, size};
use crate::{
    plot::{
        numbers::{count, significant},
        report::{Chart, date, document, escape, figure},
    },
    results::peers::{
        GoalRow, PeerSummaryRow,
        measure::{CALLS, CPU, IDLE_MEMORY, MEMORY, P50, P99, PACED_CPU, PACED_P50, PACED_P99},
    },
};

/// What each measure is, for people.
const MEASURES: [(&str, &str); 9] = [
    (CPU, "CPU per call, µs"),
    (CALLS, "calls/s"),
    (P50, "p50 in a closed loop, µs"),
    (P99, "p99 in a closed loop, µs"),
    (PACED_CPU, "CPU per call at the pace, µs"),
    (PACED_P50, "p50 at the pace, µs"),
    (PACED_P99, "p99 at the pace, µs"),
    (MEMORY, "memory per connection, KiB"),
    (IDLE_MEMORY, "memory per idle connection, KiB"),
];

fn named(measure: &str) -> &str {
    MEASURES.iter().find(|(name, _)| *name == measure).map_or(measure, |(_, shown)| shown)
}

/// `0.21 (0.19–0.23)`.
fn range(median: f64, low: f64, high: f64) -> String {
    let (median, low, high) = (significant(median), significant(low), significant(high));
    if low == high { median } else { format!("{median} ({low}–{high})") }
}

/// A goal in one line: what it is about, how far ours is, and the limit.
pub(super) fn described(goal: &GoalRow) -> String {
    let against = match goal.against.as_str() {
        "" => String::new(),
        against => format!(" × {}", shown(against)),
    };
    format!(
        "{}, {} {}: {}{against}, at most {}",
        named(&goal.measure),
        cell_name((goal.connections, goal.streams)),
        kind(goal.tls, goal.message_bytes),
        range(goal.median, goal.min, goal.max),
        goal.limit
    )
}

/// Ours in one cell: the value, and what it is of the best peer's and of a copy's.
pub(super) fn standing(row: &PeerSummaryRow) -> String {
    let mut said = format!(
        "{}: Strife {}",
        cell_name((row.connections, row.streams)),
        range(row.median, row.min, row.max)
    );
    let best = row.vs_best_median.zip(row.vs_best_min).zip(row.vs_best_max);
    if let Some(((median, low), high)) = best {
        let _ = write!(said, ", {} × {}", range(median, low, high), shown(&row.best_peer));
    }
    let copy = row.vs_copy_median.zip(row.vs_copy_min).zip(row.vs_copy_max);
    if let Some(((median, low), high)) = copy {
        let _ = write!(said, ", {} × a TCP copy", range(median, low, high));
    }
    said
}

/// The whole file.
pub(super) fn page(comparison: &Comparison, charts: &[Chart]) -> String {
    let headlines = comparison.headlines();
    let mut body = format!(
        "<header>\n<p class=\"kicker\">strife bench peers · {}</p>\n\
         <h1>What does a call cost in each proxy?</h1>\n<ul class=\"answer\">\n<li>{}</li>\n</ul>\n{}</header>\n",
        date(comparison.machine.started_at),
        escape(&headlines[0]),
        warning(comparison)
    );
    let _ = write!(body, "<section>\n<h2>Goals</h2>\n{}</section>\n", goals(&comparison.goals));
    body += "<section>\n<h2>Charts</h2>\n";
    charts.iter().for_each(|chart| body += &figure(chart));
    let _ = write!(
        body,
        "</section>\n<section>\n<h2>All numbers</h2>\n{}</section>\n{}",
        numbers(&comparison.summary),
        method(comparison)
    );
    document("strife bench peers", &body)
}

/// What was not measured, and which runs cannot be trusted.
fn warning(comparison: &Comparison) -> String {
    let missing = comparison.proxies.iter().filter(|row| row.status != "measured");
    let missing = missing.map(|row| format!("{}: {}", shown(&row.proxy), row.status));
    let invalid = comparison.runs.iter().filter(|row| !row.valid).map(|row| {
        let (cell, kind) =
            (cell_name((row.connections, row.streams)), kind(row.tls, row.message_bytes));
        format!("INVALID: {}, {cell} {kind}, round {}: {}", shown(&row.proxy), row.round, row.why)
    });
    let lines: String =
        missing.chain(invalid).map(|line| format!("<li>{}</li>\n", escape(&line))).collect();
    if lines.is_empty() {
        return lines;
    }
    format!("<div class=\"warning\"><strong>Left out</strong><ul>\n{lines}</ul></div>\n")
}

fn goals(goals: &[GoalRow]) -> String {
    if goals.is_empty() {
        return "<p>Nothing was measured that a goal is set for.</p>\n".to_owned();
    }
    let mut html = String::from(
        "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">measure</th><th scope=\"col\">cell</th>\
         <th scope=\"col\">Strife</th><th scope=\"col\">goal</th><th scope=\"col\"></th></tr></thead>\n<tbody>\n",
    );
    for goal in goals {
        let against = match goal.against.as_str() {
            "" => String::new(),
            against => format!(" × {}", shown(against)),
        };
        let mark = if goal.met { "met" } else { "<span class=\"flag invalid\">MISSED</span>" };
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{} {}</td><td>{}{against}</td><td>≤ {}</td><td>{mark}</td></tr>",
            named(&goal.measure),
            cell_name((goal.connections, goal.streams)),
            kind(goal.tls, goal.message_bytes),
            range(goal.median, goal.min, goal.max),
            goal.limit
        );
    }
    html + "</tbody>\n</table></div>\n"
}

/// A table per measure: cells down, proxies across.
fn numbers(summary: &[PeerSummaryRow]) -> String {
    let mut html = String::new();
    for (measure, name) in MEASURES {
        let rows: Vec<_> = summary.iter().filter(|row| row.measure == measure).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(
            html,
            "<details><summary>{name}</summary>\n<div class=\"scroll\"><table>\n<thead><tr>"
        );
        html += "<th scope=\"col\">cell</th>";
        for (_, proxy) in PROXIES {
            let _ = write!(html, "<th scope=\"col\">{proxy}</th>");
        }
        html += "</tr></thead>\n<tbody>\n";
        let mut cells: Vec<_> = rows
            .iter()
            .map(|row| (row.tls, row.message_bytes, row.connections, row.streams))
            .collect();
        cells.sort_unstable();
        cells.dedup();
        for cell in cells {
            let (tls, bytes, connections, streams) = cell;
            let side = if tls { "TLS" } else { "plaintext" };
            let _ = write!(
                html,
                "<tr><th scope=\"row\">{side} {}, {}</th>",
                cell_name((connections, streams)),
                size(bytes)
            );
            for (proxy, _) in PROXIES {
                let row = rows.iter().find(|row| {
                    row.proxy == proxy
                        && (row.tls, row.message_bytes, row.connections, row.streams) == cell
                });
                let value = row.map_or_else(|| "–".to_owned(), |row| number(row));
                let _ = write!(html, "<td>{value}</td>");
            }
            html += "</tr>\n";
        }
        html += "</tbody>\n</table></div>\n</details>\n";
    }
    html
}

/// The median, and below it the range.
fn number(row: &PeerSummaryRow) -> String {
    let show = |value: f64| if row.measure == CALLS { count(value) } else { significant(value) };
    format!("{}<small>{}–{}</small>", show(row.median), show(row.min), show(row.max))
}

fn method(comparison: &Comparison) -> String {
    let mut proxies = String::new();
    for row in &comparison.proxies {
        let version = if row.version.is_empty() { "–" } else { &row.version };
        let _ = write!(proxies, "{} {}, {}. ", shown(&row.proxy), version, row.status);
    }
    format!(
        r#"<section>
<h2>How it was measured</h2>
<dl>
<dt>Proxies</dt><dd>{proxies}</dd>
<dt>Cores</dt><dd>Each proxy runs alone on one core with one thread, started anew for every run. Load and
servers share another core.</dd>
<dt>CPU per call</dt><dd>User and system time of all of the proxy's threads, from <code>/proc</code>, over the calls that
ended in the same time.</dd>
<dt>Rounds</dt><dd>Every round measures all proxies in all cells in random order. Ratios are taken within a round; shown are
the median of the rounds, the lowest and the highest. The best peer is the one with the best median.</dd>
<dt>Calls</dt><dd>gRPC requests with one message and answers of the same size. Every answer's status and length is checked;
one that is wrong makes its run invalid.</dd>
<dt>Latency</dt><dd>In a closed loop from sending to the last byte. At the pace, from the moment at which a call was due:
a proxy that stalls is charged for the calls that had to wait.</dd>
<dt>Memory</dt><dd>What the proxy's processes grew by from before the first connection to the end of the run
(proportional set size), over the clients' connections. Socket buffers are the kernel's and not in it.</dd>
<dt>Machine</dt><dd>{machine}; {commit}.</dd>
</dl>
<details><summary>The plan</summary>
<pre>{plan}</pre>
</details>
<p class="links">Data: <a href="runs.csv">runs.csv</a> <a href="summary.csv">summary.csv</a>
<a href="goals.csv">goals.csv</a> <a href="proxies.csv">proxies.csv</a> <a href="machine.json">machine.json</a>
<a href="plan.toml">plan.toml</a></p>
</section>
"#,
        proxies = escape(proxies.trim_end()),
        machine = escape(&crate::plot::frame::described(&comparison.machine)),
        commit = escape(&crate::plot::frame::commit(&comparison.machine)),
        plan = escape(&comparison.plan),
    )
}
