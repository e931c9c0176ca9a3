//! Picks that were written down, to be looked at and made again.
//!
//! A trace holds all that its pick depended on: the policy, the seed, the time, the call, what the
//! picker remembered and what was known of the endpoints. [`replay`] builds these anew and runs the
//! very same code. A trace that was taken while other threads sent calls may be a call apart from what
//! its pick saw.

use std::{sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    EndpointLoad, EndpointState, Explanation, InvalidPolicy, Pick, PickContext, PickInfo, Picker,
    by_spec, load::LONGEST,
};

/// Up to so many endpoints, a trace holds what was known of all of them; beyond that, of those the
/// pick looked at.
pub const MOST_TRACED_ENDPOINTS: usize = 256;
/// More endpoints than any pool has: a trace that says so is damaged.
const MOST_ENDPOINTS: usize = 1 << 20;

/// A pick, written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PickTrace {
    /// When it was made, in milliseconds since 1970.
    pub time_unix_ms: u64,
    /// The pool.
    pub pool: String,
    /// The policy with its parameters, as [`by_spec`] takes it.
    pub policy: String,
    /// Time since the balancer started.
    pub now: Duration,
    /// Of the generator that the pick drew from.
    pub seed: u64,
    /// [`PickInfo::hash`].
    pub hash: Option<u64>,
    /// [`PickInfo::avoid`].
    pub avoid: Vec<usize>,
    /// What was chosen; `None`: there was no endpoint.
    pub pick: Option<Pick>,
    /// What the pick rested on.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// Endpoints there were to choose from.
    pub endpoint_count: usize,
    /// What was known of them, by index.
    pub endpoints: Vec<(usize, EndpointState)>,
}

/// Why a trace cannot be replayed.
#[derive(Debug, Error)]
pub enum InvalidTrace {
    /// Of a policy that this program does not have.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// The picker's memory is none of this policy.
    #[error("the picker's memory is damaged: {0}")]
    Memory(#[from] serde_json::Error),
    /// Its pick depended on more endpoints than it holds.
    #[error("{policy} depends on all {count} endpoints, and the trace holds {traced} of them")]
    Incomplete {
        /// The policy.
        policy: String,
        /// Endpoints there were.
        count: usize,
        /// Endpoints it holds.
        traced: usize,
    },
    /// A figure of it is beyond all bounds.
    #[error("the trace is damaged: {figure} of endpoint {index}")]
    Figure {
        /// The endpoint.
        index: usize,
        /// As the trace calls it.
        figure: &'static str,
    },
    /// It was made later than any balancer runs.
    #[error("the trace is damaged: it was made {0:?} after the balancer's start")]
    Time(Duration),
    /// It counts more endpoints than a pool has, or holds one that it does not count.
    #[error("the trace is damaged: endpoint {index} of {count}")]
    Endpoint {
        /// The endpoint.
        index: usize,
        /// Endpoints there were.
        count: usize,
    },
}

/// Where and when a pick is made.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Milliseconds since 1970.
    pub time_unix_ms: u64,
    /// The pool.
    pub pool: &'a str,
    /// The policy the picker is of, as [`by_spec`] takes it.
    pub policy: &'a str,
}

impl PickTrace {
    /// Picks, and writes down why. The generator is seeded for this one pick.
    pub fn of_pick(
        picker: &dyn Picker,
        origin: Origin<'_>,
        info: PickInfo<'_>,
        now: Duration,
        seed: u64,
    ) -> Self {
        let mut context = PickContext { now, rng: SmallRng::seed_from_u64(seed) };
        let mut explanation = Explanation::default();
        let pick = picker.explain(info, &mut context, &mut explanation);
        let endpoints = picker.endpoints();
        let state = |index: usize| Some((index, endpoints.get(index)?.state(now)));
        let traced = if endpoints.len() <= MOST_TRACED_ENDPOINTS {
            (0..endpoints.len()).filter_map(state).collect()
        } else {
            explanation.candidates.iter().filter_map(|candidate| state(candidate.index)).collect()
        };
        Self {
            time_unix_ms: origin.time_unix_ms,
            pool: origin.pool.to_owned(),
            policy: origin.policy.to_owned(),
            now,
            seed,
            hash: info.hash,
            avoid: info.avoid.to_vec(),
            pick,
            explanation,
            endpoint_count: endpoints.len(),
            endpoints: traced,
        }
    }
}

/// The pick that the traced one's circumstances lead to: the traced one, if nothing is wrong.
pub fn replay(trace: &PickTrace) -> Result<Option<Pick>, InvalidTrace> {
    let policy = by_spec(&trace.policy)?;
    let (count, traced) = (trace.endpoint_count, trace.endpoints.len());
    if policy.needs_all_endpoints() && traced < count {
        return Err(InvalidTrace::Incomplete { policy: trace.policy.clone(), count, traced });
    }
    if count > MOST_ENDPOINTS {
        return Err(InvalidTrace::Endpoint { index: count, count });
    }
    if trace.now > LONGEST {
        return Err(InvalidTrace::Time(trace.now));
    }
    let mut endpoints = vec![Arc::<EndpointLoad>::default(); count];
    for (index, state) in &trace.endpoints {
        let place = endpoints.get_mut(*index);
        let place = place.ok_or(InvalidTrace::Endpoint { index: *index, count })?;
        if let Some(figure) = state.damage() {
            return Err(InvalidTrace::Figure { index: *index, figure });
        }
        *place = Arc::new(EndpointLoad::of_state(state, trace.now));
    }
    let picker = policy.recalled(endpoints.into(), trace.now, &trace.explanation.memory)?;
    // As it was written it ascends.
    let mut avoid = trace.avoid.clone();
    avoid.sort_unstable();
    avoid.dedup();
    let info = PickInfo { hash: trace.hash, avoid: &avoid };
    let mut context = PickContext { now: trace.now, rng: SmallRng::seed_from_u64(trace.seed) };
    Ok(picker.pick(info, &mut context))
}
