//! Which rows of the files belong to which run.
//!
//! Only `summary.csv` says a run's cell. The rows of the other files follow each other in the order
//! of the runs, which is enough to tell the cells of one policy and trial apart.

use std::collections::BTreeMap;

use crate::results::{EndpointRow, RunKey, ServerRow, SummaryRow, TimelineRow};

/// Which cell of its policy a run belongs to: clients, servers, offered calls per second.
pub(super) type Cell = (u32, u32, u64);

/// Rows of each file that say the same workload, policy and trial.
#[derive(Default)]
pub(super) struct Group {
    runs: Vec<SummaryRow>,
    servers: Vec<ServerRow>,
    endpoints: Vec<EndpointRow>,
    timeline: Vec<TimelineRow>,
}

pub(super) type Groups = BTreeMap<(String, String, u32), Group>;

pub(super) fn groups(
    summary: Vec<SummaryRow>,
    servers: Vec<ServerRow>,
    endpoints: Vec<EndpointRow>,
    timeline: Vec<TimelineRow>,
) -> Groups {
    let mut groups = Groups::new();
    for row in summary {
        let key = (row.workload.clone(), row.policy.clone(), row.trial);
        groups.entry(key).or_default().runs.push(row);
    }
    macro_rules! sort_in {
        ($rows:ident) => {
            for row in $rows {
                let key = (row.workload.clone(), row.policy.clone(), row.trial);
                if let Some(group) = groups.get_mut(&key) {
                    group.$rows.push(row);
                }
            }
        };
    }
    sort_in!(servers);
    sort_in!(endpoints);
    sort_in!(timeline);
    groups
}

/// One run with its rows, histogram aside.
pub(super) struct Run {
    pub(super) summary: SummaryRow,
    pub(super) cell: Cell,
    pub(super) servers: Vec<ServerRow>,
    pub(super) endpoints: Vec<EndpointRow>,
    pub(super) timeline: Vec<TimelineRow>,
}

impl Group {
    /// Several runs of one policy and trial follow each other in every file in the same order.
    pub(super) fn into_runs(self) -> Vec<Run> {
        let count = self.runs.len();
        let servers = blocks(self.servers, count, |block, row| {
            block.iter().any(|seen| seen.server == row.server)
        });
        let endpoints = blocks(self.endpoints, count, |block, row| {
            block.iter().any(|seen| seen.pool == row.pool && seen.endpoint == row.endpoint)
        });
        let timeline = blocks(self.timeline, count, |block, row| {
            block.last().is_some_and(|last| row.at_s <= last.at_s)
        });
        let rows = self.runs.into_iter().zip(servers).zip(endpoints).zip(timeline);
        rows.map(|(((summary, servers), endpoints), timeline)| {
            let RunKey { clients, servers: fleet, rate, .. } = summary.key();
            let cell = (clients, fleet, rate);
            Run { summary, cell, servers, endpoints, timeline }
        })
        .collect()
    }
}

/// Splits rows into the given number of runs, a new one starting at every row that `repeats`. All
/// are empty when the rows tell of another number of runs: better no chart than a wrong one.
fn blocks<R>(rows: Vec<R>, runs: usize, repeats: impl Fn(&[R], &R) -> bool) -> Vec<Vec<R>> {
    if runs == 1 {
        return vec![rows];
    }
    let mut blocks: Vec<Vec<R>> = Vec::new();
    for row in rows {
        match blocks.last_mut() {
            Some(block) if !repeats(block, &row) => block.push(row),
            _ => blocks.push(vec![row]),
        }
    }
    if blocks.len() != runs {
        blocks = std::iter::repeat_with(Vec::new).take(runs).collect();
    }
    blocks
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
