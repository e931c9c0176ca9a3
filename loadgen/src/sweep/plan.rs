//! The plan of a sweep: one TOML file sets everything.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use strife_fleet::BankSpec;
use strife_runtime::{
    Failure, identity,
    parse::duration_text,
    service_time::{self, ServiceTime},
};

use super::cells;
use crate::workload::PaymentMix;

mod faults;

pub use faults::{FaultKind, FaultPlan};

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

/// One workload and the fleets it drives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadPlan {
    /// What is called.
    pub kind: WorkloadKind,
    /// Names the workload in every file and chart; its kind by default. Two workloads of one kind need
    /// names to tell them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Offered calls per second, one cell each. Empty: closed loop.
    #[serde(default)]
    pub rates: Vec<f64>,
    /// Banks of the fleet.
    pub banks: u32,
    /// Servers of each bank, one fleet each.
    pub servers: Vec<u32>,
    /// Accounts of each bank.
    #[serde(default = "default_accounts")]
    pub accounts: u32,
    /// Calls a bank server serves at once; 0 for no limit.
    #[serde(default)]
    pub slots: u32,
    /// Service time of a bank server's call: `lognormal:5ms:0.5`, `exponential:5ms`, `constant:5ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_time: Option<String>,
    /// Servers (numbered from 1, in every bank) that are slower, and by what factor.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slow: BTreeMap<String, f64>,
    /// Out of a hundred payments, those between two banks.
    #[serde(default = "default_cross_bank")]
    pub cross_bank: u32,
    /// Only so many accounts pay and are paid, in the payments workload; 0: all of them.
    #[serde(default)]
    pub hot_accounts: usize,
    /// Where banks keep their money.
    #[serde(default)]
    pub store: StoreKind,
    /// In a closed loop: afterwards, an open loop at each of these shares of the most that was achieved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_share_of_max: Vec<f64>,
    /// What befalls the fleet while it is driven, one cell each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultPlan>,
}

/// Where banks keep their money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In a file of each bank's own.
    #[default]
    Embedded,
    /// In the PostgreSQL database that `--database` names.
    Postgres,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadKind {
    /// A mix of `BankService` calls to the first bank's servers through the balancer.
    Bank,
    /// `ProcessPayment` through balancer, gateway, balancer, banks.
    Payments,
}

impl WorkloadKind {
    /// As in plans and CSV files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bank => "bank",
            Self::Payments => "payments",
        }
    }
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
fn default_accounts() -> u32 {
    10_000
}
fn default_cross_bank() -> u32 {
    PaymentMix::default().cross_bank_percent
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

impl WorkloadPlan {
    /// What the workload is called in every file and chart.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.as_str())
    }

    fn check(&self, duration: Duration) -> Result<(), String> {
        check_list("servers", &self.servers)?;
        if !identity::is_name(self.label()) {
            return Err(format!(
                "workload name `{}` is not 1 to 64 of a-z, 0-9, _ and -",
                self.label()
            ));
        }
        if let Some(service_time) = &self.service_time {
            service_time
                .parse::<ServiceTime>()
                .map_err(|error| format!("service_time: {error}"))?;
        }
        if self.banks == 0 {
            return Err("banks must be more than zero".to_owned());
        }
        if self.servers.contains(&0) && self.servers.contains(&1) {
            return Err("servers = [0, 1] are one server each, once with the store".to_owned());
        }
        let processes =
            self.servers.iter().max().map_or(0, |most| (most + 1).saturating_mul(self.banks));
        if processes > MAX_PROCESSES {
            return Err(format!("{processes} bank processes are more than {MAX_PROCESSES}"));
        }
        if !self.rates.is_empty() {
            check_list("rates", &self.rates)?;
        }
        if let Some(rate) = self.rates.iter().find(|rate| !(**rate > 0.0 && **rate <= 1e7)) {
            return Err(format!("rates = {rate} is not a number of calls per second"));
        }
        if self.accounts < 2 {
            return Err("accounts must be at least 2".to_owned());
        }
        self.check_payments()?;
        self.check_faults(duration)?;
        let most = self.servers.iter().max().copied().unwrap_or(0);
        for (server, factor) in &self.slow {
            if !server.parse().is_ok_and(|number: u32| (1..=most).contains(&number)) {
                return Err(format!("slow server `{server}` is not a number from 1 to {most}"));
            }
            if !service_time::is_slow_factor(*factor) {
                return Err(format!(
                    "slow server `{server}`: factor {factor} is not between 0.01 and 1000"
                ));
            }
        }
        Ok(())
    }

    fn check_payments(&self) -> Result<(), String> {
        if self.cross_bank > 100 {
            return Err(format!("cross_bank = {} is not a number of percent", self.cross_bank));
        }
        if self.cross_bank == 100 && self.banks == 1 && self.kind == WorkloadKind::Payments {
            return Err("cross_bank = 100 needs two banks".to_owned());
        }
        if self.hot_accounts == 1 {
            return Err("hot_accounts = 1: who pays and who is paid makes two".to_owned());
        }
        if self.at_share_of_max.is_empty() {
            return Ok(());
        }
        check_list("at_share_of_max", &self.at_share_of_max)?;
        if !self.rates.is_empty() {
            return Err("at_share_of_max needs a closed loop, and so no rates".to_owned());
        }
        let out = self.at_share_of_max.iter().find(|share| !(**share > 0.0 && **share <= 2.0));
        out.map_or(Ok(()), |share| Err(format!("at_share_of_max = {share} is not from 0 to 2")))
    }

    /// Between whom payments are.
    pub fn mix(&self) -> PaymentMix {
        let Self { cross_bank, hot_accounts, .. } = *self;
        PaymentMix { cross_bank_percent: cross_bank, hot_accounts }
    }

    fn check_faults(&self, duration: Duration) -> Result<(), String> {
        if self.faults.is_empty() {
            return Ok(());
        }
        if self.rates.is_empty() {
            let why = "faults need rates: a closed loop waits for a server that does not answer";
            return Err(why.to_owned());
        }
        let labels: Vec<&str> = self.faults.iter().map(FaultPlan::label).collect();
        check_list("faults", &labels)?;
        let fewest = self.servers.iter().min().copied().unwrap_or(0);
        self.faults.iter().try_for_each(|fault| fault.check(duration, fewest))
    }

    /// What befalls the fleet, cell by cell; `None` is nothing.
    pub fn befalling(&self) -> Vec<Option<&FaultPlan>> {
        if self.faults.is_empty() {
            return vec![None];
        }
        let is_one = |fault: &&FaultPlan| fault.kind != FaultKind::None;
        self.faults.iter().map(|fault| Some(fault).filter(is_one)).collect()
    }

    /// The banks of this workload's fleet with that many servers each.
    pub fn bank_specs(&self, servers: u32) -> Vec<BankSpec> {
        let slow = self.slow.iter().filter_map(|(server, factor)| {
            server.parse().ok().filter(|number| *number <= servers).map(|number| (number, *factor))
        });
        let slow: BTreeMap<u32, f64> = slow.collect();
        let spec = |index: usize| BankSpec {
            name: identity::default_bank_name(index),
            servers,
            slots: self.slots,
            service_time: self.service_time.clone(),
            slow: slow.clone(),
        };
        (0..self.banks as usize).map(spec).collect()
    }

    /// Offered rates; `None` is the closed loop.
    pub fn offered(&self) -> Vec<Option<f64>> {
        if self.rates.is_empty() {
            vec![None]
        } else {
            self.rates.iter().copied().map(Some).collect()
        }
    }
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
