//! Turns in proportion to weights, without a queue and without a lock.
//!
//! gRPC's static stride scheduler. Everybody walks the endpoints in order, generation after
//! generation; an endpoint takes its turn in a generation when its weight, added up once a
//! generation, runs over. So over any window it has as many turns as its weight says, give or take
//! one, and the only thing shared is a counter.

use serde::{Deserialize, Serialize};

use crate::{Exclusion, Figure, explain::Witness};

/// The greatest weight; whoever has it takes its turn in every generation.
const MOST: u64 = u16::MAX as u64;
/// Endpoints beside each other start half a turn apart, so that those of small weight do not all
/// take their turn in one generation.
const OFFSET: u64 = MOST / 2;
/// Weights are kept within these multiples of their mean, as in gRPC: a pick passes over ten
/// endpoints on average at worst, and nobody is cut off.
const LEAST_OF_MEAN: f64 = 0.01;
const MOST_OF_MEAN: f64 = 10.0;

/// The weights, the greatest of them 65,535.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StaticStride {
    weights: Vec<u16>,
}

impl StaticStride {
    /// Weights that are not known are the mean of the others; `None` if fewer than two are known.
    pub(crate) fn of(weights: &[Option<f64>]) -> Option<Self> {
        let known: Vec<_> = weights.iter().flatten().copied().collect();
        if known.len() < 2 {
            return None;
        }
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let bounded = |weight: f64| weight.clamp(mean * LEAST_OF_MEAN, mean * MOST_OF_MEAN);
        let bounded: Vec<_> =
            weights.iter().map(|weight| bounded(weight.unwrap_or(mean))).collect();
        let greatest = bounded.iter().copied().fold(0.0, f64::max);
        let scaled = |weight: f64| (weight / greatest * MOST as f64).round().max(1.0) as u16;
        Some(Self { weights: bounded.into_iter().map(scaled).collect() })
    }

    /// Whether it can be of so many endpoints: somebody takes a turn in every generation.
    pub(crate) fn fits(&self, count: usize) -> bool {
        self.weights.len() == count && self.weights.contains(&u16::MAX)
    }

    /// The endpoint whose turn it is; `next` is the shared counter.
    pub(crate) fn pick(&self, next: impl Fn() -> usize, witness: &mut impl Witness) -> usize {
        loop {
            let sequence = next();
            let (generation, index) =
                (sequence / self.weights.len(), sequence % self.weights.len());
            let weight = u64::from(self.weights[index]);
            witness.saw(index, Figure::Weight(self.weights[index]));
            let sum = weight.wrapping_mul(generation as u64).wrapping_add(index as u64 * OFFSET);
            if sum % MOST >= MOST - weight {
                return index;
            }
            witness.excluded(index, Exclusion::NotItsTurn);
        }
    }
}
