//! One worker thread: its clients, its connections, its records.
//!
//! In an open loop one task walks the schedule and hands every call that is due to a connection; in
//! a closed loop each client is a task. Either way a call, once sent, is a task that waits for the
//! answer or the deadline. Client `c` belongs to thread `c mod threads`, so the send times of a seed
//! are the same for any number of threads.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    time::{Duration, Instant},
};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::HeaderValue;
use strife_runtime::Shutdown;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Notify, oneshot},
    task::spawn_local,
};

use super::{
    Length, Pace, Progress, RunConfig, RunError,
    meter::ThreadMeter,
    transport::{Connection, Reply, RequestHead},
};
use crate::{
    pace::Pacer,
    samples::{Ended, ErrorKind, Layout, Outcome, Recorder, Samples},
    schedule::{Arrival, schedule},
    workload::{Call, Verdict, Workload},
};

/// Connections a thread makes at the same time.
const CONNECTING_AT_ONCE: usize = 64;
/// Calls sent in a row before answers are read again.
const MAX_BURST: u32 = 64;
/// Tasks the runtime polls before it looks at sockets and timers again.
const EVENT_INTERVAL: u32 = 16;
/// How long after the end of the measured time calls due in it are still sent.
const LATE_GRACE: Duration = Duration::from_millis(250);
/// How long after their deadline the last calls are waited for.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// A server that keeps deadlines may be first by a little: a call that it ends within this last part
/// of the time for lack of time has timed out.
const TIMED_OUT_FROM: f64 = 0.9;

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

    /// Sends every call when it is due, or as soon after as this thread can.
    async fn open_loop(
        self: &Rc<Self>,
        schedule: impl Iterator<Item = Arrival>,
        pacer: &mut Pacer,
        stop: &Shutdown,
    ) -> io::Result<()> {
        let (_, until) = self.config.window();
        let due = schedule.take_while(|arrival| until.is_none_or(|until| arrival.at < until));
        let mut burst = 0;
        for arrival in due.filter(|arrival| arrival.client % self.config.threads == self.index) {
            if self.now() < arrival.at {
                burst = 0;
                self.wait_until(arrival.at, pacer, stop).await?;
            } else if burst == MAX_BURST {
                burst = 0;
                tokio::task::yield_now().await;
            }
            burst += 1;
            if stop.is_requested() {
                self.recorder.borrow_mut().stop(self.now());
                return Ok(());
            }
            self.send_due(arrival, until);
        }
        match until {
            Some(until) => self.wait_until(until, pacer, stop).await,
            None => Ok(()),
        }
    }

    /// Resolves at `at` since the start of the run, or when the run is to stop.
    async fn wait_until(&self, at: Duration, pacer: &mut Pacer, stop: &Shutdown) -> io::Result<()> {
        tokio::select! {
            biased;
            waited = pacer.wait_until(self.origin + at) => waited,
            () = stop.requested() => {
                self.recorder.borrow_mut().stop(self.now());
                Ok(())
            }
        }
    }

    fn send_due(self: &Rc<Self>, arrival: Arrival, until: Option<Duration>) {
        if until.is_some_and(|until| self.now() > until + LATE_GRACE) {
            self.recorder.borrow_mut().unsent(arrival.at);
        } else if self.in_flight.get() >= self.config.in_flight_limit / self.config.threads {
            self.recorder.borrow_mut().shed(arrival.at);
            self.progress.count_error();
        } else {
            spawn_local(self.send(arrival.client, arrival.at));
        }
    }

    /// Runs every client of this thread until the run is over.
    async fn closed_loop(self: &Rc<Self>, stop: &Shutdown) {
        let mine = (self.index..self.config.clients).step_by(self.config.threads as usize);
        let clients: Vec<_> =
            mine.map(|client| spawn_local(self.clone().run_client(client, stop.clone()))).collect();
        for client in clients {
            client
                .await
                .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()));
        }
    }

    async fn run_client(self: Rc<Self>, client: u32, stop: Shutdown) {
        let (_, until) = self.config.window();
        let is_over = || until.is_some_and(|until| self.now() >= until);
        while !is_over() && !stop.is_requested() && self.take_ticket() {
            let outcome = self.send(client, self.now()).await;
            if outcome == Outcome::Failed(ErrorKind::NotConnected) {
                // Without a pause a client would do nothing but fail.
                let up = self.connection_of(client).up();
                tokio::select! {
                    () = up => {}
                    () = tokio::time::sleep(self.config.timeout) => {}
                    () = stop.requested() => {}
                }
            }
        }
        if stop.is_requested() && !is_over() {
            self.recorder.borrow_mut().stop(self.now());
        }
    }

    /// Whether one more call may be made; of a run that is counted in calls.
    fn take_ticket(&self) -> bool {
        self.tickets.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn connection_of(&self, client: u32) -> &Rc<Connection> {
        let nth = client / self.config.threads;
        &self.connections[nth as usize % self.connections.len()]
    }

    /// Gives a call to its connection now; what is returned ends when the call is recorded.
    fn send(
        self: &Rc<Self>,
        client: u32,
        intended: Duration,
    ) -> impl Future<Output = Outcome> + use<> {
        let Call { method, authority, body } = self.workload.borrow_mut().next(client);
        let head = &self.heads[authority * self.methods + method];
        let sent = self.now();
        let reply = self.connection_of(client).call(head, body);
        self.in_flight.set(self.in_flight.get() + 1);
        self.progress.count_sent();
        self.recorder.borrow_mut().sent(intended);
        let worker = self.clone();
        async move {
            let deadline = sent + worker.config.timeout;
            let reply = tokio::time::timeout_at((worker.origin + deadline).into(), reply).await;
            let now = worker.now();
            let (outcome, server) = match reply {
                Ok(Reply { server, result }) => {
                    (worker.outcome(method, result, now - sent), server)
                }
                Err(_elapsed) => (Outcome::TimedOut, None),
            };
            let done = if outcome == Outcome::TimedOut { deadline } else { now };
            let server = server.as_ref().map(HeaderValue::as_bytes);
            worker.land(&Ended { method, intended, sent, done, outcome, server });
            outcome
        }
    }

    fn outcome(
        &self,
        method: usize,
        result: Result<bytes::Bytes, ErrorKind>,
        took: Duration,
    ) -> Outcome {
        match result {
            Ok(message) => match self.workload.borrow().judge(method, &message) {
                Verdict::Accepted => Outcome::Accepted,
                Verdict::Refused => Outcome::Refused,
                Verdict::Malformed => Outcome::Failed(ErrorKind::Malformed),
            },
            Err(kind)
                if kind.is_lack_of_time()
                    && took >= self.config.timeout.mul_f64(TIMED_OUT_FROM) =>
            {
                Outcome::TimedOut
            }
            Err(kind) => Outcome::Failed(kind),
        }
    }

    fn land(&self, call: &Ended<'_>) {
        self.recorder.borrow_mut().ended(call);
        let is_error = matches!(call.outcome, Outcome::TimedOut | Outcome::Failed(_));
        self.progress.count_done(is_error);
        self.in_flight.set(self.in_flight.get() - 1);
        if self.in_flight.get() == 0 {
            self.landed.notify_one();
        }
    }

    /// Waits for the calls under way; each ends by its deadline.
    async fn drain(&self) {
        let landed = async {
            while self.in_flight.get() > 0 {
                self.landed.notified().await;
            }
        };
        // Nothing to do about a call that its timer forgot.
        let _ = tokio::time::timeout(self.config.timeout + DRAIN_GRACE, landed).await;
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}
