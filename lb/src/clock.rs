//! The one place that reads the time for picks and loads.

use std::time::Duration;

use tokio::time::Instant;

/// Time since the balancer started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }
}
