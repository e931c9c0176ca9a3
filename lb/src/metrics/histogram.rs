//! Latencies in a fixed array: log-linear, as HdrHistogram, with eight steps to each power of two.
//!
//! A value is off by an eighth of itself at most, from one microsecond to over a minute. Recording
//! finds its bucket with a shift and adds to two numbers: nothing is compared, nothing allocated.

use super::counter::Counter;

/// Steps to a power of two: 2^3.
const STEP_BITS: u32 = 3;
const STEPS: usize = 1 << STEP_BITS;
/// From here on (2^26 µs, 67 s) all values share the last bucket.
const TOP_BIT: u32 = 26;
/// Buckets, the last one included.
const BUCKETS: usize = ((TOP_BIT - STEP_BITS + 1) as usize) * STEPS + 1;

/// The powers of two of a microsecond that the metrics page shows as bounds: 32 µs to 67 s.
pub(super) const BOUND_BITS: std::ops::RangeInclusive<u32> = 5..=TOP_BIT;

/// Latencies that one thread records and any thread reads.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| Counter::default()), sum_us: Counter::default() }
    }
}

impl Histogram {
    /// Microseconds, rounded down. For the one writer only.
    pub(crate) fn record(&self, us: u64) {
        self.buckets[bucket(us)].increment();
        self.sum_us.add(us);
    }
}

/// The latencies of several histograms at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Latencies {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum_us: 0 }
    }
}

impl Latencies {
    /// Adds what `histogram` holds now.
    pub(crate) fn add(&mut self, histogram: &Histogram) {
        for (sum, counter) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += counter.get();
        }
        self.sum_us += histogram.sum_us.get();
    }

    /// Adds what `other` holds.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += more;
        }
        self.sum_us += other.sum_us;
    }

    /// What was recorded since `earlier`, which is of the same histograms.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let counted = |bucket: usize| self.buckets[bucket].saturating_sub(earlier.buckets[bucket]);
        let sum_us = self.sum_us.saturating_sub(earlier.sum_us);
        Self { buckets: std::array::from_fn(counted), sum_us }
    }

    /// The latency in microseconds that a share of `quantile` (0 to 1) was not above, too high by
    /// an eighth at most; `None` if nothing was recorded. 2^26 stands for all that is longer.
    pub(crate) fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((quantile * count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        found.filter(|_| count > 0).map(highest)
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(crate) fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// How many were below 2^`bit` microseconds; `bit` at most 26. Exact.
    pub(crate) fn below(&self, bit: u32) -> u64 {
        self.buckets[..bucket(1 << bit)].iter().sum()
    }
}

fn bucket(us: u64) -> usize {
    if us < STEPS as u64 {
        return us as usize;
    }
    let top_bit = us.ilog2();
    if top_bit >= TOP_BIT {
        return BUCKETS - 1;
    }
    let shift = top_bit - STEP_BITS;
    // The bits below the top one say which of its steps it is.
    (shift as usize) * STEPS + (us >> shift) as usize
}

/// The highest value that belongs into a bucket.
fn highest(bucket: usize) -> u64 {
    if bucket == BUCKETS - 1 {
        return 1 << TOP_BIT;
    }
    let shift = (bucket / STEPS).saturating_sub(1) as u32;
    let step = (bucket - shift as usize * STEPS) as u64;
    ((step + 1) << shift) - 1
}

#[cfg(test)]
mod tests;
