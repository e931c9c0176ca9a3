//! How evenly calls were spread over servers.

/// Three views of the same counts. All zero when there was no call.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fairness {
    /// Jain's index, `(Σx)² / (n Σx²)`: 1/n if one server got everything, 1 if all got the same.
    /// R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness", DEC TR-301, 1984.
    pub jain: f64,
    /// Coefficient of variation: standard deviation over mean.
    pub cov: f64,
    /// The busiest server's calls over the mean.
    pub max_over_mean: f64,
}

impl Fairness {
    /// Of the number of calls each server got, those that got none included.
    pub fn of(calls: &[u64]) -> Self {
        let n = calls.len() as f64;
        let sum: f64 = calls.iter().map(|calls| *calls as f64).sum();
        if sum == 0.0 {
            return Self::default();
        }
        let squares: f64 = calls.iter().map(|calls| (*calls as f64).powi(2)).sum();
        let mean = sum / n;
        let variance: f64 =
            calls.iter().map(|calls| (*calls as f64 - mean).powi(2)).sum::<f64>() / n;
        let max = calls.iter().max().map_or(0.0, |max| *max as f64);
        Self {
            jain: sum * sum / (n * squares),
            cov: variance.sqrt() / mean,
            max_over_mean: max / mean,
        }
    }
}
