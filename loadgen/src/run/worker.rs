//! One worker thread: its clients, its connections, its records.
//!
//! In an open loop one task walks the schedule and hands every call that is due to a connection; in
//! a closed loop each client is a task. Either way a call, once sent, is a task that waits for the
//! answer or the deadline. Client `c` belongs to thread `c mod threads`, so the send times of a seed
//! are the same for any number of threads.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, atomic::AtomicU64, mpsc},
    time::{Duration, Instant},
};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use strife_runtime::Shutdown;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Notify, oneshot},
};

use super::{
    Length, Pace, Progress, RunConfig, RunError,
    meter::ThreadMeter,
    transport::{Connection, RequestHead},
};
use crate::{
    pace::Pacer,
    samples::{Layout, Recorder, Samples},
    schedule::schedule,
    workload::Workload,
};

mod flight;
mod loops;

/// Connections a thread makes at the same time.
const CONNECTING_AT_ONCE: usize = 64;
/// Tasks the runtime polls before it looks at sockets and timers again.
const EVENT_INTERVAL: u32 = 16;

/// What a worker is given.
pub(super) struct Job {
    pub(super) config: Arc<RunConfig>,
    pub(super) index: u32,
    pub(super) progress: Progress,
    pub(super) stop: Shutdown,
    /// Calls a closed loop may still make, all threads together.
    pub(super) tickets: Arc<AtomicU64>,
    /// Resolves when every worker is connected; dropped if one cannot.
    pub(super) started: oneshot::Receiver<Instant>,
}

/// The body of a worker thread. Reports once whether it is connected.
pub(super) fn work(
    job: Job,
    workload: Box<dyn Workload>,
    ready: &mpsc::Sender<Result<(), RunError>>,
) -> Result<Samples, RunError> {
    let built = Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build_local(LocalOptions::default());
    // Whoever receives the reports waits for all of them; a failed one is the run's result.
    let report = |outcome| drop(ready.send(outcome));
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            report(Err(error.into()));
            return Ok(empty(&job.config, workload.as_ref()));
        }
    };
    runtime.block_on(async {
        let nothing = empty(&job.config, workload.as_ref());
        let prepared = tokio::select! {
            prepared = prepare(&job, workload) => prepared,
            () = job.stop.requested() => {
                report(Ok(()));
                return Ok(nothing);
            }
        };
        let (mut worker, pacer) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                report(Err(error));
                return Ok(nothing);
            }
        };
        report(Ok(()));
        let Ok(origin) = job.started.await else { return Ok(nothing) };
        worker.origin = origin;
        Rc::new(worker).run(pacer, &job.stop).await
    })
}

fn layout(config: &RunConfig, workload: &dyn Workload) -> Layout {
    let (from, until) = config.window();
    Layout {
        methods: workload.methods().iter().map(ToString::to_string).collect(),
        target: config.target.clone(),
        from,
        until,
        slice: config.slice,
    }
}

/// The samples of a run that was stopped before it began.
fn empty(config: &RunConfig, workload: &dyn Workload) -> Samples {
    let mut recorder = Recorder::new(layout(config, workload));
    recorder.stop(Duration::ZERO);
    recorder.samples()
}

async fn prepare(job: &Job, workload: Box<dyn Workload>) -> Result<(Worker, Pacer), RunError> {
    let config = &job.config;
    let mut heads = Vec::new();
    for authority in workload.authorities() {
        for method in workload.methods() {
            heads.push(Rc::new(RequestHead::new(config, method, authority)?));
        }
    }
    let mine = (job.index..config.connections).step_by(config.threads as usize);
    let connections = stream::iter(mine)
        .map(|_| Connection::open(config))
        .buffered(CONNECTING_AT_ONCE)
        .try_collect()
        .await?;
    let recorder = Recorder::new(layout(config, workload.as_ref()));
    let worker = Worker {
        config: config.clone(),
        index: job.index,
        origin: Instant::now(),
        connections,
        heads,
        methods: workload.methods().len(),
        workload: RefCell::new(workload),
        recorder: RefCell::new(recorder),
        progress: job.progress.clone(),
        tickets: job.tickets.clone(),
        in_flight: Cell::new(0),
        landed: Notify::new(),
    };
    Ok((worker, Pacer::new()?))
}

struct Worker {
    config: Arc<RunConfig>,
    index: u32,
    origin: Instant,
    connections: Vec<Rc<Connection>>,
    /// By authority, then method.
    heads: Vec<Rc<RequestHead>>,
    methods: usize,
    workload: RefCell<Box<dyn Workload>>,
    recorder: RefCell<Recorder>,
    progress: Progress,
    tickets: Arc<AtomicU64>,
    in_flight: Cell<u32>,
    /// Told when the last call under way ended.
    landed: Notify,
}

impl Worker {
    async fn run(self: Rc<Self>, mut pacer: Pacer, stop: &Shutdown) -> Result<Samples, RunError> {
        let meter = ThreadMeter::start();
        match self.config.pace {
            Pace::Open { rate, arrivals } => {
                let calls = match self.config.length {
                    Length::Calls(calls) => usize::try_from(calls).unwrap_or(usize::MAX),
                    Length::For(_) => usize::MAX,
                };
                let schedule = schedule(arrivals, rate, self.config.clients, self.config.seed);
                self.open_loop(schedule.take(calls), &mut pacer, stop).await?;
            }
            Pace::Closed => self.closed_loop(stop).await,
        }
        let generator_busy = meter.busy();
        self.drain().await;
        let mut samples = self.recorder.borrow().samples();
        samples.generator_busy = generator_busy;
        Ok(samples)
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}
