//! The payment gateway: takes payments from users, has two banks agree on each by two-phase commit
//! (presumed abort), and never forgets what it promised.
//!
//! In reading order: [`order`] is what is asked for; [`payment`] the pure state machine of one
//! payment; [`queue`] when one is tried again; [`store`] what is durable, and the rules by which several gateways write it; [`standing`]
//! what a bank in doubt is told; [`coordinator`] what runs payments and writes them, and where its
//! crash windows are; [`banks`] what it asks of banks; [`service`] the wire on both sides; `logger` what
//! writes down elsewhere what happens to payments; `operator` what lists them.

use std::{sync::Arc, time::Duration};

use strife_proto::gateway::v1::{
    decision_service_server::DecisionServiceServer, events_server::EventsServer,
    gateway_admin_server::GatewayAdminServer, payment_gateway_server::PaymentGatewayServer,
};
use strife_runtime::{
    Failure, Role, Security, Server, Services, Shutdown, executor,
    load::{LoadTracker, args::Place},
    server,
};
use strife_store::StoreError;
use tracing::{info, warn};

pub mod banks;
mod clock;
pub mod config;
pub mod coordinator;
pub mod error;
mod logger;
mod operator;
pub mod order;
pub mod payment;
pub mod queue;
pub mod retry;
pub mod service;
pub mod standing;
pub mod store;
pub mod transaction;
pub mod users;

pub use config::GatewayArgs;
pub use logger::{EventsArgs, run_events};
pub use operator::{PaymentsArgs, run_payments};

use coordinator::{Coordinator, FencedBy};
use service::{GatewayService, banks::BankClients};
use store::{Embedded, Postgres, Store};
use users::Users;

/// The pool of gateways at the balancer.
const POOL: &str = "gateway";
/// How long payments under way may take to end once nobody is served any more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Told when this gateway's run was fenced.
const FENCED: &str = "another gateway has taken over this one's payments, as it was silent for longer \
    than --lease; nobody was answered since. Start it again";

/// Runs a gateway until it is asked to stop.
pub fn run(args: GatewayArgs) -> Result<(), Failure> {
    executor::block_on(args.threads, serve(args))
}

async fn serve(args: GatewayArgs) -> Result<(), Failure> {
    let security = Security::load(&args.tls, Role::Gateway, "1")?;
    let users = Users::read(&args.users).map_err(|error| Failure::usage(error.to_string()))?;
    let database = args.database()?;
    let banks = BankClients::new(users.banks(), args.routes()?, &security)?;
    let listen = format!("{}:{}", args.host, args.port);
    let server = Server::bind(&listen, "--port", &security).await?;
    let (limits, known) = (args.store_limits(), users.len());
    match database {
        None => {
            let store = Embedded::open(&args.data, limits).map_err(failed)?;
            info!(users = known, store = %args.data.display(), "gateway");
            serve_on(args, security, users, banks, server, store).await
        }
        Some(address) => {
            let store = Postgres::open(&address, args.connections(), limits).await;
            let store = store.map_err(failed)?;
            info!(users = known, store = address.place(), "gateway, beside any others there");
            serve_on(args, security, users, banks, server, store).await
        }
    }
}

fn fenced(by: &FencedBy) -> Failure {
    match by {
        FencedBy::Store => Failure::new(FENCED),
        FencedBy::Banks(banks) => Failure::new(format!(
            "{} refuse this run of the gateway, which its own store takes to be live: the store is an older \
             copy of one that was started more often. Start it again only with --txid, and have `strife admin \
             reconcile` say what it lacks before clients reach it: docs/payments.md, \"Transaction ids\"",
            banks.join(" and ")
        )),
    }
}

fn failed(error: StoreError) -> Failure {
    Failure::new(error.to_string())
}

async fn serve_on<S: Store>(
    args: GatewayArgs,
    security: Security,
    users: Users,
    banks: BankClients,
    server: Server,
    store: S,
) -> Result<(), Failure> {
    let name = server.address().to_string();
    let blocks = match &args.txid {
        Some(address) => Some(service::ids::source(address, &security)?),
        None => None,
    };
    let coordinator =
        Coordinator::start(store.clone(), banks, &name, args.settings(), blocks).await;
    let coordinator = Arc::new(coordinator.map_err(failed)?);
    let asked = Shutdown::on_signals()
        .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    let gateway = GatewayService::new(coordinator.clone(), Arc::new(users)).until(asked.clone());
    let (tracker, listens) = (LoadTracker::new(0), server.address());
    let place = Place {
        balancer: args.control.as_deref(),
        balancer_flag: "--control",
        pool: POOL,
        listens,
    };
    let stopping = args.load.stopping(asked);
    let balanced = args.load.balanced(place, tracker.clone(), &security, stopping)?;
    server::announce(listens, &[]);
    tokio::select! {
        served = balanced.serve(server, services(gateway, tracker)) => served?,
        by = coordinator.fenced() => return Err(fenced(&by)),
    }
    coordinator.stop_queue();
    if tokio::time::timeout(IDLE_TIMEOUT, coordinator.idle()).await.is_err() {
        warn!("payments still under way are taken up again at the next start");
    }
    coordinator.leave().await;
    store.close().await;
    Ok(())
}

fn services<S: Store>(
    gateway: GatewayService<BankClients, S>,
    tracker: Arc<LoadTracker>,
) -> Services {
    let payments = PaymentGatewayServer::new(gateway.clone());
    let decisions = DecisionServiceServer::new(gateway.clone());
    Services::new(service::ACCESS)
        .add(payments.max_decoding_message_size(service::REQUEST_BYTES_MAX))
        .add(decisions.max_decoding_message_size(service::REQUEST_BYTES_MAX))
        .add(GatewayAdminServer::new(gateway.clone()))
        .add(EventsServer::new(gateway).max_decoding_message_size(service::REQUEST_BYTES_MAX))
        .tracked(service::PAYMENTS, tracker)
        .logged(service::LOGGED)
}
