//! What `strife bench peers` leaves on disk: every run, what they come to, and which goals they meet.
//!
//! `runs.csv`, `summary.csv`, `goals.csv` and `proxies.csv` hold one row type each. Times are
//! microseconds. A value that could not be measured is an empty cell.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a run measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A closed loop: every stream makes its next call when its last one ended.
    Saturated,
    /// An open loop at a rate that every proxy is offered alike.
    Paced,
    /// Connections that made one call each and then do nothing.
    Idle,
}

/// One run of one proxy; a line of `runs.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names say it; they are the columns of `runs.csv`.
pub struct PeerRunRow {
    pub phase: Phase,
    /// From 1. Ratios are taken within a round.
    pub round: u32,
    pub proxy: String,
    pub tls: bool,
    pub connections: u32,
    /// Calls under way per connection in a closed loop.
    pub streams: u32,
    /// Of the message, the same in both directions.
    pub message_bytes: u32,
    /// Calls due per second; 0 in a closed loop.
    pub offered_per_s: f64,
    pub seconds: f64,
    pub calls: u64,
    pub errors: u64,
    pub calls_per_s: f64,
    /// CPU of the proxy's processes, user and system, over the calls that ended.
    pub cpu_us_per_call: Option<f64>,
    /// Share of its core that the proxy used, 0 to 1.
    pub proxy_busy: f64,
    /// Share of the time that its threads were ready and something else had the core.
    pub proxy_waited: f64,
    /// Share of its core that load and backends used together, 0 to 1.
    pub load_busy: f64,
    /// From when a call was due (open loop) or sent (closed loop) to its last byte.
    pub p50_us: Option<f64>,
    pub p90_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub max_us: Option<f64>,
    /// From when a call was due until it was sent.
    pub send_lag_p99_us: Option<f64>,
    /// Memory of the proxy's processes before the first connection and at the end of the run.
    pub memory_kib_before: u64,
    pub memory_kib_after: u64,
    /// The measurement can be trusted.
    pub valid: bool,
    /// Why it cannot, or what else must be known to judge it; empty otherwise.
    pub why: String,
}

/// The names of what is measured, as `summary.csv` and `goals.csv` have them.
#[allow(missing_docs)]
pub mod measure {
    pub const CPU: &str = "cpu_us_per_call";
    pub const CALLS: &str = "calls_per_s";
    pub const P50: &str = "p50_us";
    pub const P99: &str = "p99_us";
    pub const MEMORY: &str = "kib_per_connection";
    pub const PACED_P50: &str = "paced_p50_us";
    pub const PACED_P99: &str = "paced_p99_us";
    pub const PACED_CPU: &str = "paced_cpu_us_per_call";
    pub const IDLE_MEMORY: &str = "idle_kib_per_connection";
}

/// One measure of one proxy in one cell over all rounds; a line of `summary.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns of `summary.csv`.
pub struct PeerSummaryRow {
    pub measure: String,
    pub tls: bool,
    pub connections: u32,
    pub streams: u32,
    pub message_bytes: u32,
    pub proxy: String,
    pub rounds: u32,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// The peer with the best median of this measure in this cell; empty if no peer was measured.
    pub best_peer: String,
    /// This proxy's value over the best peer's in the same round.
    pub vs_best_median: Option<f64>,
    pub vs_best_min: Option<f64>,
    pub vs_best_max: Option<f64>,
    /// This proxy's value over the TCP copy's in the same round.
    pub vs_copy_median: Option<f64>,
    pub vs_copy_min: Option<f64>,
    pub vs_copy_max: Option<f64>,
}

/// One goal in one cell; a line of `goals.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns of `goals.csv`.
pub struct GoalRow {
    pub measure: String,
    pub tls: bool,
    pub connections: u32,
    pub streams: u32,
    pub message_bytes: u32,
    /// What ours is compared with: a peer, `tcp_copy`, or empty for a fixed bound.
    pub against: String,
    /// The most that the ratio, or the value itself, may be.
    pub limit: f64,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// The median is within the limit.
    pub met: bool,
}

/// One proxy that was asked for; a line of `proxies.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns of `proxies.csv`.
pub struct ProxyRow {
    pub proxy: String,
    /// As the program says; empty if it was not found.
    pub version: String,
    /// `measured`, or why not.
    pub status: String,
}

/// Where the files stand.
#[derive(Debug, Clone)]
pub struct PeersDir(PathBuf);

impl PeersDir {
    /// The directory `path`, existing or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `plan.toml`: complete enough to run it again.
    pub fn plan(&self) -> PathBuf {
        self.0.join("plan.toml")
    }

    /// `machine.json`, as a sweep writes it.
    pub fn machine(&self) -> PathBuf {
        self.0.join("machine.json")
    }

    /// `proxies.csv`, rows of [`ProxyRow`].
    pub fn proxies(&self) -> PathBuf {
        self.0.join("proxies.csv")
    }

    /// `runs.csv`, rows of [`PeerRunRow`].
    pub fn runs(&self) -> PathBuf {
        self.0.join("runs.csv")
    }

    /// `summary.csv`, rows of [`PeerSummaryRow`].
    pub fn summary(&self) -> PathBuf {
        self.0.join("summary.csv")
    }

    /// `goals.csv`, rows of [`GoalRow`].
    pub fn goals(&self) -> PathBuf {
        self.0.join("goals.csv")
    }

    /// `charts/`, each chart as SVG and PNG.
    pub fn charts(&self) -> PathBuf {
        self.0.join("charts")
    }

    /// `report.html`.
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }
}
