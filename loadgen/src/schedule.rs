//! When each call is due, decided before the first one is sent.
//!
//! A schedule is a pure function of its parameters and a seed: the times do not depend on what the
//! target does, so a stall of the target cannot thin out the calls that would have shown it
//! (coordinated omission). N independent Poisson clients are one Poisson stream of N times the rate
//! in which every arrival belongs to a client drawn at random; so 100,000 clients cost no more than
//! one. A closed loop has no schedule: there the next call is due when the last one ended.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

#[cfg(test)]
mod tests;

/// One call that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Time since the start of the run.
    pub at: Duration,
    /// Whose call it is, from 0.
    pub client: u32,
}

/// The calls of a run in order of time; without end unless the kind of schedule has one.
pub trait Schedule: Iterator<Item = Arrival> + Send {}

impl<T: Iterator<Item = Arrival> + Send> Schedule for T {}

/// How arrivals follow each other.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Independent clients: exponential gaps.
    #[default]
    Poisson,
    /// Equal gaps, clients in turn.
    Constant,
}

/// The schedule of `clients` clients that together make `rate` calls a second. `rate` must be
/// positive and finite, `clients` at least 1.
pub fn schedule(arrivals: Arrivals, rate: f64, clients: u32, seed: u64) -> Box<dyn Schedule> {
    match arrivals {
        Arrivals::Poisson => Box::new(Poisson::new(rate, clients, seed)),
        Arrivals::Constant => Box::new(Constant::new(rate, clients)),
    }
}

/// Exponential gaps by inversion; the client is drawn uniformly.
#[derive(Debug)]
pub struct Poisson {
    rng: StdRng,
    mean_gap_s: f64,
    clients: u32,
    at_s: f64,
}

impl Poisson {
    /// See [`schedule`].
    pub fn new(rate: f64, clients: u32, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { rng, mean_gap_s: 1.0 / rate, clients: clients.max(1), at_s: 0.0 }
    }
}

impl Iterator for Poisson {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let uniform: f64 = self.rng.random();
        self.at_s -= (1.0 - uniform).ln() * self.mean_gap_s;
        let client = self.rng.random_range(0..self.clients);
        Some(Arrival { at: Duration::try_from_secs_f64(self.at_s).ok()?, client })
    }
}

/// One call every `1 / rate` seconds. Times are computed from the index, so errors do not add up.
#[derive(Debug)]
pub struct Constant {
    rate: f64,
    clients: u32,
    index: u64,
}

impl Constant {
    /// See [`schedule`].
    pub fn new(rate: f64, clients: u32) -> Self {
        Self { rate, clients: clients.max(1), index: 0 }
    }
}

impl Iterator for Constant {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let at = Duration::try_from_secs_f64(self.index as f64 / self.rate).ok()?;
        let client = (self.index % u64::from(self.clients)) as u32;
        self.index += 1;
        Some(Arrival { at, client })
    }
}
