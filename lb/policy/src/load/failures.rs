//! The share of an endpoint's latest calls that failed, fading with time, and its price.
//!
//! It fades so that an endpoint which was avoided for its failures is tried again.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::nanoseconds;

/// What a call counts whose deadline passed at the endpoint.
pub(crate) const TIMEOUT: f64 = 0.5;
/// An endpoint whose calls all fail costs this many times more, and proportionally below, down to
/// [`FREE`]: one that fails fast is no sinkhole.
const COST: f64 = 100.0;
/// A ratio that costs nothing: one failed call among good ones. If it did, a pool where calls fail now
/// and then by nobody's fault would be balanced by who failed longest ago.
const FREE: f64 = WEIGHT;
/// Weight of the newest call: five failures in a row make a ratio of three quarters, and one
/// failure in a hundred calls hardly shows.
const WEIGHT: f64 = 0.25;
/// Time in which the ratio halves when no call ends.
const HALF_LIFE: Duration = Duration::from_secs(3);
/// A ratio below this is none.
const NEGLIGIBLE: f64 = 1e-3;

/// An exponentially weighted ratio. Two calls that end at once may lose one of their samples.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Failures {
    /// An `f64` as bits; 0 is none.
    ratio: AtomicU64,
    updated_at_ns: AtomicU64,
}

/// What latest failures say at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailuresNow {
    /// There were some.
    pub(crate) any: bool,
    /// What they multiply the cost of a call by.
    pub(crate) cost: f64,
}

impl Failures {
    /// A call ended that counts as this much of a failure, 0 to 1.
    pub(crate) fn record(&self, now: Duration, failure: f64) {
        let ratio = self.ratio(now);
        if ratio == 0.0 && failure == 0.0 {
            // What has faded away is not reckoned with at every pick.
            if self.ratio.load(Relaxed) != 0 {
                self.set(now, 0.0);
            }
            return;
        }
        self.set(now, ratio + WEIGHT * (failure - ratio));
    }

    pub(crate) fn set(&self, now: Duration, ratio: f64) {
        self.ratio.store(ratio.to_bits(), Relaxed);
        self.updated_at_ns.store(nanoseconds(now), Relaxed);
    }

    #[inline]
    pub(crate) fn ratio(&self, now: Duration) -> f64 {
        if self.ratio.load(Relaxed) == 0 { 0.0 } else { self.faded(now) }
    }

    #[cold]
    fn faded(&self, now: Duration) -> f64 {
        let ratio = f64::from_bits(self.ratio.load(Relaxed));
        let age = nanoseconds(now).saturating_sub(self.updated_at_ns.load(Relaxed));
        let faded = ratio * (-(age as f64) / HALF_LIFE.as_nanos() as f64).exp2();
        if faded < NEGLIGIBLE { 0.0 } else { faded }
    }

    #[inline]
    pub(crate) fn now(&self, now: Duration) -> FailuresNow {
        if self.ratio.load(Relaxed) == 0 {
            return FailuresNow { any: false, cost: 1.0 };
        }
        let ratio = self.faded(now);
        let cost = 1.0 + COST * (ratio - FREE).max(0.0) / (1.0 - FREE);
        FailuresNow { any: ratio > 0.0, cost }
    }
}
