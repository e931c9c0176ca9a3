//! How long an endpoint's calls take, quick to believe the worse and slow to forget it.
//!
//! Finagle's peak EWMA: a call that takes longer than the average becomes the average at once; a
//! shorter one pulls it down by how much time has passed since the last. While no call ends the
//! average fades, so that an endpoint which was avoided is tried again.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::nanoseconds;

/// Below this, `exp(-x)` is a parabola to five digits.
const SMALL: f64 = 0.03;

/// How soon a peak is forgotten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decay {
    /// The part of it that passes in a nanosecond.
    per_ns: f64,
}

impl From<Duration> for Decay {
    fn from(decay: Duration) -> Self {
        Self { per_ns: 1.0 / nanoseconds(decay).max(1) as f64 }
    }
}

/// Two calls that end at once may lose one of their samples.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct PeakEwma {
    /// Nanoseconds, an `f64` as bits.
    average: AtomicU64,
    updated_at_ns: AtomicU64,
}

impl PeakEwma {
    /// A call that failed says only how long it took at least: many fail at once.
    pub(crate) fn record(&self, now: Duration, latency: Duration, failed: bool, decay: Decay) {
        let (average_ns, _) = self.get();
        let sample_ns = latency.as_nanos() as f64;
        if sample_ns >= average_ns {
            self.set(now, sample_ns);
        } else if !failed {
            self.set(now, sample_ns + self.kept(now, decay) * (average_ns - sample_ns));
        }
    }

    /// Nanoseconds; 0 while no call ended.
    #[inline]
    pub(crate) fn decayed_ns(&self, now: Duration, decay: Decay) -> f64 {
        let (average_ns, _) = self.get();
        if average_ns == 0.0 { 0.0 } else { average_ns * self.kept(now, decay) }
    }

    /// The average in nanoseconds as it was when it last changed, and when that was.
    #[inline]
    pub(crate) fn get(&self) -> (f64, Duration) {
        let updated_at = Duration::from_nanos(self.updated_at_ns.load(Relaxed));
        (f64::from_bits(self.average.load(Relaxed)), updated_at)
    }

    pub(crate) fn set(&self, now: Duration, average_ns: f64) {
        self.average.store(average_ns.to_bits(), Relaxed);
        self.updated_at_ns.store(nanoseconds(now), Relaxed);
    }

    /// The part of the average that is left.
    #[inline]
    fn kept(&self, now: Duration, decay: Decay) -> f64 {
        let age = nanoseconds(now).saturating_sub(self.updated_at_ns.load(Relaxed));
        let decays = age.cast_signed() as f64 * decay.per_ns;
        if decays < SMALL { 1.0 - decays * (1.0 - decays / 2.0) } else { long_ago(decays) }
    }
}

#[cold]
fn long_ago(decays: f64) -> f64 {
    (-decays).exp()
}
