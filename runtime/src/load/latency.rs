//! How long calls lately took, told apart by how many calls were under way when they began.
//!
//! What a call would take now depends on how busy the server is now, so the mean over all calls says
//! little when the load moves. Prequal's servers (Wieder et al., NSDI 2024, section 4) therefore answer
//! with the median latency of recent calls that began at about the in-flight count of this moment. So do
//! these: one small ring of latencies for each range of in-flight counts, two ranges an octave.
//!
//! Adding takes two relaxed atomic operations and no lock. Memory is fixed: 8 KiB.

use std::{
    array,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Ranges of in-flight counts; the last is for all that are larger.
const RANGES: usize = 32;
/// Latencies kept for each range.
const SAMPLES: usize = 32;
/// Ranges further and further off are asked until so many latencies are found.
const ENOUGH: usize = 8;
/// Older latencies say nothing: a server that was slow then and got no call since may be fast again.
const RECENT: Duration = Duration::from_secs(10);

/// The latencies of recent calls by the in-flight count at their beginning.
#[derive(Debug)]
pub(super) struct Latencies {
    since: Instant,
    ranges: [Ring; RANGES],
}

/// The last few samples of one range. A sample is when it was taken (ms, from 1) in the upper half, what
/// it is (us) in the lower; 0 is none.
#[derive(Debug)]
struct Ring {
    next: AtomicU32,
    samples: [AtomicU64; SAMPLES],
}

impl Latencies {
    pub(super) fn new() -> Self {
        let ring =
            || Ring { next: AtomicU32::new(0), samples: array::from_fn(|_| AtomicU64::new(0)) };
        Self { since: Instant::now(), ranges: array::from_fn(|_| ring()) }
    }

    /// A call took `latency` that was, when it began, one of `in_flight`.
    pub(super) fn add(&self, in_flight: u32, latency: Duration, now: Instant) {
        let latency_us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        let ring = &self.ranges[range_of(in_flight)];
        let place = ring.next.fetch_add(1, Relaxed) as usize % SAMPLES;
        let sample = (u64::from(self.age_ms(now)) << 32) | u64::from(latency_us);
        ring.samples[place].store(sample, Relaxed);
    }

    /// The median of recent latencies at `in_flight`, or as near to it as there are any, microseconds; 0
    /// when there is none.
    pub(super) fn median_us(&self, in_flight: u32, now: Instant) -> u32 {
        let middle = range_of(in_flight);
        let recent_ms = RECENT.as_millis() as u32;
        let oldest = self.age_ms(now).saturating_sub(recent_ms).max(1);
        let mut found = Vec::with_capacity(2 * SAMPLES);
        for distance in 0..RANGES {
            let (below, above) = (middle.checked_sub(distance), Some(middle + distance));
            for range in [below, above.filter(|_| distance > 0)].into_iter().flatten() {
                let Some(ring) = self.ranges.get(range) else { continue };
                let samples = ring.samples.iter().map(|sample| sample.load(Relaxed));
                let recent = samples.filter(|sample| (sample >> 32) as u32 >= oldest);
                found.extend(recent.map(|sample| sample as u32));
            }
            if found.len() >= ENOUGH {
                break;
            }
        }
        if found.is_empty() {
            return 0;
        }
        let half = (found.len() - 1) / 2;
        *found.select_nth_unstable(half).1
    }

    /// From 1, so that a sample is never 0.
    fn age_ms(&self, now: Instant) -> u32 {
        let age_ms = now.saturating_duration_since(self.since).as_millis();
        u32::try_from(age_ms).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// 0 to 1, 2, 3, 4 to 5, 6 to 7, 8 to 11, 12 to 15, 16 to 23, ...: the octave and its half.
fn range_of(in_flight: u32) -> usize {
    let in_flight = in_flight.max(1);
    let octave = in_flight.ilog2();
    let half = if octave == 0 { 0 } else { (in_flight >> (octave - 1)) & 1 };
    // The octave of 1 has one half only.
    let range = (2 * octave + half).saturating_sub(1) as usize;
    range.min(RANGES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn filled(samples: &[(u32, u32)]) -> (Latencies, Instant) {
        let latencies = Latencies::new();
        let now = latencies.since;
        for (in_flight, ms) in samples {
            latencies.add(*in_flight, MS * *ms, now);
        }
        (latencies, now)
    }

    #[test]
    fn ranges_are_two_an_octave_and_bounded() {
        let counts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 23, 24, 65_535, u32::MAX];
        let ranges = counts.map(range_of);
        assert_eq!(ranges, [0, 0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 30, 31]);
        assert!((0..100_000).is_sorted_by_key(range_of));
    }

    #[test]
    fn the_median_is_that_of_the_load_of_the_moment() {
        let mut samples = vec![(1, 5); 20];
        samples.extend(vec![(20, 50); 20]);
        let (latencies, now) = filled(&samples);
        assert_eq!(latencies.median_us(1, now), 5_000);
        assert_eq!(latencies.median_us(18, now), 50_000);
        assert_eq!(latencies.median_us(1_000_000, now), 50_000, "the nearest there is");
    }

    #[test]
    fn a_few_outliers_do_not_move_it() {
        let mut samples = vec![(4, 900), (4, 900), (4, 900)];
        samples.extend((1..=8).map(|ms| (4, ms)));
        let (latencies, now) = filled(&samples);
        assert_eq!(latencies.median_us(4, now), 6_000);
    }

    #[test]
    fn neighbours_help_out_where_there_is_little() {
        let mut samples = vec![(4, 10)];
        samples.extend(vec![(6, 20); 10]);
        samples.extend(vec![(100, 90); 30]);
        let (latencies, now) = filled(&samples);
        assert_eq!(latencies.median_us(4, now), 20_000);
    }

    #[test]
    fn what_is_old_or_overwritten_does_not_count() {
        let (latencies, now) = filled(&[(2, 700); SAMPLES]);
        assert_eq!(latencies.median_us(2, now + RECENT), 700_000);
        assert_eq!(latencies.median_us(2, now + RECENT + 2 * MS), 0, "not known any more");
        for _ in 0..SAMPLES {
            latencies.add(2, 3 * MS, now);
        }
        assert_eq!(latencies.median_us(2, now), 3_000);
        assert_eq!(Latencies::new().median_us(2, now), 0);
    }

    #[test]
    fn latencies_beyond_what_fits_are_the_largest_that_does() {
        let latencies = Latencies::new();
        let now = latencies.since + Duration::from_secs(u64::from(u32::MAX));
        latencies.add(1, Duration::from_secs(1 << 40), now);
        assert_eq!(latencies.median_us(1, now), u32::MAX);
    }
}
