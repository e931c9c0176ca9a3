//! Which rows of the files belong to which run.

use std::collections::BTreeMap;

use super::super::numbers::{count, counted};
use crate::results::{
    EndpointRow, PhaseRow, RunKey, RunRow, ServerRow, SummaryRow, TimelineRow, WindowRow,
};

/// Which cell of its policy a run belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) clients: u32,
    pub(crate) servers: u32,
    /// Offered calls per second, rounded; 0 in a closed loop.
    pub(crate) rate: u64,
}

impl Cell {
    pub(crate) fn of(row: &SummaryRow) -> Self {
        let RunKey { clients, servers, rate, .. } = row.key();
        Self { clients, servers, rate }
    }

    /// `1,000 clients, 15 servers, 2,000 calls/s`.
    pub(crate) fn described(self) -> String {
        let Self { clients, servers, rate } = self;
        let rate = match rate {
            0 => "closed loop".to_owned(),
            rate => format!("{} calls/s", count(rate as f64)),
        };
        let (clients, servers) = (clients as usize, servers as usize);
        format!("{}, {}, {rate}", counted(clients, "client"), counted(servers, "server"))
    }
}

/// One run with its rows, histogram aside.
pub(super) struct Run {
    pub(super) summary: SummaryRow,
    pub(super) servers: Vec<ServerRow>,
    pub(super) endpoints: Vec<EndpointRow>,
    pub(super) timeline: Vec<TimelineRow>,
    pub(super) phases: Vec<PhaseRow>,
    pub(super) windows: Vec<WindowRow>,
}

/// The rows of every file but the summary.
pub(super) struct Rows {
    pub(super) servers: Vec<ServerRow>,
    pub(super) endpoints: Vec<EndpointRow>,
    pub(super) timeline: Vec<TimelineRow>,
    pub(super) phases: Vec<PhaseRow>,
    pub(super) windows: Vec<WindowRow>,
}

impl Run {
    pub(super) fn cell(&self) -> Cell {
        Cell::of(&self.summary)
    }
}

/// Every run of the summary with its rows of the other files, in the order of their keys.
pub(super) fn runs(summary: Vec<SummaryRow>, rows: Rows) -> Vec<Run> {
    let (mut servers, mut endpoints) = (by_run(rows.servers), by_run(rows.endpoints));
    let mut timeline = by_run(rows.timeline);
    let (mut phases, mut windows) = (by_run(rows.phases), by_run(rows.windows));
    let runs = by_run(summary).into_iter().filter_map(|(key, mut rows)| {
        Some(Run {
            summary: rows.pop()?,
            servers: servers.remove(&key).unwrap_or_default(),
            endpoints: endpoints.remove(&key).unwrap_or_default(),
            timeline: timeline.remove(&key).unwrap_or_default(),
            phases: phases.remove(&key).unwrap_or_default(),
            windows: windows.remove(&key).unwrap_or_default(),
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
            *own.entry(run.cell()).or_default() += 1;
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
