//! Which runs a plan asks for, and in which order.
//!
//! Runs on one fleet form a group, so that the fleet is booted once. Within a group every trial is a
//! block of all its cells in a random order; in one block every policy meets the same schedule seed,
//! so that policies are compared under the same arrivals.

use std::collections::HashSet;

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::plan::{FaultPlan, Plan, WorkloadPlan};
use crate::results::{RunKey, SummaryRow};

/// Runs that share a fleet.
#[derive(Debug, Clone)]
pub(super) struct Group<'a> {
    /// What is driven.
    pub(super) workload: &'a WorkloadPlan,
    /// Servers of each bank.
    pub(super) servers: u32,
    /// The runs, in the order they are made.
    pub(super) runs: Vec<Run>,
}

/// One run: a cell in one trial.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    /// Names it in every file.
    pub(super) key: RunKey,
    /// Offered calls per second; `None` is the closed loop.
    pub(super) rate: Option<f64>,
    /// What befalls the fleet.
    pub(super) fault: Option<FaultPlan>,
    /// Seeds its schedule and its calls.
    pub(super) seed: u64,
}

/// All groups of a plan.
pub(super) fn groups(plan: &Plan) -> Vec<Group<'_>> {
    let fleets = plan
        .workloads
        .iter()
        .flat_map(|workload| workload.servers.iter().map(move |servers| (workload, *servers)));
    let mut order = StdRng::seed_from_u64(plan.seed);
    fleets
        .map(|(workload, servers)| {
            let mut runs = Vec::new();
            for trial in 1..=plan.trials {
                let mut block = block(plan, workload, servers, trial);
                block.shuffle(&mut order);
                runs.append(&mut block);
            }
            Group { workload, servers, runs }
        })
        .collect()
}

/// Every run must have a key of its own: runs that share one would share their files.
pub(super) fn check_distinct(plan: &Plan) -> Result<(), String> {
    let mut seen = HashSet::new();
    for run in groups(plan).into_iter().flat_map(|group| group.runs) {
        let RunKey { workload, clients, servers, rate, .. } = &run.key;
        let what = format!("{workload}, {clients} clients, {servers} servers, {rate} calls/s");
        if !seen.insert(run.key) {
            return Err(format!(
                "two cells cannot be told apart ({what}); give one of the workloads another name = \"...\", or \
                 rates that differ by 1 call/s at least"
            ));
        }
    }
    Ok(())
}

fn block(plan: &Plan, workload: &WorkloadPlan, servers: u32, trial: u32) -> Vec<Run> {
    let mut runs = Vec::new();
    for fault in workload.befalling() {
        for rate in workload.offered() {
            for clients in &plan.clients {
                for policy in &plan.policies {
                    let key = RunKey {
                        workload: workload.label().to_owned(),
                        policy: policy.clone(),
                        clients: *clients,
                        servers: pooled(workload, servers),
                        rate: rate.unwrap_or(0.0).round() as u64,
                        fault: fault.map_or("", FaultPlan::label).to_owned(),
                        trial,
                    };
                    let seed = seed(plan, trial);
                    runs.push(Run { key, rate, fault: fault.cloned(), seed });
                }
            }
        }
    }
    runs
}

/// Servers of all pools of banks; an owner that serves alone is one.
fn pooled(workload: &WorkloadPlan, servers: u32) -> u32 {
    servers.max(1) * workload.banks
}

fn seed(plan: &Plan, trial: u32) -> u64 {
    plan.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(trial))
}

/// The runs of a group that depend on what its closed loops achieved: an open loop at each share of the
/// best cell's median, with that cell's clients. None while there is no valid closed loop.
pub(super) fn at_shares(plan: &Plan, group: &Group<'_>, summary: &[SummaryRow]) -> Vec<Run> {
    let servers = pooled(group.workload, group.servers);
    let mut runs = Vec::new();
    for policy in &plan.policies {
        let of_cell = |clients: u32| -> Vec<f64> {
            let rows = summary.iter().filter(|row| {
                row.workload == group.workload.label()
                    && row.policy == *policy
                    && row.servers == servers
                    && row.clients == clients
                    && row.offered_rps == 0.0
                    && row.valid
            });
            rows.map(|row| row.achieved_rps).collect()
        };
        let cells = plan.clients.iter().filter_map(|clients| {
            let mut achieved = of_cell(*clients);
            achieved.sort_by(f64::total_cmp);
            achieved.get(achieved.len() / 2).map(|median| (*clients, *median))
        });
        let Some((clients, most)) = cells.max_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
        for share in &group.workload.at_share_of_max {
            let rate = (most * share).round().max(1.0);
            for trial in 1..=plan.trials {
                let key = RunKey {
                    workload: group.workload.label().to_owned(),
                    policy: policy.clone(),
                    clients,
                    servers,
                    rate: rate as u64,
                    fault: String::new(),
                    trial,
                };
                runs.push(Run { key, rate: Some(rate), fault: None, seed: seed(plan, trial) });
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_once_a_trial_under_paired_seeds() {
        let plan = Plan::parse(super::super::plan::DEFAULT, "default").expect("it is sound");
        let groups = groups(&plan);
        let runs: Vec<&Run> = groups.iter().flat_map(|group| &group.runs).collect();
        assert_eq!(runs.len(), plan.runs());
        assert_eq!(runs.iter().map(|run| &run.key).collect::<HashSet<_>>().len(), runs.len());
        for group in &groups {
            for block in group.runs.chunks(plan.policies.len()) {
                let policies: HashSet<_> = block.iter().map(|run| &run.key.policy).collect();
                assert_eq!(policies.len(), plan.policies.len());
                assert!(block.iter().all(|run| run.seed == block[0].seed));
            }
        }
        let orders: HashSet<Vec<_>> = groups
            .iter()
            .flat_map(|group| group.runs.chunks(plan.policies.len()))
            .map(|block| block.iter().map(|run| run.key.policy.as_str()).collect())
            .collect();
        assert!(orders.len() > 1, "the order of policies varies between trials");
    }

    #[test]
    fn shares_are_of_the_best_cells_median() {
        let text = r#"
name = "most"
trials = 3
policies = ["round_robin"]
clients = [1, 16]
[[workloads]]
kind = "payments"
banks = 2
servers = [0]
at_share_of_max = [0.5]
"#;
        let plan = Plan::parse(text, "most").expect("it is sound");
        let groups = groups(&plan);
        assert_eq!(at_shares(&plan, &groups[0], &[]), []);
        assert_eq!(plan.runs(), 2 * 3 + 3);
        let row = |clients: u32, trial: u32, achieved_rps: f64| SummaryRow {
            workload: "payments".to_owned(),
            clients,
            offered_rps: 0.0,
            achieved_rps,
            ..crate::sweep::tests::row(trial)
        };
        let rows = [
            [row(1, 1, 10.0), row(1, 2, 20.0), row(1, 3, 900.0)],
            [row(16, 1, 100.0), row(16, 2, 90.0), row(16, 3, 80.0)],
        ];
        let runs = at_shares(&plan, &groups[0], &rows.concat());
        let seen: Vec<_> = runs.iter().map(|run| (run.key.clients, run.rate)).collect();
        assert_eq!(seen, vec![(16, Some(45.0)); 3]);
    }
}
