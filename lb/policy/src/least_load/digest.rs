//! An estimate, kept until something is learned or time has changed it: a pick then takes a few
//! loads and multiplications.
//!
//! Written by whichever pick finds it too old. Two that do so at once may mix their words, which are
//! a moment apart.

use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

use super::{
    estimate::{Estimate, Reading, Trust},
    means::Means,
};
use crate::EndpointLoad;

/// An estimate is kept no longer than this, and than this part of the time in which what others sent
/// is believed by half.
const KEPT: Duration = Duration::from_millis(1);
const KEPT_OF_RELAXATION: u32 = 8;

/// An [`Estimate`], two figures a word.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    /// 0: none is kept.
    good_until_ns: AtomicU64,
    /// [`EndpointLoad::changes`] then.
    changes: AtomicU64,
    strangers_and_slots: AtomicU64,
    time_and_failures: AtomicU64,
    ramp_and_trust: AtomicU64,
}

impl Digest {
    /// What is kept, if it is still good.
    #[inline]
    pub(crate) fn kept(&self, load: &EndpointLoad, now: Duration) -> Option<Estimate> {
        let good_until_ns = self.good_until_ns.load(Acquire);
        if now.as_nanos() as u64 >= good_until_ns || load.changes() != self.changes.load(Relaxed) {
            return None;
        }
        let (strangers, inverse_slots) = unpacked(self.strangers_and_slots.load(Relaxed));
        let (service_time_us, failure_cost) = unpacked(self.time_and_failures.load(Relaxed));
        let (ramp, trust) = unpacked(self.ramp_and_trust.load(Relaxed));
        let trust = Trust::of_figure(trust);
        Some(Estimate { trust, strangers, inverse_slots, service_time_us, failure_cost, ramp })
    }

    /// The estimate now, kept for the next picks.
    #[cold]
    pub(crate) fn renewed(&self, load: &EndpointLoad, now: Duration, means: &Means) -> Estimate {
        let changes = load.changes();
        let estimate = Estimate::of(load, now, means);
        let relaxation = Reading::of(load, now).map_or(KEPT, |reading| reading.relaxation);
        let kept = KEPT.min(relaxation / KEPT_OF_RELAXATION);
        let Estimate { strangers, inverse_slots, service_time_us, failure_cost, .. } = estimate;
        self.changes.store(changes, Relaxed);
        self.strangers_and_slots.store(packed(strangers, inverse_slots), Relaxed);
        self.time_and_failures.store(packed(service_time_us, failure_cost), Relaxed);
        self.ramp_and_trust.store(packed(estimate.ramp, estimate.trust.as_figure()), Relaxed);
        self.good_until_ns.store((now + kept).as_nanos() as u64, Release);
        estimate
    }
}

impl Trust {
    fn as_figure(self) -> f32 {
        self as u8 as f32
    }

    fn of_figure(figure: f32) -> Self {
        match figure as u8 {
            0 => Self::None,
            1 => Self::Decayed,
            _ => Self::Full,
        }
    }
}

#[inline]
fn packed(high: f32, low: f32) -> u64 {
    u64::from(high.to_bits()) << 32 | u64::from(low.to_bits())
}

#[inline]
fn unpacked(word: u64) -> (f32, f32) {
    (f32::from_bits((word >> 32) as u32), f32::from_bits(word as u32))
}
