//! What a plan says of one workload: what is called, on what fleets, and what befalls them.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use strife_fleet::BankSpec;
use strife_runtime::{
    identity,
    parse::{duration_text, format_duration},
    service_time::{self, ServiceTime},
};

use super::{FaultKind, FaultPlan, MAX_PROCESSES, check_list};
use crate::workload::PaymentMix;

/// A gateway keeps no payment for longer: a week.
const MAX_QUEUE_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

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
    /// So long a payment may wait in the gateway's queue while a bank is away, whole seconds; zero: it is made
    /// at once or not at all.
    #[serde(with = "duration_text", default, skip_serializing_if = "Duration::is_zero")]
    pub queue_for: Duration,
    /// How long the gateway waits for banks' votes; zero: its default, ten seconds. Payments under way when a
    /// bank goes away are answered after so long.
    #[serde(with = "duration_text", default, skip_serializing_if = "Duration::is_zero")]
    pub payment_timeout: Duration,
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

fn default_accounts() -> u32 {
    10_000
}
fn default_cross_bank() -> u32 {
    PaymentMix::default().cross_bank_percent
}

impl WorkloadPlan {
    /// What the workload is called in every file and chart.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.as_str())
    }

    pub(super) fn check(&self, duration: Duration) -> Result<(), String> {
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
        self.check_queue()?;
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

    fn check_queue(&self) -> Result<(), String> {
        let Self { queue_for, payment_timeout, .. } = *self;
        for (name, time) in [("queue_for", queue_for), ("payment_timeout", payment_timeout)] {
            if !time.is_zero() && self.kind != WorkloadKind::Payments {
                return Err(format!("{name} is for kind \"payments\" only"));
            }
        }
        let text = format_duration(queue_for);
        if queue_for.subsec_nanos() != 0 || queue_for > MAX_QUEUE_FOR {
            let most = format_duration(MAX_QUEUE_FOR);
            return Err(format!("queue_for = {text} is not whole seconds, at most {most}"));
        }
        Ok(())
    }

    /// Between whom payments are, and how long they may wait.
    pub fn mix(&self) -> PaymentMix {
        let Self { cross_bank, hot_accounts, queue_for, .. } = *self;
        let queue_for_s = u32::try_from(queue_for.as_secs()).expect("the plan was checked");
        PaymentMix { cross_bank_percent: cross_bank, hot_accounts, queue_for_s }
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
