//! What a sweep leaves on disk, and the only thing the charts are made from.
//!
//! `summary.csv`, `servers.csv`, `endpoints.csv`, `members.csv` and `timeline.csv` hold one row type each, and so do
//! `phases.csv` and `windows.csv` where a plan has faults, and `queue.csv` where payments may wait; all times are microseconds unless a name
//! says otherwise. A percentile with fewer than ten samples beyond it
//! is not known and its cell is empty.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use dir::ResultDir;
pub use faults::{Phase, PhaseRow, WindowRow};
pub use queue::QueueRow;

mod dir;
mod faults;
pub mod peers;
pub(crate) mod queue;

/// One cell of a sweep in one trial: the headline numbers. Response times count from the intended
/// send time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names say it; they are the columns of `summary.csv`.
pub struct SummaryRow {
    pub workload: String,
    pub policy: String,
    pub clients: u32,
    pub servers: u32,
    pub trial: u32,
    /// As planned, not as the seed drew it; 0 in a closed loop.
    pub offered_rps: f64,
    pub achieved_rps: f64,
    pub p50_us: Option<u64>,
    pub p90_us: Option<u64>,
    pub p99_us: Option<u64>,
    pub p999_us: Option<u64>,
    pub max_us: Option<u64>,
    /// Calls that ended in an error, timeouts included.
    pub errors: u64,
    /// The measurement can be trusted.
    pub valid: bool,
    /// The target could not keep up with the offered rate.
    pub saturated: bool,
    /// Jain's fairness index of calls per server, 1/n to 1. In the `payments` workload, the lowest of
    /// the banks' pools by the balancer's own count.
    pub jain: f64,
    /// Coefficient of variation of calls per server.
    pub cov: f64,
    /// Calls of the busiest server over the mean.
    pub max_over_mean: f64,
    /// Measured time, warm-up excluded, seconds.
    pub duration_s: f64,
    pub seed: u64,
    pub sent: u64,
    pub timeouts: u64,
    pub service_p50_us: Option<u64>,
    pub service_p99_us: Option<u64>,
    pub send_lag_p99_us: Option<u64>,
    /// CPU of all processes of the run over what the machine has, 0 to 1.
    pub cpu: f64,
    /// Why the run is invalid or saturated; empty otherwise.
    pub why: String,
    /// How often the run was made until its measurement was valid, or given up.
    pub attempts: u32,
    /// Calls whose intended send time lay in the measured time, as the seed drew them; 0 in files of
    /// before it was recorded.
    #[serde(default)]
    pub due: u64,
    /// What `errors` consists of, the most frequent first, `cause=calls` joined by spaces: a gRPC status
    /// code's name, `timeout`, `shed`, or what else befell the call.
    #[serde(default)]
    pub errors_by_code: String,
    /// What befell the fleet during the run, by its name in the plan; empty: nothing.
    #[serde(default)]
    pub fault: String,
    /// Answered with a refusal, such as a payment that was aborted; among the calls achieved.
    #[serde(default)]
    pub refused: u64,
    /// Durable commits of the stores, fsync included, since the fleet was booted: of the slowest bank.
    #[serde(default)]
    pub bank_fsync_p50_us: Option<u64>,
    #[serde(default)]
    pub bank_fsync_p99_us: Option<u64>,
    /// As above, of the gateway.
    #[serde(default)]
    pub gateway_fsync_p50_us: Option<u64>,
    #[serde(default)]
    pub gateway_fsync_p99_us: Option<u64>,
    /// Answered with the promise to be done later, or not: payments that went to the gateway's queue.
    /// Neither among the calls achieved nor among the errors.
    #[serde(default)]
    pub queued: u64,
}

/// CPU time by process during the measured time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns of `members.csv`.
pub struct MemberRow {
    pub workload: String,
    pub policy: String,
    pub trial: u32,
    /// As in the fleet (`lb`, `gateway`, `icici`, `icici-1`), or `loadgen`.
    pub member: String,
    /// Of one core, 0 to the number of cores.
    pub cores: f64,
    /// CPU time over the calls that were answered.
    pub us_per_call: f64,
    pub clients: u32,
    pub servers: u32,
    pub offered_rps: f64,
    /// What befell the fleet during the run, by its name in the plan; empty: nothing.
    #[serde(default)]
    pub fault: String,
}

/// Calls by the server that answered them, as the responses say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns of `servers.csv`.
pub struct ServerRow {
    pub workload: String,
    pub policy: String,
    pub trial: u32,
    pub server: String,
    pub calls: u64,
    pub share: f64,
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    pub clients: u32,
    pub servers: u32,
    pub offered_rps: f64,
    /// What befell the fleet during the run, by its name in the plan; empty: nothing.
    #[serde(default)]
    pub fault: String,
}

/// Calls by pool and endpoint, as the balancer counted them during the measured time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns of `endpoints.csv`.
pub struct EndpointRow {
    pub workload: String,
    pub policy: String,
    pub trial: u32,
    pub pool: String,
    pub endpoint: String,
    pub calls: u64,
    /// Of the pool's calls.
    pub share: f64,
    pub failed: u64,
    pub clients: u32,
    pub servers: u32,
    pub offered_rps: f64,
    /// What befell the fleet during the run, by its name in the plan; empty: nothing.
    #[serde(default)]
    pub fault: String,
}

/// A slice of a run's time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns of `timeline.csv`.
pub struct TimelineRow {
    pub workload: String,
    pub policy: String,
    pub trial: u32,
    /// Start of the slice, seconds of measured time.
    pub at_s: f64,
    /// Length of the slice.
    pub width_s: f64,
    /// Calls whose intended send time lies in the slice and that were answered.
    pub calls: u64,
    pub errors: u64,
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    /// Calls by server within the slice, `server=calls` joined by spaces.
    pub by_server: String,
    pub clients: u32,
    pub servers: u32,
    pub offered_rps: f64,
    /// What befell the fleet during the run, by its name in the plan; empty: nothing.
    #[serde(default)]
    pub fault: String,
    /// Calls that were answered with the promise to be done later, or not; not among `calls`.
    #[serde(default)]
    pub queued: u64,
}

/// What the sweep ran on; `machine.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub strife_version: String,
    /// The commit the program was run from, if it was run inside a checkout.
    pub commit: Option<String>,
    /// When the sweep began, seconds since the Unix epoch.
    pub started_at: u64,
    /// fsync of 4 KiB where the stores were, measured before the first cell.
    pub fsync_us_p50: u64,
    pub fsync_us_p99: u64,
}

/// A results directory cannot be read or written.
#[derive(Debug, Error)]
pub enum ResultsError {
    /// A file is missing, unreadable or unwritable.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A CSV file does not have the expected columns.
    #[error("{}: {source}", path.display())]
    Csv {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: csv::Error,
    },
    /// A JSON or TOML file does not have the expected fields.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
}

/// Names one run of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct RunKey {
    pub workload: String,
    pub policy: String,
    pub clients: u32,
    pub servers: u32,
    /// Offered calls per second, rounded; 0 in a closed loop.
    pub rate: u64,
    /// What befalls the fleet, by its name in the plan; empty: nothing.
    pub fault: String,
    pub trial: u32,
}

impl RunKey {
    /// What was driven and what befell it: `bank`, or `bank/slow`.
    pub(super) fn of(&self) -> String {
        let Self { workload, fault, .. } = self;
        if fault.is_empty() { workload.clone() } else { format!("{workload}/{fault}") }
    }

    pub(super) fn stem(&self) -> String {
        let Self { workload, policy, clients, servers, rate, fault, trial } = self;
        // A policy's parameters hold characters that are no good in file names.
        let policy = policy.replace([':', '=', ','], "-");
        let dash = if fault.is_empty() { "" } else { "-" };
        format!("{workload}-{policy}-{clients}c-{servers}s-{rate}rps{dash}{fault}-t{trial}")
    }
}

/// A row that belongs to one run, whichever file it stands in.
pub trait RunRow {
    /// Which run the row is of.
    fn key(&self) -> RunKey;
}

macro_rules! of_a_run {
    ($($row:ty),*) => {$(
        impl RunRow for $row {
            fn key(&self) -> RunKey {
                RunKey {
                    workload: self.workload.clone(),
                    policy: self.policy.clone(),
                    clients: self.clients,
                    servers: self.servers,
                    rate: self.offered_rps.round() as u64,
                    fault: self.fault.clone(),
                    trial: self.trial,
                }
            }
        }
    )*};
}

of_a_run!(
    SummaryRow,
    MemberRow,
    ServerRow,
    EndpointRow,
    TimelineRow,
    PhaseRow,
    WindowRow,
    QueueRow
);

/// Reads all rows of a CSV file; a file that does not exist has none.
pub fn read_rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ResultsError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let malformed = |source| ResultsError::Csv { path: path.into(), source };
    let mut reader = csv::Reader::from_path(path).map_err(malformed)?;
    reader.deserialize().collect::<Result<_, _>>().map_err(malformed)
}

/// Writes all rows of a CSV file, whole or not at all.
pub fn write_rows<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), ResultsError> {
    let malformed = |source| ResultsError::Csv { path: path.into(), source };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(malformed)?;
    }
    let bytes = writer.into_inner().map_err(|error| malformed(error.into_error().into()))?;
    write_whole(path, &bytes)
}

/// Replaces a file's content at once, so that a reader never sees half of it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ResultsError> {
    let file = |source| ResultsError::File { path: path.into(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(file)?;
    }
    let staged = path.with_extension("part");
    fs::write(&staged, bytes).map_err(file)?;
    fs::rename(&staged, path).map_err(file)
}
