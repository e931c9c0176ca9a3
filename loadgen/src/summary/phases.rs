//! What a fault did to a run: latency and errors before, during and after it, and how long it was felt.
//!
//! A call is *well served* if it is answered within [`RECOVERY_FACTOR`] times the p99 that the same run
//! had before the fault; a call that fails, or is queued, never is. A window is well if 99% of the calls due in it
//! are: its p99, failed calls counted as endless, is then within the limit. The time to recover runs
//! from the start of a phase to the first window from which on every window of the phase is well. An
//! operator feels the same two times: until it is worked around, and until it is over.

use std::{ops::Range, time::Duration};

use hdrhistogram::Histogram;

use super::quantile;
use crate::{
    results::{Phase, PhaseRow, RunKey, WindowRow},
    samples::{Samples, histogram},
};

/// Faults begin and end on multiples of this; it is also the step between windows.
pub const SLICE: Duration = Duration::from_millis(100);
/// Length of a window, a multiple of [`SLICE`].
pub const WINDOW: Duration = Duration::from_millis(500);
/// A call may take this many times the p99 of before the fault.
pub const RECOVERY_FACTOR: f64 = 1.5;
/// The part of a window's calls that must be well served.
const WELL_SHARE: f64 = 0.99;

/// When a fault was to begin and to end, and when it did, since the start of the measured time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultTimes {
    /// As planned, a multiple of [`SLICE`].
    pub from: Duration,
    /// As planned, a multiple of [`SLICE`].
    pub until: Duration,
    /// Once it had begun.
    pub began: Option<Duration>,
    /// Once it was over: a server that was killed serves again.
    pub lifted: Option<Duration>,
}

/// The calls due in some slices.
struct Part {
    calls: u64,
    errors: u64,
    queued: u64,
    response: Histogram<u64>,
}

impl Part {
    fn of(samples: &Samples, slices: Range<usize>) -> Self {
        let mut part = Self { calls: 0, errors: 0, queued: 0, response: histogram() };
        for slice in slices.filter_map(|index| samples.slices.get(index)) {
            part.calls += slice.calls;
            part.errors += slice.errors;
            part.queued += slice.queued;
            if let Some(response) = &slice.response {
                part.response.add(response).expect("all hold the same times");
            }
        }
        part
    }

    /// Microseconds; a slice's values are the upper ends of its steps, `longest_us` is the run's.
    fn quantile(&self, share: f64, longest_us: u64) -> Option<u64> {
        quantile(&self.response, share).map(|us| us.min(longest_us))
    }

    /// How its calls were served, if `limit_us` is well.
    fn tally(&self, limit_us: u64) -> Tally {
        // Calls that timed out are in the histogram too.
        let in_time = self.response.count_between(0, limit_us).min(self.calls);
        Tally { due: self.calls + self.errors + self.queued, in_time }
    }
}

/// How the calls of a slice were served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) due: u64,
    pub(super) in_time: u64,
}

impl Tally {
    fn sum(slices: &[Self]) -> Self {
        let add = |sum: Self, slice: &Self| Self {
            due: sum.due + slice.due,
            in_time: sum.in_time + slice.in_time,
        };
        slices.iter().fold(Self { due: 0, in_time: 0 }, add)
    }

    /// Of nothing, nothing is known to be well.
    fn is_well(self) -> bool {
        self.due > 0 && self.in_time as f64 >= WELL_SHARE * self.due as f64
    }
}

/// The first slice from which on every window of `width` slices is well; `None` if the last is not.
pub(super) fn recovered(slices: &[Tally], width: usize) -> Option<usize> {
    let windows: Vec<bool> = slices.windows(width).map(|it| Tally::sum(it).is_well()).collect();
    let first = windows.iter().rposition(|well| !well).map_or(0, |last_bad| last_bad + 1);
    (first < windows.len()).then_some(first)
}

/// Whole slices of the run.
fn slices(samples: &Samples) -> usize {
    (samples.wall.as_nanos() / samples.slice.as_nanos()) as usize
}

/// A time in slices.
fn index(samples: &Samples, at: Duration) -> usize {
    ((at.as_nanos() / samples.slice.as_nanos()) as usize).min(slices(samples))
}

/// The run's three rows of `phases.csv`.
pub fn phase_rows(key: &RunKey, samples: &Samples, times: &FaultTimes) -> Vec<PhaseRow> {
    let (from, until) = (index(samples, times.from), index(samples, times.until));
    let longest_us = samples.response().max();
    let before = Part::of(samples, 0..from).quantile(0.99, longest_us);
    let limit_us = before.map(|p99| (p99 as f64 * RECOVERY_FACTOR).round() as u64);
    let row = |phase: Phase, slices: Range<usize>, happened: Option<Duration>| {
        let part = Part::of(samples, slices.clone());
        let recovered_s = limit_us.filter(|_| phase != Phase::Before).and_then(|limit_us| {
            let tally = |index| Part::of(samples, index..index + 1).tally(limit_us);
            let tallies: Vec<Tally> = slices.clone().map(tally).collect();
            let first = recovered(&tallies, width(samples))?;
            Some(seconds(samples, first))
        });
        PhaseRow {
            workload: key.workload.clone(),
            policy: key.policy.clone(),
            fault: key.fault.clone(),
            trial: key.trial,
            phase,
            from_s: seconds(samples, slices.start),
            until_s: seconds(samples, slices.end),
            calls: part.calls,
            errors: part.errors,
            queued: part.queued,
            p50_us: part.quantile(0.5, longest_us),
            p99_us: part.quantile(0.99, longest_us),
            limit_us,
            recovered_s,
            happened_s: happened.map(|at| at.as_secs_f64()),
            clients: key.clients,
            servers: key.servers,
            offered_rps: key.rate as f64,
        }
    };
    vec![
        row(Phase::Before, 0..from, None),
        row(Phase::During, from..until, times.began),
        row(Phase::After, until..slices(samples), times.lifted),
    ]
}

/// The run's rows of `windows.csv`: one for every slice that a whole window begins with.
pub fn window_rows(key: &RunKey, samples: &Samples) -> Vec<WindowRow> {
    let width = width(samples);
    let longest_us = samples.response().max();
    let row = |first: usize| {
        let part = Part::of(samples, first..first + width);
        WindowRow {
            workload: key.workload.clone(),
            policy: key.policy.clone(),
            fault: key.fault.clone(),
            trial: key.trial,
            at_s: seconds(samples, first),
            width_s: seconds(samples, width),
            calls: part.calls,
            errors: part.errors,
            queued: part.queued,
            p50_us: part.quantile(0.5, longest_us),
            p99_us: part.quantile(0.99, longest_us),
            clients: key.clients,
            servers: key.servers,
            offered_rps: key.rate as f64,
        }
    };
    (0..(slices(samples) + 1).saturating_sub(width)).map(row).collect()
}

/// Slices of a window.
fn width(samples: &Samples) -> usize {
    (WINDOW.as_nanos() / samples.slice.as_nanos()).max(1) as usize
}

fn seconds(samples: &Samples, slices: usize) -> f64 {
    (samples.slice * slices as u32).as_secs_f64()
}
