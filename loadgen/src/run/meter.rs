//! How busy a worker thread was: the time it ran or waited for a core, over the time that passed.
//!
//! A thread that is always one or the other is late with everything it does, and what it measures is
//! itself.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// Reads the calling thread's clocks twice.
#[derive(Debug)]
pub(super) struct ThreadMeter {
    started: Instant,
    wanted: Duration,
}

impl ThreadMeter {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), wanted: wanted() }
    }

    /// Since the start, 0 to 1. Must be read on the thread that started it.
    pub(super) fn busy(&self) -> f64 {
        let wanted = wanted().saturating_sub(self.wanted).as_secs_f64();
        let passed = self.started.elapsed().as_secs_f64();
        if passed > 0.0 { (wanted / passed).min(1.0) } else { 0.0 }
    }
}

/// Time this thread ran and, where the kernel tells it, waited for a core.
fn wanted() -> Duration {
    scheduled().unwrap_or_else(|| {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    })
}

/// The first two numbers of Linux's `schedstat`: nanoseconds on a core, nanoseconds in its queue.
fn scheduled() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (ran, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    // A kernel that does not count writes zeros.
    (ran > 0).then(|| Duration::from_nanos(ran + waited))
}
