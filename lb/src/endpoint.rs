//! One server behind the balancer.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use strife_policy::{EndpointLoad, Ramp, Reported};
use strife_runtime::tls::Expected;
use tokio::sync::Notify;
use tonic::transport::Channel;

use crate::{
    error::LbError,
    health::Evidence,
    metrics::{CounterPer, EjectionCause, EndpointMetrics, Label, ReportChannel},
    reports::{ServerReport, Unreadable},
};

/// What the data plane, the health task and the control server share of a server.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Of this server, for as long as the process lives: a server that leaves and comes back is
    /// another one.
    pub(crate) id: u64,
    /// `host:port`.
    pub(crate) address: String,
    /// Who has to answer there, so that nobody else gets its calls.
    pub(crate) expected: Expected,
    pub(crate) load: Arc<EndpointLoad>,
    /// One for each thread that carries calls, by its number.
    pub(crate) metrics: Box<[EndpointMetrics]>,
    /// Load reports, by the channel they came by.
    reports: [ReportCounts; ReportChannel::COUNT],
    /// The connection that its health is watched by, while it is well.
    channel: ArcSwapOption<Channel>,
    /// What its calls say against it.
    pub(crate) evidence: Evidence,
    /// Written by the writer of its pool.
    pub(crate) ejections: CounterPer<EjectionCause, { EjectionCause::COUNT }>,
    /// Whether it may be asked for its load over that connection, as far as is known.
    serves_probes: AtomicBool,
    suspected: Notify,
    heard: Notify,
    times_ready: AtomicU64,
    draining: AtomicBool,
    gone: AtomicBool,
}

/// How many load reports were taken and how many were not: nonsense, or out of sequence.
#[derive(Debug, Default)]
pub(crate) struct ReportCounts {
    accepted: AtomicU64,
    out_of_sequence: AtomicU64,
    invalid: AtomicU64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Endpoint {
    /// `threads`: how many carry calls.
    pub(crate) fn new(
        address: &str,
        expected: Expected,
        ramp: Ramp,
        threads: NonZeroUsize,
        evidence: Evidence,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            address: address.to_owned(),
            expected,
            load: Arc::new(EndpointLoad::new(address, ramp)),
            metrics: (0..threads.get()).map(|_| EndpointMetrics::default()).collect(),
            reports: Default::default(),
            channel: ArcSwapOption::empty(),
            evidence,
            ejections: CounterPer::default(),
            serves_probes: AtomicBool::new(true),
            suspected: Notify::new(),
            heard: Notify::new(),
            times_ready: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        })
    }

    /// It said what its load is; whether that was news. If it is not known to be well, this says that it is
    /// there.
    pub(crate) fn reported(
        &self,
        now: Duration,
        channel: ReportChannel,
        report: &Result<ServerReport, Unreadable>,
    ) -> Result<Reported, LbError> {
        let outcome = report.as_ref().map_err(|unreadable| LbError::from(*unreadable));
        let outcome = outcome.and_then(|ServerReport { orca, report }| {
            if let Some(orca) = orca {
                self.load.orca(now, orca)?;
            }
            let reported = report.as_ref().map(|report| self.load.report(now, report));
            Ok(reported.transpose()?.unwrap_or(Reported::Accepted))
        });
        if channel == ReportChannel::Push && self.channel.load().is_none() {
            self.heard.notify_one();
        }
        let counts = &self.reports[channel.index()];
        let count = match outcome {
            Ok(Reported::Accepted) => &counts.accepted,
            Ok(Reported::OutOfSequence) => &counts.out_of_sequence,
            Err(_) => &counts.invalid,
        };
        count.fetch_add(1, Relaxed);
        outcome
    }

    /// Reports that came by this channel: accepted, out of sequence, invalid.
    pub(crate) fn reports(&self, channel: ReportChannel) -> [u64; 3] {
        let counts = &self.reports[channel.index()];
        [&counts.accepted, &counts.out_of_sequence, &counts.invalid].map(|one| one.load(Relaxed))
    }

    /// The connection that its health is watched by, while it is well.
    pub(crate) fn channel(&self) -> Option<Arc<Channel>> {
        self.channel.load_full()
    }

    /// For its health task, and for the writer of its pool when it leaves.
    pub(crate) fn set_channel(&self, channel: Option<Channel>) {
        // Another connection may lead to another version of the server.
        self.serves_probes.store(true, Relaxed);
        self.channel.store(channel.map(Arc::new));
    }

    /// Whether it may be asked for its load, as far as is known.
    pub(crate) fn serves_probes(&self) -> bool {
        self.serves_probes.load(Relaxed)
    }

    /// It does not answer probes: it is not asked again before it is connected to anew.
    pub(crate) fn note_no_probes(&self) {
        self.serves_probes.store(false, Relaxed);
    }

    /// A connection to it failed or ended: its health is checked at once.
    pub(crate) fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// Resolves after [`Endpoint::suspect`].
    pub(crate) async fn suspected(&self) {
        self.suspected.notified().await;
    }

    /// Resolves after it said something of itself, although it is not known to be well.
    pub(crate) async fn heard(&self) {
        self.heard.notified().await;
    }

    /// For the writer of its pool only: it became READY.
    pub(crate) fn note_ready(&self) {
        self.times_ready.fetch_add(1, Relaxed);
    }

    /// How often it became READY.
    pub(crate) fn times_ready(&self) -> u64 {
        self.times_ready.load(Relaxed)
    }

    /// It gets no new call, by an operator's wish or because it left its pool: connections to it
    /// that carry none can be closed. A snapshot says the same; this is for who has the endpoint
    /// and no pool.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed) || self.is_gone()
    }

    /// For the writer of its pool only.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Relaxed);
    }

    /// It left its pool, and does not come back.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// For the writer of its pool only.
    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Relaxed);
    }
}
