//! What is counted of a pool: its picks, thread by thread, and what changed about it.

use std::sync::{Arc, Mutex, PoisonError};

use strife_policy::{POLICIES, Pick, Regime};

use super::{
    counter::{CounterPer, SharedCounter},
    labels::Label,
};

/// Of one pool.
#[derive(Debug, Default)]
pub(crate) struct PoolMetrics {
    picks: Mutex<Vec<Arc<PickMetrics>>>,
    pub(crate) endpoints_joined: SharedCounter,
    pub(crate) endpoints_left: SharedCounter,
    pub(crate) policy_switches: SharedCounter,
    /// Times that so few endpoints were left that ejected ones were picked again.
    pub(crate) panics: SharedCounter,
    /// Calls that were not sent again because the budget was used up.
    pub(crate) retries_denied: SharedCounter,
}

/// Picks that one thread made in one pool. Aligned so that no two threads write to one cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct PickMetrics {
    /// By the policy's place in [`POLICIES`].
    by_policy: [CounterPer<Regime, { <Regime as Label>::ALL.len() }>; POLICIES.len()],
}

impl Default for PickMetrics {
    fn default() -> Self {
        Self { by_policy: std::array::from_fn(|_| CounterPer::default()) }
    }
}

impl PickMetrics {
    /// A pick by the policy of this place in [`POLICIES`]. For the one writer only.
    pub(crate) fn count(&self, policy: usize, pick: Pick) {
        self.by_policy[policy].increment(pick.regime);
    }
}

impl PoolMetrics {
    /// For one more thread that picks; it has no other writer.
    pub(crate) fn of_thread(&self) -> Arc<PickMetrics> {
        let metrics = Arc::<PickMetrics>::default();
        self.picks.lock().unwrap_or_else(PoisonError::into_inner).push(metrics.clone());
        metrics
    }

    /// Of all threads, by a policy's place in [`POLICIES`].
    pub(crate) fn picks(&self, policy: usize, regime: Regime) -> u64 {
        let threads = self.picks.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().map(|thread| thread.by_policy[policy].get(regime)).sum()
    }
}
