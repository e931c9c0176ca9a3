//! What policies that compare random candidates share: drawing them, passing over those to avoid,
//! and choosing the cheapest with due regard to those that are ramping up.

use std::hint::select_unpredictable;

use rand::{Rng, RngExt, rngs::SmallRng};

use crate::{Endpoints, Exclusion, Figure, PickContext, PickInfo, explain::Witness};

/// A call's turn is given away this many times; when a whole pool is new, somebody has to serve.
const MOST_TURNS_GIVEN_AWAY: usize = 4;

/// An index below `count`; 0 if there is none.
#[inline]
pub(crate) fn one_of(count: usize, rng: &mut SmallRng) -> usize {
    below(rng.next_u64() >> 32, count)
}

/// Two different indices below `count`; the same one twice if there is only one.
#[inline]
pub(crate) fn two_of(count: usize, rng: &mut SmallRng) -> Option<[usize; 2]> {
    if count < 2 {
        return (count == 1).then_some([0, 0]);
    }
    let random = rng.next_u64();
    let first = below(random >> 32, count);
    let second = below(random & u64::from(u32::MAX), count - 1);
    Some([first, second + usize::from(second >= first)])
}

/// 32 random bits as an index (Lemire's product, without his correction: no pool is so large that it
/// would be seen).
#[inline]
fn below(random: u64, count: usize) -> usize {
    ((random * count as u64) >> 32) as usize
}

/// The first index from this one on, around the end, that is not to be avoided; this one if all are.
/// `None` if there is none at all.
#[inline]
pub(crate) fn next_allowed(index: usize, count: usize, info: PickInfo<'_>) -> Option<usize> {
    if info.avoid.is_empty() {
        return (index < count).then_some(index);
    }
    let mut around = (0..count).map(|step| (index + step) % count);
    let allowed = around.find(|one| !info.avoid.contains(one));
    allowed.or((index < count).then_some(index))
}

/// The endpoint whose turn it is, by `turn`; one that is ramping up gives turns away, and keeps as
/// many as its ramp says.
#[inline]
pub(crate) fn ramped_turn(
    endpoints: &Endpoints,
    info: PickInfo<'_>,
    context: &mut PickContext,
    witness: &mut impl Witness,
    mut turn: impl FnMut(&mut SmallRng) -> usize,
) -> Option<usize> {
    ramped(endpoints, context, witness, |rng, witness| {
        let index = next_allowed(turn(rng), endpoints.len(), info)?;
        witness.saw(index, Figure::None);
        Some(index)
    })
}

/// The same of turns that may be taken, and that the witness knows.
#[inline]
pub(crate) fn ramped<W: Witness>(
    endpoints: &Endpoints,
    context: &mut PickContext,
    witness: &mut W,
    mut turn: impl FnMut(&mut SmallRng, &mut W) -> Option<usize>,
) -> Option<usize> {
    let mut given_away = 0;
    loop {
        let index = turn(&mut context.rng, witness)?;
        let ramp = endpoints[index].ramp(context.now);
        let keeps = ramp >= 1.0 || context.rng.random::<f64>() < ramp;
        if keeps || given_away == MOST_TURNS_GIVEN_AWAY {
            return Some(index);
        }
        witness.excluded(index, Exclusion::Ramping);
        given_away += 1;
    }
}

/// One that may get the call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) index: usize,
    pub(crate) cost: f64,
    /// Share of its normal traffic it should get.
    pub(crate) ramp: f64,
}

/// The two cheapest of some candidates, in the order they entered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contest {
    one: Candidate,
    other: Candidate,
}

impl Contest {
    #[inline]
    pub(crate) fn between(one: Candidate, other: Candidate) -> Self {
        Self { one, other }
    }

    /// One more candidate.
    pub(crate) fn enter(&mut self, candidate: Candidate) {
        let (first, second) = self.ranked();
        if candidate.cost < second.cost {
            *self = Self { one: first, other: candidate };
        }
    }

    /// The cheaper; but one that is ramping up only as often as its ramp admits.
    #[inline]
    pub(crate) fn winner(self, rng: &mut SmallRng, witness: &mut impl Witness) -> usize {
        let Self { one, other } = self;
        if one.ramp < 1.0 || other.ramp < 1.0 {
            return self.winner_by_ramp(rng, witness);
        }
        // Which of two random endpoints is the cheaper no processor can predict: nothing branches on
        // it.
        select_unpredictable(self.other_is_cheaper(), other.index, one.index)
    }

    fn winner_by_ramp(self, rng: &mut SmallRng, witness: &mut impl Witness) -> usize {
        let (first, second) = self.ranked();
        if first.ramp < second.ramp && rng.random::<f64>() >= first.ramp / second.ramp {
            witness.excluded(first.index, Exclusion::Ramping);
            return second.index;
        }
        first.index
    }

    /// Of equals the earlier one is first, so equals that come in random order get equal shares.
    fn ranked(self) -> (Candidate, Candidate) {
        if self.other_is_cheaper() { (self.other, self.one) } else { (self.one, self.other) }
    }

    #[inline]
    fn other_is_cheaper(&self) -> bool {
        self.other.cost < self.one.cost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    proptest! {
        /// Candidates are two different endpoints.
        #[test]
        fn candidates_differ(count in 2_usize..50, seed: u64) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let [first, second] = two_of(count, &mut rng).unwrap();
            prop_assert!(first != second && first < count && second < count);
        }

        /// Whatever is to be avoided is, while there is anything else.
        #[test]
        fn the_next_allowed_is_allowed(
            index in 0_usize..20,
            count in 0_usize..20,
            avoid in prop::collection::vec(0_usize..20, 0..20),
        ) {
            let info = PickInfo { hash: None, avoid: &avoid };
            let allowed = next_allowed(index.min(count.saturating_sub(1)), count, info);
            match allowed {
                None => prop_assert_eq!(count, 0),
                Some(allowed) => {
                    let all_avoided = (0..count).all(|one| avoid.contains(&one));
                    prop_assert!(allowed < count && (all_avoided || !avoid.contains(&allowed)));
                }
            }
        }
    }

    #[test]
    fn every_pair_is_as_likely_as_any_other() {
        const DRAWS: usize = 60_000;
        let mut rng = SmallRng::seed_from_u64(1);
        let mut pairs = std::collections::BTreeMap::<_, usize>::new();
        for _ in 0..DRAWS {
            *pairs.entry(two_of(4, &mut rng).unwrap()).or_default() += 1;
        }
        assert_eq!(pairs.len(), 12);
        for (pair, times) in pairs {
            let share = times as f64 * 12.0 / DRAWS as f64;
            assert!((0.9..1.1).contains(&share), "{pair:?}: {share}");
        }
    }
}
