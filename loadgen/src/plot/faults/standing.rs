//! A policy under a fault: p99, failed calls and time to recover of each phase, over trials.

use super::super::{
    data::{PolicyRuns, Trial, Workload},
    findings::Spread,
    numbers::{percent, significant, time},
    style::Look,
};
use crate::results::{Phase, PhaseRow};

/// One policy under one fault.
#[derive(Debug, Clone)]
pub(crate) struct FaultStanding<'a> {
    pub(crate) policy: &'a str,
    pub(crate) look: Look,
    pub(crate) before: PhaseStanding,
    pub(crate) during: PhaseStanding,
    pub(crate) after: PhaseStanding,
}

/// One phase of a policy's trials.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PhaseStanding {
    pub(crate) p99_us: Option<Spread>,
    /// Failed calls of all trials; `due` are all calls.
    pub(crate) errors: u64,
    /// Calls that were queued.
    pub(crate) queued: u64,
    pub(crate) due: u64,
    pub(crate) back: Back,
}

/// When calls were well served again, median over trials.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Back {
    /// There is no p99 of before to compare with.
    Unknown,
    /// Seconds after the phase began; 0 if they never were otherwise.
    After(f64),
    /// Not within the phase, which has so many seconds.
    NotWithin(f64),
}

impl Back {
    fn of(rows: &[&PhaseRow]) -> Self {
        let mut known: Vec<f64> = rows
            .iter()
            .filter(|row| row.limit_us.is_some())
            .map(|row| row.recovered_s.unwrap_or(f64::INFINITY))
            .collect();
        known.sort_by(f64::total_cmp);
        // Of two the worse: what happened in half of the trials is not to be hidden.
        match (known.get(known.len() / 2), rows.first()) {
            (Some(median), _) if median.is_finite() => Self::After(*median),
            (Some(_), Some(row)) => Self::NotWithin(row.until_s - row.from_s),
            _ => Self::Unknown,
        }
    }

    /// `at once`, `0.60 s`, `not in 4 s`.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Unknown => "unknown".to_owned(),
            Self::After(0.0) => "at once".to_owned(),
            Self::After(seconds) => format!("{seconds:.1} s"),
            Self::NotWithin(seconds) => format!("not in {} s", (seconds * 10.0).round() / 10.0),
        }
    }

    /// Seconds, for comparisons.
    pub(crate) fn seconds(self) -> f64 {
        match self {
            Self::After(seconds) => seconds,
            Self::Unknown | Self::NotWithin(_) => f64::INFINITY,
        }
    }
}

impl PhaseStanding {
    fn of(trials: &[&Trial], phase: Phase) -> Self {
        let rows = trials.iter().flat_map(|trial| &trial.phases);
        let rows: Vec<&PhaseRow> = rows.filter(|row| row.phase == phase).collect();
        let errors = rows.iter().map(|row| row.errors).sum();
        let queued = rows.iter().map(|row| row.queued).sum();
        Self {
            p99_us: Spread::of(rows.iter().filter_map(|row| Some(row.p99_us? as f64))),
            errors,
            queued,
            due: errors + queued + rows.iter().map(|row| row.calls).sum::<u64>(),
            back: Back::of(&rows),
        }
    }

    /// Failed calls of those due.
    pub(crate) fn error_share(&self) -> f64 {
        self.errors as f64 / self.due.max(1) as f64
    }

    /// Queued calls of those due.
    pub(crate) fn queued_share(&self) -> f64 {
        self.queued as f64 / self.due.max(1) as f64
    }

    /// `9.12`, in milliseconds; a dash if it is not known.
    pub(crate) fn p99_ms(&self) -> String {
        self.p99_us.map_or_else(|| "–".to_owned(), |p99| significant(p99.median / 1e3))
    }

    /// `9.12 ms`.
    pub(crate) fn p99(&self) -> String {
        self.p99_us.map_or_else(|| "unknown".to_owned(), |p99| time(p99.median))
    }
}

impl<'a> FaultStanding<'a> {
    fn of(runs: &'a PolicyRuns) -> Self {
        let trials: Vec<&Trial> = runs.counted().collect();
        let phase = |phase| PhaseStanding::of(&trials, phase);
        Self {
            policy: &runs.policy,
            look: runs.look,
            before: phase(Phase::Before),
            during: phase(Phase::During),
            after: phase(Phase::After),
        }
    }

    /// Failed calls from the fault's beginning on, of those due.
    pub(crate) fn error_share(&self) -> f64 {
        let errors = self.during.errors + self.after.errors;
        errors as f64 / (self.during.due + self.after.due).max(1) as f64
    }

    /// Queued calls from the fault's beginning on, of those due.
    pub(crate) fn queued_share(&self) -> f64 {
        let queued = self.during.queued + self.after.queued;
        queued as f64 / (self.during.due + self.after.due).max(1) as f64
    }

    /// Whether more calls failed during the fault than a p99 leaves out.
    pub(crate) fn fails_its_p99(&self) -> bool {
        self.during.error_share() > 0.01
    }

    /// `9.12 → 15.2 → 9.05 ms`.
    pub(crate) fn p99s(&self) -> String {
        let [before, during, after] = [&self.before, &self.during, &self.after];
        format!("{} → {} → {} ms", before.p99_ms(), during.p99_ms(), after.p99_ms())
    }

    /// `failed: 0.42%`, `failed: 0%, queued: 31%`.
    pub(crate) fn failed(&self) -> String {
        let failed = format!("failed: {}", percent(self.error_share()));
        match self.queued_share() {
            0.0 => failed,
            share => format!("{failed}, queued: {}", percent(share)),
        }
    }
}

/// The policies of a workload that a fault befell, in the charts' order.
pub(crate) fn standings(workload: &Workload) -> Vec<FaultStanding<'_>> {
    workload.policies.iter().map(FaultStanding::of).collect()
}

/// Start and end of the fault, seconds of measured time.
pub(crate) fn span(workload: &Workload) -> Option<(f64, f64)> {
    let mut rows = workload.trials().flat_map(|trial| &trial.phases);
    rows.find(|row| row.phase == Phase::During).map(|row| (row.from_s, row.until_s))
}
