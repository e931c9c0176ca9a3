//! Quantities that only exist over time: CPU used, calls and errors a second, calls there on average.
//!
//! They are read when a report is made, at most once a [`WINDOW`], and smoothed over [`SMOOTHING`]: a
//! report that follows another at once does not measure noise.

use std::{
    num::NonZero,
    thread,
    time::{Duration, Instant},
};

use super::tracker::CallTime;

/// Least time between two readings.
const WINDOW: Duration = Duration::from_millis(100);
/// A reading this long has a weight of 1 - 1/e against those before it.
const SMOOTHING: Duration = Duration::from_secs(1);

/// What a process lately used and did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Usage {
    /// 1.0: all the cores the process may use.
    pub(super) cpu_utilization: f64,
    /// Calls that ended, a second.
    pub(super) calls_per_s: f64,
    /// Of those, calls that failed by the server's fault.
    pub(super) failures_per_s: f64,
    /// Calls under way, waiting ones included, on average.
    pub(super) calls_in_flight: f64,
}

/// What has been counted so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) cpu: Duration,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) call_time: CallTime,
}

/// Makes rates of counts.
#[derive(Debug)]
pub(super) struct UsageMeter {
    cores: f64,
    read_at: Instant,
    counts: Counts,
    usage: Usage,
}

impl UsageMeter {
    /// `cores`: how many the process may use. Reading begins with `counts`.
    pub(super) fn new(cores: f64, now: Instant, counts: Counts) -> Self {
        Self { cores, read_at: now, counts, usage: Usage::default() }
    }

    /// The rates by now; `counts` is asked if the last reading is old enough.
    pub(super) fn read(&mut self, now: Instant, counts: impl FnOnce() -> Counts) -> Usage {
        let elapsed = now.saturating_duration_since(self.read_at);
        if elapsed < WINDOW {
            return self.usage;
        }
        let (before, counts) = (self.counts, counts());
        let per_s = |more: f64| more / elapsed.as_secs_f64();
        let cpu = counts.cpu.saturating_sub(before.cpu).as_secs_f64();
        let reading = Usage {
            cpu_utilization: per_s(cpu) / self.cores,
            calls_per_s: per_s(counts.completed.saturating_sub(before.completed) as f64),
            failures_per_s: per_s(counts.failed.saturating_sub(before.failed) as f64),
            calls_in_flight: per_s(counts.call_time.since(before.call_time).as_secs_f64()),
        };
        let weight = -(-elapsed.as_secs_f64() / SMOOTHING.as_secs_f64()).exp_m1();
        let towards = |old: f64, new: f64| old + weight * (new - old);
        self.usage = Usage {
            cpu_utilization: towards(self.usage.cpu_utilization, reading.cpu_utilization),
            calls_per_s: towards(self.usage.calls_per_s, reading.calls_per_s),
            failures_per_s: towards(self.usage.failures_per_s, reading.failures_per_s),
            calls_in_flight: towards(self.usage.calls_in_flight, reading.calls_in_flight),
        };
        (self.read_at, self.counts) = (now, counts);
        self.usage
    }
}

/// User and system time of this process so far.
pub fn process_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// How many cores this process may use: no more than the machine or its control group gives it, nor
/// than its runtime has threads.
pub(super) fn cores() -> f64 {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = tokio::runtime::Handle::try_current()
        .map_or(cores, |runtime| runtime.metrics().num_workers().max(1));
    cores.min(threads) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::LoadTracker;

    const NOTHING: Counts =
        Counts { cpu: Duration::ZERO, completed: 0, failed: 0, call_time: CallTime::ZERO };

    #[test]
    fn rates_are_of_what_came_since_the_last_reading() {
        let start = Instant::now();
        let mut meter = UsageMeter::new(2.0, start, NOTHING);
        // Long enough for the readings before to count for nothing.
        let long = 100 * SMOOTHING;
        let counts = Counts { cpu: long, completed: 5_000, failed: 1_000, ..NOTHING };
        let usage = meter.read(start + long, || counts);
        let wanted = Usage {
            cpu_utilization: 0.5,
            calls_per_s: 50.0,
            failures_per_s: 10.0,
            ..Usage::default()
        };
        assert_eq!(usage, wanted);
        let usage = meter.read(start + 2 * long, || counts);
        assert!(usage.calls_per_s < 1e-9, "{usage:?}");
    }

    #[test]
    fn readings_in_haste_change_nothing() {
        let start = Instant::now();
        let mut meter = UsageMeter::new(1.0, start, NOTHING);
        let counts = Counts { completed: 100, ..NOTHING };
        let usage = meter.read(start + WINDOW, || counts);
        assert!(usage.calls_per_s > 0.0);
        let again = meter.read(start + WINDOW * 3 / 2, || panic!("asked too soon"));
        assert_eq!(again, usage);
    }

    #[test]
    fn calls_count_for_as_long_as_they_are_there() {
        let tracker = LoadTracker::new(4);
        let start = Instant::now();
        let counts = |at| Counts { call_time: tracker.call_time(at), ..NOTHING };
        let mut meter = UsageMeter::new(1.0, start, counts(start));
        let _two = [tracker.started(), tracker.started()];
        // At most moments a server that is hardly used has no call; what is reported says both.
        let usage = meter.read(start + 100 * SMOOTHING, || counts(start + 100 * SMOOTHING));
        assert!((usage.calls_in_flight - 2.0).abs() < 0.1, "{usage:?}");
        let brief = tracker.started();
        drop(brief);
        let usage = meter.read(start + 200 * SMOOTHING, || counts(start + 200 * SMOOTHING));
        assert!((usage.calls_in_flight - 2.0).abs() < 0.1, "{usage:?}");
    }

    #[test]
    fn a_steady_rate_is_approached_whatever_the_readings_are_apart() {
        let start = Instant::now();
        for step in [WINDOW, 7 * WINDOW] {
            let mut meter = UsageMeter::new(1.0, start, NOTHING);
            let mut usage = Usage::default();
            let mut elapsed = Duration::ZERO;
            while elapsed < 10 * SMOOTHING {
                elapsed += step;
                let completed = elapsed.as_millis() as u64;
                usage = meter.read(start + elapsed, || Counts { completed, ..NOTHING });
            }
            assert!((usage.calls_per_s - 1_000.0).abs() < 1.0, "{usage:?}");
        }
    }
}
