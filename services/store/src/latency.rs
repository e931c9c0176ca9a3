//! How long durable commits take, in a histogram of fixed size.
//!
//! Log-linear buckets: 16 to each power of two of microseconds, so that a quantile is never more
//! than 1/16 above the truth. Recording is one atomic addition.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

const SUB_BUCKETS: u64 = 16;
const SUB_BITS: u32 = SUB_BUCKETS.trailing_zeros();
/// Longer times, more than an hour, are counted as this.
const MAX_US: u64 = u32::MAX as u64;
const BUCKETS: usize = bucket_of(MAX_US) + 1;

/// Counts of durations by size. Shared by the thread that records and those that ask.
#[derive(Debug)]
pub struct Latencies {
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl Latencies {
    /// Counts one duration.
    pub fn record(&self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(MAX_US).min(MAX_US);
        self.buckets[bucket_of(us)].fetch_add(1, Relaxed);
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    /// The duration, in microseconds, that the share `quantile` (0 to 1) of all recorded ones did
    /// not exceed; 0 when there is none.
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let rank = ((total as f64 * quantile).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return largest_in(bucket);
            }
        }
        0
    }
}

/// Below 16 each microsecond has a bucket of its own; above, 16 share each power of two.
const fn bucket_of(us: u64) -> usize {
    if us < SUB_BUCKETS {
        return us as usize;
    }
    let exponent = 63 - us.leading_zeros();
    let sub = (us >> (exponent - SUB_BITS)) & (SUB_BUCKETS - 1);
    ((exponent - SUB_BITS + 1) as u64 * SUB_BUCKETS + sub) as usize
}

fn largest_in(bucket: usize) -> u64 {
    let (group, sub) = (bucket as u64 / SUB_BUCKETS, bucket as u64 % SUB_BUCKETS);
    if group == 0 { sub } else { ((SUB_BUCKETS + sub + 1) << (group - 1)) - 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_recorded_is_zero() {
        assert_eq!(Latencies::default().quantile_us(0.99), 0);
    }

    #[test]
    fn quantiles_of_a_ladder() {
        let latencies = Latencies::default();
        for us in 1..=1000 {
            latencies.record(Duration::from_micros(us));
        }
        assert_eq!(latencies.count(), 1000);
        for (quantile, exact) in [(0.5, 500), (0.99, 990), (1.0, 1000)] {
            let us = latencies.quantile_us(quantile);
            assert!((exact..=exact + exact / 16 + 1).contains(&us), "{quantile}: {us}");
        }
    }

    proptest! {
        #[test]
        fn a_bucket_is_at_most_a_sixteenth_above(us in 0..=MAX_US) {
            let largest = largest_in(bucket_of(us));
            prop_assert!(largest >= us && largest <= us + us / SUB_BUCKETS + 1);
        }

        #[test]
        fn absurd_times_are_still_counted(seconds in 0..u64::MAX) {
            let latencies = Latencies::default();
            latencies.record(Duration::from_secs(seconds));
            prop_assert_eq!(latencies.count(), 1);
        }
    }
}
