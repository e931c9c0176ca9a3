//! A balancer's life: bind, watch, serve until shutdown, drain.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use strife_runtime::{Failure, Role, Security, Server, Shutdown, executor, server};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    balancer::Balancer,
    config::{Config, LbArgs},
    data_plane::{self, DataPlane},
    health::HealthTask,
    membership, service,
};

/// How long a starting balancer waits for every server to be tried once before it says that it is
/// ready.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);
/// The name in the balancer's certificate.
const NAME: &str = "1";

/// `strife lb`: balances until SIGINT, SIGTERM, or the end of the parent that started it.
pub fn run(args: LbArgs) -> Result<(), Failure> {
    let config = args.config()?;
    let security = Security::load(&args.tls, Role::Lb, NAME)?;
    executor::block_on(1, async {
        let shutdown = Shutdown::on_signals()
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        let bound = Bound::bind(config, security).await?;
        let (listen, control) = (bound.listen_address(), bound.control_address());
        let announce = || server::announce(listen, &[("control", control)]);
        bound.serve(shutdown, announce).await
    })
}

/// A balancer that listens and does not serve yet.
pub struct Bound {
    config: Config,
    security: Security,
    listener: TcpListener,
    listen: SocketAddr,
    control: Server,
}

impl Bound {
    /// Takes both addresses.
    pub async fn bind(config: Config, security: Security) -> Result<Self, Failure> {
        let listener = server::bind(&config.listen, "--listen").await?;
        let listen = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
        let control = Server::bind(&config.control, "--control", &security).await?;
        Ok(Self { config, security, listener, listen, control })
    }

    /// Where clients connect; the real port if 0 was asked for.
    pub fn listen_address(&self) -> SocketAddr {
        self.listen
    }

    /// Where the control server listens.
    pub fn control_address(&self) -> SocketAddr {
        self.control.address()
    }

    /// Serves until shutdown, then lets calls under way end, for a bounded time. Calls `ready`
    /// once calls are accepted and every server was tried.
    pub async fn serve(self, shutdown: Shutdown, ready: impl FnOnce()) -> Result<(), Failure> {
        let balancer = Arc::new(Balancer::new(&self.config.pools)?);
        let (_health, writers) = watch(&balancer, &self.security, &self.config);
        let data_plane = DataPlane {
            balancer: balancer.clone(),
            security: self.security,
            limits: self.config.limits,
            threads: self.config.threads,
        };
        let carried = data_plane::serve(self.listener, data_plane, shutdown.clone());
        let controlled = self.control.serve(service::services(&balancer, writers), shutdown.clone());
        let announced = async {
            let settled = balancer.pools.iter().map(|pool| pool.wait_until_settled(SETTLE_TIMEOUT));
            join_all(settled).await;
            ready();
            Ok(())
        };
        let served = async { tokio::try_join!(carried, controlled, announced) };
        let outcome = served.await;
        // Whatever ended first takes the rest with it.
        shutdown.request();
        outcome.map(|_| ())
    }
}

/// Starts a writer per pool and a health task per endpoint; the tasks end with what is returned.
fn watch(
    balancer: &Balancer,
    security: &Security,
    config: &Config,
) -> (JoinSet<()>, Vec<membership::Writer>) {
    let (mut tasks, mut writers) = (JoinSet::new(), Vec::new());
    for pool in &balancer.pools {
        let writer = membership::spawn_writer(pool.clone(), balancer.clock);
        for (index, member) in pool.snapshot().members.iter().enumerate() {
            let task = HealthTask {
                endpoint: member.endpoint.clone(),
                index,
                writer: writer.clone(),
                security: security.clone(),
                limits: config.limits,
            };
            tasks.spawn(task.run());
        }
        writers.push(writer);
    }
    (tasks, writers)
}
