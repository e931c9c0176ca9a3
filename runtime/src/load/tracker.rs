//! Counts one server's calls: those under way, those that wait, those that ended and how long they took.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use strife_proto::lb::v1::LoadReport;

use super::{latency::Latencies, service_time::ServiceTimes};

/// Low bits of [`LoadTracker::calls`]: a million calls at once.
const IN_FLIGHT_BITS: u32 = 20;
const IN_FLIGHT_MASK: u64 = (1 << IN_FLIGHT_BITS) - 1;

/// Counts one server's calls. Shared by everything that serves them.
#[derive(Debug)]
pub struct LoadTracker {
    slots: u32,
    since: Instant,
    /// `microseconds << 20 | calls under way`. The upper part is when calls ended less when they began,
    /// modulo 2^44: with the present added once for each that is under way it is the time that calls
    /// have taken. In one word, so that no reader sees one part without the other.
    calls: AtomicU64,
    queued: AtomicU32,
    completed: AtomicU64,
    failed: AtomicU64,
    service_times: ServiceTimes,
    latencies: Latencies,
}

/// A call under way; ends when dropped. A call that is dropped unfinished was cancelled, which is
/// not the server's failure.
#[derive(Debug)]
pub struct CallGuard {
    tracker: Arc<LoadTracker>,
    started: Instant,
    /// Calls under way when it began, itself included.
    among: u32,
}

/// Time that calls have taken, all together: microseconds in the upper 44 bits, around their end.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallTime(u64);

/// A call that waits for a slot; stops waiting when dropped.
#[derive(Debug)]
pub struct QueueGuard(Arc<LoadTracker>);

impl LoadTracker {
    /// `slots`: how many calls the server serves at once, 0 for no limit. With a limit, whoever
    /// grants the slots calls [`LoadTracker::served`]; without, the time of the whole call counts.
    pub fn new(slots: u32) -> Arc<Self> {
        Arc::new(Self {
            slots,
            since: Instant::now(),
            calls: AtomicU64::new(0),
            queued: AtomicU32::new(0),
            completed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            service_times: ServiceTimes::new(),
            latencies: Latencies::new(),
        })
    }

    /// A call arrived.
    pub fn started(self: &Arc<Self>) -> CallGuard {
        let started = Instant::now();
        let begun = 1_u64.wrapping_sub(self.shifted_us(started));
        let among = in_flight(self.calls.fetch_add(begun, Relaxed)) + 1;
        CallGuard { tracker: self.clone(), started, among }
    }

    /// A call begins to wait for a slot.
    pub fn queued(self: &Arc<Self>) -> QueueGuard {
        self.queued.fetch_add(1, Relaxed);
        QueueGuard(self.clone())
    }

    /// A call that ends `now` was served in `time`, waiting apart.
    pub fn served(&self, time: Duration, now: Instant) {
        self.service_times.add(time, now);
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        in_flight(self.calls.load(Relaxed))
    }

    /// The time that all calls together have taken until `now`.
    pub(super) fn call_time(&self, now: Instant) -> CallTime {
        let calls = self.calls.load(Relaxed);
        let under_way = u64::from(in_flight(calls)).wrapping_mul(self.shifted_us(now));
        CallTime((calls & !IN_FLIGHT_MASK).wrapping_add(under_way))
    }

    fn shifted_us(&self, at: Instant) -> u64 {
        (at.saturating_duration_since(self.since).as_micros() as u64) << IN_FLIGHT_BITS
    }

    /// Calls that ended, and those of them that failed.
    pub(crate) fn ended(&self) -> (u64, u64) {
        (self.completed.load(Relaxed), self.failed.load(Relaxed))
    }

    /// What it counts, as a report without a number.
    pub(super) fn report(&self, now: Instant) -> LoadReport {
        let in_flight = self.in_flight();
        let (completed, failed) = self.ended();
        LoadReport {
            in_flight,
            queued: self.queued.load(Relaxed),
            slots: self.slots,
            service_time_us: self.service_times.mean_us(now),
            completed,
            failed,
            // The next call will be one more.
            latency_us: self.latencies.median_us(in_flight.saturating_add(1), now),
            ..LoadReport::default()
        }
    }
}

impl CallTime {
    #[cfg(test)]
    pub(super) const ZERO: Self = Self(0);

    /// What came since then; nothing if that was read a moment later than it says.
    pub(super) fn since(self, before: Self) -> Duration {
        let us = self.0.wrapping_sub(before.0).cast_signed() >> IN_FLIGHT_BITS;
        Duration::from_micros(us.max(0).unsigned_abs())
    }
}

fn in_flight(calls: u64) -> u32 {
    (calls & IN_FLIGHT_MASK) as u32
}

impl CallGuard {
    /// The call ended; `failed` if by the server's fault. Neither the time of a failed call nor that of
    /// a cancelled one says how long the server takes.
    pub fn finish(self, failed: bool) {
        if failed {
            self.tracker.failed.fetch_add(1, Relaxed);
            return;
        }
        let now = Instant::now();
        let latency = now.duration_since(self.started);
        self.tracker.latencies.add(self.among, latency, now);
        if self.tracker.slots == 0 {
            self.tracker.served(latency, now);
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let ended = self.tracker.shifted_us(Instant::now()).wrapping_sub(1);
        self.tracker.calls.fetch_add(ended, Relaxed);
        self.tracker.completed.fetch_add(1, Relaxed);
    }
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tracker: &LoadTracker) -> LoadReport {
        tracker.report(Instant::now())
    }

    #[test]
    fn a_report_tells_what_is_under_way_and_what_ended() {
        let tracker = LoadTracker::new(4);
        let (first, second) = (tracker.started(), tracker.started());
        let waiting = tracker.queued();
        let told = report(&tracker);
        assert_eq!((told.in_flight, told.queued, told.slots), (2, 1, 4));
        drop(waiting);
        first.finish(true);
        drop(second);
        let told = report(&tracker);
        assert_eq!((told.in_flight, told.queued), (0, 0));
        assert_eq!((told.completed, told.failed), (2, 1));
    }

    #[test]
    fn call_time_is_exact_whether_calls_have_ended_or_not() {
        let tracker = LoadTracker::new(0);
        let begun = Instant::now();
        let before = tracker.call_time(begun);
        let (first, second) = (tracker.started(), tracker.started());
        drop(first);
        let tenth = |now| tracker.call_time(now).since(before).as_secs_f64();
        let running = tenth(begun + Duration::from_secs(100));
        assert!((99.0..101.0).contains(&running), "the second only: {running}");
        drop(second);
        let ended = tenth(begun + Duration::from_secs(200));
        assert!(ended < 1.0, "neither: {ended}");
        // A call that began after the moment that is asked for has not taken time yet.
        let _third = tracker.started();
        assert_eq!(
            tracker.call_time(begun).since(tracker.call_time(Instant::now())),
            Duration::ZERO
        );
    }

    #[test]
    fn only_calls_that_were_answered_have_a_latency() {
        let tracker = LoadTracker::new(1);
        tracker.started().finish(true);
        drop(tracker.started());
        assert_eq!(report(&tracker).latency_us, 0);
        let call = tracker.started();
        std::thread::sleep(Duration::from_millis(1));
        call.finish(false);
        assert!(report(&tracker).latency_us >= 1_000);
    }

    #[test]
    fn service_time_is_that_of_what_was_served() {
        let tracker = LoadTracker::new(1);
        for ms in [5, 15] {
            tracker.served(Duration::from_millis(ms), Instant::now());
        }
        assert_eq!(report(&tracker).service_time_us, 10_000);
    }
}
