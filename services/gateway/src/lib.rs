//! The payment gateway: takes payments from users, has two banks agree on each by two-phase commit
//! (presumed abort), and never forgets what it promised.
//!
//! In reading order: [`order`] is what is asked for; [`payment`] the pure state machine of one
//! payment; [`store`] what is durable; [`coordinator`] what runs the one and writes the other, and
//! where its crash windows are; [`banks`] what it asks of banks; [`service`] the wire on both sides.
//!
//! One gateway has one store. Several gateways in one pool would each know only their own payments.

use std::{sync::Arc, time::Duration};

use strife_proto::gateway::v1::{
    decision_service_server::DecisionServiceServer, payment_gateway_server::PaymentGatewayServer,
};
use strife_runtime::{
    Failure, Role, Security, Server, Services, Shutdown, executor,
    load::{LoadTracker, args::Place},
    server,
};
use tracing::{info, warn};

pub mod banks;
pub mod config;
pub mod coordinator;
pub mod error;
pub mod order;
pub mod payment;
pub mod retry;
pub mod service;
pub mod store;
pub mod transaction;
pub mod users;

pub use config::GatewayArgs;

use coordinator::Coordinator;
use service::{GatewayService, banks::BankClients};
use store::Store;
use users::Users;

/// The pool of gateways at the balancer.
const POOL: &str = "gateway";
/// How long payments under way may take to end once nobody is served any more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs a gateway until it is asked to stop.
pub fn run(args: GatewayArgs) -> Result<(), Failure> {
    executor::block_on(args.threads, serve(args))
}

async fn serve(args: GatewayArgs) -> Result<(), Failure> {
    let security = Security::load(&args.tls, Role::Gateway, "1")?;
    let users = Users::read(&args.users).map_err(|error| Failure::usage(error.to_string()))?;
    let banks = BankClients::new(users.banks(), args.routes()?, &security)?;
    let listen = format!("{}:{}", args.host, args.port);
    let server = Server::bind(&listen, "--port", &security).await?;
    let failed = |error: strife_store::StoreError| Failure::new(error.to_string());
    let store = Store::open(&args.data, args.store_limits()).map_err(failed)?;
    let coordinator = Coordinator::start(store.clone(), banks, args.settings()).await;
    let coordinator = Arc::new(coordinator.map_err(failed)?);
    info!(users = users.len(), store = %args.data.display(), "gateway");

    let asked = Shutdown::on_signals()
        .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
    let (tracker, listens) = (LoadTracker::new(0), server.address());
    let place = Place {
        balancer: args.control.as_deref(),
        balancer_flag: "--control",
        pool: POOL,
        listens,
    };
    let stopping = args.load.stopping(asked);
    let balanced = args.load.balanced(place, tracker.clone(), &security, stopping)?;
    let gateway = GatewayService::new(coordinator.clone(), Arc::new(users));
    server::announce(listens, &[]);
    balanced.serve(server, services(gateway, tracker)).await?;
    if tokio::time::timeout(IDLE_TIMEOUT, coordinator.idle()).await.is_err() {
        warn!("payments still under way are taken up again at the next start");
    }
    store.close();
    Ok(())
}

fn services(gateway: GatewayService<BankClients>, tracker: Arc<LoadTracker>) -> Services {
    let payments = PaymentGatewayServer::new(gateway.clone());
    let decisions = DecisionServiceServer::new(gateway);
    Services::new(service::ACCESS)
        .add(payments.max_decoding_message_size(service::REQUEST_BYTES_MAX))
        .add(decisions.max_decoding_message_size(service::REQUEST_BYTES_MAX))
        .tracked(service::PAYMENTS, tracker)
        .logged(service::LOGGED)
}
