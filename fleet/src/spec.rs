//! What a fleet is made of.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use strife_runtime::telemetry::{LogArgs, LogFormat};

use crate::fleet::{GATEWAY, TXID};

/// A whole system: banks, and, if payments are wanted, a gateway, behind one balancer.
#[derive(Debug, Clone)]
pub struct FleetSpec {
    /// The `strife` program.
    pub program: PathBuf,
    /// Where certificates, accounts, stores and logs go. Kept when the fleet ends; a fleet booted on
    /// it again finds its money.
    pub dir: PathBuf,
    /// The banks, names unique and lower case.
    pub banks: Vec<BankSpec>,
    /// Where banks and gateways keep what they know instead of a file each: `postgres://…`, as in
    /// `--store`. Every server of a bank is then a complete one, and the one under the bank's own name no
    /// owner.
    pub database: Option<String>,
    /// Accounts of each bank when its store is first made.
    pub accounts_per_bank: u32,
    /// Whether a gateway stands behind the balancer as well.
    pub gateway: bool,
    /// How many, if any. More than one need a `database`.
    pub gateways: u32,
    /// Transaction-id servers behind the balancer, `txid-1`, …; with 0 gateways count for themselves.
    pub txids: u8,
    /// Ids that they give away at once.
    pub txid_block_size: u32,
    /// Users with a certificate of their own.
    pub users: Vec<String>,
    /// Every pool's policy at first.
    pub policy: String,
    /// No TLS.
    pub plaintext: bool,
    /// Time between a bank server's load reports.
    pub report_interval: Duration,
    /// The gateway's payment timeout.
    pub payment_timeout: Duration,
    /// The balancer's data-plane and control ports; `None` takes free ones.
    pub balancer_ports: Option<(u16, u16)>,
    /// Threads of the balancer.
    pub balancer_threads: usize,
    /// Bank servers can be made slow or failing while they run, and more of them can come and go.
    pub allow_faults: bool,
    /// Seeds accounts and service times.
    pub seed: u64,
    /// `--log` and `--log-level` of every member.
    pub log: LogArgs,
    /// Where members' logs go.
    pub output: Output,
    /// Added to the members' niceness, so that whoever measures them is scheduled first.
    pub niceness: i32,
}

/// One bank: a process that owns the store, and servers that use it.
#[derive(Debug, Clone, PartialEq)]
pub struct BankSpec {
    /// As in `--bank-name`.
    pub name: String,
    /// Servers behind the balancer, beside the owner of the store; with 0 that is the owner itself.
    pub servers: u32,
    /// Calls a server serves at once; 0 for no limit.
    pub slots: u32,
    /// Service-time distribution (`lognormal:5ms:0.5`), or `None` for real work only.
    pub service_time: Option<String>,
    /// Factor by which a server (numbered from 1) is slower.
    pub slow: BTreeMap<u32, f64>,
}

/// Where members' logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// To `DIR/logs/MEMBER.log`.
    Files,
    /// To our own standard error.
    Inherit,
}

impl BankSpec {
    /// A bank that does real work only.
    pub fn new(name: &str, servers: u32) -> Self {
        Self { name: name.to_owned(), servers, slots: 0, service_time: None, slow: BTreeMap::new() }
    }

    /// The pool its servers form.
    pub fn pool(&self) -> String {
        format!("bank.{}", self.name)
    }

    /// The members' names of those servers.
    pub fn pooled(&self) -> impl Iterator<Item = String> {
        let owner = (self.servers == 0).then(|| self.name.clone());
        owner.into_iter().chain((1..=self.servers).map(|number| format!("{}-{number}", self.name)))
    }
}

impl FleetSpec {
    /// A small fleet with every protection on, its files under `dir`.
    pub fn new(program: impl Into<PathBuf>, dir: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            dir: dir.into(),
            banks: vec![BankSpec::new("icici", 3), BankSpec::new("sbi", 3)],
            database: None,
            accounts_per_bank: 1000,
            gateway: true,
            gateways: 1,
            txids: 0,
            txid_block_size: 1 << 24,
            users: Vec::new(),
            policy: "least_load".to_owned(),
            plaintext: false,
            report_interval: Duration::from_millis(100),
            payment_timeout: Duration::from_secs(10),
            balancer_ports: None,
            balancer_threads: 1,
            allow_faults: false,
            seed: 1,
            log: LogArgs { log: LogFormat::Text, log_level: "warn".to_owned() },
            output: Output::Files,
            niceness: 0,
        }
    }

    /// The names of the gateways: `gateway`, `gateway-2`, …
    pub fn gateway_names(&self) -> Vec<String> {
        let name =
            |number| if number == 1 { GATEWAY.to_owned() } else { format!("{GATEWAY}-{number}") };
        (1..=self.gateways).filter(|_| self.gateway).map(name).collect()
    }

    /// The names of the transaction-id servers, by their numbers.
    pub(crate) fn txid_names(&self) -> impl Iterator<Item = (u8, String)> + use<> {
        (1..=self.txids).map(|number| (number, format!("{TXID}-{number}")))
    }

    /// Where the certificates are.
    pub fn certs(&self) -> PathBuf {
        self.dir.join("certs")
    }

    /// Where the generated account files and `users.csv` are.
    pub fn accounts(&self) -> PathBuf {
        self.dir.join("accounts")
    }
}
