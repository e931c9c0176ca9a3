//! Sends the calls of a schedule and records what becomes of them.
//!
//! Each worker thread has a tokio runtime and connections of its own ([`worker`]); nothing is shared
//! between them while they send but three counters ([`Progress`]). The thread that called [`run`]
//! samples how many calls are under way, from outside, as a check on what the workers record.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue};
use strife_runtime::{Failure, Security, Shutdown, load::process_cpu_time};
use thiserror::Error;

use crate::{
    samples::{InFlight, Samples},
    schedule::Arrivals,
    workload::Workload,
};

mod meter;
#[cfg(test)]
pub(crate) mod service;
#[cfg(test)]
mod tests;
mod transport;
mod worker;

/// Simulated clients, unless told otherwise.
pub const DEFAULT_CLIENTS: u32 = 128;
/// Connections those clients share, unless told otherwise.
pub const DEFAULT_CONNECTIONS: u32 = 16;
/// Most connections of a run.
pub const MAX_CONNECTIONS: u32 = 10_000;
/// How long a call may take, unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest such time: what a histogram holds.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Calls under way at once, unless told otherwise; any more are shed.
pub const DEFAULT_IN_FLIGHT_LIMIT: u32 = 16_384;
/// Length of a slice of the timeline, unless told otherwise.
pub const DEFAULT_SLICE: Duration = Duration::from_millis(250);
/// How often the calls under way are counted from outside; more rarely in a long run.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);
/// Most such samples of a run.
const MAX_IN_FLIGHT_SAMPLES: u32 = 10_000;

/// What decides when a call is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Open loop: a schedule of `rate` calls a second, whatever the target does.
    Open {
        /// Calls a second of all clients together.
        rate: f64,
        /// How they follow each other.
        arrivals: Arrivals,
    },
    /// Closed loop: each client sends its next call when its last one ended.
    Closed,
}

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// After this much measured time.
    For(Duration),
    /// After this many calls, the first ones included: such a run has no warm-up.
    Calls(u64),
}

/// A run: to whom, how fast, how long, within which bounds.
#[derive(Clone)]
pub struct RunConfig {
    /// `host:port`.
    pub target: String,
    /// How connections are secured.
    pub security: Security,
    /// Simulated clients, at least 1.
    pub clients: u32,
    /// Connections they share; at most one per client is used.
    pub connections: u32,
    /// Worker threads; at most one per connection is used.
    pub threads: u32,
    /// When calls are sent.
    pub pace: Pace,
    /// Time before the measured time, in which calls are sent but not recorded.
    pub warmup: Duration,
    /// When the run is over.
    pub length: Length,
    /// How long a call may take from its real send time; also sent as `grpc-timeout`.
    pub timeout: Duration,
    /// Calls under way at once; those that are due beyond it are shed and counted as errors.
    pub in_flight_limit: u32,
    /// Length of a slice of the timeline.
    pub slice: Duration,
    /// Decides the send times and, with the workload, what is sent.
    pub seed: u64,
    /// Headers of every call.
    pub metadata: Vec<(HeaderName, HeaderValue)>,
}

impl RunConfig {
    /// A closed loop of ten seconds with every default.
    pub fn new(target: impl Into<String>, security: Security) -> Self {
        Self {
            target: target.into(),
            security,
            clients: DEFAULT_CLIENTS,
            connections: DEFAULT_CONNECTIONS,
            threads: default_threads(),
            pace: Pace::Closed,
            warmup: Duration::from_secs(1),
            length: Length::For(Duration::from_secs(10)),
            timeout: DEFAULT_TIMEOUT,
            in_flight_limit: DEFAULT_IN_FLIGHT_LIMIT,
            slice: DEFAULT_SLICE,
            seed: 1,
            metadata: Vec::new(),
        }
    }

    /// Offered calls a second; `None` in a closed loop.
    pub fn offered_rps(&self) -> Option<f64> {
        match self.pace {
            Pace::Open { rate, .. } => Some(rate),
            Pace::Closed => None,
        }
    }

    /// Start and end of the measured time, since the start of the run.
    fn window(&self) -> (Duration, Option<Duration>) {
        match self.length {
            Length::For(measured) => (self.warmup, Some(self.warmup + measured)),
            Length::Calls(_) => (Duration::ZERO, None),
        }
    }

    /// The same with what cannot be used brought into range, or what is wrong with it.
    fn checked(&self) -> Result<Self, RunError> {
        let mut config = self.clone();
        config.connections = config.connections.min(config.clients);
        config.threads = config.threads.min(config.connections);
        let wrong = |what: &str| Err(RunError::Misconfigured(what.to_owned()));
        match config.pace {
            Pace::Open { rate, .. } if !(rate.is_finite() && rate > 0.0) => {
                return wrong("the rate must be above 0 calls a second");
            }
            _ => {}
        }
        if config.threads == 0 {
            return wrong("there must be at least one client, one connection and one thread");
        }
        if config.connections > MAX_CONNECTIONS {
            return wrong("there may be at most 10000 connections");
        }
        if config.timeout.is_zero() || config.timeout > MAX_TIMEOUT {
            return wrong("the timeout must be above 0 and at most 60s");
        }
        if config.in_flight_limit < config.threads {
            return wrong("at least one call per thread must be allowed in flight");
        }
        if config.pace == Pace::Closed && config.in_flight_limit < config.clients {
            return wrong("a closed loop must allow one call per client in flight");
        }
        if matches!(config.length, Length::Calls(0)) || config.length == Length::For(Duration::ZERO)
        {
            return wrong("the run must last longer than nothing");
        }
        Ok(config)
    }
}

/// One worker thread leaves the cores of a small machine to the target.
fn default_threads() -> u32 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores <= 2 { 1 } else { 2 }
}

/// Why a run did not happen.
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Misconfigured(String),
    /// No connection to the target could be made.
    #[error("cannot connect to {target}: {reason}")]
    Unreachable {
        /// `host:port`.
        target: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A request cannot be put into HTTP.
    #[error("`{0}` cannot be an authority or a method")]
    BadRequest(String),
    /// The machine has no more threads, timers or file descriptors.
    #[error(
        "cannot start the load generator: {0}; raise the limit on open files or use fewer --connections"
    )]
    Resources(#[from] io::Error),
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Misconfigured(_) | RunError::BadRequest(_) => Self::usage(error.to_string()),
            RunError::Unreachable { .. } | RunError::Resources(_) => Self::new(error.to_string()),
        }
    }
}

/// How far a run has come, warm-up included. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    done: AtomicU64,
    errors: AtomicU64,
}

impl Progress {
    /// Calls given to a connection.
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Relaxed)
    }

    /// Calls that ended, however they did.
    pub fn done(&self) -> u64 {
        self.0.done.load(Relaxed)
    }

    /// Calls that failed, timed out or were shed.
    pub fn errors(&self) -> u64 {
        self.0.errors.load(Relaxed)
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u64 {
        let done = self.done();
        self.sent().saturating_sub(done)
    }

    fn count_sent(&self) {
        self.0.sent.fetch_add(1, Relaxed);
    }

    fn count_done(&self, is_error: bool) {
        self.0.done.fetch_add(1, Relaxed);
        if is_error {
            self.count_error();
        }
    }

    fn count_error(&self) {
        self.0.errors.fetch_add(1, Relaxed);
    }
}

/// Makes a workload for one thread from that thread's seed.
pub type WorkloadFactory<'a> = &'a (dyn Fn(u64) -> Box<dyn Workload> + Sync);

/// Runs to the end, or until `stop`; then what was measured so far is returned. Blocks the calling
/// thread, which must not be one of a tokio runtime.
pub fn run(
    config: &RunConfig,
    workload: WorkloadFactory<'_>,
    progress: &Progress,
    stop: &Shutdown,
) -> Result<Samples, RunError> {
    let config = Arc::new(config.checked()?);
    thread::scope(|scope| {
        let (ready, connected) = mpsc::channel();
        let mut workers = Vec::new();
        let mut starts = Vec::new();
        let tickets = Arc::new(AtomicU64::new(match config.length {
            Length::Calls(calls) => calls,
            Length::For(_) => u64::MAX,
        }));
        for index in 0..config.threads {
            let (start, started) = tokio::sync::oneshot::channel();
            let job = worker::Job {
                config: config.clone(),
                index,
                progress: progress.clone(),
                stop: stop.clone(),
                tickets: tickets.clone(),
                started,
            };
            let ready = ready.clone();
            let seed = config.seed.wrapping_add(u64::from(index));
            let work = move || worker::work(job, workload(seed), &ready);
            workers.push(
                thread::Builder::new().name(format!("load-{index}")).spawn_scoped(scope, work)?,
            );
            starts.push(start);
        }
        drop(ready);
        // All connect before any sends; if one cannot, the others are let go with their `start`.
        for _ in 0..config.threads {
            connected.recv().expect("every worker reports once")?;
        }
        let origin = Instant::now();
        for start in starts {
            // Fails only if the worker is gone, which its result tells.
            let _ = start.send(origin);
        }
        let observed = observe(&config, progress, origin, || {
            workers.iter().all(thread::ScopedJoinHandle::is_finished)
        });
        collect(workers, observed)
    })
}

/// What the calling thread saw of a run.
struct Observed {
    in_flight: Vec<InFlight>,
    cpu: Duration,
}

/// Counts the calls under way at regular times until the run is over.
fn observe(
    config: &RunConfig,
    progress: &Progress,
    origin: Instant,
    is_over: impl Fn() -> bool,
) -> Observed {
    let (from, until) = config.window();
    let measured = until.unwrap_or_default().saturating_sub(from);
    let interval = SAMPLE_INTERVAL.max(measured / MAX_IN_FLIGHT_SAMPLES);
    let mut in_flight = Vec::new();
    let (mut cpu_before, mut cpu) = (None, Duration::ZERO);
    while !is_over() {
        let now = origin.elapsed();
        if now >= from && until.is_none_or(|until| now < until) {
            let before = *cpu_before.get_or_insert_with(process_cpu_time);
            cpu = process_cpu_time().saturating_sub(before);
            if in_flight.len() < MAX_IN_FLIGHT_SAMPLES as usize {
                in_flight.push(InFlight { at: now - from, calls: progress.in_flight() });
            }
        }
        thread::sleep(interval);
    }
    Observed { in_flight, cpu }
}

fn collect(
    workers: Vec<thread::ScopedJoinHandle<'_, Result<Samples, RunError>>>,
    observed: Observed,
) -> Result<Samples, RunError> {
    let mut merged: Option<Samples> = None;
    for worker in workers {
        let samples = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        match &mut merged {
            Some(merged) => merged.merge(samples),
            None => merged = Some(samples),
        }
    }
    let mut samples = merged.expect("there is at least one worker");
    samples.in_flight = observed.in_flight;
    samples.in_flight.retain(|sample| sample.at < samples.wall);
    samples.cpu = observed.cpu;
    Ok(samples)
}
