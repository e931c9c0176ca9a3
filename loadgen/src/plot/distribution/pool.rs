//! What each policy sent to each server, server by server comparable across runs.

use std::collections::{BTreeMap, BTreeSet};

use super::super::data::{PolicyRuns, ServerCalls, Trial, Workload};

/// The servers of one pool, and what each policy sent them.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) servers: Vec<String>,
    /// By policy, then trial, then server: calls.
    pub(super) calls: Vec<Vec<Vec<f64>>>,
    /// How many servers share the pool's calls, those never seen included.
    pub(super) members: usize,
}

impl Pool {
    /// Mean calls per server and trial of a policy.
    pub(super) fn even_share(&self, policy: usize) -> f64 {
        let trials = &self.calls[policy];
        let all: f64 = trials.iter().flatten().sum();
        all / (trials.len().max(1) * self.members.max(1)) as f64
    }

    /// The busiest or idlest server of a policy by its calls over the even share.
    pub(super) fn extreme(&self, policy: usize, busiest: bool) -> Option<(&str, f64)> {
        let trials = &self.calls[policy];
        let even = self.even_share(policy);
        let of = |server: usize| {
            let sum: f64 = trials.iter().map(|calls| calls[server]).sum();
            sum / trials.len().max(1) as f64 / even
        };
        let shares = self.servers.iter().enumerate().map(|(index, name)| (&name[..], of(index)));
        let shares = shares.filter(|(_, share)| share.is_finite());
        if busiest {
            shares.max_by(|one, other| one.1.total_cmp(&other.1))
        } else {
            shares.min_by(|one, other| one.1.total_cmp(&other.1))
        }
    }
}

/// Every pool of a workload; one without a name where servers are not grouped.
pub(super) fn pools(workload: &Workload) -> Vec<Pool> {
    let rows = workload.trials().flat_map(|trial| &trial.calls);
    let names: BTreeSet<&str> = rows.map(|row| row.pool.as_str()).collect();
    names.into_iter().map(|name| pool(workload, name)).collect()
}

fn pool(workload: &Workload, pool: &str) -> Pool {
    let of = |trial: &Trial| -> BTreeMap<String, f64> {
        let rows = trial.calls.iter().filter(|row| row.pool == pool);
        rows.map(|ServerCalls { server, calls, .. }| (server.clone(), *calls as f64)).collect()
    };
    let trials: Vec<BTreeMap<String, f64>> = workload.trials().map(of).collect();
    let all: BTreeSet<&String> = trials.iter().flat_map(BTreeMap::keys).collect();
    let most = trials.iter().map(BTreeMap::len).max().unwrap_or(0);
    let declared = if workload.pooled { most } else { workload.first().servers as usize };
    let members = most.max(declared);
    // Servers that keep their names through the sweep are compared by name, others by rank.
    let named = all.len() <= members;
    let servers: Vec<String> = if named {
        let mut servers: Vec<String> = all.into_iter().cloned().collect();
        servers.sort_by_key(|name| natural(name));
        servers
    } else {
        (1..=most).map(|rank| format!("busiest {rank}")).collect()
    };
    let calls = |trial: &Trial| -> Vec<f64> {
        let calls = of(trial);
        if named {
            return servers.iter().map(|name| calls.get(name).copied().unwrap_or(0.0)).collect();
        }
        let mut ranked: Vec<f64> = calls.into_values().collect();
        ranked.sort_by(|one, other| other.total_cmp(one));
        ranked.resize(servers.len(), 0.0);
        ranked
    };
    let by_policy = |runs: &PolicyRuns| runs.trials.iter().map(calls).collect();
    let calls = workload.policies.iter().map(by_policy).collect();
    Pool { name: pool.to_owned(), servers, calls, members }
}

/// Sorts `server-10` after `server-9`.
fn natural(name: &str) -> (String, u64, String) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = name.split_at(name.len() - digits);
    (stem.to_owned(), number.parse().unwrap_or(0), name.to_owned())
}
