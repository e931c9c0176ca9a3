//! What is counted of the calls of a run: how many ended, how long they took, and whether any went
//! wrong.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::sync::Notify;

use super::TrafficError;

/// Times are counted from 1 ns to a minute, three digits.
const MAX_TIME_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;
/// A percentile with fewer calls beyond it is not known.
const LEAST_BEYOND: f64 = 10.0;

/// Counts for all connections of a load.
#[derive(Debug)]
pub(in crate::bench) struct Tally {
    connected: Cell<u32>,
    calls: Cell<u64>,
    errors: Cell<u64>,
    first_error: RefCell<Option<TrafficError>>,
    unfinished: Cell<u64>,
    /// Only calls that were due since then are timed.
    from: Cell<Duration>,
    /// From due to done, and from due to sent, nanoseconds.
    latency: RefCell<Histogram<u64>>,
    send_lag: RefCell<Histogram<u64>>,
    changed: Notify,
}

/// How long the calls of a measurement took, nanoseconds.
#[derive(Debug, Clone)]
pub(in crate::bench) struct Times {
    /// From due to done; to the end of the run for those that had not ended by then.
    pub(in crate::bench) latency: Histogram<u64>,
    /// From due to sent.
    pub(in crate::bench) send_lag: Histogram<u64>,
    /// Calls that had not ended.
    pub(in crate::bench) unfinished: u64,
}

impl Tally {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            connected: Cell::new(0),
            calls: Cell::new(0),
            errors: Cell::new(0),
            first_error: RefCell::new(None),
            unfinished: Cell::new(0),
            from: Cell::new(Duration::ZERO),
            latency: RefCell::new(histogram()),
            send_lag: RefCell::new(histogram()),
            changed: Notify::new(),
        })
    }

    /// A connection is in use.
    pub(super) fn connects(&self) {
        self.connected.set(self.connected.get() + 1);
        self.changed.notify_waiters();
    }

    /// A call ended well. Times are since the same origin.
    pub(super) fn ended(&self, due: Duration, sent: Duration, done: Duration) {
        self.calls.set(self.calls.get() + 1);
        if due >= self.from.get() {
            self.latency.borrow_mut().saturating_record(ns(done.saturating_sub(due)));
            self.send_lag.borrow_mut().saturating_record(ns(sent.saturating_sub(due)));
        }
    }

    /// Tells whoever waits that calls have ended.
    pub(super) fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// A call that has not ended by `now`: it takes at least so long.
    pub(super) fn unfinished(&self, due: Duration, now: Duration) {
        if due >= self.from.get() {
            self.unfinished.set(self.unfinished.get() + 1);
            self.latency.borrow_mut().saturating_record(ns(now.saturating_sub(due)));
        }
    }

    /// A call, or all of a connection's, went wrong.
    pub(super) fn failed(&self, error: TrafficError) {
        self.errors.set(self.errors.get() + 1);
        self.first_error.borrow_mut().get_or_insert(error);
        self.changed.notify_waiters();
    }

    pub(super) fn connected(&self) -> u32 {
        self.connected.get()
    }

    /// Calls that ended well so far.
    pub(in crate::bench) fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// Calls and connections that went wrong so far.
    pub(in crate::bench) fn errors(&self) -> u64 {
        self.errors.get()
    }

    /// How the first of them went wrong.
    pub(in crate::bench) fn first_error(&self) -> Option<String> {
        self.first_error.borrow().as_ref().map(ToString::to_string)
    }

    /// From now on calls are timed; what was timed before is forgotten.
    pub(super) fn begin(&self, now: Duration) {
        self.from.set(now);
        self.unfinished.set(0);
        self.take();
    }

    /// The times counted since the beginning.
    pub(in crate::bench) fn take(&self) -> Times {
        Times {
            latency: self.latency.replace(histogram()),
            send_lag: self.send_lag.replace(histogram()),
            unfinished: self.unfinished.get(),
        }
    }

    /// Waits until `condition` holds; an error ends the wait.
    pub(super) async fn until(
        &self,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<(), TrafficError> {
        loop {
            let changed = self.changed.notified();
            if let Some(error) = self.first_error.borrow_mut().take() {
                return Err(error);
            }
            if condition(self) {
                return Ok(());
            }
            changed.await;
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_TIME_NS, DIGITS).expect("the bounds are constants")
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(MAX_TIME_NS).clamp(1, MAX_TIME_NS)
}

/// A percentile in microseconds, 0 to 1; nothing if too few calls lie beyond it.
pub(in crate::bench) fn percentile_us(times: &Histogram<u64>, share: f64) -> Option<f64> {
    let beyond = times.len() as f64 * (1.0 - share);
    (beyond >= LEAST_BEYOND).then(|| times.value_at_quantile(share) as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_between_two_moments() {
        let tally = Tally::new();
        let us = Duration::from_micros;
        for call in 1..=1000 {
            tally.ended(us(0), us(1), us(call));
        }
        let taken = tally.take();
        assert_eq!((tally.calls(), taken.latency.len()), (1000, 1000));
        let near = |share: f64, expected: f64| {
            let found = percentile_us(&taken.latency, share).unwrap();
            assert!((found / expected - 1.0).abs() < 0.01, "{found} for {expected}");
        };
        near(0.5, 500.0);
        near(0.99, 990.0);
        assert_eq!(percentile_us(&taken.latency, 0.999), None, "one call lies beyond it");
        tally.begin(us(5));
        tally.ended(us(4), us(4), us(6));
        assert_eq!((tally.calls(), tally.take().latency.len()), (1001, 0), "due before");
        tally.unfinished(us(5), us(9));
        let taken = tally.take();
        assert_eq!((taken.latency.len(), taken.unfinished), (1, 1));
    }

    #[tokio::test]
    async fn an_error_ends_a_wait() {
        let tally = Tally::new();
        tally.failed(TrafficError::Closed);
        let waited = tally.until(|tally| tally.calls() > 0).await;
        assert!(matches!(waited, Err(TrafficError::Closed)));
        tally.ended(Duration::ZERO, Duration::ZERO, Duration::ZERO);
        tally.until(|tally| tally.calls() > 0).await.unwrap();
    }
}
