//! A balancer's life: bind or take over, watch, serve until shutdown or a successor, drain.

mod inheritance;
mod takeover;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use strife_runtime::{Failure, Role, Security, Server, Shutdown, executor, server};
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::{AbortHandle, JoinSet},
};

use self::{inheritance::Inheritance, takeover::Takeover};
use crate::{
    balancer::Balancer,
    config::{Config, LbArgs},
    dashboard,
    data_plane::{self, DataPlane},
    discovery::{Configured, Registrations, Sources, reload_on_hangup},
    health::{HealthTask, PassiveTask},
    membership::{self, Making, Writer},
    metrics::{self, Metrics},
    probes,
    records::Records,
    service,
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
        let mut others = vec![("control", control)];
        others.extend(bound.metrics_address().map(|metrics| ("metrics", metrics)));
        others.extend(bound.dashboard_address().map(|dashboard| ("dashboard", dashboard)));
        let announce = || server::announce(listen, &others);
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
    /// Of the metrics page.
    page: Option<TcpListener>,
    dashboard: Option<dashboard::Place>,
    takeover: Option<Takeover>,
}

impl Bound {
    /// Takes both addresses, from the balancer at `config.handover` if one serves there.
    pub async fn bind(config: Config, security: Security) -> Result<Self, Failure> {
        let mut takeover = match &config.handover {
            Some(path) => Some(Takeover::begin(path).await?),
            None => None,
        };
        let listener = listen(&mut takeover, &config.listen, "--listen").await?;
        let listen_address = listener.local_addr();
        let control = listen(&mut takeover, &config.control, "--control").await?;
        let control = Server::on(control, &security)?.drain_timeout(config.limits.drain_timeout);
        let page = match &config.metrics {
            Some(address) => Some(listen(&mut takeover, address, "--metrics").await?),
            None => None,
        };
        let dashboard = match &config.dashboard {
            Some(address) => {
                let listener = listen(&mut takeover, address, "--dashboard").await?;
                Some(dashboard::Place::new(listener, &security)?)
            }
            None => None,
        };
        let listen = listen_address.map_err(|error| Failure::new(error.to_string()))?;
        Ok(Self { config, security, listener, listen, control, page, dashboard, takeover })
    }

    /// Where clients connect; the real port if 0 was asked for.
    pub fn listen_address(&self) -> SocketAddr {
        self.listen
    }

    /// Where the control server listens.
    pub fn control_address(&self) -> SocketAddr {
        self.control.address()
    }

    /// Where the metrics page is, if there is one.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.page.as_ref()?.local_addr().ok()
    }

    /// Where the dashboard is, if there is one.
    pub fn dashboard_address(&self) -> Option<SocketAddr> {
        self.dashboard.as_ref().map(dashboard::Place::address)
    }

    /// Serves until shutdown or until a successor took over, then lets calls under way end, for a
    /// bounded time. Calls `ready` once calls are accepted and every server was tried.
    pub async fn serve(mut self, shutdown: Shutdown, ready: impl FnOnce()) -> Result<(), Failure> {
        let balancer = Arc::new(Balancer::new(&self.config.pools)?);
        let Watched { mut beside, writers, sources, registrations } =
            watch(&balancer, &self.security, &self.config).await;
        let configured = Configured::new(ArcSwap::from_pointee(self.config.pools.clone()));
        let config = self.config.clone();
        beside.spawn(reload_on_hangup(config, configured.clone(), sources, writers.clone()));
        let inheritance = Inheritance {
            balancer: balancer.clone(),
            writers: writers.clone(),
            registrations: registrations.clone(),
            configured,
        };
        // What can fail does so before another balancer yields to this one.
        let (records, recorders) = Records::open(&self.config, &self.listen.to_string())?;
        if let Some(takeover) = &mut self.takeover {
            let begin = begin_in_place(takeover, &inheritance);
            tokio::select! {
                begun = begin => begun?,
                () = shutdown.requested() => return Ok(()),
            }
        }
        let (threads, limits) = (self.config.threads, self.config.limits);
        let metrics = Metrics::new(threads, limits, records.counts());
        records.reopen_on_hangup(&mut beside);
        let mut pages = Vec::new();
        if let Some(page) = self.page.take() {
            let page = metrics::serve(page, metrics.clone(), balancer.clone(), shutdown.clone());
            pages.push(beside.spawn(page));
        }
        let security = self.security;
        if let Some(place) = self.dashboard.take() {
            let (balancer, writers) = (balancer.clone(), writers.clone());
            let shown =
                dashboard::serve(place, security.clone(), balancer, writers, shutdown.clone());
            pages.push(beside.spawn(shown));
        }
        let data_plane = DataPlane { balancer: balancer.clone(), security, limits, metrics };
        let carried = data_plane::serve(self.listener, data_plane, recorders, shutdown.clone());
        let picks = records.pick_recorder();
        let services =
            service::services(&balancer, writers, registrations, picks, shutdown.clone());
        let controlled = self.control.serve(services, shutdown.clone());
        let announced = async {
            settled(&balancer).await;
            ready();
            Ok(())
        };
        let yielded = async {
            yield_to_successor(self.takeover, &inheritance, &shutdown, &pages).await;
            Ok(())
        };
        let served = async { tokio::try_join!(carried, controlled, announced, yielded) };
        let outcome = served.await;
        // Whatever ended first takes the rest with it.
        shutdown.request();
        records.finish().await;
        outcome.map(|_| ())
    }
}

async fn listen(
    takeover: &mut Option<Takeover>,
    address: &str,
    flag: &'static str,
) -> Result<TcpListener, Failure> {
    match takeover {
        Some(takeover) => takeover.listen(address, flag).await,
        None => server::bind(address, flag).await,
    }
}

/// Who takes over knows its servers before it accepts, those that it inherits too.
async fn begin_in_place(takeover: &mut Takeover, inheritance: &Inheritance) -> Result<(), Failure> {
    let has_predecessor = takeover.has_predecessor();
    if has_predecessor {
        settled(&inheritance.balancer).await;
    }
    takeover.complete(inheritance).await?;
    if has_predecessor {
        settled(&inheritance.balancer).await;
    }
    Ok(())
}

/// Every source was asked and every server tried once, or had the time to be.
async fn settled(balancer: &Balancer) {
    let settled = balancer.pools.iter().map(|pool| pool.wait_until_settled(SETTLE_TIMEOUT));
    join_all(settled).await;
}

/// Ends with shutdown, and asks for it when a successor serves. Our hold on the sockets ends with
/// it, so that nobody waits in the queue of a socket that is no longer served.
async fn yield_to_successor(
    takeover: Option<Takeover>,
    inheritance: &Inheritance,
    shutdown: &Shutdown,
    pages: &[AbortHandle],
) {
    let Some(takeover) = takeover else { return };
    tokio::select! {
        () = takeover.taken_over(inheritance) => {
            // What is asked of the pages from now on is asked of the successor.
            pages.iter().for_each(AbortHandle::abort);
            shutdown.request();
        }
        () = shutdown.requested() => {}
    }
}

/// What works for the pools; ends with it.
struct Watched {
    beside: JoinSet<()>,
    /// One of each per pool, in the balancer's order.
    writers: Vec<Writer>,
    sources: Vec<Sources>,
    registrations: Vec<Arc<Registrations>>,
}

/// Starts a writer per pool, which has every endpoint watched, and the pool's sources.
async fn watch(balancer: &Balancer, security: &Security, config: &Config) -> Watched {
    let mut watched = Watched {
        beside: JoinSet::new(),
        writers: Vec::new(),
        sources: Vec::new(),
        registrations: Vec::new(),
    };
    for (pool, pool_config) in balancer.pools.iter().zip(&config.pools) {
        let (security, limits, clock) = (security.clone(), config.limits, balancer.clock);
        let (orca_interval, service) = (config.orca_interval, config.health.service.clone());
        let watch = move |endpoint, writer| -> membership::Watch {
            let (security, service) = (security.clone(), service.clone());
            let task =
                HealthTask { endpoint, writer, security, limits, service, orca_interval, clock };
            Box::pin(task.run())
        };
        let (health, told) = (config.health.clone(), Arc::<Notify>::default());
        let ejection = health.ejection;
        let making = Making {
            health,
            threads: config.threads,
            failures_told: told.clone(),
            watch: Box::new(watch),
        };
        let (writer, task) = membership::writer(pool.clone(), balancer.clock, making);
        watched.beside.spawn(task);
        let passive = PassiveTask {
            pool: pool.clone(),
            writer: writer.clone(),
            clock,
            config: ejection,
            told,
        };
        watched.beside.spawn(passive.run());
        watched.beside.spawn(probes::run(pool.clone(), clock));
        let lease = config.membership.registration_lease;
        let registrations = Registrations::new(pool.clone(), writer.clone(), balancer.clock, lease);
        watched.beside.spawn(registrations.clone().expire());
        let (to, registry) = (writer.clone(), registrations.clone());
        let mut sources = Sources::new(pool.clone(), to, config.membership, registry);
        sources.set(&pool_config.sources).await;
        watched.writers.push(writer);
        watched.sources.push(sources);
        watched.registrations.push(registrations);
    }
    watched
}
