//! One server behind the balancer.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use strife_policy::{EndpointLoad, Ramp};
use strife_runtime::tls::Expected;
use tokio::sync::Notify;

use crate::metrics::EndpointMetrics;

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
    suspected: Notify,
    draining: AtomicBool,
    gone: AtomicBool,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Endpoint {
    /// `threads`: how many carry calls.
    pub(crate) fn new(
        address: &str,
        expected: Expected,
        ramp: Ramp,
        threads: NonZeroUsize,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            address: address.to_owned(),
            expected,
            load: Arc::new(EndpointLoad::new(address, ramp)),
            metrics: (0..threads.get()).map(|_| EndpointMetrics::default()).collect(),
            suspected: Notify::new(),
            draining: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        })
    }

    /// A connection to it failed or ended: its health is checked at once.
    pub(crate) fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// Resolves after [`Endpoint::suspect`].
    pub(crate) async fn suspected(&self) {
        self.suspected.notified().await;
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
