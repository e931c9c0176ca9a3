//! Is a server an outlier by what it did in the window? Three ways to say so.
//!
//! 1. *Success rate* (gRFC A50, Envoy): its rate is more than so many standard deviations below the
//!    mean of all. With n servers none can be more than √(n−1) deviations from the mean (Samuelson
//!    1968), so at the usual 1.9 this says nothing below five servers: hence A50's `minimum_hosts`.
//! 2. The same question for fewer servers, or fewer calls: its failures against those of all *others*
//!    together, by the test for two proportions. An outlier among two stands out as well as among
//!    twenty, for it is not part of what it is compared with.
//! 3. *Failure percentage* (A50, Envoy): beyond a bound, provided that the others do better: a
//!    dependency that fails all servers ejects none.
//!
//! One and two also ask for a difference worth the capacity that is lost with a server.

use std::ops::{AddAssign, Sub};

use crate::{config::EjectionConfig, snapshot::EjectionCause};

/// Servers that must have calls enough for the standard deviation to mean something (A50).
const LEAST_SERVERS: usize = 5;
/// Calls in the window for a server to count there (A50's `request_volume` for success rates).
const LEAST_CALLS_FOR_RATE: u64 = 100;
/// The same for a comparison with the others, on either side; the test sees to the rest.
const LEAST_CALLS_TO_COMPARE: u64 = 20;
/// The same for the failure percentage (A50).
const LEAST_CALLS_FOR_PERCENTAGE: u64 = 50;
/// Standard errors between a server and the others that chance does not explain: one look in 30,000
/// would, and there is one every interval for every server.
const LEAST_STANDARD_ERRORS: f64 = 4.0;
/// Share of failed calls, beyond that of the others, that is worth a server's capacity.
const LEAST_DIFFERENCE: f64 = 0.1;
/// Runs of failures as long as the one that is looked at, expected by chance in the window, that are
/// few enough.
const MOST_RUNS_BY_CHANCE: f64 = 0.001;

/// Calls that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::health) struct Counts {
    pub(in crate::health) succeeded: u64,
    pub(in crate::health) failed: u64,
}

impl Counts {
    fn calls(self) -> u64 {
        self.succeeded + self.failed
    }

    /// 0 without calls.
    pub(super) fn failure_ratio(self) -> f64 {
        self.failed as f64 / self.calls().max(1) as f64
    }
}

impl Sub for Counts {
    type Output = Self;

    /// What was counted since. Never below nothing: two counts that are read at once may be a call
    /// apart.
    fn sub(self, before: Self) -> Self {
        Self {
            succeeded: self.succeeded.saturating_sub(before.succeeded),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.succeeded += more.succeeded;
        self.failed += more.failed;
    }
}

/// What all servers that take calls did in the window.
#[derive(Debug, Default)]
pub(super) struct Windows {
    all: Counts,
    /// Of those with calls enough: how many, and the sums of their success rates and of the squares.
    rated: usize,
    rates: f64,
    squares: f64,
}

impl FromIterator<Counts> for Windows {
    fn from_iter<I: IntoIterator<Item = Counts>>(servers: I) -> Self {
        let mut windows = Self::default();
        for counts in servers {
            windows.all += counts;
            if counts.calls() >= LEAST_CALLS_FOR_RATE {
                let rate = 1.0 - counts.failure_ratio();
                windows.rated += 1;
                windows.rates += rate;
                windows.squares += rate * rate;
            }
        }
        windows
    }
}

impl Windows {
    /// Why the server that did `own` of it is an outlier, if it is.
    pub(super) fn outlier(&self, config: &EjectionConfig, own: Counts) -> Option<EjectionCause> {
        let others = self.all - own;
        let limit = f64::from(config.failure_percentage) / 100.0;
        let fails_mostly = limit > 0.0
            && own.calls() >= LEAST_CALLS_FOR_PERCENTAGE
            && others.calls() > 0
            && own.failure_ratio() >= limit
            && others.failure_ratio() < limit;
        if fails_mostly {
            return Some(EjectionCause::FailurePercentage);
        }
        let deviations = config.success_rate_deviations;
        let is_outlier = deviations > 0.0
            && self.is_low(deviations, own).unwrap_or_else(|| differs(own, others));
        is_outlier.then_some(EjectionCause::SuccessRate)
    }

    /// `None` if too few servers have calls enough to say.
    fn is_low(&self, deviations: f64, own: Counts) -> Option<bool> {
        if self.rated < LEAST_SERVERS || own.calls() < LEAST_CALLS_FOR_RATE {
            return None;
        }
        let mean = self.rates / self.rated as f64;
        let variance = (self.squares / self.rated as f64 - mean * mean).max(0.0);
        let below = mean - (1.0 - own.failure_ratio());
        Some(below > deviations * variance.sqrt() && below >= LEAST_DIFFERENCE)
    }

    /// Whether so many failures in a row are no chance if this server fails no more than the others.
    pub(super) fn is_no_chance(&self, own: Counts, failures: u32) -> bool {
        let others = self.all - own;
        // By Laplace's rule of succession: without failures so far there may still be some.
        let ratio = (others.failed + 1) as f64 / (others.calls() + 2) as f64;
        let runs = ratio.powf(f64::from(failures)) * self.all.calls() as f64;
        runs < MOST_RUNS_BY_CHANCE
    }
}

/// The test for two proportions, pooled, one-sided.
fn differs(own: Counts, others: Counts) -> bool {
    if own.calls().min(others.calls()) < LEAST_CALLS_TO_COMPARE {
        return false;
    }
    let difference = own.failure_ratio() - others.failure_ratio();
    let (calls, other_calls) = (own.calls() as f64, others.calls() as f64);
    let pooled = (own.failed + others.failed) as f64 / (calls + other_calls);
    let error = (pooled * (1.0 - pooled) * (1.0 / calls + 1.0 / other_calls)).sqrt();
    difference >= LEAST_DIFFERENCE && difference > LEAST_STANDARD_ERRORS * error
}
