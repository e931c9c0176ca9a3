//! From flags to a checked configuration: which pools, which policies, which bounds ([`limits`]).

pub mod limits;

use std::{collections::HashSet, num::NonZeroUsize, path::PathBuf, thread, time::Duration};

use clap::Args;
use strife_policy::{DEFAULT_POLICY, Ramp, by_spec};
use strife_runtime::{TlsArgs, parse};

pub use self::limits::{LimitArgs, Limits};
use crate::error::LbError;

/// The pool that takes the calls of every authority no other pool is named after.
pub const DEFAULT_POOL: &str = "default";

/// Balance gRPC calls over pools of servers
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife lb --pool default=127.0.0.1:9101,127.0.0.1:9102 --plaintext
  strife lb --listen 127.0.0.1:7000 --policy round_robin --threads 1 --plaintext \\
            --pool default=127.0.0.1:9101,127.0.0.1:9102
  strife lb --pool gateway=127.0.0.1:8080 --pool bank.icici=127.0.0.1:8091,127.0.0.1:8092")]
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
    /// A line of JSON for every call, appended to this file; `-` is standard error.
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<String>,
    /// A pool and its servers; repeat for more pools. Calls are routed by their authority (a pool
    /// named `gateway` serves the authority `gateway`); a pool named `default`, or the only pool,
    /// serves all others.
    #[arg(long = "pool", value_name = "NAME=ADDR,ADDR")]
    pub pools: Vec<String>,
    /// How servers are chosen: pick_first, round_robin or least_load.
    #[arg(long, default_value = DEFAULT_POLICY, value_name = "POLICY")]
    pub policy: String,
    /// Another policy for one pool; repeatable.
    #[arg(long = "pool-policy", value_name = "NAME=POLICY")]
    pub pool_policies: Vec<String>,
    /// How often servers are asked to report their load out of band (ORCA); those that do not serve it
    /// are asked once a connection. 0s: never.
    #[arg(long, default_value = "1s", value_parser = parse::duration, value_name = "TIME")]
    pub orca_interval: Duration,
    /// Threads that carry calls; as many as there are cores if not given.
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub limits: LimitArgs,
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
    /// Where calls are logged.
    pub access_log: Option<String>,
    /// At least one, names differing.
    pub pools: Vec<PoolConfig>,
    /// Between load reports out of band; `None`: they are not asked for.
    pub orca_interval: Option<Duration>,
    /// Threads that carry calls.
    pub threads: NonZeroUsize,
    /// Bounds.
    pub limits: Limits,
}

/// One pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    /// Lower case; the authority it serves.
    pub name: String,
    /// `host:port`, at least one, differing.
    pub addresses: Vec<String>,
    /// A policy that exists, with its parameters.
    pub policy: String,
    /// Slow start of servers that become ready.
    pub ramp: Ramp,
}

#[cfg(test)]
impl PoolConfig {
    /// A pool of these servers, all else as by default.
    pub(crate) fn of(name: &str, addresses: &[&str], policy: &str) -> Self {
        Self {
            name: name.to_owned(),
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
            policy: policy.to_owned(),
            ramp: Ramp::default(),
        }
    }
}

impl LbArgs {
    /// Checks every flag against the others.
    pub fn config(&self) -> Result<Config, LbError> {
        let mut pools: Vec<PoolConfig> = Vec::new();
        by_spec(&self.policy)?;
        for text in &self.pools {
            let pool = pool(text, &self.policy)?;
            if pools.iter().any(|other| other.name == pool.name) {
                return Err(LbError::DuplicatePool(pool.name));
            }
            pools.push(pool);
        }
        if pools.is_empty() {
            return Err(LbError::NoPool);
        }
        for text in &self.pool_policies {
            set_policy(&mut pools, text)?;
        }
        let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(Config {
            listen: self.listen.clone(),
            control: self.control.clone(),
            handover: self.handover.clone(),
            metrics: self.metrics.clone(),
            access_log: self.access_log.clone(),
            pools,
            orca_interval: Some(self.orca_interval).filter(|interval| !interval.is_zero()),
            threads: self.threads.unwrap_or_else(cores),
            limits: self.limits.limits()?,
        })
    }
}

fn pool(text: &str, policy: &str) -> Result<PoolConfig, LbError> {
    let malformed = || LbError::MalformedPool(text.to_owned());
    let (name, list) = text.split_once('=').ok_or_else(malformed)?;
    let name = name.trim().to_ascii_lowercase();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(malformed());
    }
    let mut seen = HashSet::new();
    let mut addresses = Vec::new();
    for address in list.split(',').map(str::trim).filter(|address| !address.is_empty()) {
        let (pool, address) = (name.clone(), address.to_owned());
        if !is_address(&address) {
            return Err(LbError::MalformedAddress { pool, address });
        }
        if !seen.insert(address.clone()) {
            return Err(LbError::DuplicateAddress { pool, address });
        }
        addresses.push(address);
    }
    if addresses.is_empty() {
        return Err(LbError::PoolWithoutServers(name));
    }
    Ok(PoolConfig { name, addresses, policy: policy.to_owned(), ramp: Ramp::default() })
}

fn is_address(text: &str) -> bool {
    // As what it will be used for: the authority of a connection.
    let authority: Result<http::uri::Authority, _> = text.parse();
    authority.is_ok_and(|authority| {
        !authority.host().is_empty()
            && authority.port_u16().is_some_and(|port| port > 0)
            && !text.contains('@')
    })
}

fn set_policy(pools: &mut [PoolConfig], text: &str) -> Result<(), LbError> {
    let malformed = || LbError::MalformedPoolPolicy(text.to_owned());
    let (name, policy) = text.split_once('=').ok_or_else(malformed)?;
    by_spec(policy)?;
    let known: Vec<_> = pools.iter().map(|pool| pool.name.clone()).collect();
    let name = name.to_ascii_lowercase();
    match pools.iter_mut().find(|pool| pool.name == name) {
        Some(pool) => policy.clone_into(&mut pool.policy),
        None => return Err(LbError::UnknownPool { name, known: known.join(", ") }),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
