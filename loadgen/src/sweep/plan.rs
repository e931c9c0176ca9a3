//! The plan of a sweep: one TOML file sets everything.

use std::{fs, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use strife_runtime::{Failure, identity, parse::duration_text};

use super::cells;

mod faults;
mod workload;

pub use faults::{FaultKind, FaultPlan};
pub use workload::{StoreKind, WorkloadKind, WorkloadPlan};

/// The plan that runs when none is named: about two minutes.
pub const DEFAULT: &str = include_str!("../../plans/default.toml");

/// Limits that keep a slip of the pen from starting a thousand processes or a week of runs.
const MAX_PROCESSES: u32 = 512;
const MAX_RUNS: usize = 10_000;
const MAX_CLIENTS: u32 = 100_000;

/// Everything a sweep does. Durations are texts (`5s`, `250ms`), rates calls per second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Names the results directory.
    pub name: String,
    /// Seeds schedules, service times, accounts and the order of runs.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// How often every cell is run, each time under another seed.
    #[serde(default = "default_trials")]
    pub trials: u32,
    /// The policies to compare.
    pub policies: Vec<String>,
    /// Concurrent clients, one cell each.
    #[serde(default = "default_clients")]
    pub clients: Vec<u32>,
    /// Measured time of a run.
    #[serde(with = "duration_text", default = "default_duration")]
    pub duration: Duration,
    /// Time before it that is not measured.
    #[serde(with = "duration_text", default = "default_warmup")]
    pub warmup: Duration,
    /// Deadline of a call, from its intended send time.
    #[serde(with = "duration_text", default = "default_timeout")]
    pub timeout: Duration,
    /// Time between a bank server's load reports.
    #[serde(with = "duration_text", default = "default_report_interval")]
    pub report_interval: Duration,
    /// No TLS.
    #[serde(default)]
    pub plaintext: bool,
    /// Threads of the balancer.
    #[serde(default = "default_threads")]
    pub balancer_threads: usize,
    /// What is driven, on what fleet.
    pub workloads: Vec<WorkloadPlan>,
}

fn default_seed() -> u64 {
    1
}
fn default_trials() -> u32 {
    3
}
fn default_clients() -> Vec<u32> {
    vec![128]
}
fn default_duration() -> Duration {
    Duration::from_secs(5)
}
fn default_warmup() -> Duration {
    Duration::from_secs(1)
}
fn default_timeout() -> Duration {
    Duration::from_secs(2)
}
fn default_report_interval() -> Duration {
    Duration::from_millis(100)
}
fn default_threads() -> usize {
    1
}
impl Plan {
    /// Reads and checks a plan file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!(
                "cannot read the plan {} ({error}); ready plans stand in loadgen/plans/",
                path.display()
            ))
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads and checks a plan; `source` names it in errors.
    pub fn parse(text: &str, source: &str) -> Result<Self, Failure> {
        let plan: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            Failure::usage(format!("{source}, line {line}: {}", error.message().replace('\n', " ")))
        })?;
        plan.check().map_err(|reason| Failure::usage(format!("{source}: {reason}")))?;
        Ok(plan)
    }

    /// The plan as TOML, every default written out.
    pub fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string(self).map_err(|error| Failure::new(format!("plan: {error}")))
    }

    fn check(&self) -> Result<(), String> {
        if !identity::is_name(&self.name) {
            return Err(format!("name `{}` is not 1 to 64 of a-z, 0-9, _ and -", self.name));
        }
        if self.trials == 0 || self.duration.is_zero() || self.timeout.is_zero() {
            return Err("trials, duration and timeout must be more than zero".to_owned());
        }
        if self.report_interval.is_zero() || self.balancer_threads == 0 {
            return Err("report_interval and balancer_threads must be more than zero".to_owned());
        }
        check_list("policies", &self.policies)?;
        for policy in &self.policies {
            strife_policy::by_spec(policy).map_err(|unknown| unknown.to_string())?;
        }
        check_list("clients", &self.clients)?;
        if let Some(clients) = self.clients.iter().find(|n| !(1..=MAX_CLIENTS).contains(*n)) {
            return Err(format!("clients = {clients} is not from 1 to {MAX_CLIENTS}"));
        }
        if self.workloads.is_empty() {
            return Err("no [[workloads]]; at least one is needed".to_owned());
        }
        self.workloads.iter().try_for_each(|workload| workload.check(self.duration))?;
        match self.runs() {
            0..=MAX_RUNS => cells::check_distinct(self),
            runs => Err(format!("{runs} runs are more than {MAX_RUNS}")),
        }
    }

    /// How many runs the plan asks for.
    pub fn runs(&self) -> usize {
        let per_fleet = self.policies.len() * self.clients.len() * self.trials as usize;
        let fleets =
            |w: &WorkloadPlan| w.servers.len() * w.rates.len().max(1) * w.faults.len().max(1);
        let at_shares = |w: &WorkloadPlan| {
            w.servers.len() * w.at_share_of_max.len() * self.policies.len() * self.trials as usize
        };
        let planned = |w: &WorkloadPlan| fleets(w) * per_fleet + at_shares(w);
        self.workloads.iter().map(planned).sum()
    }
}

/// A list must have something in it, and nothing twice: two equal cells would share their files.
fn check_list<T: PartialEq + std::fmt::Debug>(name: &str, list: &[T]) -> Result<(), String> {
    if list.is_empty() {
        return Err(format!("{name} is empty; at least one is needed"));
    }
    let twice = list.iter().enumerate().find(|(index, item)| list[..*index].contains(item));
    twice.map_or(Ok(()), |(_, item)| Err(format!("{name} names {item:?} twice")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
name = "small"
policies = ["round_robin"]
[[workloads]]
kind = "bank"
rates = [100]
banks = 1
servers = [2]
"#;

    fn check(change: (&str, &str), expected: &str) {
        let text = SMALL.replace(change.0, change.1);
        assert_ne!(text, SMALL);
        let error = Plan::parse(&text, "p.toml").expect_err("the plan is malformed").to_string();
        assert!(error.starts_with("p.toml") && error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn malformed_plans_are_refused_by_name() {
        check(("policies", "polices"), "line 3: unknown field `polices`");
        check(("\"round_robin\"", "\"robin\""), "no policy `robin`");
        check(("[\"round_robin\"]", "[]"), "policies is empty");
        check(("banks = 1", "banks = 0"), "more than zero");
        check(("[2]", "[0, 1]"), "one server each");
        check(("banks = 1", "banks = 1\ncross_bank = 101"), "cross_bank = 101");
        check(("banks = 1", "banks = 1\nhot_accounts = 1"), "makes two");
        check(("banks = 1", "banks = 1\nat_share_of_max = [0.8]"), "no rates");
        let shares = "at_share_of_max = [0.0]";
        check(("rates = [100]", shares), "is not from 0 to 2");
        let alone = "kind = \"payments\"\ncross_bank = 100";
        check(("kind = \"bank\"", alone), "needs two banks");
        check(("banks = 1", "banks = 1\nqueue_for = \"30s\""), "for kind \"payments\" only");
        let payments = |more: &str| format!("kind = \"payments\"\n{more}");
        check(("kind = \"bank\"", &payments("queue_for = \"1500ms\"")), "is not whole seconds");
        check(("kind = \"bank\"", &payments("queue_for = \"200h\"")), "at most");
        check(("[2]", "[2, 2]"), "twice");
        check(("[100]", "[-1]"), "calls per second");
        check(("\"bank\"", "\"shop\""), "unknown variant `shop`");
        check(("\"small\"", "\"../small\""), "is not 1 to 64");
        check(("banks = 1", "banks = 1\nslow = { 3 = 2.0 }"), "slow server `3`");
        check(("banks = 1", "banks = 300"), "900 bank processes");
        check(("banks = 1", "banks = 1\nservice_time = \"5 parsecs\""), "is not a service time");
        check(("banks = 1", "banks = 1\nslow = { 1 = 5000.0 }"), "between 0.01 and 1000");
        check(("[100]", "[0.3, 0.4]"), "cannot be told apart");
        let fault = "servers = [2]\n[[workloads.faults]]\nkind = \"kill\"\n";
        check(("servers = [2]", fault), "fault `kill`: at must be");
        let fault = format!("{fault}at = \"1s\"\nfor = \"1s\"\n");
        check(("servers = [2]", &format!("{fault}{}", &fault[14..])), "names \"kill\" twice");
        check(
            ("rates = [100]\nbanks = 1\nservers = [2]", &format!("banks = 1\n{fault}")),
            "need rates",
        );
    }

    #[test]
    fn workloads_of_one_kind_need_names() {
        let second = &SMALL[SMALL.find("[[workloads]]").expect("there is one")..];
        let twice = format!("{SMALL}{second}service_time = \"constant:9ms\"\n");
        let error = Plan::parse(&twice, "p.toml").expect_err("the same cell twice").to_string();
        assert!(error.contains("name = "), "{error}");
        let plan = Plan::parse(&format!("{twice}name = \"slower\"\n"), "p.toml").expect("distinct");
        assert_eq!(plan.workloads[1].label(), "slower");
    }

    #[test]
    fn every_ready_plan_is_sound_and_reads_back_as_written() {
        let plans = concat!(env!("CARGO_MANIFEST_DIR"), "/plans");
        for file in fs::read_dir(plans).expect("plans are shipped") {
            let plan = Plan::read(&file.expect("readable").path()).expect("the plan is sound");
            let text = plan.to_toml().expect("a plan can be written");
            assert_eq!(Plan::parse(&text, "again").expect("it reads back"), plan);
        }
    }
}
