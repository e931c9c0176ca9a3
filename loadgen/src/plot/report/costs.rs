//! Where a workload's time went: CPU time by process and what the stores' commits took.

use super::{super::data::Workload, escape};
use crate::{
    results::{MemberRow, SummaryRow},
    sweep::costs,
};

/// A row per cell and policy; nothing for fleets of many processes.
pub(super) fn costs(workload: &Workload, members: &[MemberRow]) -> String {
    let rows: Vec<SummaryRow> = workload.cells.iter().flat_map(|cell| cell.2.clone()).collect();
    let ours = |row: &&MemberRow| row.workload == workload.base && row.fault == workload.fault;
    let members: Vec<MemberRow> = members.iter().filter(ours).cloned().collect();
    let policies: Vec<String> = workload.cells.iter().map(|cell| cell.0.clone()).collect();
    let lines = costs::lines(&rows, &members, &policies);
    let Some((head, lines)) = lines.split_first() else { return String::new() };
    let cells = |tag: &str, line: &[String]| -> String {
        line.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
    };
    let body: String =
        lines.iter().map(|line| format!("<tr>{}</tr>\n", cells("td", line))).collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n\
         <p class=\"note\">CPU time of each process over the calls answered, and the cores that all of them \
         kept busy. Beside it the time of a durable commit, fsync included, p50/p99 since the fleet was booted. \
         Medians over trials.</p>\n",
        cells("th", head)
    )
}
