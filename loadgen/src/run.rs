//! Sends the calls of a schedule and records what becomes of them.
//!
//! Each worker thread has a tokio runtime and connections of its own (`worker`); nothing is shared
//! between them while they send but three counters ([`Progress`]). The thread that called [`run`]
//! samples how many calls are under way, from outside, as a check on what the workers record.

use std::{
    io,
    sync::{Arc, atomic::AtomicU64, mpsc},
    thread,
    time::{Duration, Instant},
};

use strife_runtime::{Failure, Shutdown, load::process_cpu_time};
use thiserror::Error;

use crate::{
    samples::{InFlight, Samples},
    workload::Workload,
};

mod config;
mod meter;
mod progress;
#[cfg(test)]
pub(crate) mod service;
#[cfg(test)]
mod tests;
mod transport;
mod worker;

pub use config::{
    DEFAULT_CLIENTS, DEFAULT_CONNECTIONS, DEFAULT_IN_FLIGHT_LIMIT, DEFAULT_SLICE, DEFAULT_TIMEOUT,
    Length, MAX_CONNECTIONS, MAX_TIMEOUT, Pace, RunConfig,
};
pub use progress::Progress;

/// How often the calls under way are counted from outside; more rarely in a long run.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);
/// Most such samples of a run.
const MAX_IN_FLIGHT_SAMPLES: u32 = 10_000;

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
        progress.begin(origin);
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
