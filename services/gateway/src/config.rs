//! The command line of `strife gateway`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::Args;
use strife_runtime::{Failure, TlsArgs, load::LoadArgs, parse};
use strife_store::postgres::{Address, Connections, is_address};

use crate::{coordinator::Settings, retry::Backoff, service::banks::BankRoutes};

#[cfg(test)]
mod tests;

/// Commands of the store beside those of payments under way: decisions recovered, commits finished.
const STORE_QUEUE_EXTRA: usize = 16_384;
/// Commands of the store that one payment under way may have waiting.
const STORE_QUEUE_PER_PAYMENT: usize = 2;
/// Commands in one durable commit.
const STORE_BATCH: usize = 1_024;

/// Shorter leases would end with every hiccup of the database.
const LEASE_MIN: Duration = Duration::from_millis(300);

/// Run a payment gateway: two-phase commit between banks, durable and idempotent by payment id.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  strife gateway --port 8080 --users users.csv \
    --balancer 127.0.0.1:7000\n  strife gateway --plaintext --users users.csv \
    --bank icici=127.0.0.1:8081 --bank sbi=127.0.0.1:8082\n  strife gateway --port 8180 --users users.csv \
    --store postgres://strife@127.0.0.1/strife --balancer 127.0.0.1:7000\n\n\
    The last one may be started any number of times, each on a port of its own: gateways on one\n\
    database finish each other's payments.")]
pub struct GatewayArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    pub host: String,
    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    pub port: u16,
    /// Directory of the store, made if it is not there. One gateway a directory.
    #[arg(long, default_value = "data/gateway", value_name = "DIR")]
    pub data: PathBuf,
    /// Instead, a PostgreSQL database, which any number of gateways share:
    /// postgres://USER@HOST:PORT/DATABASE, the password in PGPASSWORD, with ?sslmode=disable, prefer,
    /// require or verify-full and, to know the server by its certificate, &sslrootcert=FILE.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub store: Option<String>,
    /// Transactions under way at a time, each on a connection of its own; two more connections are
    /// for reads. With --store only.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub store_connections: u16,
    /// Other gateways on the store take over from one that was not heard of for so long; what it had
    /// under way between two banks is then aborted. The same for all. With --store only.
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = lease)]
    pub lease: Duration,
    /// Users and their accounts: CSV with the header username,bank,account_id, or a JSON array of the
    /// same (FILE.json).
    #[arg(long, value_name = "FILE")]
    pub users: PathBuf,
    /// The balancer's data plane, through which banks are reached as `bank.NAME`.
    #[arg(long, value_name = "HOST:PORT")]
    pub balancer: Option<String>,
    /// Reach this bank directly instead. May be repeated.
    #[arg(long = "bank", value_name = "NAME=HOST:PORT", value_parser = bank_address)]
    pub banks: Vec<(String, String)>,
    /// The balancer's control address, to report load to and register at.
    #[arg(long, value_name = "HOST:PORT")]
    pub control: Option<String>,
    /// How the balancer knows this gateway.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Have transaction ids from servers (`strife txid`) instead of counting them: the balancer's data
    /// plane, through which they are reached as `txid`, or such a server. If none answers for longer than
    /// the ids at hand last, payments wait up to 2 s and are then answered with UNAVAILABLE.
    #[arg(long, value_name = "HOST:PORT")]
    pub txid: Option<String>,
    /// The name (`:authority`) under which banks ask this gateway what became of a payment.
    #[arg(long, default_value = "gateway", value_name = "NAME")]
    pub authority: String,
    /// A payment between two banks that is not decided by then is aborted.
    #[arg(long, default_value = "10s", value_parser = parse::duration, value_name = "TIME")]
    pub payment_timeout: Duration,
    /// Most payments under way at once; further ones are refused with RESOURCE_EXHAUSTED.
    #[arg(long, default_value_t = 10_000, value_name = "N",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_payments: usize,
    /// Most payments that wait for one bank at once; further ones of that bank are refused with
    /// RESOURCE_EXHAUSTED, so that a bank that is away does not stop the others [default: half of
    /// --max-payments].
    #[arg(long, value_name = "N",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_payments_per_bank: Option<usize>,
    /// Events of payments that are kept for followers to come (`strife admin events`) while there is
    /// none; about 20 bytes each. What a follower has yet to take is kept in any case.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub outbox_max: u64,
    /// Most payments in the queue, of those that ask to be kept there (queue_for_s) when a bank is away;
    /// beyond that they are answered as if they had not.
    #[arg(long, default_value_t = 100_000, value_name = "N",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=10_000_000))]
    pub queue_max: usize,
    /// Longest wait between two attempts at a payment in the queue. The first wait is 1s, and each is
    /// twice the one before, less up to half of it at random.
    #[arg(long, default_value = "60s", value_parser = parse::duration, value_name = "TIME")]
    pub queue_backoff_max: Duration,
    /// Threads to serve on.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Certificates, or none.
    #[command(flatten)]
    pub tls: TlsArgs,
}

impl GatewayArgs {
    /// Where the banks are; each may be named once.
    pub(crate) fn routes(&self) -> Result<BankRoutes, Failure> {
        let mut direct = BTreeMap::new();
        for (bank, address) in &self.banks {
            if direct.insert(bank.clone(), address.clone()).is_some() {
                return Err(Failure::usage(format!(
                    "--bank {bank} is given twice; give it one address, or reach it through --balancer"
                )));
            }
        }
        Ok(BankRoutes {
            balancer: self.balancer.clone(),
            direct,
            coordinator: self.authority.clone(),
        })
    }

    /// The coordinator's times and bounds.
    pub(crate) fn settings(&self) -> Settings {
        let defaults = Settings::default();
        Settings {
            payment_timeout: self.payment_timeout,
            payments_max: self.max_payments,
            payments_per_bank_max: self
                .max_payments_per_bank
                .unwrap_or(self.max_payments.div_ceil(2)),
            lease: self.lease,
            outbox_max: self.outbox_max,
            queue_max: self.queue_max,
            queue_backoff: Backoff { most: self.queue_backoff_max, ..defaults.queue_backoff },
            ..defaults
        }
    }

    /// The database the store is in, if it is in one.
    pub(crate) fn database(&self) -> Result<Option<Address>, Failure> {
        match self.store.as_deref() {
            None => Ok(None),
            Some(url) if is_address(url) => match Address::parse(url) {
                Ok(address) => Ok(Some(address)),
                Err(error) => Err(Failure::usage(error.to_string())),
            },
            Some(other) => Err(Failure::usage(format!(
                "--store {other} is no database; write postgres://USER@HOST:PORT/DATABASE, or --data DIR \
                 for a store of this gateway's own"
            ))),
        }
    }

    /// The pool of connections to a database.
    pub(crate) fn connections(&self) -> Connections {
        Connections { writes: self.store_connections.into(), ..Connections::default() }
    }

    /// The store's bounds: whatever may be under way fits.
    pub(crate) fn store_limits(&self) -> strife_store::Limits {
        let queue = self.max_payments * STORE_QUEUE_PER_PAYMENT + STORE_QUEUE_EXTRA;
        strife_store::Limits { queue, batch: STORE_BATCH }
    }
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = parse::duration(text)?;
    if lease < LEASE_MIN {
        return Err(format!("a lease is at least {}", parse::format_duration(LEASE_MIN)));
    }
    Ok(lease)
}

fn bank_address(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((bank, address)) if !bank.is_empty() && address.contains(':') => {
            Ok((bank.to_ascii_lowercase(), address.to_owned()))
        }
        _ => Err(format!("`{text}` is not NAME=HOST:PORT")),
    }
}
