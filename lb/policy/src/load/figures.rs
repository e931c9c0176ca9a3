//! What a pick reads of an endpoint's last report: one cache line, written when the report arrives.
//!
//! Of a server's own reports, or of what its ORCA reports let one conclude once its own have ended:
//! most servers say both at once, and the latter in other units. What does not change with time is
//! reckoned here, so that a pick is left with the report's age.

use std::{
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

use super::{LastReport, nanoseconds, reports::TRUSTED_INTERVALS};

/// Nanoseconds in a microsecond.
const NS_PER_US: f32 = 1e3;

/// Two reports that arrive at once may mix their figures, which are a moment apart.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Figures {
    /// 0: there is no report.
    received_at_ns: AtomicU64,
    interval_ns: AtomicU64,
    /// From here on `f32`s as bits.
    strangers: AtomicU32,
    slots: AtomicU32,
    inverse_slots: AtomicU32,
    service_time_us: AtomicU32,
    relaxation_ns: AtomicU32,
}

/// What a report says at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Since it arrived.
    pub(crate) age_ns: f32,
    /// How far it can be believed, above 0 to 1, as [`LastReport::trust`] has it.
    pub(crate) trust: f32,
    /// Calls that others had sent when the report was made.
    pub(crate) strangers: f32,
    /// 0: not known.
    pub(crate) slots: f32,
    /// 0: not known.
    pub(crate) inverse_slots: f32,
    /// 0: not known.
    pub(crate) service_time_us: f32,
    /// Time in which the server is through with the calls it had: by then it has other calls.
    pub(crate) relaxation_ns: f32,
}

impl Figures {
    pub(crate) fn set(&self, report: &LastReport) {
        let slots = report.slots as f32;
        // Whoever does not say how many it serves at once serves all that are there.
        let turns = if slots > 0.0 { (report.in_flight as f32 / slots).max(1.0) } else { 1.0 };
        let service_time_us = report.service_time_us as f32;
        let strangers = f64::from(report.in_flight) - report.own_in_flight as f64;
        let store = |to: &AtomicU32, figure: f32| to.store(figure.to_bits(), Relaxed);
        store(&self.strangers, strangers.max(0.0) as f32);
        store(&self.slots, slots);
        store(&self.inverse_slots, if slots > 0.0 { 1.0 / slots } else { 0.0 });
        store(&self.service_time_us, service_time_us);
        store(&self.relaxation_ns, service_time_us.max(1.0) * NS_PER_US * turns);
        self.interval_ns.store(nanoseconds(report.interval).max(1), Relaxed);
        self.received_at_ns.store(nanoseconds(report.received_at).max(1), Release);
    }

    /// `None`: there is nothing that can be believed.
    #[inline(always)]
    pub(crate) fn read(&self, now: Duration) -> Option<Reading> {
        let received_at_ns = self.received_at_ns.load(Acquire);
        let age_ns = nanoseconds(now).saturating_sub(received_at_ns);
        let interval_ns = self.interval_ns.load(Relaxed);
        if age_ns > interval_ns && self.is_past(received_at_ns, age_ns, interval_ns) {
            return None;
        }
        let figure = |figure: &AtomicU32| f32::from_bits(figure.load(Relaxed));
        Some(Reading {
            age_ns: age_ns.cast_signed() as f32,
            trust: if age_ns <= interval_ns { 1.0 } else { trust(age_ns, interval_ns) },
            strangers: figure(&self.strangers),
            slots: figure(&self.slots),
            inverse_slots: figure(&self.inverse_slots),
            service_time_us: figure(&self.service_time_us),
            relaxation_ns: figure(&self.relaxation_ns),
        })
    }

    /// Whether it is too old, or never was.
    #[cold]
    fn is_past(&self, received_at_ns: u64, age_ns: u64, interval_ns: u64) -> bool {
        received_at_ns == 0 || age_ns >= interval_ns.saturating_mul(u64::from(TRUSTED_INTERVALS))
    }
}

/// Of a report older than its interval.
#[cold]
fn trust(age_ns: u64, interval_ns: u64) -> f32 {
    let intervals = age_ns as f32 / interval_ns as f32;
    let trusted = TRUSTED_INTERVALS as f32;
    ((trusted - intervals) / (trusted - 1.0)).max(f32::MIN_POSITIVE)
}

impl Reading {
    pub(crate) fn is_fresh(&self) -> bool {
        self.trust >= 1.0
    }
}
