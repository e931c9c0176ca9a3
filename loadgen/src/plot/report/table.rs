//! A workload's table: a row per policy.

use std::fmt::Write as _;

use super::{
    super::{
        data::{Cell, Workload},
        findings::{BASELINE, Spread, Standing},
        numbers::{count, counted, percent, quantity, significant},
        style::{Look, hex},
    },
    escape,
};

/// One row per policy: medians, and below them the range over trials. Several cells each have a
/// head of their own.
pub(super) fn table(workload: &Workload, cells: &[(Cell, Vec<Standing>)]) -> String {
    const HEAD: [&str; 11] = [
        "policy",
        "p50, ms",
        "p90, ms",
        "p99, ms",
        "p99.9, ms",
        "p99 ratio",
        "calls/s",
        "failed",
        "Jain",
        "CoV",
        "max/mean",
    ];
    let mut html = String::from("<div class=\"scroll\"><table>\n<thead><tr>");
    for title in HEAD {
        let _ = write!(html, "<th scope=\"col\">{title}</th>");
    }
    html += "</tr></thead>\n";
    for (cell, standings) in cells {
        html += "<tbody>\n";
        if cells.len() > 1 {
            let _ = writeln!(
                html,
                "<tr class=\"cell\"><th colspan=\"{}\" scope=\"colgroup\">{}</th></tr>",
                HEAD.len(),
                cell.described()
            );
        }
        for standing in standings {
            html += &row(standing, look(workload, &standing.policy));
        }
        html += "</tbody>\n";
    }
    let _ = writeln!(
        html,
        "</table></div>\n<p class=\"note\">Median over valid trials, below it the lowest and \
         the highest. The best p99 stands first; policies that did not serve the load come last. \
         The ratio is to {BASELINE}'s p99 in the same trial. A dash: fewer than ten samples lie beyond, or not \
         measured.</p>"
    );
    html
}

fn look(workload: &Workload, policy: &str) -> Option<Look> {
    workload.cells.iter().find(|(name, ..)| name == policy).map(|(_, look, _)| *look)
}

fn row(standing: &Standing, look: Option<Look>) -> String {
    let swatch = look.map_or_else(String::new, |look| {
        let tone = hex(look.tone.light);
        format!(
            "<svg class=\"swatch\" viewBox=\"0 0 10 10\" aria-hidden=\"true\">\
             <rect width=\"10\" height=\"10\" rx=\"2\" fill=\"{tone}\"/></svg>"
        )
    });
    let mut flags = String::new();
    for (count, word, class) in
        [(standing.invalid, "INVALID", "invalid"), (standing.saturated, "SATURATED", "saturated")]
    {
        if count > 0 {
            let _ = write!(
                flags,
                "<span class=\"flag {class}\">{word} {count}/{}</span>",
                standing.trials
            );
        }
    }
    let ms = |us: f64| significant(us / 1e3);
    let ratio = |value| format!("{}×", significant(value));
    let three = |value| format!("{value:.3}");
    let two = |value| format!("{value:.2}");
    let causes: Vec<String> =
        standing.causes.iter().map(|(cause, calls)| format!("{cause} {calls}")).collect();
    let errors = format!(
        "<td title=\"{}\">{}<small>{} in all</small></td>",
        escape(&causes.join(", ")),
        percent(standing.error_share.median),
        count(standing.errors as f64),
    );
    format!(
        "<tr><th scope=\"row\">{swatch}{}<small>{}</small>{flags}</th>{}{}{}{}{}{}{errors}{}{}{}</tr>\n",
        escape(&standing.policy),
        counted(standing.trials, "trial"),
        cell(standing.p50_us, ms),
        cell(standing.p90_us, ms),
        cell(standing.p99_us, ms),
        cell(standing.p999_us, ms),
        cell(standing.ratio, ratio),
        cell(standing.achieved_rps, quantity),
        cell(standing.jain, three),
        cell(standing.cov, two),
        cell(standing.max_over_mean, two),
    )
}

fn cell(spread: Option<Spread>, text: impl Fn(f64) -> String) -> String {
    spread.map_or_else(
        || "<td>–</td>".to_owned(),
        |Spread { median, low, high }| {
            let (median, low, high) = (text(median), text(low), text(high));
            if low == high {
                return format!("<td>{median}</td>");
            }
            format!("<td>{median}<small>{low}–{high}</small></td>")
        },
    )
}
