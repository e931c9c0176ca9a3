//! One thread's picks without calls: what it costs to explain some of them, for the benchmarks.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::SmallRng};
use strife_policy::{InvalidPolicy, Pick, PickContext, PickInfo, Ramp};
use strife_runtime::tls::Expected;

use super::{PickRecorder, Sampler};
use crate::{
    endpoint::Endpoint,
    health::Evidence,
    pool,
    snapshot::{Member, Snapshot, State},
};

/// Whatever share of the endpoints is well.
const NEVER_PANICS: u8 = 0;

/// A pool that is picked from as calls do.
pub struct SampledPicks {
    snapshot: Snapshot,
    sampler: Option<Sampler>,
    recorder: PickRecorder,
    context: PickContext,
}

impl SampledPicks {
    /// Of so many endpoints under this policy. `every`: one pick in so many is explained, 0: none;
    /// `None`: nobody asks whether one is to be.
    pub fn new(policy: &str, endpoints: usize, every: Option<u64>) -> Result<Self, InvalidPolicy> {
        let now = Duration::from_secs(60);
        let member = |n| {
            let (address, expected) = (format!("10.0.0.1:{n}"), Expected::of_pool("default"));
            let (ramp, evidence) = (Ramp::default(), Evidence::default());
            let endpoint = Endpoint::new(&address, expected, ramp, NonZeroUsize::MIN, evidence);
            endpoint.load.joined(Duration::ZERO);
            (0..n % 5).for_each(|_| endpoint.load.sent());
            Member { state: State::Ready, ..Member::new(endpoint) }
        };
        let members = (0..endpoints).map(member).collect();
        Ok(Self {
            snapshot: Snapshot::new(members, pool::chosen(policy)?, now, NEVER_PANICS),
            sampler: every.map(|every| Sampler::new(Arc::default(), every)),
            recorder: PickRecorder::default(),
            context: PickContext { now, rng: SmallRng::seed_from_u64(1) },
        })
    }

    /// One pick.
    pub fn pick(&mut self) -> Option<Pick> {
        let Self { snapshot, sampler, recorder, context } = self;
        let info = PickInfo::default();
        if let Some(sampler) = sampler
            && let Some(due) = sampler.due(context)
        {
            return sampler.explain(due, recorder, "default", snapshot, info, context);
        }
        snapshot.picker.pick(info, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_picks_find_an_endpoint() {
        for every in [None, Some(0), Some(1), Some(10)] {
            let mut picks = SampledPicks::new("least_load", 15, every).unwrap();
            assert!((0..100).all(|_| picks.pick().is_some()), "{every:?}");
        }
    }
}
