//! What became of a workload's payments that waited in the gateway's queue, a line for each run.

use std::fmt::Write as _;

use super::{
    super::data::{Cell, Workload},
    escape,
};
use crate::results::{QueueRow, RunRow};

/// A list, cells in words where there are several; nothing where no payment may wait.
pub(super) fn queue(workload: &Workload, rows: &[QueueRow]) -> String {
    let is_own = |row: &&QueueRow| row.workload == workload.base && row.fault == workload.fault;
    let own: Vec<&QueueRow> = rows.iter().filter(is_own).collect();
    if own.is_empty() {
        return String::new();
    }
    let several = workload.all_cells().len() > 1;
    let mut html =
        "<p class=\"note\">Payments that waited, warm-up included:</p>\n<ul>\n".to_owned();
    for row in own {
        let key = row.key();
        let cell = Cell { clients: key.clients, servers: key.servers, rate: key.rate };
        let cell = if several { format!(", {}", cell.described()) } else { String::new() };
        let _ = writeln!(
            html,
            "<li>{}{cell}, trial {}: {}</li>",
            escape(&row.policy),
            row.trial,
            escape(&row.told())
        );
    }
    html + "</ul>\n"
}
