//! A moving average that many threads share.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Weight of the newest sample: the mean is of about the last hundred, and of all there are before.
const WEIGHT: f64 = 0.02;

/// Two samples at once may lose one of them.
#[derive(Debug, Default)]
pub(crate) struct Mean {
    samples: AtomicU32,
    /// An `f64` as bits.
    mean: AtomicU64,
}

impl Mean {
    pub(crate) fn is_known(&self) -> bool {
        self.samples.load(Relaxed) > 0
    }

    /// 0 while there is no sample.
    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.mean.load(Relaxed))
    }

    pub(crate) fn add(&self, sample: f64) {
        let samples = self.samples.load(Relaxed).saturating_add(1);
        let weight = WEIGHT.max(1.0 / f64::from(samples));
        let mean = self.get();
        self.mean.store((mean + weight * (sample - mean)).to_bits(), Relaxed);
        self.samples.store(samples, Relaxed);
    }
}
