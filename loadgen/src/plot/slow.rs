//! Which servers the plan makes slower, and what a policy made of them.
//!
//! A fleet with a slow server is what tells policies apart, so charts and verdicts name it. The plan
//! numbers a bank's servers from 1, and a server's name ends in its number.

use super::{
    data::{PolicyRuns, ServerCalls, Trial, Workload},
    faults::told::of_workload,
    findings::Spread,
    numbers::{list, significant},
};

/// Up to so many slow servers are named one by one.
const NAMED: usize = 4;
/// A server with less than this part of an even share is almost idle.
const ALMOST_IDLE: f64 = 0.1;

/// The slow servers of a workload.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Slow {
    /// By name: how many times as long their calls take, above 1.
    servers: Vec<(String, f64)>,
}

impl Slow {
    /// Those of `servers`, names of the workload's servers in order, that `plan` makes slower.
    pub(crate) fn of(plan: &toml::Table, workload: &str, servers: &[&str]) -> Self {
        let factor = |server: &&str| {
            let (_, number) = server.rsplit_once('-')?;
            let factor = factors(plan, workload)?.get(number)?;
            let factor = factor.as_float().or_else(|| Some(factor.as_integer()? as f64))?;
            (factor > 1.0).then(|| ((*server).to_owned(), factor))
        };
        Self { servers: servers.iter().filter_map(factor).collect() }
    }

    /// How much slower a server is, if it is.
    pub(crate) fn factor(&self, server: &str) -> Option<f64> {
        self.servers.iter().find(|(name, _)| name == server).map(|(_, factor)| *factor)
    }

    /// ` icici-3 is 3× slower than the others.`; nothing if none is.
    pub(crate) fn remark(&self) -> String {
        match self.servers.len() {
            0 => String::new(),
            1 => format!(" {} than the others.", self.described("is")),
            _ => format!(" {} than the others.", self.described("are")),
        }
    }

    /// ` least_load left icici-3, which is 3× slower, almost idle.`; nothing if no server is slow.
    pub(crate) fn treatment(&self, workload: &Workload, policy: &str) -> String {
        let runs = workload.policies.iter().find(|runs| runs.policy == policy);
        let Some(share) = runs.and_then(|runs| self.share(runs)) else { return String::new() };
        let which = self.described(if self.servers.len() == 1 { "which is" } else { "which are" });
        let which = which.replacen(" which", ", which", 1);
        if share < ALMOST_IDLE {
            return format!(" {policy} left {which}, almost idle.");
        }
        format!(" {policy} gave {which}, {}× an even share of calls.", significant(share))
    }

    /// `icici-3 is 3× slower`, with another verb if wanted.
    fn described(&self, verb: &str) -> String {
        let names: Vec<&str> =
            self.servers.iter().map(|(name, _)| name.as_str()).take(NAMED).collect();
        let names = match self.servers.len() - names.len() {
            0 => list(&names),
            more => format!("{} and {more} more", names.join(", ")),
        };
        let factors = Spread::of(self.servers.iter().map(|(_, factor)| *factor));
        let slower = factors.map_or_else(String::new, |Spread { low, high, .. }| {
            if low < high { format!("{}–{}", plain(low), slower(high)) } else { slower(high) }
        });
        format!("{names} {verb} {slower}")
    }

    /// Calls of the slow servers over an even share of their pool's; the median over trials.
    fn share(&self, runs: &PolicyRuns) -> Option<f64> {
        let of_trial = |trial: &Trial| {
            let shares: Vec<f64> = trial
                .calls
                .iter()
                .filter(|row| self.factor(&row.server).is_some())
                .map(|row| row.calls as f64 / even_share(&trial.calls, &row.pool))
                .filter(|share| share.is_finite())
                .collect();
            shares.iter().sum::<f64>() / shares.len() as f64
        };
        Spread::of(runs.counted().map(of_trial)).map(|spread| spread.median)
    }
}

fn even_share(calls: &[ServerCalls], pool: &str) -> f64 {
    let pool = || calls.iter().filter(|row| row.pool == pool);
    pool().map(|row| row.calls as f64).sum::<f64>() / pool().count() as f64
}

/// The plan's `slow` of a workload.
fn factors<'p>(plan: &'p toml::Table, workload: &str) -> Option<&'p toml::Table> {
    of_workload(plan, workload)?.get("slow")?.as_table()
}

/// `3× slower`.
pub(crate) fn slower(factor: f64) -> String {
    format!("{}× slower", plain(factor))
}

/// Three digits at most, none of them needless.
fn plain(factor: f64) -> String {
    let text = significant(factor);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
