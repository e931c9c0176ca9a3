//! Can the measurement be trusted, and did the target keep up? Two questions with two answers.
//!
//! A run is INVALID when the generator failed: it sent late, it did not send, it had no CPU, or its
//! records contradict what was seen from outside. A run is SATURATED when the target did not keep up;
//! that is a result. What the target does (slow answers, calls shed for it) never makes a run invalid.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::samples::{InFlight, Samples};

/// Send lag may be this long at its 99th percentile, or this part of the median response time.
const MAX_SEND_LAG_US: f64 = 1_000.0;
const MAX_SEND_LAG_OF_P50: f64 = 0.05;
/// This part of what was due must have been sent.
const MIN_SENT: f64 = 0.99;
/// A worker thread that ran, or waited to run, for more than this part of the time was starved.
const MAX_GENERATOR_BUSY: f64 = 0.95;
/// Calls under way may differ by this part from rate × latency.
const MAX_LITTLE_ERROR: f64 = 0.05;
/// Little's law is checked from this many samples and this many calls under way on.
const MIN_LITTLE_SAMPLES: usize = 100;
const MIN_LITTLE_CALLS: f64 = 1.0;
/// Batches for the standard error of the samples' mean, and how many of those errors are chance.
const LITTLE_BATCHES: usize = 20;
const LITTLE_STANDARD_ERRORS: f64 = 4.0;
/// A target that answers less than this part of the offered rate does not keep up,
const MIN_ACHIEVED: f64 = 0.95;
/// nor one that loses more than this part to timeouts and shedding,
const MAX_LOST: f64 = 0.01;
/// nor one where the calls under way grew, from the first quarter of the time to the last and in each
/// between, by this part of all that were due, and by this many.
const MAX_GROWTH: f64 = 0.005;
const MIN_GROWTH_CALLS: f64 = 32.0;

/// What is wrong with a run, if anything is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Why the measurement cannot be trusted.
    pub invalid: Vec<String>,
    /// Why the target is known not to have kept up.
    pub saturated: Vec<String>,
}

impl Verdict {
    /// The measurement can be trusted.
    pub fn is_valid(&self) -> bool {
        self.invalid.is_empty()
    }

    /// The target did not keep up.
    pub fn is_saturated(&self) -> bool {
        !self.saturated.is_empty()
    }

    /// All reasons on one line; empty if there are none.
    pub fn why(&self) -> String {
        let all: Vec<&str> =
            self.invalid.iter().chain(&self.saturated).map(String::as_str).collect();
        all.join("; ")
    }

    /// Judges a run. `open`: it had a schedule.
    pub(super) fn of(samples: &Samples, open: bool) -> Self {
        if samples.counters.due == 0 {
            let nothing = "no call was due in the measured time".to_owned();
            return Self { invalid: vec![nothing], saturated: Vec::new() };
        }
        let late = open.then(|| sent_late(samples)).flatten();
        let invalid = [late, not_sent(samples), starved(samples), little(samples)];
        let slow = open.then(|| too_slow(samples)).flatten();
        let growing = open.then(|| growing(samples)).flatten();
        let saturated = [slow, lost(samples), growing];
        Self {
            invalid: invalid.into_iter().flatten().collect(),
            saturated: saturated.into_iter().flatten().collect(),
        }
    }
}

fn sent_late(samples: &Samples) -> Option<String> {
    let lag_us = highest_known(&samples.send_lag(), 0.99)? as f64;
    let p50_us = samples.response().value_at_quantile(0.5) as f64;
    let limit_us = MAX_SEND_LAG_US.max(MAX_SEND_LAG_OF_P50 * p50_us);
    (lag_us > limit_us).then(|| {
        format!(
            "the generator sent late: send lag p99 {:.1} ms, limit {:.1} ms",
            lag_us / 1e3,
            limit_us / 1e3
        )
    })
}

/// The value at `quantile`, or at the highest quantile below it that ten samples lie beyond.
fn highest_known(histogram: &Histogram<u64>, quantile: f64) -> Option<u64> {
    let known = 1.0 - super::SAMPLES_BEYOND / histogram.len() as f64;
    (known > 0.0).then(|| histogram.value_at_quantile(quantile.min(known)))
}

fn not_sent(samples: &Samples) -> Option<String> {
    let counters = &samples.counters;
    let wanted = counters.due - counters.shed;
    ((counters.sent as f64) < MIN_SENT * wanted as f64)
        .then(|| format!("the generator sent {} of {wanted} calls that were due", counters.sent))
}

fn starved(samples: &Samples) -> Option<String> {
    (samples.generator_busy > MAX_GENERATOR_BUSY).then(|| {
        let percent = samples.generator_busy * 100.0;
        format!("the generator was out of CPU: a thread was busy {percent:.0}% of the time")
    })
}

/// J. Little, "A Proof for the Queuing Formula L = λW", Operations Research 9 (3), 1961.
fn little(samples: &Samples) -> Option<String> {
    let recorded = samples.occupancy.as_secs_f64() / samples.wall.as_secs_f64();
    let seen: Vec<f64> = samples.in_flight.iter().map(|sample| sample.calls as f64).collect();
    if seen.len() < MIN_LITTLE_SAMPLES || recorded < MIN_LITTLE_CALLS {
        return None;
    }
    let sampled = mean(&seen);
    let chance = LITTLE_STANDARD_ERRORS * standard_error(&seen);
    let difference = (sampled - recorded).abs();
    (difference > (MAX_LITTLE_ERROR * recorded).max(chance)).then(|| {
        format!(
            "the records contradict Little's law: {sampled:.1} calls under way, rate × latency is {recorded:.1}"
        )
    })
}

/// Of the mean of a series whose neighbours are alike: by the means of batches.
fn standard_error(series: &[f64]) -> f64 {
    let means: Vec<f64> = series.chunks(series.len().div_ceil(LITTLE_BATCHES)).map(mean).collect();
    let centre = mean(&means);
    let squares: f64 = means.iter().map(|mean| (mean - centre).powi(2)).sum();
    let n = means.len() as f64;
    (squares / (n - 1.0) / n).sqrt()
}

fn mean(series: &[f64]) -> f64 {
    series.iter().sum::<f64>() / series.len() as f64
}

fn too_slow(samples: &Samples) -> Option<String> {
    let counters = &samples.counters;
    let answered = counters.answered_in_time as f64;
    (answered < MIN_ACHIEVED * counters.due as f64).then(|| {
        let seconds = samples.wall.as_secs_f64();
        let (achieved, due) = (answered / seconds, counters.due as f64 / seconds);
        let queued = match counters.queued {
            0 => String::new(),
            queued => format!(", and queued {queued} calls"),
        };
        format!("the target answered {achieved:.0} of {due:.0} calls/s{queued}")
    })
}

fn lost(samples: &Samples) -> Option<String> {
    let counters = &samples.counters;
    let lost = counters.timeouts + counters.shed;
    (lost as f64 > MAX_LOST * counters.due as f64).then(|| {
        let (timeouts, shed) = (counters.timeouts, counters.shed);
        format!("the target let {timeouts} calls time out and {shed} be shed")
    })
}

fn growing(samples: &Samples) -> Option<String> {
    let quarters = quarters(&samples.in_flight, samples.wall)?;
    let grew = quarters.windows(2).all(|pair| pair[0] < pair[1]);
    let growth = quarters[3] - quarters[0];
    let limit = (MAX_GROWTH * samples.counters.due as f64).max(MIN_GROWTH_CALLS);
    (grew && growth > limit).then(|| {
        format!("calls under way grew all the time, from {:.0} to {:.0}", quarters[0], quarters[3])
    })
}

/// Mean calls under way in each quarter of the measured time.
fn quarters(samples: &[InFlight], wall: Duration) -> Option<[f64; 4]> {
    let mut sums = [(0_u64, 0_u64); 4];
    for sample in samples {
        let quarter = sample.at.as_secs_f64() / wall.as_secs_f64() * 4.0;
        let (sum, count) = &mut sums[(quarter as usize).min(3)];
        *sum += sample.calls;
        *count += 1;
    }
    let sampled = sums.iter().all(|(_, count)| *count > 0);
    sampled.then(|| sums.map(|(sum, count)| sum as f64 / count as f64))
}
