//! One thread's connections to one endpoint, and the calls that wait for one.

use std::{collections::VecDeque, time::Duration};

use rand::{RngExt, rngs::SmallRng};

/// Pauses between attempts to connect after a failure (gRPC's connection backoff, with a shorter
/// start and end: the servers behind a balancer are near).
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_LAST: Duration = Duration::from_secs(5);
const BACKOFF_GROWTH: f64 = 1.6;
const BACKOFF_JITTER: f64 = 0.2;
const MAX_EXPONENT: i32 = 30;

/// The connections to one endpoint.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Those that take streams.
    pub(super) links: Vec<usize>,
    /// All there are, those that end included.
    pub(super) connections: usize,
    /// A connection is being made, or has been and waits for SETTINGS.
    pub(super) connecting: bool,
    /// Calls, with their serials, for which there was no stream.
    pub(super) waiting: VecDeque<(u32, u32)>,
    /// Calls given to the endpoint that have not ended.
    pub(super) calls: usize,
    /// Nobody connects before.
    backoff_until: Duration,
    failures: i32,
    pub(super) last_failure: String,
    /// How often the endpoint had been found ready when connecting last failed.
    pub(super) failed_when: u64,
}

impl Slot {
    /// Whether the last attempt failed so recently that there should be no other yet.
    pub(super) fn is_backing_off(&self, now: Duration) -> bool {
        now < self.backoff_until
    }

    pub(super) fn note_failure(&mut self, now: Duration, why: &str, rng: &mut SmallRng) {
        why.clone_into(&mut self.last_failure);
        let backoff = BACKOFF_FIRST.as_secs_f64() * BACKOFF_GROWTH.powi(self.failures);
        let backoff = backoff.min(BACKOFF_LAST.as_secs_f64());
        let jitter = rng.random_range(1.0 - BACKOFF_JITTER..1.0 + BACKOFF_JITTER);
        self.backoff_until = now + Duration::from_secs_f64(backoff * jitter);
        self.failures = (self.failures + 1).min(MAX_EXPONENT);
    }

    /// Whether the last attempt failed, and nothing spoke for it since.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Nothing is under way there, nor connected.
    pub(super) fn is_vacant(&self) -> bool {
        self.calls == 0 && self.connections == 0 && !self.connecting
    }

    /// It can be connected to, as far as is known.
    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
        self.backoff_until = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_end_with_success() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut slot = Slot::default();
        let now = Duration::from_secs(1);
        slot.note_failure(now, "refused", &mut rng);
        assert!(slot.is_backing_off(now + Duration::from_millis(39)));
        assert!(!slot.is_backing_off(now + Duration::from_millis(61)));
        for _ in 0..100 {
            slot.note_failure(now, "refused", &mut rng);
        }
        assert!(slot.is_backing_off(now + Duration::from_secs(3)));
        assert!(!slot.is_backing_off(now + Duration::from_secs(7)));
        slot.forget_failures();
        assert!(!slot.is_backing_off(now));
    }
}
