//! How long calls lately took to serve, on average, whatever they waited before.
//!
//! A mean over a bounded time and not one that fades call by call: a server that stood still for some
//! seconds would carry these in its mean for a hundred calls, which no balancer gives to a server that
//! says it is slow. Here they are forgotten after [`RECENT`], and who has served nobody for so long says
//! that he does not know.
//!
//! Adding takes a few relaxed atomic operations and no lock.

use std::{
    array,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Calls that ended longer ago say nothing.
const RECENT: Duration = Duration::from_secs(2);
/// Parts of that time, forgotten one by one.
const SLICES: usize = 8;
const SLICE: Duration = Duration::from_millis(RECENT.as_millis() as u64 / SLICES as u64);

/// The mean service time of recent calls.
#[derive(Debug)]
pub(super) struct ServiceTimes {
    since: Instant,
    slices: [Slice; SLICES],
}

/// Calls that ended in one slice of time.
#[derive(Debug, Default)]
struct Slice {
    /// Which, counted from 1; 0: none yet.
    number: AtomicU32,
    calls: AtomicU32,
    sum_us: AtomicU64,
}

impl ServiceTimes {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), slices: array::from_fn(|_| Slice::default()) }
    }

    /// A call that ends `now` was served in `time`.
    pub(super) fn add(&self, time: Duration, now: Instant) {
        let number = self.number(now);
        let slice = &self.slices[number as usize % SLICES];
        let found = slice.number.load(Relaxed);
        // Calls that end while a slice begins anew may be lost to the mean; that is harmless.
        if found != number && slice.number.compare_exchange(found, number, Relaxed, Relaxed).is_ok()
        {
            slice.calls.store(0, Relaxed);
            slice.sum_us.store(0, Relaxed);
        }
        slice.sum_us.fetch_add(time.as_micros() as u64, Relaxed);
        slice.calls.fetch_add(1, Relaxed);
    }

    /// Microseconds; 0 when no call ended lately.
    pub(super) fn mean_us(&self, now: Instant) -> u32 {
        let oldest = self.number(now).saturating_sub(SLICES as u32 - 1).max(1);
        let recent = self.slices.iter().filter(|slice| slice.number.load(Relaxed) >= oldest);
        let (sum_us, calls) = recent.fold((0_u64, 0_u64), |(sum_us, calls), slice| {
            let (more_us, more) = (slice.sum_us.load(Relaxed), slice.calls.load(Relaxed));
            (sum_us.saturating_add(more_us), calls + u64::from(more))
        });
        match sum_us.checked_div(calls) {
            None => 0,
            // A call took some time, however little.
            Some(mean_us) => u32::try_from(mean_us).unwrap_or(u32::MAX).max(1),
        }
    }

    fn number(&self, now: Instant) -> u32 {
        let slices = now.saturating_duration_since(self.since).as_millis() / SLICE.as_millis();
        u32::try_from(slices).unwrap_or(u32::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_is_the_mean_of_what_ended_lately() {
        let times = ServiceTimes::new();
        let begun = times.since;
        assert_eq!(times.mean_us(begun), 0, "not known");
        for ms in [2, 4, 9] {
            times.add(MS * ms, begun + MS * 100 * ms);
        }
        assert_eq!(times.mean_us(begun + SLICE * 4), 5_000);
        assert_eq!(times.mean_us(begun + RECENT), 6_500, "the first is forgotten");
        assert_eq!(times.mean_us(begun + RECENT + MS * 900), 0);
    }

    #[test]
    fn a_standstill_is_forgotten_after_two_seconds() {
        let times = ServiceTimes::new();
        let thawed = times.since + Duration::from_secs(10);
        for _ in 0..24 {
            times.add(Duration::from_secs(3), thawed);
        }
        assert_eq!(times.mean_us(thawed), 3_000_000);
        assert_eq!(times.mean_us(thawed + RECENT), 0);
        times.add(5 * MS, thawed + RECENT);
        assert_eq!(times.mean_us(thawed + RECENT), 5_000, "one call is enough");
    }

    #[test]
    fn a_slice_that_comes_round_begins_anew() {
        let times = ServiceTimes::new();
        for round in 0..40 {
            let now = times.since + SLICE * round;
            times.add(MS * (round + 1), now);
        }
        let last: u32 = (33..=40).sum();
        assert_eq!(times.mean_us(times.since + SLICE * 39), last * 1000 / SLICES as u32);
        times.add(Duration::ZERO, times.since + RECENT * 100);
        assert_eq!(times.mean_us(times.since + RECENT * 100), 1, "known, if next to nothing");
    }
}
