//! From the files of a results directory to what the charts show.
//!
//! A sweep may hold several cells per policy (client counts, server counts, rates). Most charts show
//! one of them, the *main cell*: the one with the most policies and runs, and the largest among
//! equals. The scaling chart and the report's table show all. A workload under a fault is a workload of
//! its own: what was disturbed is never set beside what was not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{
    PlotError,
    evidence::Evidence,
    faults::told::{position, told},
    hgrm::{self, Curve},
    slow::Slow,
    style::{Look, looks, rank},
};
use crate::results::{
    EndpointRow, Machine, MemberRow, PhaseRow, QueueRow, ResultDir, ResultsError, RunRow,
    ServerRow, SummaryRow, TimelineRow, WindowRow, read_rows,
};
use runs::{Rows, Run, main_cell};

pub(crate) use runs::Cell;

mod runs;

/// All of a results directory.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// The directory's name.
    pub(crate) name: String,
    pub(crate) machine: Machine,
    /// `plan.toml` as it stands.
    pub(crate) plan: String,
    pub(crate) workloads: Vec<Workload>,
    /// CPU time by process of all runs; none in files of before it was recorded.
    pub(crate) members: Vec<MemberRow>,
    /// What became of payments that waited; none where they do not.
    pub(crate) queue: Vec<QueueRow>,
}

/// The runs of one workload.
#[derive(Debug)]
pub(crate) struct Workload {
    /// `bank`, or `bank/slow` under the fault of that name.
    pub(crate) name: String,
    /// The name without the fault's.
    pub(crate) base: String,
    /// The fault's name; empty: none.
    pub(crate) fault: String,
    /// What the plan says of the fault.
    pub(crate) told: String,
    /// The main cell's runs.
    pub(crate) policies: Vec<PolicyRuns>,
    /// The summaries of all cells, by policy and in the same order.
    pub(crate) cells: Vec<(String, Look, Vec<SummaryRow>)>,
    /// Calls are counted by pool and endpoint, not by answering server.
    pub(crate) pooled: bool,
    /// The servers that the plan makes slower.
    pub(crate) slow: Slow,
    pub(crate) evidence: Evidence,
}

/// One policy's trials in the main cell.
#[derive(Debug)]
pub(crate) struct PolicyRuns {
    pub(crate) policy: String,
    pub(crate) look: Look,
    pub(crate) trials: Vec<Trial>,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) summary: SummaryRow,
    /// Response times.
    pub(crate) response: Curve,
    pub(crate) timeline: Vec<TimelineRow>,
    pub(crate) calls: Vec<ServerCalls>,
    /// Of a run that a fault befell.
    pub(crate) phases: Vec<PhaseRow>,
    /// Of a run that a fault befell, by time.
    pub(crate) windows: Vec<WindowRow>,
}

/// What one server got in one run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServerCalls {
    /// Empty where servers are not grouped.
    pub(crate) pool: String,
    pub(crate) server: String,
    pub(crate) calls: u64,
}

impl PolicyRuns {
    /// The trials' headline numbers.
    pub(crate) fn summaries(&self) -> Vec<SummaryRow> {
        self.trials.iter().map(|trial| trial.summary.clone()).collect()
    }

    /// The valid trials; all, if none is.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &Trial> {
        let any_valid = self.trials.iter().any(|trial| trial.summary.valid);
        self.trials.iter().filter(move |trial| trial.summary.valid || !any_valid)
    }

    /// Among the counted trials the one with the median p99, of equal ones by throughput; of two the
    /// better.
    pub(crate) fn median_trial(&self) -> Option<&Trial> {
        let mut counted: Vec<&Trial> = self.counted().collect();
        counted.sort_by(|one, other| {
            let p99 = |trial: &Trial| trial.summary.p99_us.unwrap_or(u64::MAX);
            let achieved = |trial: &Trial| trial.summary.achieved_rps;
            p99(one).cmp(&p99(other)).then(achieved(other).total_cmp(&achieved(one)))
        });
        counted.get(counted.len().saturating_sub(1) / 2).copied()
    }
}

impl Workload {
    /// All runs of the main cell.
    pub(crate) fn trials(&self) -> impl Iterator<Item = &Trial> {
        self.policies.iter().flat_map(|runs| &runs.trials)
    }

    /// All cells, the main one first, then by clients, servers and rate.
    pub(crate) fn all_cells(&self) -> Vec<Cell> {
        let main = Cell::of(self.first());
        let rows = self.cells.iter().flat_map(|(_, _, rows)| rows);
        let mut cells: Vec<Cell> = rows.map(Cell::of).filter(|cell| *cell != main).collect();
        cells.sort_unstable();
        cells.dedup();
        cells.insert(0, main);
        cells
    }

    /// The summaries of one cell, by policy.
    pub(crate) fn rows_of(&self, cell: Cell) -> Vec<(&str, Vec<SummaryRow>)> {
        let of_cell = |rows: &[SummaryRow]| -> Vec<SummaryRow> {
            rows.iter().filter(|row| Cell::of(row) == cell).cloned().collect()
        };
        let policies = self.cells.iter().map(|(name, _, rows)| (name.as_str(), of_cell(rows)));
        policies.filter(|(_, rows)| !rows.is_empty()).collect()
    }

    /// One run of the main cell, for what all of them share.
    pub(crate) fn first(&self) -> &SummaryRow {
        &self.trials().next().expect("a workload has runs").summary
    }
}

impl Sweep {
    /// Reads every file that the charts need.
    pub(crate) fn read(dir: &ResultDir) -> Result<Self, PlotError> {
        if !dir.path().is_dir() {
            return Err(PlotError::NoDirectory { path: dir.path().into() });
        }
        if !dir.summary().exists() {
            return Err(PlotError::NoRuns { path: dir.path().into() });
        }
        let summary: Vec<SummaryRow> = read_rows(&dir.summary())?;
        if summary.is_empty() {
            return Err(PlotError::NoRuns { path: dir.path().into() });
        }
        let rows = Rows {
            servers: required_rows(&dir.servers())?,
            endpoints: read_rows(&dir.endpoints())?,
            timeline: required_rows(&dir.timeline())?,
            phases: read_rows(&dir.phases())?,
            windows: read_rows(&dir.windows())?,
        };
        let runs = runs::runs(summary, rows);
        let (plan, parsed) = plan(&dir.plan())?;
        let name = dir.path().file_name().map_or("results".into(), |name| name.to_string_lossy());
        Ok(Self {
            name: name.into_owned(),
            machine: machine(&dir.machine())?,
            workloads: workloads(dir, runs, &parsed)?,
            members: read_rows(&dir.members())?,
            queue: read_rows(&dir.queue())?,
            plan,
        })
    }
}

pub(crate) fn text(path: &Path) -> Result<String, PlotError> {
    let file = |source| ResultsError::File { path: path.into(), source };
    Ok(fs::read_to_string(path).map_err(file)?)
}

fn required_rows<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, PlotError> {
    text(path)?;
    Ok(read_rows(path)?)
}

pub(crate) fn machine(path: &Path) -> Result<Machine, PlotError> {
    let malformed = |error: serde_json::Error| ResultsError::Malformed {
        path: path.into(),
        reason: error.to_string(),
    };
    Ok(serde_json::from_str(&text(path)?).map_err(malformed)?)
}

/// The text, and what it says.
fn plan(path: &Path) -> Result<(String, toml::Table), PlotError> {
    let text = text(path)?;
    let parsed: Result<toml::Table, _> = toml::from_str(&text);
    let parsed = parsed.map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let reason = format!("line {line}: {}", error.message().replace('\n', " "));
        ResultsError::Malformed { path: path.into(), reason }
    })?;
    Ok((text, parsed))
}

/// A workload and the fault that befell it, empty for none.
type Befallen = (String, String);

fn workloads(
    dir: &ResultDir,
    runs: Vec<Run>,
    plan: &toml::Table,
) -> Result<Vec<Workload>, PlotError> {
    let looks = looks(runs.iter().map(|run| run.summary.policy.as_str()));
    let mut by_workload: BTreeMap<Befallen, BTreeMap<String, Vec<Run>>> = BTreeMap::new();
    for run in runs {
        let SummaryRow { workload, fault, policy, .. } = run.summary.clone();
        by_workload.entry((workload, fault)).or_default().entry(policy).or_default().push(run);
    }
    let workload = |(befallen, runs): (Befallen, BTreeMap<String, Vec<Run>>)| {
        let mut runs: Vec<(String, Vec<Run>)> = runs.into_iter().collect();
        runs.sort_by(|(one, _), (other, _)| rank(one).cmp(&rank(other)));
        workload(dir, befallen, runs, &looks, plan)
    };
    let mut by_workload: Vec<_> = by_workload.into_iter().collect();
    by_workload.sort_by_cached_key(|((base, fault), _)| {
        let place = (!fault.is_empty()).then(|| position(plan, base, fault));
        (base.clone(), place, fault.clone())
    });
    by_workload.into_iter().map(workload).collect()
}

fn workload(
    dir: &ResultDir,
    (base, fault): Befallen,
    runs: Vec<(String, Vec<Run>)>,
    looks: &BTreeMap<String, Look>,
    plan: &toml::Table,
) -> Result<Workload, PlotError> {
    let main = main_cell(&runs);
    let summaries = |runs: &[Run]| runs.iter().map(|run| run.summary.clone()).collect();
    let cells =
        runs.iter().map(|(name, runs)| (name.clone(), looks[name], summaries(runs))).collect();
    let in_main = |run: &&Run| run.cell() == main;
    let pools = bank_pools(runs.iter().flat_map(|(_, runs)| runs).filter(in_main));
    let pooled = pools.len() > 1;
    let mut policies = Vec::new();
    for (policy, runs) in runs {
        let mut trials = Vec::new();
        for run in runs.into_iter().filter(|run| run.cell() == main) {
            let calls = if pooled { by_endpoint(&run, &pools) } else { by_server(&run) };
            let response = hgrm::read(&dir.histogram(&run.summary.key(), "response"))?;
            let Run { summary, timeline, phases, windows, .. } = run;
            trials.push(Trial { summary, response, timeline, calls, phases, windows });
        }
        if !trials.is_empty() {
            policies.push(PolicyRuns { look: looks[&policy], policy, trials });
        }
    }
    let trials = policies.iter().flat_map(|runs| &runs.trials);
    let servers: BTreeSet<&str> =
        trials.flat_map(|trial| trial.calls.iter().map(|row| row.server.as_str())).collect();
    let slow = Slow::of(plan, &base, &Vec::from_iter(servers));
    let name = if fault.is_empty() { base.clone() } else { format!("{base}/{fault}") };
    let told = told(plan, &base, &fault, main.servers);
    let evidence = Evidence::of(plan, &base);
    Ok(Workload { name, base, fault, told, policies, cells, pooled, slow, evidence })
}

/// The pools behind a gateway are the banks'; how its own pool is shared out is another question.
fn bank_pools<'a>(runs: impl Iterator<Item = &'a Run>) -> Vec<String> {
    let mut pools: Vec<String> = runs
        .flat_map(|run| run.endpoints.iter().map(|row| row.pool.clone()))
        .filter(|pool| pool.starts_with("bank"))
        .collect();
    pools.sort_unstable();
    pools.dedup();
    pools
}

fn by_endpoint(run: &Run, pools: &[String]) -> Vec<ServerCalls> {
    let calls = |row: &EndpointRow| ServerCalls {
        pool: row.pool.clone(),
        server: row.endpoint.clone(),
        calls: row.calls,
    };
    run.endpoints.iter().filter(|row| pools.contains(&row.pool)).map(calls).collect()
}

fn by_server(run: &Run) -> Vec<ServerCalls> {
    let calls = |row: &ServerRow| ServerCalls {
        pool: String::new(),
        server: row.server.clone(),
        calls: row.calls,
    };
    run.servers.iter().map(calls).collect()
}
