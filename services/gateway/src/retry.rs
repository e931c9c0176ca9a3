//! How long to wait before asking a bank or a store again, and when that is of use.

use std::time::Duration;

use strife_store::StoreError;

/// Exponential, with jitter, so that those who failed together do not return together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first wait, before jitter.
    pub first: Duration,
    /// No wait is longer.
    pub most: Duration,
}

impl Backoff {
    /// The wait after the `attempt`th failure, from 0. `jitter`, of 0 to 1, picks from the upper half.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        doubled.min(self.most).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Waits after the `attempt`th failure, from 0.
    pub async fn wait(&self, attempt: u32) {
        tokio::time::sleep(self.delay(attempt, rand::random())).await;
    }
}

/// Whether a store that fails so may do what it is asked another time. What it made of this time is
/// not known.
pub fn is_passing(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Overloaded { .. }
            | StoreError::DatabaseAway { .. }
            | StoreError::DatabaseContended { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attempt: u32, jitter: f64, expected_ms: u64) {
        let backoff =
            Backoff { first: Duration::from_millis(10), most: Duration::from_millis(1000) };
        assert_eq!(backoff.delay(attempt, jitter), Duration::from_millis(expected_ms));
    }

    #[test]
    fn waits_double_up_to_the_most() {
        check(0, 0.0, 5);
        check(0, 1.0, 10);
        check(3, 1.0, 80);
        check(7, 1.0, 1000);
        check(31, 1.0, 1000);
        check(32, 1.0, 1000);
        check(u32::MAX, 0.0, 500);
    }
}
