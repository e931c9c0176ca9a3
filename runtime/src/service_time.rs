//! Virtual servers: the distributions of service times that bank servers, plans and the simulator
//! share, drawn from a random source that is handed in.

use std::{f64::consts::TAU, str::FromStr, time::Duration};

use crate::parse;
use rand::{Rng, RngExt};

/// Longest service time ever drawn: a heavy tail must not occupy a slot for ever.
const LONGEST: Duration = Duration::from_secs(60);

/// How long a call takes. The mean is what is given, whatever the shape, so that a server with
/// `n` slots serves `n / mean` calls a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ServiceTime {
    /// Always the same.
    Constant(Duration),
    /// Memoryless.
    Exponential(Duration),
    /// Log-normal: the logarithm has the standard deviation `sigma`.
    LogNormal {
        /// The mean of the times themselves, not of their logarithms.
        mean: Duration,
        /// 0.5 gives a p99 of about 2.8 times the mean.
        sigma: f64,
    },
}

impl ServiceTime {
    /// The next time.
    pub fn draw(&self, random: &mut impl Rng) -> Duration {
        let (mean, factor) = match *self {
            Self::Constant(time) => return time,
            Self::Exponential(mean) => (mean, -open_unit(random).ln()),
            Self::LogNormal { mean, sigma } => {
                // Shifted by half the variance, so that the mean of the factor is 1.
                (mean, (sigma * standard_normal(random) - sigma * sigma / 2.0).exp())
            }
        };
        Duration::try_from_secs_f64(mean.as_secs_f64() * factor).unwrap_or(LONGEST).min(LONGEST)
    }
}

/// Reads the factor by which a server is slower (or, below 1, faster) than its distribution says.
pub fn slow_factor(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|factor| is_slow_factor(*factor))
        .ok_or_else(|| format!("`{text}` is not a factor between 0.01 and 1000"))
}

/// Whether a server can be made slower by this factor.
pub fn is_slow_factor(factor: f64) -> bool {
    (0.01..=1000.0).contains(&factor)
}

/// Evenly from (0, 1]: its logarithm is finite.
fn open_unit(random: &mut impl Rng) -> f64 {
    1.0 - random.random::<f64>()
}

/// Box and Muller, "A Note on the Generation of Random Normal Deviates" (1958).
fn standard_normal(random: &mut impl Rng) -> f64 {
    let radius = (-2.0 * open_unit(random).ln()).sqrt();
    radius * (TAU * random.random::<f64>()).cos()
}

impl FromStr for ServiceTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "`{text}` is not a service time (constant:5ms, exponential:5ms, \
                 lognormal:5ms:0.5 or none)"
            )
        };
        if text == "none" {
            return Ok(Self::Constant(Duration::ZERO));
        }
        let mut parts = text.split(':');
        let shape = parts.next().unwrap_or_default();
        let mean = parse::duration(parts.next().ok_or_else(malformed)?)?;
        let sigma = parts.next();
        if mean > LONGEST || parts.next().is_some() {
            return Err(malformed());
        }
        match (shape, sigma) {
            ("constant", None) => Ok(Self::Constant(mean)),
            ("exponential", None) => Ok(Self::Exponential(mean)),
            ("lognormal", Some(sigma)) => match sigma.parse() {
                Ok(sigma) if (0.0..=3.0).contains(&sigma) => Ok(Self::LogNormal { mean, sigma }),
                _ => Err(format!("`{sigma}` is not a sigma (0 to 3)")),
            },
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn mean_ms(text: &str) -> f64 {
        let service_time: ServiceTime = text.parse().unwrap();
        let mut random = StdRng::seed_from_u64(7);
        let draws = (0..100_000).map(|_| service_time.draw(&mut random).as_secs_f64() * 1e3);
        draws.sum::<f64>() / 100_000.0
    }

    #[test]
    fn the_mean_is_what_was_asked_for() {
        for text in ["constant:5ms", "exponential:5ms", "lognormal:5ms:0.5", "lognormal:5ms:1"] {
            let mean = mean_ms(text);
            assert!((4.9..5.1).contains(&mean), "{text}: {mean}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let draw = |seed| {
            let service_time = ServiceTime::Exponential(Duration::from_millis(5));
            let mut random = StdRng::seed_from_u64(seed);
            (0..10).map(|_| service_time.draw(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            "",
            "5ms",
            "constant",
            "constant:5",
            "constant:5ms:1",
            "lognormal:5ms",
            "lognormal:5ms:x",
            "lognormal:5ms:-1",
            "lognormal:5ms:NaN",
            "lognormal:5ms:1:1",
            "pareto:5ms",
            "constant:2m",
        ] {
            assert!(text.parse::<ServiceTime>().is_err(), "{text}");
        }
    }
}
