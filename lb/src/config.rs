//! From flags and a file to a checked configuration: which pools and where their servers come from
//! ([`SourceConfig`]), which policies, which bounds ([`limits`]).

mod file;
mod health;
pub mod limits;
mod membership;
pub mod observe;
mod route;
mod source;

use std::{collections::HashSet, num::NonZeroUsize, path::PathBuf, thread, time::Duration};

use clap::Args;
use strife_policy::{DEFAULT_POLICY, by_spec, parameters_help};
use strife_runtime::{TlsArgs, parse};

use self::file::FileConfig;
pub(crate) use self::source::is_address;
pub use self::{
    health::{EjectionConfig, HealthArgs, HealthConfig},
    limits::{LimitArgs, Limits},
    membership::{Membership, MembershipArgs},
    observe::{Observe, ObserveArgs},
    route::{MethodPattern, RouteConfig},
    source::SourceConfig,
};
use crate::error::LbError;

/// The pool that takes the calls of every authority no other pool is named after.
pub const DEFAULT_POOL: &str = "default";

/// Balance gRPC calls over pools of servers
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife lb --pool default=127.0.0.1:9101,127.0.0.1:9102 --plaintext
  strife lb --listen 127.0.0.1:7000 --policy round_robin --threads 1 --plaintext \\
            --pool default=127.0.0.1:9101,127.0.0.1:9102
  strife lb --pool gateway=127.0.0.1:8080 --pool bank.icici=127.0.0.1:8091,127.0.0.1:8092
  strife lb --pool default=file:/etc/strife/servers.txt --plaintext
  strife lb --pool default=dns:my-service.my-namespace.svc.cluster.local:9000 --plaintext
  strife lb --pool gateway=register: --pool bank.icici=srv:_grpc._tcp.icici.example.com
  strife lb --config /etc/strife/lb.toml")]
pub struct LbArgs {
    /// Where clients connect. Port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:7000", value_name = "ADDR")]
    pub listen: String,
    /// Where load reports, look-aside picks and `strife admin` go.
    #[arg(long, default_value = "127.0.0.1:7001", value_name = "ADDR")]
    pub control: String,
    /// A socket file by which balancers follow one another: one that starts takes the addresses of
    /// the one that serves, which then drains. No connection is lost in between.
    #[arg(long, value_name = "PATH")]
    pub handover: Option<PathBuf>,
    /// Where `GET /metrics` is answered, for Prometheus, and `GET /healthz`; nowhere if not given.
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// Where a browser finds the dashboard: every server over the last minutes, and buttons to
    /// switch policies and drain. Nowhere if not given. On loopback open to whoever is on this
    /// machine; elsewhere only with certificates, to operators.
    #[arg(long, value_name = "ADDR")]
    pub dashboard: Option<String>,
    /// A line of JSON for every call, appended to this file; `-` is standard error.
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<String>,
    /// A file that describes pools (TOML; see docs/examples). Flags win: `--pool` replaces the servers
    /// of a pool that the file names too, `--pool-policy` its policy.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A pool and where its servers come from; repeat for more pools. SOURCE is host:port, file:PATH
    /// (one host:port a line, read again when it changes), dns:HOST:PORT (all its addresses),
    /// srv:_service._proto.name, or register: (servers register themselves). Calls are routed by
    /// their authority (a pool named `gateway` serves the authority `gateway`); a pool named
    /// `default`, or the only pool, serves all others.
    #[arg(long = "pool", value_name = "NAME=SOURCE,SOURCE")]
    pub pools: Vec<String>,
    /// How servers are chosen: NAME or NAME:PARAMETER=VALUE,PARAMETER=VALUE.
    #[arg(long, value_name = "POLICY", long_help = policies_help())]
    pub policy: Option<String>,
    /// Another policy for one pool; repeatable.
    #[arg(long = "pool-policy", value_name = "NAME=POLICY")]
    pub pool_policies: Vec<String>,
    /// How often servers are asked to report their load out of band (ORCA); those that do not serve it
    /// are asked once a connection. 0s: never.
    #[arg(long, default_value = "1s", value_parser = parse::duration, value_name = "TIME")]
    pub orca_interval: Duration,
    /// Methods of a pool that may run twice without harm, as /package.Service/Method or
    /// /package.Service/*: a call of theirs that failed is sent again to another server. None is by
    /// itself: what changes something must not be named here. Repeatable.
    #[arg(long = "idempotent", value_name = "NAME=METHOD,METHOD")]
    pub idempotent: Vec<String>,
    /// Threads that carry calls; as many as there are cores if not given.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub membership: MembershipArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub limits: LimitArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub health: HealthArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub observe: ObserveArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub tls: TlsArgs,
}

/// What to balance and within which bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect.
    pub listen: String,
    /// Where the control server listens.
    pub control: String,
    /// Where a balancer that serves is asked for its sockets, and this one by its successor.
    pub handover: Option<PathBuf>,
    /// Where metrics are served.
    pub metrics: Option<String>,
    /// Where the dashboard is served.
    pub dashboard: Option<String>,
    /// Where calls are logged.
    pub access_log: Option<String>,
    /// At least one, names differing.
    pub pools: Vec<PoolConfig>,
    /// Between load reports out of band; `None`: they are not asked for.
    pub orca_interval: Option<Duration>,
    /// Threads that carry calls.
    pub threads: NonZeroUsize,
    /// How servers are found.
    pub membership: Membership,
    /// Bounds.
    pub limits: Limits,
    /// What is told of calls while they run.
    pub observe: Observe,
    /// What this was made from, to be made again when the file changed.
    pub(crate) flags: LbArgs,
    /// What is made of servers that fail.
    pub health: HealthConfig,
}

/// One pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    /// Lower case; the authority it serves.
    pub name: String,
    /// At least one, differing.
    pub sources: Vec<SourceConfig>,
    /// A policy that exists, with its parameters.
    pub policy: String,
    /// What may be done with its calls.
    pub route: RouteConfig,
}

impl PoolConfig {
    /// All else as by default.
    fn new(name: String, sources: Vec<SourceConfig>, policy: &str) -> Self {
        Self { name, sources, policy: policy.to_owned(), route: RouteConfig::default() }
    }

    /// Whether a pool that was `old` is as this says once its sources and its policy are.
    pub(crate) fn is_applied_to(&self, old: &Self) -> bool {
        let mut applied = old.clone();
        applied.sources.clone_from(&self.sources);
        applied.policy.clone_from(&self.policy);
        applied == *self
    }

    /// A pool of these servers.
    #[cfg(test)]
    pub(crate) fn of(name: &str, addresses: &[&str], policy: &str) -> Self {
        let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        Self::new(name.to_owned(), vec![SourceConfig::Static(addresses)], policy)
    }
}

impl Config {
    /// Whether there is a file, which may have changed.
    pub(crate) fn has_file(&self) -> bool {
        self.flags.config.is_some()
    }

    /// What the same flags and the file say now.
    pub(crate) fn again(&self) -> Result<Self, LbError> {
        self.flags.config()
    }
}

impl LbArgs {
    /// Checks every flag against the others, and the file if there is one.
    pub fn config(&self) -> Result<Config, LbError> {
        let pools = self.all_pools()?;
        let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(Config {
            listen: self.listen.clone(),
            control: self.control.clone(),
            handover: self.handover.clone(),
            metrics: self.metrics.clone(),
            dashboard: self.dashboard.clone(),
            access_log: self.access_log.clone(),
            pools,
            orca_interval: Some(self.orca_interval).filter(|interval| !interval.is_zero()),
            threads: self.threads.unwrap_or_else(cores),
            membership: self.membership.membership()?,
            limits: self.limits.limits()?,
            observe: self.observe.observe(),
            flags: self.clone(),
            health: self.health.health()?,
        })
    }

    /// Those of the file, then those of flags.
    fn all_pools(&self) -> Result<Vec<PoolConfig>, LbError> {
        let file = self.config.as_deref().map(FileConfig::read).transpose()?.unwrap_or_default();
        let policy = self.policy.as_ref().or(file.policy.as_ref());
        let policy = policy.map_or(DEFAULT_POLICY, String::as_str);
        by_spec(policy)?;
        let mut pools = file.pools;
        for pool in pools.iter_mut().filter(|pool| pool.policy.is_empty()) {
            policy.clone_into(&mut pool.policy);
        }
        let mut names = HashSet::new();
        for text in &self.pools {
            let pool = pool(text, policy)?;
            if !names.insert(pool.name.clone()) {
                return Err(LbError::DuplicatePool(pool.name));
            }
            match pools.iter_mut().find(|known| known.name == pool.name) {
                Some(known) => known.sources = pool.sources,
                None => pools.push(pool),
            }
        }
        if pools.is_empty() {
            return Err(LbError::NoPool);
        }
        for text in &self.pool_policies {
            set_policy(&mut pools, text)?;
        }
        for text in &self.idempotent {
            set_idempotent(&mut pools, text)?;
        }
        Ok(pools)
    }
}

/// Every policy and what may be said of it, in `--help`.
fn policies_help() -> String {
    format!(
        "How servers are chosen, {DEFAULT_POLICY} if not given: NAME or \
         NAME:PARAMETER=VALUE,PARAMETER=VALUE, as in round_robin or least_request:choices=3.\n\n{}",
        parameters_help()
    )
}

fn pool(text: &str, policy: &str) -> Result<PoolConfig, LbError> {
    let malformed = || LbError::MalformedPool(text.to_owned());
    let (name, list) = text.split_once('=').ok_or_else(malformed)?;
    let name = pool_name(name).ok_or_else(malformed)?;
    let sources = source::sources(&name, list.split(','))?;
    Ok(PoolConfig::new(name, sources, policy))
}

/// As pools are known by, if it can be a pool's name.
fn pool_name(text: &str) -> Option<String> {
    let name = text.trim().to_ascii_lowercase();
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (!name.is_empty() && name.bytes().all(is_allowed)).then_some(name)
}

fn set_policy(pools: &mut [PoolConfig], text: &str) -> Result<(), LbError> {
    let malformed = || LbError::MalformedPoolPolicy(text.to_owned());
    let (name, policy) = text.split_once('=').ok_or_else(malformed)?;
    by_spec(policy)?;
    policy.clone_into(&mut named(pools, name)?.policy);
    Ok(())
}

fn set_idempotent(pools: &mut [PoolConfig], text: &str) -> Result<(), LbError> {
    let malformed = || LbError::MalformedMethod(text.to_owned());
    let (name, methods) = text.split_once('=').ok_or_else(malformed)?;
    let methods = methods.split(',').map(MethodPattern::parse).collect::<Result<Vec<_>, _>>()?;
    named(pools, name)?.route.add(methods);
    Ok(())
}

fn named<'p>(pools: &'p mut [PoolConfig], name: &str) -> Result<&'p mut PoolConfig, LbError> {
    let known: Vec<_> = pools.iter().map(|pool| pool.name.clone()).collect();
    let name = name.to_ascii_lowercase();
    let unknown = LbError::UnknownPool { name: name.clone(), known: known.join(", ") };
    pools.iter_mut().find(|pool| pool.name == name).ok_or(unknown)
}

#[cfg(test)]
mod tests;
