//! What a run says of a fault that befell its fleet: three phases, and p99 over time.
//!
//! Calls belong to a phase and to a window by when they were due.

use serde::{Deserialize, Serialize};

/// The part of a run before a fault, while it lasts, and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Phase {
    Before,
    During,
    After,
}

/// One phase of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns of `phases.csv`.
pub struct PhaseRow {
    pub workload: String,
    pub policy: String,
    pub fault: String,
    pub trial: u32,
    pub phase: Phase,
    /// Start and end as planned, seconds of measured time.
    pub from_s: f64,
    pub until_s: f64,
    /// Calls that were answered.
    pub calls: u64,
    /// Calls that failed, timed out or were shed.
    pub errors: u64,
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    /// A call that took longer than this, or failed, was not served well: p99 before the fault times
    /// the factor that the documentation states.
    pub limit_us: Option<u64>,
    /// Seconds from the start of the phase until 99% of the calls of every window of it were served
    /// well again; 0 if that was never otherwise, empty if it did not happen within the phase, and
    /// before the fault.
    pub recovered_s: Option<f64>,
    /// When the fault really began, or was really lifted, seconds of measured time; empty before it.
    pub happened_s: Option<f64>,
    pub clients: u32,
    pub servers: u32,
    pub offered_rps: f64,
    /// Calls that were queued; not among `calls`.
    #[serde(default)]
    pub queued: u64,
}

/// A window of a run's time; windows overlap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns of `windows.csv`.
pub struct WindowRow {
    pub workload: String,
    pub policy: String,
    pub fault: String,
    pub trial: u32,
    /// Start of the window, seconds of measured time.
    pub at_s: f64,
    pub width_s: f64,
    /// Calls that were answered.
    pub calls: u64,
    pub errors: u64,
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    pub clients: u32,
    pub servers: u32,
    pub offered_rps: f64,
    /// Calls that were queued; not among `calls`.
    #[serde(default)]
    pub queued: u64,
}
