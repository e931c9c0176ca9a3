//! Which rows of the files belong to which run.

use std::collections::BTreeMap;

use crate::results::{EndpointRow, RunKey, RunRow, ServerRow, SummaryRow, TimelineRow};

/// Which cell of its policy a run belongs to: clients, servers, offered calls per second.
pub(super) type Cell = (u32, u32, u64);

/// One run with its rows, histogram aside.
pub(super) struct Run {
    pub(super) summary: SummaryRow,
    pub(super) cell: Cell,
    pub(super) servers: Vec<ServerRow>,
    pub(super) endpoints: Vec<EndpointRow>,
    pub(super) timeline: Vec<TimelineRow>,
}

/// Every run of the summary with its rows of the other files, in the order of their keys.
pub(super) fn runs(
    summary: Vec<SummaryRow>,
    servers: Vec<ServerRow>,
    endpoints: Vec<EndpointRow>,
    timeline: Vec<TimelineRow>,
) -> Vec<Run> {
    let (mut servers, mut endpoints, mut timeline) =
        (by_run(servers), by_run(endpoints), by_run(timeline));
    let runs = by_run(summary).into_iter().filter_map(|(key, mut rows)| {
        Some(Run {
            summary: rows.pop()?,
            cell: (key.clients, key.servers, key.rate),
            servers: servers.remove(&key).unwrap_or_default(),
            endpoints: endpoints.remove(&key).unwrap_or_default(),
            timeline: timeline.remove(&key).unwrap_or_default(),
        })
    });
    runs.collect()
}

fn by_run<R: RunRow>(rows: Vec<R>) -> BTreeMap<RunKey, Vec<R>> {
    let mut runs: BTreeMap<RunKey, Vec<R>> = BTreeMap::new();
    for row in rows {
        runs.entry(row.key()).or_default().push(row);
    }
    runs
}

/// The cell with the most policies, then runs; the largest among equals.
pub(super) fn main_cell(runs: &[(String, Vec<Run>)]) -> Cell {
    let mut cells: BTreeMap<Cell, (usize, usize)> = BTreeMap::new();
    for (_, runs) in runs {
        let mut own: BTreeMap<Cell, usize> = BTreeMap::new();
        for run in runs {
            *own.entry(run.cell).or_default() += 1;
        }
        for (cell, count) in own {
            let (policies, all) = cells.entry(cell).or_default();
            *policies += 1;
            *all += count;
        }
    }
    let largest = cells.into_iter().max_by_key(|(cell, counts)| (*counts, *cell));
    largest.expect("a workload has runs").0
}
