//! A counter's rate, of the moment and averaged.

/// Over this time, in seconds, rates are averaged: long enough for a few calls to be no pattern,
/// short enough to watch a switch of policy.
const STEADY_SECONDS: f64 = 10.0;

/// A counter as it stood last, and its rate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steady {
    total: u64,
    rate: Option<f64>,
}

impl Steady {
    /// The counter stands at `total`, so many seconds after the last time; its rate since then.
    pub(super) fn count(&mut self, total: u64, seconds: f64) -> f64 {
        let now = total.saturating_sub(self.total) as f64 / seconds;
        self.total = total;
        let weight = 1.0 - (-seconds / STEADY_SECONDS).exp();
        self.rate = Some(self.rate.map_or(now, |rate| rate + weight * (now - rate)));
        now
    }

    /// A second's over the last [`STEADY_SECONDS`], the newest counting most.
    pub(super) fn rate(&self) -> f64 {
        self.rate.unwrap_or_default()
    }
}
