//! How many calls of a pool may be sent again: a share of those that came in lately, and a few beside.
//!
//! Retries help against a fault and feed an overload. As in Finagle, Linkerd and Envoy the bound is a share
//! of the calls themselves, so that an endpoint never gets more than so much on top however many calls
//! fail; the few beside let a pool with little traffic retry at all. gRPC's own throttle (gRFC A6)
//! counts failures instead, and stops all retries at a failure rate that it does not name.

use std::time::Duration;

/// How far back calls count, in seconds.
const WINDOW: usize = 10;

/// The budget of one pool on one thread.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// The second that is counted, since the balancer started.
    second: u64,
    /// Calls and retries by second.
    calls: [u64; WINDOW],
    retries: [u64; WINDOW],
}

impl Budget {
    /// A call came in.
    pub(super) fn deposit(&mut self, now: Duration) {
        let place = self.advance(now);
        self.calls[place] += 1;
    }

    /// Takes a retry out if there is one: `percent` of the calls of the window, and `least_per_second`.
    pub(super) fn withdraw(&mut self, now: Duration, percent: u32, least_per_second: u32) -> bool {
        let place = self.advance(now);
        let (calls, retries): (u64, u64) = (self.calls.iter().sum(), self.retries.iter().sum());
        let least = u64::from(least_per_second) * WINDOW as u64;
        let is_within = (retries + 1) * 100 <= calls * u64::from(percent) + least * 100;
        self.retries[place] += u64::from(is_within);
        is_within
    }

    /// The place of this second; those that are over are forgotten.
    fn advance(&mut self, now: Duration) -> usize {
        let second = now.as_secs();
        for back in 0..second.saturating_sub(self.second).min(WINDOW as u64) {
            let place = (second - back) as usize % WINDOW;
            (self.calls[place], self.retries[place]) = (0, 0);
        }
        self.second = self.second.max(second);
        self.second as usize % WINDOW
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pool_with_little_traffic_may_retry_a_little() {
        let mut budget = Budget::default();
        let mut retries = 0;
        while budget.withdraw(Duration::from_secs(100), 20, 3) {
            retries += 1;
        }
        assert_eq!(retries, 30);
        assert!(!budget.withdraw(Duration::from_secs(109), 20, 3));
        assert!(budget.withdraw(Duration::from_secs(110), 20, 3));
        assert!(!Budget::default().withdraw(Duration::from_secs(1), 100, 0));
    }

    proptest! {
        /// Against a list of all that happened.
        #[test]
        fn retries_are_a_share_of_the_calls_of_the_last_ten_seconds(
            steps in prop::collection::vec((0_u64..3_000, 0_usize..40, 0_usize..20), 1..100),
            percent in 0_u32..=100,
            least in 0_u32..5,
        ) {
            let (mut budget, mut now) = (Budget::default(), Duration::from_secs(1));
            let (mut calls, mut retries) = (Vec::new(), Vec::new());
            for (pause_ms, offered, wanted) in steps {
                now += Duration::from_millis(pause_ms);
                for _ in 0..offered {
                    budget.deposit(now);
                    calls.push(now.as_secs());
                }
                for _ in 0..wanted {
                    let recent = |all: &[u64]| {
                        all.iter().filter(|one| **one + WINDOW as u64 > now.as_secs()).count() as u64
                    };
                    let most = recent(&calls) * u64::from(percent) / 100 + u64::from(least) * 10;
                    let may = recent(&retries) < most;
                    prop_assert_eq!(budget.withdraw(now, percent, least), may);
                    if may {
                        retries.push(now.as_secs());
                    }
                }
            }
        }
    }
}
