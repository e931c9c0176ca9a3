//! Transaction ids without clocks: `strife txid`, a server that gives blocks of them away.
//!
//! Gateways take a block each and count through it. A block is given once ([`blocks`]), because what is given
//! is written down before ([`store`]). Servers have numbers and share nothing: as long as one of them is there,
//! gateways get ids.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use strife_proto::txid::v1::transaction_ids_server::TransactionIdsServer;
use strife_runtime::{
    Failure, Role, Security, Server as Listener, Services, Shutdown, TlsArgs, executor,
    load::{LoadArgs, LoadTracker, args::Place},
    server,
};
use tracing::info;

pub mod blocks;
pub mod service;
pub mod store;

use service::{Server, TxidService};
use store::HighWater;

/// The pool of these servers at the balancer.
const POOL: &str = "txid";
/// Threads to serve on: a gateway asks once in millions of payments.
const THREADS: usize = 1;

/// Serve transaction ids to gateways: unique without clocks, in durable blocks, from any number of servers.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife txid --server 1 --port 8301
  strife txid --server 2 --port 8302
  strife lb --pool txid=127.0.0.1:8301,127.0.0.1:8302 --pool gateway=... --pool bank.icici=...
  strife gateway --txid 127.0.0.1:7000 --balancer 127.0.0.1:7000 --users users.csv

Give every server a number and a directory of its own, for good. One of them is enough for gateways to go
on; none knows of the others. A server that is killed goes on where it was and gives nothing twice. If the
directory of one is lost, start another number in its place: the lost number is never used again.")]
pub struct TxidArgs {
    /// This server's number, which no other one has or ever had.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub server: u8,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    pub host: String,
    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 8300, value_name = "PORT")]
    pub port: u16,
    /// Directory of the store, made if it is not there [default: data/txid-N].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Ids in a block.
    #[arg(long, default_value_t = 1 << 24, value_name = "IDS",
        value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub block_size: u32,
    /// The balancer's control address, to report load to and register at.
    #[arg(long, value_name = "HOST:PORT")]
    pub balancer: Option<String>,
    /// How the balancer knows this server.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Certificates, or none.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// Runs a transaction-id server until it is asked to stop.
pub fn run(args: TxidArgs) -> Result<(), Failure> {
    executor::block_on(THREADS, serve(args))
}

async fn serve(args: TxidArgs) -> Result<(), Failure> {
    let security = Security::load(&args.tls, Role::Txid, "1")?;
    let listener =
        Listener::bind(&format!("{}:{}", args.host, args.port), "--port", &security).await?;
    let default = || PathBuf::from("data").join(format!("txid-{}", args.server));
    let directory = args.data.clone().unwrap_or_else(default);
    let failed = |error: strife_store::StoreError| Failure::new(error.to_string());
    let store = HighWater::open(&directory, args.server).map_err(failed)?;
    let server = Arc::new(Server::new(args.server, args.block_size, store).map_err(failed)?);
    info!(server = args.server, store = %directory.display(), "transaction ids");
    let asked = Shutdown::on_signals()
        .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    let (tracker, listens) = (LoadTracker::new(0), listener.address());
    let place = Place {
        balancer: args.balancer.as_deref(),
        balancer_flag: "--balancer",
        pool: POOL,
        listens,
    };
    let stopping = args.load.stopping(asked);
    let balanced = args.load.balanced(place, tracker.clone(), &security, stopping)?;
    server::announce(listens, &[]);
    let ids = TransactionIdsServer::new(TxidService(server.clone()));
    let services = Services::new(service::ACCESS)
        .add(ids.max_decoding_message_size(service::REQUEST_BYTES_MAX))
        .tracked(service::TRACKED, tracker);
    balanced.serve(listener, services).await?;
    server.close();
    Ok(())
}
