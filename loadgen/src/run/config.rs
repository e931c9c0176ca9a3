//! What a run is: to whom, how fast, how long, within which bounds.

use std::{thread, time::Duration};

use http::{HeaderName, HeaderValue};
use strife_runtime::Security;

use super::RunError;
use crate::schedule::Arrivals;

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
    pub(super) fn window(&self) -> (Duration, Option<Duration>) {
        match self.length {
            Length::For(measured) => (self.warmup, Some(self.warmup + measured)),
            Length::Calls(_) => (Duration::ZERO, None),
        }
    }

    /// The same with what cannot be used brought into range, or what is wrong with it.
    pub(super) fn checked(&self) -> Result<Self, RunError> {
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
