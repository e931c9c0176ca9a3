//! `strife bank`: a bank's server, on a store of its own, on another server's, or on a database.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use strife_runtime::{
    Failure, Role, Security, Server, Services, Shutdown, TlsArgs, executor,
    identity::is_name,
    load::{LoadArgs, LoadTracker, args::Place, registration::Stopping},
    parse, server, service_time,
};
use strife_store::{
    StoreError,
    postgres::{Address, Connections, Opened, is_address},
};
use tracing::{info, warn};

use crate::{
    BankError,
    accounts::file,
    gate::{Gate, GateConfig, ServiceTime},
    ledger::OpenAccount,
    resolver::Resolver,
    service::{self, decisions::DecisionClient, shared::Shared},
    store::{Embedded, Postgres, Store, WholeStore},
};

/// Serve a bank: its accounts, and its part in payments between banks.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife accounts generate --banks 2 --accounts 1000 --out accounts
  strife bank --bank-name ICICI --port 8081 --accounts accounts/icici.csv
  strife bank --bank-name ICICI --port 8082 --store 127.0.0.1:8081

The first server owns the store; any number of others use it through that server. Its accounts are
read from the file at the first start only; from then on the store in --data is the truth.

With PostgreSQL no server owns the store: start as many as you like, in any order, all alike. The first
one opens the accounts, so give --accounts to any or all of them:
  PGPASSWORD=... strife bank --bank-name ICICI --port 8081 --accounts accounts/icici.csv \\
    --gateway 127.0.0.1:7000 --store 'postgres://strife@db.example/payments?sslmode=verify-full&sslrootcert=ca.pem'

Behind a balancer that lets servers join its pools (its control address is --balancer):
  strife bank --bank-name ICICI --port 0 --store 127.0.0.1:8081 --balancer 127.0.0.1:7001 --register

Experiments: --slots 4 --service-time lognormal:5ms:0.5 serves four calls at a time, each for 5 ms
on average. Service times are slept, in whole milliseconds rounded up. With --allow-faults an admin
identity may call strife.bank.v1.BankFaults/SetFault on a server that runs:
  grpcurl -plaintext -d '{\"slow_factor\": 3}' 127.0.0.1:8082 strife.bank.v1.BankFaults/SetFault
  grpcurl -plaintext -d '{\"fail_with\": 14}' ...   every call fails with UNAVAILABLE in 1 ms
  grpcurl -plaintext -d '{}' ...                    as it was")]
pub struct BankArgs {
    /// The bank's name; upper case is folded to lower.
    #[arg(long, value_name = "NAME", value_parser = bank_name)]
    pub bank_name: String,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    pub host: String,
    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 8081, value_name = "PORT")]
    pub port: u16,
    /// Accounts to start with, .csv or .json; read when the store is created and never again.
    #[arg(long, value_name = "FILE")]
    pub accounts: Option<PathBuf>,
    /// Directory of the store [default: data/BANK].
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    pub data: Option<PathBuf>,
    /// Instead of a store of one's own, that of the bank server at HOST:PORT, or a PostgreSQL database:
    /// postgres://USER@HOST:PORT/DATABASE, the password in PGPASSWORD, with ?sslmode=disable, prefer,
    /// require or verify-full and, to know the server by its certificate, &sslrootcert=FILE.
    #[arg(long, value_name = "HOST:PORT|URL")]
    pub store: Option<String>,
    /// Transactions under way at a time, each on a connection of its own; two more connections are
    /// for reads. With PostgreSQL only.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub store_connections: u16,
    /// Where to ask what became of payments left in doubt, usually the balancer.
    #[arg(long, value_name = "HOST:PORT")]
    pub gateway: Option<String>,
    /// Ask about a payment once it is in doubt for this long.
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = parse::duration)]
    pub max_in_doubt_age: Duration,
    /// Warn of payments that are in doubt for this long: their money is held.
    #[arg(long, default_value = "1m", value_name = "TIME", value_parser = parse::duration)]
    pub in_doubt_alarm: Duration,
    /// The balancer's control address, to report load to and register at.
    #[arg(long, value_name = "HOST:PORT")]
    pub balancer: Option<String>,
    /// The pool this server belongs to [default: bank.NAME].
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
    /// How the balancer knows this server.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Serve at most this many calls at once; 0 for no limit.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub slots: u32,
    /// Time each call sleeps while it holds its slot: none, constant:MEAN, exponential:MEAN or
    /// lognormal:MEAN:SIGMA.
    #[arg(long, default_value = "none", value_name = "DISTRIBUTION")]
    pub service_time: ServiceTime,
    /// Multiply service times by this.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = service_time::slow_factor)]
    pub slow: f64,
    /// Seed of the service times; give each server its own.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Most calls that may wait for a slot; further ones fail with RESOURCE_EXHAUSTED.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub max_queue: usize,
    /// Let operators make this server slow or failing while it runs, for experiments.
    #[arg(long)]
    pub allow_faults: bool,
    /// Threads to serve on.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// How connections are secured.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// `strife bank`. Returns when the server has drained.
pub fn run(args: BankArgs) -> Result<(), Failure> {
    let whose = Whose::of(&args)?;
    let security = Security::load(&args.tls, Role::Bank, &args.bank_name)?;
    executor::block_on(args.threads, async move {
        let asked = Shutdown::on_signals()
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        let stopping = args.load.stopping(asked);
        let address = format!("{}:{}", args.host, args.port);
        let server = Server::bind(&address, "--port", &security).await?;
        match whose {
            Whose::Owners(owner) => {
                let store = Shared::connect(&owner, &args.bank_name, &security).await?;
                serve(&args, server, service::none(), store, &security, stopping).await
            }
            Whose::Everyones(address) => {
                let store = open_database(&args, &address).await.map_err(|e| failure(&e))?;
                serve_whole(&args, server, service::none(), store, &security, stopping).await
            }
            Whose::Mine => {
                let store = open_store(&args).map_err(|error| failure(&error))?;
                let bank = &args.bank_name;
                let services = service::add_owners(service::none(), bank, &store, &stopping.stop);
                serve_whole(&args, server, services, store, &security, stopping).await
            }
        }
    })
}

/// Whose the store is that a server uses.
enum Whose {
    /// Its own: a file.
    Mine,
    /// That of the bank server at this `host:port`.
    Owners(String),
    /// Nobody's: a database.
    Everyones(Box<Address>),
}

impl Whose {
    fn of(args: &BankArgs) -> Result<Self, Failure> {
        match args.store.as_deref() {
            None => Ok(Self::Mine),
            Some(url) if is_address(url) => {
                let address = Address::parse(url).map_err(|e| Failure::usage(e.to_string()))?;
                Ok(Self::Everyones(Box::new(address)))
            }
            Some(_) if args.accounts.is_some() => Err(Failure::usage(
                "--accounts is for the server that owns the store, and --store HOST:PORT uses \
                 another's; give one or the other",
            )),
            Some(owner) => Ok(Self::Owners(owner.to_owned())),
        }
    }
}

/// A server whose store is the bank's own: it tells totals, and asks for decisions.
async fn serve_whole<S: WholeStore>(
    args: &BankArgs,
    server: Server,
    services: Services,
    store: S,
    security: &Security,
    stopping: Stopping,
) -> Result<(), Failure> {
    let services = service::add_admin(services, &args.bank_name, store.clone());
    match &args.gateway {
        Some(gateway) => {
            let coordinators = DecisionClient::new(gateway, security);
            let resolver = Resolver::new(store.clone(), coordinators, args.max_in_doubt_age);
            let resolver = resolver.alarming_after(args.in_doubt_alarm);
            let resolver = match args.store {
                None => resolver,
                Some(_) => resolver.beside_others(),
            };
            tokio::spawn(resolver.run(stopping.stop.clone()));
        }
        None => warn_of_legs_in_doubt(&store).await,
    }
    let served = serve(args, server, services, store.clone(), security, stopping).await;
    store.close().await;
    served
}

/// What every server of a bank serves, until it stops.
async fn serve<S: Store>(
    args: &BankArgs,
    server: Server,
    services: Services,
    store: S,
    security: &Security,
    stopping: Stopping,
) -> Result<(), Failure> {
    let tracker = LoadTracker::new(args.slots);
    let BankArgs { slots, service_time, slow, seed, max_queue, .. } = *args;
    let gate = GateConfig { slots, service_time, slow, seed, max_queue };
    let gate = Arc::new(Gate::new(gate, tracker.clone()));
    let services = match args.allow_faults {
        true => service::add_faults(services, gate.clone()),
        false => services,
    };
    let services = service::add_everyones(services, store, gate, tracker.clone());
    let listens = server.address();
    let pool = args.pool.clone().unwrap_or_else(|| format!("bank.{}", args.bank_name));
    let place = Place {
        balancer: args.balancer.as_deref(),
        balancer_flag: "--balancer",
        pool: &pool,
        listens,
    };
    let balanced = args.load.balanced(place, tracker, security, stopping)?;
    server::announce(listens, &[]);
    balanced.serve(server, services).await
}

fn open_store(args: &BankArgs) -> Result<Embedded, BankError> {
    let bank = &args.bank_name;
    let directory = args.data.clone().unwrap_or_else(|| PathBuf::from("data").join(bank));
    let path = directory.join("ledger.redb");
    match Embedded::open(&path, bank) {
        Err(BankError::Store(StoreError::NotFound { .. })) => {}
        Ok(store) => {
            let accounts = args.accounts.as_ref().map(|accounts| accounts.display().to_string());
            let store_file = path.display().to_string();
            match accounts {
                Some(file) => info!(store = store_file, "opened; {file} is not read again"),
                None => info!(store = store_file, "opened"),
            }
            return Ok(store);
        }
        Err(error) => return Err(error),
    }
    let accounts = accounts(args, &format!("no store in {}", directory.display()))?;
    let store = Embedded::create(&path, bank, &accounts)?;
    info!(store = %path.display(), accounts = accounts.len(), "created");
    Ok(store)
}

async fn open_database(args: &BankArgs, address: &Address) -> Result<Postgres, BankError> {
    let connections =
        Connections { writes: args.store_connections.into(), ..Connections::default() };
    let none = format!("no bank {} in PostgreSQL at {}", args.bank_name, address.place());
    let first = || accounts(args, &none);
    let (store, opened) = Postgres::open(address, &args.bank_name, connections, first).await?;
    let database = address.place();
    match (opened, &args.accounts) {
        (Opened::Created, _) => info!(database, "created"),
        (Opened::Found, Some(_)) => info!(database, "opened; --accounts is not read again"),
        (Opened::Found, None) => info!(database, "opened"),
    }
    Ok(store)
}

/// What a store that is not there yet begins with.
fn accounts(args: &BankArgs, why: &str) -> Result<Vec<OpenAccount>, BankError> {
    let bank = &args.bank_name;
    match &args.accounts {
        Some(accounts) => file::read(accounts, bank),
        None => {
            let why = format!("{why} and no --accounts FILE");
            Err(BankError::NoAccounts { bank: bank.clone(), why })
        }
    }
}

async fn warn_of_legs_in_doubt(store: &impl WholeStore) {
    if store.in_doubt(u64::MAX, 1, |_| true).await.is_ok_and(|legs| !legs.is_empty()) {
        warn!("payments are in doubt and nobody is asked; start with --gateway HOST:PORT");
    }
}

/// A wrong file is the user's to put right; all else is a failure.
fn failure(error: &BankError) -> Failure {
    match error {
        BankError::MalformedAccounts { .. }
        | BankError::NoAccounts { .. }
        | BankError::NameTooLong { .. } => Failure::usage(error.to_string()),
        _ => Failure::new(error.to_string()),
    }
}

fn bank_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    if is_name(&name) {
        return Ok(name);
    }
    Err("a bank's name has 1 to 64 of a-z 0-9 _ -".to_owned())
}

#[cfg(test)]
mod tests;
