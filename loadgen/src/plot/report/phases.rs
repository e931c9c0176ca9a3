//! A workload's table under a fault: a row per policy, its phases side by side.

use std::fmt::Write as _;

use super::{
    super::{
        data::Workload,
        faults::{
            standing::{FaultStanding, PhaseStanding, standings},
            wording::back_means,
        },
        numbers::percent,
        style::hex,
    },
    escape,
};

/// One row per policy.
pub(super) fn phases(workload: &Workload) -> String {
    const HEAD: [&str; 9] = [
        "policy",
        "p99 before, ms",
        "during, ms",
        "after, ms",
        "back while it lasts",
        "back after its end",
        "failed before",
        "during",
        "after",
    ];
    let mut html = String::from("<div class=\"scroll\"><table>\n<thead><tr>");
    let standings = standings(workload);
    let queued = standings.iter().any(|standing| standing.queued_share() > 0.0);
    let more = if queued { &["queued during", "after"][..] } else { &[] };
    for title in HEAD.iter().chain(more) {
        let _ = write!(html, "<th scope=\"col\">{title}</th>");
    }
    html += "</tr></thead>\n<tbody>\n";
    standings.iter().for_each(|standing| html += &row(standing, queued));
    let _ = writeln!(
        html,
        "</tbody></table></div>\n<p class=\"note\">Medians over valid trials. {}. A dash: fewer than ten \
         samples lie beyond.</p>",
        escape(&capitalised(&back_means()))
    );
    html
}

fn row(standing: &FaultStanding<'_>, queued: bool) -> String {
    let FaultStanding { before, during, after, .. } = standing;
    let failed = |phase: &PhaseStanding| percent(phase.error_share());
    let mut cells = vec![
        before.p99_ms(),
        during.p99_ms(),
        after.p99_ms(),
        during.back.text(),
        after.back.text(),
        failed(before),
        failed(during),
        failed(after),
    ];
    if queued {
        cells.extend([during, after].map(|phase| percent(phase.queued_share())));
    }
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
    format!(
        "<tr><th scope=\"row\"><svg class=\"swatch\" viewBox=\"0 0 10 10\" aria-hidden=\"true\">\
         <rect width=\"10\" height=\"10\" rx=\"2\" fill=\"{}\"/></svg>{}</th>{cells}</tr>\n",
        hex(standing.look.tone.light),
        escape(standing.policy)
    )
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
