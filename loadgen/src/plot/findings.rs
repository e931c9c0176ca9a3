//! What the numbers say, and what they do not: ranking, comparison, verdict. Pure.
//!
//! The unit is the run, so a policy is its trials' median with the range from lowest to highest, and
//! a policy is called better only when the ranges do not meet. Ratios are taken within a trial,
//! where both policies had the same seed. Invalid runs are left out. A policy that could not serve
//! what was offered ranks below all that could, whatever its latency.

use std::{cmp::Reverse, collections::BTreeMap};

use super::numbers::{significant, time, time_range};
use crate::results::SummaryRow;

mod wording;

pub(crate) use wording::{headline, on_errors, on_latency, on_throughput};

/// What ratios refer to, if it was measured.
pub(crate) const BASELINE: &str = "round_robin";
/// A policy with more failed calls than this share does not serve the load.
const MAX_ERROR_SHARE: f64 = 0.01;

/// Median, lowest and highest over trials.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Of the finite values; none of nothing.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median, low, high })
    }

    /// A time in microseconds with its range.
    pub(crate) fn as_time(&self) -> String {
        self.with_range(time(self.median), time_range(self.low, self.high))
    }

    /// A ratio with its range.
    pub(crate) fn as_ratio(&self) -> String {
        let (low, high) = (significant(self.low), significant(self.high));
        let range = if low == high { format!("{low}×") } else { format!("{low}–{high}×") };
        self.with_range(format!("{}×", significant(self.median)), range)
    }

    fn with_range(&self, median: String, range: String) -> String {
        if range == median { median } else { format!("{median} ({range})") }
    }
}

/// One policy's trials in one workload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    pub(crate) policy: String,
    pub(crate) trials: usize,
    pub(crate) invalid: usize,
    pub(crate) saturated: usize,
    pub(crate) p50_us: Option<Spread>,
    pub(crate) p90_us: Option<Spread>,
    pub(crate) p99_us: Option<Spread>,
    pub(crate) p999_us: Option<Spread>,
    /// p99 over the baseline's in the same trial.
    pub(crate) ratio: Option<Spread>,
    pub(crate) achieved_rps: Option<Spread>,
    /// Calls due a second, as the seed drew them; nothing in a closed loop.
    pub(crate) due_rps: Option<Spread>,
    /// Of what was due in the same trial.
    pub(crate) answered_share: Option<Spread>,
    /// As planned; 0 in a closed loop.
    pub(crate) planned_rps: f64,
    pub(crate) jain: Option<Spread>,
    pub(crate) cov: Option<Spread>,
    pub(crate) max_over_mean: Option<Spread>,
    /// Failed calls of all trials.
    pub(crate) errors: u64,
    /// What they consist of, the most frequent first.
    pub(crate) causes: Vec<(String, u64)>,
    /// Failed calls of those due; over trials like all else.
    pub(crate) error_share: Spread,
    /// By trial.
    p99s_us: BTreeMap<u32, f64>,
}

/// Calls that were due in a run.
fn due(row: &SummaryRow) -> u64 {
    // Files of before it was recorded hold only what was sent.
    if row.due > 0 { row.due } else { row.sent }
}

/// Calls due a second as the seed drew them; `None` in a closed loop.
pub(crate) fn due_rps(row: &SummaryRow) -> Option<f64> {
    (row.offered_rps > 0.0 && row.duration_s > 0.0).then(|| due(row) as f64 / row.duration_s)
}

/// Failed calls over those due.
pub(crate) fn error_share(row: &SummaryRow) -> f64 {
    row.errors as f64 / due(row).max(1) as f64
}

/// The sum of all rows' `errors_by_code`.
fn causes(rows: &[SummaryRow]) -> Vec<(String, u64)> {
    let pairs = rows.iter().flat_map(|row| row.errors_by_code.split_whitespace());
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (cause, calls) in pairs.filter_map(|pair| pair.rsplit_once('=')) {
        *sums.entry(cause).or_default() += calls.parse().unwrap_or(0);
    }
    let mut causes: Vec<(String, u64)> =
        sums.into_iter().map(|(cause, calls)| (cause.to_owned(), calls)).collect();
    causes.sort_by_key(|(_, calls)| Reverse(*calls));
    causes
}

impl Standing {
    pub(crate) fn of(policy: &str, rows: &[SummaryRow], baseline: &[SummaryRow]) -> Self {
        let usable = || rows.iter().filter(|row| row.valid);
        let times = |of: fn(&SummaryRow) -> Option<u64>| {
            Spread::of(usable().filter_map(of).map(|us| us as f64))
        };
        let numbers = |of: fn(&SummaryRow) -> f64| Spread::of(usable().map(of));
        let ratio = |row: &SummaryRow| {
            let other = baseline.iter().find(|other| other.trial == row.trial && other.valid)?;
            Some(row.p99_us? as f64 / other.p99_us.filter(|us| *us > 0)? as f64)
        };
        let any_valid = usable().next().is_some();
        let counted = rows.iter().filter(|row| row.valid || !any_valid);
        let error_share = Spread::of(counted.map(error_share));
        let answered = |row: &SummaryRow| Some(row.achieved_rps / due_rps(row)?);
        Self {
            policy: policy.to_owned(),
            trials: rows.len(),
            invalid: rows.iter().filter(|row| !row.valid).count(),
            saturated: usable().filter(|row| row.saturated).count(),
            p50_us: times(|row| row.p50_us),
            p90_us: times(|row| row.p90_us),
            p99_us: times(|row| row.p99_us),
            p999_us: times(|row| row.p999_us),
            ratio: Spread::of(usable().filter_map(ratio)),
            achieved_rps: numbers(|row| row.achieved_rps),
            due_rps: Spread::of(usable().filter_map(due_rps)),
            answered_share: Spread::of(usable().filter_map(answered)),
            planned_rps: rows.first().map_or(0.0, |row| row.offered_rps),
            jain: numbers(|row| row.jain),
            cov: numbers(|row| row.cov),
            max_over_mean: numbers(|row| row.max_over_mean),
            errors: rows.iter().map(|row| row.errors).sum(),
            causes: causes(rows),
            error_share: error_share.unwrap_or(Spread { median: 0.0, low: 0.0, high: 0.0 }),
            p99s_us: usable().filter_map(|row| Some((row.trial, row.p99_us? as f64))).collect(),
        }
    }

    /// Runs that count.
    pub(crate) fn usable(&self) -> usize {
        self.trials - self.invalid
    }

    /// Most of its runs were saturated.
    fn is_saturated(&self) -> bool {
        self.saturated * 2 > self.usable()
    }

    /// It answered what was offered.
    pub(crate) fn serves(&self) -> bool {
        !self.is_saturated() && self.error_share.median <= MAX_ERROR_SHARE
    }

    /// p99 over another policy's in the same trial.
    pub(crate) fn ratio_to(&self, other: &Self) -> Option<Spread> {
        let ratio = |(trial, p99): (&u32, &f64)| Some(p99 / other.p99s_us.get(trial)?);
        Spread::of(self.p99s_us.iter().filter_map(ratio))
    }
}

/// The policies by p99, the best first; those that do not serve the load, then those without a known
/// p99, come last.
pub(crate) fn standings(policies: &[(&str, Vec<SummaryRow>)]) -> Vec<Standing> {
    let baseline = policies.iter().find(|(policy, _)| *policy == BASELINE);
    let baseline = baseline.map_or(&[][..], |(_, rows)| rows);
    let mut standings: Vec<Standing> =
        policies.iter().map(|(policy, rows)| Standing::of(policy, rows, baseline)).collect();
    standings.sort_by(|one, other| {
        let key = |standing: &Standing| (standing.p99_us.is_none(), !standing.serves());
        let p99 = |standing: &Standing| standing.p99_us.map_or(f64::MAX, |p99| p99.median);
        key(one).cmp(&key(other)).then(p99(one).total_cmp(&p99(other)))
    });
    standings
}

/// Which policy serves best, as far as the runs can say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict<'a> {
    /// No valid run has a known p99.
    Unknown,
    /// Nothing to compare with.
    Alone(&'a Standing),
    /// None served what was offered.
    NoneServes,
    /// The best by a single trial of at least one of them.
    Hint(&'a Standing),
    /// In every trial faster than any other policy in any trial.
    Clear(&'a Standing),
    /// Ranges of p99 meet.
    Tie {
        /// The lowest median.
        best: &'a Standing,
        /// The others that may be as good.
        rivals: Vec<&'a Standing>,
    },
}

/// The verdict on ranked standings.
pub(crate) fn verdict(standings: &[Standing]) -> Verdict<'_> {
    let Some((best, best_p99)) = standings.first().and_then(|s| Some((s, s.p99_us?))) else {
        return Verdict::Unknown;
    };
    if !best.serves() {
        return Verdict::NoneServes;
    }
    if standings.len() == 1 {
        return Verdict::Alone(best);
    }
    let peers: Vec<(&Standing, Spread)> = standings[1..]
        .iter()
        .filter(|standing| standing.serves())
        .filter_map(|standing| Some((standing, standing.p99_us?)))
        .collect();
    if best.usable() < 2 || peers.iter().any(|(peer, _)| peer.usable() < 2) {
        return Verdict::Hint(best);
    }
    let rivals: Vec<&Standing> =
        peers.iter().filter(|(_, p99)| p99.low <= best_p99.high).map(|(peer, _)| *peer).collect();
    if rivals.is_empty() { Verdict::Clear(best) } else { Verdict::Tie { best, rivals } }
}
