//! One server behind the balancer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use strife_policy::EndpointLoad;
use strife_runtime::tls::Expected;
use tokio::sync::Notify;

/// What the data plane, the health task and the control server share of a server.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Unique in the balancer, counting from 0.
    pub(crate) number: usize,
    /// `host:port`, as configured.
    pub(crate) address: String,
    /// Who has to answer there, so that nobody else gets its calls.
    pub(crate) expected: Expected,
    pub(crate) load: Arc<EndpointLoad>,
    suspected: Notify,
    draining: AtomicBool,
}

impl Endpoint {
    pub(crate) fn new(number: usize, address: &str, expected: Expected) -> Arc<Self> {
        Arc::new(Self {
            number,
            address: address.to_owned(),
            expected,
            load: Arc::default(),
            suspected: Notify::new(),
            draining: AtomicBool::new(false),
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

    /// An operator keeps new calls from it: connections to it that carry none can be closed. A
    /// snapshot says the same; this is for who has the endpoint and no pool.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// For the writer of its pool only.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Relaxed);
    }
}
