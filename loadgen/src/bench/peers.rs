//! `strife bench peers`: flags, and the comparison from its first run to its verdict.
//!
//! Three parts, each in rounds: closed loops that saturate the proxy, open loops at half of what the
//! best peer carries, and idle connections. A proxy is started anew for every run, so that none
//! inherits another run's memory or connections.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::Args;
use strife_runtime::{Failure, Shutdown, parse};
use tokio::runtime::{Builder, LocalOptions};

use super::{
    judge,
    measure::{self, Timing},
    plan::{Cell, Due, Plan, Shape},
    progress::Bar,
    proxies::{
        Proxy,
        found::{Found, find},
    },
    record::Record,
    site::{Cores, Site},
    table,
    traffic::Pace,
};
use crate::{
    plot,
    results::peers::{PeersDir, Phase, ProxyRow, measure::CALLS},
};

/// How often a run that went wrong is made again before it stands as invalid.
const REPEATS: u32 = 2;
/// As the load generator's: how often the sockets are looked at, in tasks.
const EVENT_INTERVAL: u32 = 16;

/// Compare the balancer with Envoy, HAProxy, nginx and a plain TCP copy.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife bench peers --quick                       a look within seconds
  strife bench peers                               all cells, five rounds, about half an hour
  strife bench peers --only strife,haproxy --cells 16x8 --sizes 100 --tls off

Needs two cores: one for the proxy alone, one for load and servers. Proxies that are not installed are
named and left out. Ctrl-C stops every process and keeps what was measured.
Exit codes: 0 done (whatever the goals say), 1 failed, 2 wrong flags, 3 a run was invalid.")]
pub struct PeersArgs {
    /// One cell, short windows, two rounds; results go to results/peers-quick.
    #[arg(long)]
    pub quick: bool,
    /// Which proxies: strife, envoy, haproxy, nginx, tcp_copy; all of them if not given.
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME")]
    only: Vec<Proxy>,
    /// Connections x streams, such as 16x8,100x10.
    #[arg(long, value_delimiter = ',', value_name = "CxS,CxS")]
    cells: Vec<Shape>,
    /// Message sizes: 100, 16k.
    #[arg(long, value_delimiter = ',', value_parser = message_bytes, value_name = "BYTES,BYTES")]
    sizes: Vec<u32>,
    /// In the clear, with TLS, or both.
    #[arg(long, value_enum, value_name = "WHICH")]
    tls: Option<Tls>,
    /// How often everything is measured.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    rounds: Option<u32>,
    /// Measured in a run; a third of it again goes before, as warm-up.
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    seconds: Option<Duration>,
    /// Connections of the idle runs; 0 leaves them out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=4000), value_name = "N")]
    idle: Option<u32>,
    /// Decides the order of runs and the arrival of paced calls.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where to write; results/peers by default. Results of an earlier comparison there are replaced.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tls {
    On,
    Off,
    Both,
}

fn message_bytes(text: &str) -> Result<u32, String> {
    const MOST: u64 = 1 << 20;
    let bytes = parse::bytes(text)?;
    let fits = u32::try_from(bytes).ok().filter(|_| bytes <= MOST);
    fits.ok_or_else(|| format!("`{text}` is more than a message may have here (1 MiB)"))
}

impl PeersArgs {
    fn plan(&self) -> Plan {
        let mut plan = if self.quick { Plan::quick(self.seed) } else { Plan::full(self.seed) };
        if !self.only.is_empty() {
            plan.proxies.retain(|proxy| self.only.contains(proxy));
        }
        if !self.cells.is_empty() {
            plan.cells.clone_from(&self.cells);
        }
        if !self.sizes.is_empty() {
            plan.message_bytes.clone_from(&self.sizes);
        }
        if let Some(tls) = self.tls {
            plan.tls = match tls {
                Tls::On => vec![true],
                Tls::Off => vec![false],
                Tls::Both => vec![false, true],
            };
        }
        if let Some(time) = self.seconds {
            plan.seconds = time.as_secs_f64();
            plan.warmup_seconds = plan.seconds / 3.0;
        }
        plan.rounds = self.rounds.unwrap_or(plan.rounds);
        plan.idle_connections = self.idle.unwrap_or(plan.idle_connections);
        plan
    }

    fn out(&self) -> PathBuf {
        let name = if self.quick { "peers-quick" } else { "peers" };
        self.out.clone().unwrap_or_else(|| PathBuf::from("results").join(name))
    }
}

/// Runs the comparison to its end, or until Ctrl-C.
pub(super) fn run(args: &PeersArgs) -> Result<(), Failure> {
    let plan = args.plan();
    let (found, proxies) = look_for(&plan);
    let cores = Cores::find()?;
    let mut record = Record::open(PeersDir::new(args.out()), &plan, proxies)?;
    cores.bind()?;
    print!("{}", table::proxies(&record.proxies));
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: strife and the load are many times slower than they are");
    }
    let built = Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build_local(LocalOptions::default());
    let runtime =
        built.map_err(|error| Failure::new(format!("cannot start the load ({error})")))?;
    let stopped = runtime.block_on(async {
        let shutdown = Shutdown::on_signals().map_err(|error| Failure::new(error.to_string()))?;
        let site = Site::open(cores, plan.backends).await?;
        let bar = Bar::new(plan.runs());
        let mut comparison =
            Comparison { plan: &plan, site: &site, found, record: &mut record, bar: &bar };
        let outcome = tokio::select! {
            outcome = comparison.run() => outcome.map(|()| false),
            () = shutdown.requested() => Ok(true),
        };
        bar.finish();
        outcome
    })?;
    report(&record)?;
    if stopped { Err(Failure::new("stopped; what was measured is kept")) } else { verdict(&record) }
}

/// Which of the proxies are there, and what is said of all.
fn look_for(plan: &Plan) -> (BTreeMap<Proxy, Found>, Vec<ProxyRow>) {
    let mut all = BTreeMap::new();
    let mut rows = Vec::new();
    for proxy in &plan.proxies {
        let (version, status) = match find(*proxy) {
            Ok(found) => {
                let version = found.version.clone();
                all.insert(*proxy, found);
                (version, "measured".to_owned())
            }
            Err(why) => (String::new(), format!("not measured: {why}")),
        };
        rows.push(ProxyRow { proxy: proxy.name().to_owned(), version, status });
    }
    (all, rows)
}

/// A comparison under way.
struct Comparison<'a> {
    plan: &'a Plan,
    site: &'a Site,
    /// What is measured: shrinks when a proxy does not start.
    found: BTreeMap<Proxy, Found>,
    record: &'a mut Record,
    bar: &'a Bar,
}

impl Comparison<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        for round in 1..=self.plan.rounds {
            for due in self.plan.saturated(round) {
                self.measure(due, Phase::Saturated, None).await?;
            }
        }
        let paces = self.paces();
        for round in 1..=self.plan.rounds {
            for due in self.plan.paced(round) {
                match paces.get(&due.cell) {
                    Some(pace) => self.measure(due, Phase::Paced, Some(*pace)).await?,
                    None => self.bar.advance(),
                }
            }
        }
        for round in 1..=self.plan.rounds {
            for due in self.plan.idle(round) {
                self.measure(due, Phase::Idle, None).await?;
            }
        }
        Ok(())
    }

    async fn measure(&mut self, due: Due, phase: Phase, pace: Option<f64>) -> Result<(), Failure> {
        let Some(found) = self.found.get(&due.proxy) else {
            self.bar.advance();
            return Ok(());
        };
        self.bar.doing(phase, &due);
        let seed = self.plan.seed.wrapping_mul(1000).wrapping_add(u64::from(due.round));
        let timing = Timing {
            phase,
            warmup: Duration::from_secs_f64(self.plan.warmup_seconds),
            time: Duration::from_secs_f64(self.plan.seconds),
            pace: pace.map(|per_second| Pace { per_second, seed }),
        };
        let mut outcome = measure::run(self.site, found, due, timing).await;
        for _ in 0..REPEATS {
            if outcome.as_ref().map_or(true, |row| row.valid) {
                break;
            }
            outcome = measure::run(self.site, found, due, timing).await;
        }
        match outcome {
            Ok(row) => {
                self.bar.made(&due, &row);
                self.record.add(row)
            }
            Err(why) if due.proxy == Proxy::Strife => {
                Err(Failure::new(format!("strife lb does not serve: {why}")))
            }
            Err(why) => {
                self.bar.advance();
                self.bar.line(&format!("{} is left out from here: {why}", due.proxy));
                self.found.remove(&due.proxy);
                self.record.give_up(due.proxy.name(), &why)
            }
        }
    }

    /// What is offered in the paced runs of each cell: a share of what the best peer carries, or ours
    /// where there is none.
    fn paces(&self) -> BTreeMap<Cell, f64> {
        let mut paces = BTreeMap::new();
        for row in judge::summary(&self.record.runs).iter().filter(|row| row.measure == CALLS) {
            let shape = Shape { connections: row.connections, streams: row.streams };
            let cell = Cell { tls: row.tls, shape, message_bytes: row.message_bytes };
            let reference =
                if row.best_peer.is_empty() { Proxy::Strife.name() } else { &row.best_peer };
            if row.proxy == reference {
                paces.insert(cell, row.median * self.plan.paced_share);
            }
        }
        paces
    }
}

/// Writes, draws and prints what was measured.
fn report(record: &Record) -> Result<(), Failure> {
    if record.runs.is_empty() {
        return Ok(());
    }
    let (summary, goals) = record.conclude()?;
    println!("\n{}", table::cells(&summary));
    if !goals.is_empty() {
        println!("{}", table::goals(&goals));
    }
    let missing: Vec<_> =
        record.proxies.iter().filter(|row| row.status != "measured").cloned().collect();
    print!("{}", table::proxies(&missing));
    let drawn = plot::peers::draw(&record.dir).map_err(|e| Failure::new(e.to_string()))?;
    println!("report: {}", drawn.report.display());
    Ok(())
}

fn verdict(record: &Record) -> Result<(), Failure> {
    let invalid = record.runs.iter().filter(|row| !row.valid).count();
    if invalid == 0 {
        return Ok(());
    }
    Err(Failure::invalid_measurement(format!(
        "{invalid} of {} runs are INVALID and were left out; `why` in {} says how",
        record.runs.len(),
        record.dir.runs().display()
    )))
}

#[cfg(test)]
mod tests;
