//! What is usual in a pool.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Endpoints, load::Reading};

/// Nothing is believed to be more than this many times what is usual, so that no figure that one
/// server makes up can draw the pool's calls to it, or blind the policy for the others.
pub(crate) const SPREAD: f64 = 16.0;

/// Means over the endpoints whose reports are fresh; 0 while unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Means {
    /// Calls that others have sent to an endpoint.
    pub(crate) strangers: f64,
    /// Of endpoints that do not fail: calls that fail take no time worth knowing.
    pub(crate) service_time_us: f64,
    /// Calls an endpoint serves at once, of those that say so.
    pub(crate) slots: f64,
}

impl Means {
    pub(crate) fn over(endpoints: &Endpoints, now: Duration) -> Self {
        let fresh = endpoints.iter().filter_map(|load| {
            let reading = load.reading(now).filter(Reading::is_fresh)?;
            Some((reading, load.failures_now(now).any))
        });
        let fresh: Vec<_> = fresh.collect();
        let known = |figures: &mut dyn Iterator<Item = f32>| {
            figures.filter(|figure| *figure > 0.0).map(f64::from).collect()
        };
        let healthy = fresh.iter().filter(|(_, fails)| !fails);
        Self {
            strangers: usual(fresh.iter().map(|(reading, _)| reading.strangers.into()).collect()),
            service_time_us: usual(known(&mut healthy.map(|(reading, _)| reading.service_time_us))),
            slots: usual(known(&mut fresh.iter().map(|(reading, _)| reading.slots))),
        }
    }
}

/// The mean, but of what is more than [`SPREAD`] times the median no more than that; 0 of none.
fn usual(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    // Of two the lesser: the other may be the liar.
    let middle = (values.len() - 1) / 2;
    let (_, median, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let most = median.max(1.0) * SPREAD;
    values.iter().map(|value| value.min(most)).sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_liar_does_not_move_the_mean_far() {
        assert_eq!(usual(vec![]), 0.0);
        assert_eq!(usual(vec![1.0, 2.0, 6.0]), 3.0);
        assert_eq!(usual(vec![4.0, f64::from(u32::MAX)]), (4.0 + 64.0) / 2.0);
        assert_eq!(usual(vec![4.0, 4.0, 4.0, f64::from(u32::MAX)]), (12.0 + 64.0) / 4.0);
        assert_eq!(usual(vec![0.0, 0.0, 0.0, f64::from(u32::MAX)]), 4.0);
    }
}
