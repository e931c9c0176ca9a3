//! `report.html`: the answer, the tables, the charts and how it was measured, in one file.
//!
//! Nothing is loaded from elsewhere: charts are inline SVG, and a dark page swaps their tones by
//! CSS. Every text that comes from a file is escaped.

use std::fmt::Write as _;

use super::{
    data::{Cell, Sweep, Workload},
    evidence::evidence,
    faults::{standing, wording},
    findings::{Standing, headline, on_errors, standings},
    numbers::{quantity, time},
    style::{Tone, hex, tones},
};
use crate::results::Machine;
use costs::costs;
use phases::phases;
use queue::queue;
use table::table;

mod costs;
mod phases;
mod queue;
mod table;

/// A chart as the report shows it.
#[derive(Debug)]
pub(crate) struct Chart {
    /// Stem of the files in `charts/`.
    pub(crate) name: String,
    pub(crate) svg: String,
    pub(crate) finding: String,
}

/// What the report says of one workload.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    workload: &'a Workload,
    /// By cell, the main one first.
    cells: Vec<(Cell, Vec<Standing>)>,
    pub(crate) headline: String,
    charts: Vec<Chart>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(workload: &'a Workload) -> Self {
        let of_cell = |cell: Cell| (cell, standings(&workload.rows_of(cell)));
        let cells: Vec<(Cell, Vec<Standing>)> =
            workload.all_cells().into_iter().map(of_cell).collect();
        let headline = match standing::span(workload) {
            Some(_) => {
                let standings = standing::standings(workload);
                wording::headline(&workload.name, &workload.told, &standings)
            }
            None => answer(workload, &cells),
        };
        Self { workload, cells, headline, charts: Vec::new() }
    }

    pub(crate) fn chart(&mut self, chart: Chart) {
        self.charts.push(chart);
    }
}

/// Which policy serves the main cell best.
fn answer(workload: &Workload, cells: &[(Cell, Vec<Standing>)]) -> String {
    let (main, ranked) = &cells[0];
    let named = (cells.len() > 1).then(|| main.described());
    let mut answer = headline(&workload.name, named.as_deref(), ranked);
    if let Some(best) = ranked.first().filter(|best| best.p99_us.is_some() && best.serves()) {
        answer += &workload.slow.treatment(workload, &best.policy);
    }
    answer
}

/// Text as HTML, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The whole file.
pub(crate) fn page(sweep: &Sweep, overviews: &[Chart], sections: &[Section<'_>]) -> String {
    let name = escape(&sweep.name);
    let mut body = String::new();
    if !overviews.is_empty() {
        let figures: String = overviews.iter().map(figure).collect();
        body += &format!("<section>\n<h2>All faults</h2>\n{figures}</section>\n");
    }
    for section in sections {
        body += &render(section, sweep);
    }
    let answers: String = sections
        .iter()
        .map(|section| format!("<li>{}</li>\n", emphasised(&section.headline)))
        .collect();
    let body = format!(
        r#"<header>
<p class="kicker">Sweep {name} · {started}</p>
<h1>Which policy serves this fleet best, and how evenly?</h1>
<ul class="answer">
{answers}</ul>
{warning}</header>
{body}{method}"#,
        started = date(sweep.machine.started_at),
        warning = warning(sections),
        method = method(sweep),
    );
    document(&format!("Sweep {name}"), &body)
}

/// A whole page around its parts; both are HTML.
pub(crate) fn document(title: &str, body: &str) -> String {
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{STYLE}{theme}</style>
</head>
<body>
<main>
{body}</main>
</body>
</html>
"#,
        theme = theme(),
    )
}

/// The part up to the first colon, which names the workload, in bold.
fn emphasised(headline: &str) -> String {
    match headline.split_once(": ") {
        Some((workload, answer)) => {
            format!("<strong>{}</strong> {}", escape(workload), escape(answer))
        }
        None => escape(headline),
    }
}

/// A box if some runs cannot be trusted, with the reasons that the runs give.
fn warning(sections: &[Section<'_>]) -> String {
    let rows = || sections.iter().flat_map(|s| s.workload.cells.iter().flat_map(|cell| &cell.2));
    let invalid: Vec<_> = rows().filter(|row| !row.valid).collect();
    if invalid.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "<div class=\"warning\"><strong>{} of {} runs are INVALID</strong> and left out of the \
         medians: what was measured there is the measurement's own limit.<ul>",
        invalid.len(),
        rows().count()
    );
    for row in invalid {
        let why = if row.why.is_empty() { "no reason was recorded" } else { &row.why };
        let _ = write!(
            text,
            "<li>{}, {}, {}, trial {}: {}</li>",
            escape(&row.workload),
            Cell::of(row).described(),
            escape(&row.policy),
            row.trial,
            escape(why)
        );
    }
    text + "</ul></div>\n"
}

fn render(section: &Section<'_>, sweep: &Sweep) -> String {
    let first = section.workload.first();
    let slow = section.workload.slow.remark();
    let others = match section.cells.len() {
        1 => String::new(),
        all => format!(
            " The verdict and most charts are about this one of {all} cells; the table has all."
        ),
    };
    let table = match standing::span(section.workload) {
        Some(_) => phases(section.workload),
        None => table(section.workload, &section.cells),
    };
    let mut html = format!(
        "<section>\n<h2>{}</h2>\n<p class=\"setting\">{}, {} measured per run.{}{others}</p>\n{}",
        escape(&section.workload.name),
        Cell::of(first).described(),
        seconds(first.duration_s),
        escape(&slow),
        table
    );
    if let Some(errors) = on_errors(&section.cells[0].1) {
        let _ = writeln!(html, "<p class=\"note\">{}</p>", escape(&errors));
    }
    html += &queue(section.workload, &sweep.queue);
    html += &costs(section.workload, &sweep.members);
    section.charts.iter().for_each(|chart| html += &figure(chart));
    html + "</section>\n"
}

/// A chart with what it says, and its files.
pub(crate) fn figure(Chart { name, svg, finding }: &Chart) -> String {
    let (file, finding) = (escape(name), escape(finding));
    format!(
        "<figure>\n<div class=\"chart\" tabindex=\"0\" role=\"group\" aria-label=\"{file}\">\
         {svg}</div>\n<figcaption>{finding} <span class=\"files\"><a href=\"charts/{file}.svg\">\
         SVG</a> <a href=\"charts/{file}.png\">PNG</a></span></figcaption>\n</figure>\n"
    )
}

/// Without needless digits.
fn seconds(duration_s: f64) -> String {
    format!("{} s", (duration_s * 10.0).round() / 10.0)
}

fn method(sweep: &Sweep) -> String {
    let Machine { cpu, cores, memory_gib, kernel, strife_version, commit, .. } = &sweep.machine;
    let Machine { fsync_us_p50, fsync_us_p99, .. } = sweep.machine;
    let evidence = escape(&evidence(&sweep.workloads));
    let commit = commit.as_deref().map_or_else(
        || ", of an unknown commit, as it was not run inside a checkout".to_owned(),
        |commit| format!(", commit {commit}"),
    );
    format!(
        r##"<section>
<h2>How it was measured</h2>
<dl>
<dt>Evidence</dt><dd>{evidence}</dd>
<dt>Machine</dt><dd>{cpu}, {cores} cores, {memory} GiB, {kernel}</dd>
<dt>Program</dt><dd>strife {version}{commit}</dd>
<dt>Disk</dt><dd>fsync of 4 KiB: p50 {fsync_p50}, p99 {fsync_p99}</dd>
</dl>
<details><summary>What the words mean</summary>
<dl>
<dt>Response time</dt><dd>From the moment a call was due by the schedule, not from when it was sent,
until its answer: a server that stalls the generator cannot hide its stall.</dd>
<dt>p99</dt><dd>99% of calls took at most this long. No percentile is given with fewer than ten
samples beyond it.</dd>
<dt>Due</dt><dd>A schedule is random around the planned rate, as independent callers are; the calls it
holds for the measured time are what was due, alike for every policy of a trial.</dd>
<dt>Trial</dt><dd>One run of a policy. The unit of comparison is the run; trials of the same number
had the same seed under every policy.</dd>
<dt>No clear difference</dt><dd>The ranges over trials meet, so another sweep may order the policies
otherwise.</dd>
<dt>Jain</dt><dd>Jain's fairness index of calls per server, (Σx)² ÷ (n·Σx²): 1 if all get the same,
1/n if one gets all. Where servers differ in speed, an even share is not the aim.</dd>
<dt>CoV</dt><dd>Standard deviation of calls per server over their mean.</dd>
<dt>max/mean</dt><dd>Calls of the busiest server over the mean.</dd>
<dt>SATURATED</dt><dd>The fleet could not keep up with what was offered. That is a result; its
response times grow with the length of the run.</dd>
<dt>INVALID</dt><dd>The measurement itself failed, for example because calls were sent late. Such
runs are drawn but left out of medians and rankings.</dd>
</dl>
</details>
<details><summary>The plan</summary>
<pre>{plan}</pre>
</details>
<p class="links">Data: <a href="summary.csv">summary.csv</a> <a href="servers.csv">servers.csv</a>
<a href="endpoints.csv">endpoints.csv</a> {members}<a href="timeline.csv">timeline.csv</a>
{faults}{queue}<a href="machine.json">machine.json</a> <a href="plan.toml">plan.toml</a>
<a href="histograms/">histograms</a></p>
</section>
"##,
        cpu = escape(cpu),
        memory = quantity(*memory_gib),
        kernel = escape(kernel),
        version = escape(strife_version),
        commit = escape(&commit),
        fsync_p50 = time(fsync_us_p50 as f64),
        fsync_p99 = time(fsync_us_p99 as f64),
        plan = escape(&sweep.plan),
        members = match sweep.members.is_empty() {
            true => "",
            false => "<a href=\"members.csv\">members.csv</a> ",
        },
        faults = match sweep.workloads.iter().any(|workload| standing::span(workload).is_some()) {
            true =>
                "<a href=\"phases.csv\">phases.csv</a> <a href=\"windows.csv\">windows.csv</a> ",
            false => "",
        },
        queue = match sweep.queue.is_empty() {
            true => "",
            false => "<a href=\"queue.csv\">queue.csv</a> ",
        },
    )
}

/// Seconds since the Unix epoch as `2026-01-31 13:45 UTC`; the calendar is Howard Hinnant's
/// `civil_from_days`.
pub(crate) fn date(epoch_s: u64) -> String {
    let days = epoch_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (epoch_s / 3_600 % 24, epoch_s / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// The dark twins of all tones that a chart may hold.
fn theme() -> String {
    let mut rules = String::from("@media (prefers-color-scheme: dark) {\n");
    for Tone { light, dark } in tones() {
        let (light, dark) = (hex(light), hex(dark));
        let _ = writeln!(
            rules,
            "svg [fill=\"{light}\"]{{fill:{dark}}}svg [stroke=\"{light}\"]{{stroke:{dark}}}"
        );
    }
    rules + "}\n"
}

const STYLE: &str = include_str!("report/report.css");
