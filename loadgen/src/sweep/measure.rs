//! One run on a booted fleet: drive it, watch it, and turn what was seen into rows.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use strife_fleet::{EndpointCalls, Fleet, Fsyncs, PoolCalls};
use strife_runtime::{Failure, Role, Security, Shutdown, TlsArgs, load::process_cpu_time};

use super::{
    cells::{Group, Run},
    faults::Injection,
    plan::{Plan, WorkloadKind},
    session::Measured,
};
use crate::{
    results::{EndpointRow, MemberRow},
    run::{self, Length, Pace, Progress, RunConfig, RunError},
    samples::{Samples, hgrm},
    schedule::Arrivals,
    summary::{self, Fairness},
    workload::{AccountBook, BankWorkload, PaymentMix, PaymentsWorkload, Workload, accounts},
};

/// How often a run is looked at: is every process alive, how far is it.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
/// Calls in a slice of the timeline from which on its p99 is known, Poisson noise included.
const CALLS_FOR_P99: f64 = 1_300.0;
/// Longer slices would show no course in time.
const MAX_SLICE: Duration = Duration::from_secs(1);
/// The load generator's name among the fleet's members.
const OURSELVES: &str = "loadgen";
/// What the pools of banks are called.
const BANK_POOL: &str = "bank.";

/// What the runs of a group are driven at.
pub(super) struct Target {
    calls: Calls,
    address: String,
    security: Security,
    /// Those that may answer, by their names in the fleet.
    servers: Vec<String>,
    /// From `host:port` to the name in the fleet.
    names: HashMap<String, String>,
    /// Whose server a fault befalls.
    first_bank: String,
    /// How long a payment may wait in the gateway's queue; zero: not at all.
    pub(super) queue_for: Duration,
}

#[derive(Clone)]
enum Calls {
    Bank(Vec<accounts::BankAccounts>),
    Payments(Vec<accounts::OwnedAccount>, PaymentMix),
}

impl Target {
    /// The fleet as a target of `group`'s workload.
    pub(super) fn new(
        plan: &Plan,
        group: &Group<'_>,
        fleet: &Fleet,
        book: &AccountBook,
    ) -> Result<Self, Failure> {
        let unusable = |error: accounts::AccountsError| Failure::new(error.to_string());
        let banks = group.workload.bank_specs(group.servers);
        let first_bank = banks[0].name.clone();
        let (calls, servers) = match group.workload.kind {
            WorkloadKind::Bank => {
                let servers = banks[0].pooled().collect();
                let accounts = book.banks(std::slice::from_ref(&first_bank)).map_err(unusable)?;
                (Calls::Bank(accounts), servers)
            }
            WorkloadKind::Payments => {
                let owned = book.owned().map_err(unusable)?;
                (Calls::Payments(owned, group.workload.mix()), vec!["gateway".to_owned()])
            }
        };
        let tls = TlsArgs { certs: fleet.spec().certs(), plaintext: plan.plaintext };
        let names = fleet
            .members()
            .filter_map(|name| Some((fleet.address(name).ok()?.to_owned(), name.to_owned())));
        Ok(Self {
            calls,
            address: fleet.balancer().to_owned(),
            security: Security::load(&tls, Role::Loadgen, "1")?,
            servers,
            names: names.collect(),
            first_bank,
            queue_for: group.workload.queue_for,
        })
    }

    fn config(&self, plan: &Plan, run: &Run) -> RunConfig {
        RunConfig {
            clients: run.key.clients,
            pace: run
                .rate
                .map_or(Pace::Closed, |rate| Pace::Open { rate, arrivals: Arrivals::Poisson }),
            warmup: plan.warmup,
            length: Length::For(plan.duration),
            timeout: plan.timeout,
            seed: run.seed,
            slice: if run.fault.is_some() { summary::SLICE } else { slice(run.rate) },
            ..RunConfig::new(&self.address, self.security.clone())
        }
    }
}

/// Slices of the timeline long enough that most of them have a 99th percentile.
fn slice(rate: Option<f64>) -> Duration {
    let for_p99 = rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(CALLS_FOR_P99 / rate));
    for_p99.clamp(run::DEFAULT_SLICE, MAX_SLICE)
}

impl Calls {
    fn workload(&self, seed: u64, nonce: u64) -> Box<dyn Workload> {
        match self {
            Self::Bank(banks) => Box::new(BankWorkload::new(banks.clone(), seed, nonce)),
            Self::Payments(owned, mix) => {
                Box::new(PaymentsWorkload::new(owned.clone(), *mix, seed, nonce))
            }
        }
    }
}

/// Makes one run; `None` if shutdown was requested meanwhile. Fails if a member of the fleet dies.
pub(super) async fn measure(
    plan: &Plan,
    run: &Run,
    target: &Target,
    fleet: &mut Fleet,
    shutdown: &Shutdown,
    show: impl Fn(Duration, &Progress),
) -> Result<Option<Measured>, Failure> {
    let (config, progress, stop) =
        (target.config(plan, run), Progress::default(), Shutdown::manual());
    let mut driving = tokio::task::spawn_blocking({
        let (config, progress, stop) = (config.clone(), progress.clone(), stop.clone());
        let (calls, nonce) = (target.calls.clone(), nonce());
        move || run::run(&config, &|seed| calls.workload(seed, nonce), &progress, &stop)
    });
    let mut watch = Watch::new(plan.warmup, plan.duration);
    let mut injection =
        run.fault.as_ref().map(|fault| Injection::new(plan, fault, &target.first_bank));
    let ended = loop {
        tokio::select! {
            driven = &mut driving => break Ok(Some(driven)),
            () = watch.next() => {
                show(watch.started.elapsed(), &progress);
                if let Err(died) = watch.look(fleet).await {
                    break Err(died);
                }
            }
            () = due(injection.as_ref(), &progress) => {
                let acted = match &mut injection {
                    Some(injection) => injection.act(fleet, &progress).await,
                    None => Ok(()),
                };
                if let Err(failed) = acted {
                    break Err(failed);
                }
            }
            () = shutdown.requested() => break Ok(None),
        }
    };
    if let Some(injection) = &mut injection {
        injection.undo(fleet).await?;
    }
    let driven = match ended {
        Ok(Some(driven)) => driven,
        failed_or_stopped => {
            stop.request();
            let _ = driving.await;
            return failed_or_stopped.map(|_| None);
        }
    };
    let samples: Result<Samples, RunError> =
        driven.map_err(|error| Failure::new(format!("the load generator failed: {error}")))?;
    fleet.check_alive()?;
    Ok(Some(rows(run, target, samples?, &watch.seen(fleet).await?, injection.as_ref())))
}

/// Sleeps until there is something to do to the fleet; for ever if there never is.
async fn due(injection: Option<&Injection>, progress: &Progress) {
    match injection {
        Some(injection) => injection.due(progress).await,
        None => std::future::pending().await,
    }
}

/// Differs between any two runs, so that payment ids never repeat on one store.
fn nonce() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64
}

/// The fleet at the edges of the measured time.
struct Watch {
    started: Instant,
    from: Duration,
    until: Duration,
    first: Option<Edge>,
    last: Option<Edge>,
}

struct Edge {
    at: Instant,
    /// By process.
    cpu: BTreeMap<String, Duration>,
    pools: Vec<PoolCalls>,
}

/// What the balancer and the kernel counted between the edges.
struct Seen {
    /// Cores that each process kept busy.
    cores: BTreeMap<String, f64>,
    fsyncs: Fsyncs,
    first: Vec<PoolCalls>,
    last: Vec<PoolCalls>,
}

impl Edge {
    async fn of(fleet: &Fleet) -> Result<Self, Failure> {
        let pools = fleet.pools().await?;
        let mut cpu = fleet.cpu_times();
        cpu.insert(OURSELVES.to_owned(), process_cpu_time());
        Ok(Self { at: Instant::now(), cpu, pools })
    }
}

impl Watch {
    fn new(warmup: Duration, duration: Duration) -> Self {
        let until = warmup + duration;
        Self { started: Instant::now(), from: warmup, until, first: None, last: None }
    }

    /// Sleeps until there is something to look at.
    async fn next(&self) {
        let elapsed = self.started.elapsed();
        let edges = [self.from, self.until];
        let edge = edges.iter().filter(|edge| **edge > elapsed).min();
        let pause = edge.map_or(WATCH_INTERVAL, |edge| WATCH_INTERVAL.min(*edge - elapsed));
        tokio::time::sleep(pause).await;
    }

    async fn look(&mut self, fleet: &mut Fleet) -> Result<(), Failure> {
        fleet.check_alive()?;
        let elapsed = self.started.elapsed();
        if self.first.is_none() && elapsed >= self.from {
            self.first = Some(Edge::of(fleet).await?);
        }
        if self.last.is_none() && elapsed >= self.until {
            self.last = Some(Edge::of(fleet).await?);
        }
        Ok(())
    }

    async fn seen(self, fleet: &Fleet) -> Result<Seen, Failure> {
        let last = match self.last {
            Some(edge) => edge,
            None => Edge::of(fleet).await?,
        };
        let fsyncs = fleet.fsyncs().await?;
        let Some(first) = self.first else {
            let (cores, first) = (BTreeMap::new(), Vec::new());
            return Ok(Seen { cores, fsyncs, first, last: last.pools });
        };
        let wall = last.at.duration_since(first.at).as_secs_f64();
        let busy = |(member, until): (String, Duration)| {
            let from = first.cpu.get(&member).copied().unwrap_or_default();
            let cores = until.saturating_sub(from).as_secs_f64() / wall;
            (member, if cores.is_finite() { cores } else { 0.0 })
        };
        let cores = last.cpu.into_iter().map(busy).collect();
        Ok(Seen { cores, fsyncs, first: first.pools, last: last.pools })
    }
}

impl Seen {
    /// CPU time of all processes over what the machine has.
    fn cpu(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        self.cores.values().sum::<f64>() / cores
    }
}

fn rows(
    run: &Run,
    target: &Target,
    mut samples: Samples,
    seen: &Seen,
    injection: Option<&Injection>,
) -> Measured {
    for server in &mut samples.servers {
        let added = injection.and_then(|injection| injection.added(&server.name));
        if let Some(name) = target.names.get(&server.name).map(String::as_str).or(added) {
            server.name = name.to_owned();
        }
    }
    let fault = injection.map(Injection::times);
    let endpoints = endpoint_rows(run, seen);
    let mut summary = summary::summarize(&samples, run.rate, &target.servers);
    if matches!(target.calls, Calls::Payments(..)) {
        summary.fairness = least_fair_bank(&endpoints);
    }
    let mut row = summary::summary_row(&run.key, run.seed, seen.cpu(), &samples, &summary);
    row.offered_rps = run.rate.unwrap_or(0.0);
    let Fsyncs { banks, gateway } = seen.fsyncs;
    (row.bank_fsync_p50_us, row.bank_fsync_p99_us) = (Some(banks.0), Some(banks.1));
    (row.gateway_fsync_p50_us, row.gateway_fsync_p99_us) = gateway.unzip();
    let members = member_rows(run, seen, row.achieved_rps);
    Measured {
        summary: row,
        servers: summary::server_rows(&run.key, &samples, &target.servers),
        timeline: summary::timeline_rows(&run.key, &samples),
        phases: fault.map(|f| summary::phase_rows(&run.key, &samples, &f)).unwrap_or_default(),
        windows: fault.map(|_| summary::window_rows(&run.key, &samples)).unwrap_or_default(),
        queue: None,
        histograms: vec![
            ("response", hgrm::percentile_text(&samples.response())),
            ("service", hgrm::percentile_text(&samples.service())),
            ("send_lag", hgrm::percentile_text(&samples.send_lag())),
        ],
        endpoints,
        members,
    }
}

fn member_rows(run: &Run, seen: &Seen, achieved_rps: f64) -> Vec<MemberRow> {
    let row = |(member, cores): (&String, &f64)| MemberRow {
        workload: run.key.workload.clone(),
        policy: run.key.policy.clone(),
        trial: run.key.trial,
        member: member.clone(),
        cores: *cores,
        us_per_call: if achieved_rps > 0.0 { cores * 1e6 / achieved_rps } else { 0.0 },
        clients: run.key.clients,
        servers: run.key.servers,
        offered_rps: run.key.rate as f64,
        fault: run.key.fault.clone(),
    };
    seen.cores.iter().map(row).collect()
}

fn endpoint_rows(run: &Run, seen: &Seen) -> Vec<EndpointRow> {
    let mut rows = Vec::new();
    for pool in &seen.last {
        let before = seen.first.iter().find(|before| before.pool == pool.pool);
        let since = |endpoint: &EndpointCalls, of: fn(&EndpointCalls) -> u64| {
            let earlier = before.and_then(|pool| {
                pool.endpoints.iter().find(|earlier| earlier.address == endpoint.address)
            });
            of(endpoint).saturating_sub(earlier.map_or(0, of))
        };
        let total: u64 = pool.endpoints.iter().map(|endpoint| since(endpoint, |e| e.calls)).sum();
        for endpoint in &pool.endpoints {
            let calls = since(endpoint, |endpoint| endpoint.calls);
            rows.push(EndpointRow {
                workload: run.key.workload.clone(),
                policy: run.key.policy.clone(),
                trial: run.key.trial,
                pool: pool.pool.clone(),
                endpoint: endpoint.member.clone(),
                calls,
                share: if total == 0 { 0.0 } else { calls as f64 / total as f64 },
                failed: since(endpoint, |endpoint| endpoint.failed),
                clients: run.key.clients,
                servers: run.key.servers,
                offered_rps: run.key.rate as f64,
                fault: run.key.fault.clone(),
            });
        }
    }
    rows
}

/// The fairness of the bank's pool that was used least evenly, by the balancer's count.
fn least_fair_bank(endpoints: &[EndpointRow]) -> Fairness {
    let mut pools: HashMap<&str, Vec<u64>> = HashMap::new();
    for row in endpoints.iter().filter(|row| row.pool.starts_with(BANK_POOL)) {
        pools.entry(&row.pool).or_default().push(row.calls);
    }
    let all = pools.values().map(|calls| Fairness::of(calls));
    all.min_by(|a, b| a.jain.total_cmp(&b.jain)).unwrap_or_default()
}
