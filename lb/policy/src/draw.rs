//! What policies that compare random candidates share: drawing them, passing over those to avoid,
//! and choosing the cheapest with due regard to those that are ramping up.

use std::hint::select_unpredictable;

use rand::{Rng, RngExt, rngs::SmallRng};

use crate::{Endpoints, Exclusion, Figure, PickContext, PickInfo, explain::Witness};

/// A call's turn is given away this many times; when a whole pool is new, somebody has to serve.
const MOST_TURNS_GIVEN_AWAY: usize = 4;
/// And so often the turn of one that is to be avoided.
const MOST_TURNS_PASSED_ON: usize = 4;

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

/// As [`two_of`], among those that are not to be avoided while there is one; so all of them get as many of
/// the calls that were elsewhere already. The same one twice if there is only one.
#[inline]
pub(crate) fn two_allowed(
    count: usize,
    info: PickInfo<'_>,
    rng: &mut SmallRng,
) -> Option<[usize; 2]> {
    if info.avoid.is_empty() { two_of(count, rng) } else { two_of_others(count, info.avoid, rng) }
}

#[cold]
fn two_of_others(count: usize, avoid: &[usize], rng: &mut SmallRng) -> Option<[usize; 2]> {
    let avoid = &avoid[..avoid.partition_point(|one| *one < count)];
    if avoid.len() >= count {
        return two_of(count, rng);
    }
    let ranks = two_of(count - avoid.len(), rng)?;
    Some(ranks.map(|rank| nth_other(rank, avoid)))
}

/// The index that as many others stand before that are not among these, which ascend.
fn nth_other(rank: usize, avoid: &[usize]) -> usize {
    // How many to avoid stand before it: the first of them that at least so many others stand before
    // stands behind it.
    let (mut low, mut high) = (0, avoid.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if avoid[middle] - middle > rank { high = middle } else { low = middle + 1 }
    }
    rank + low
}

/// The first index from this one on, around the end, that is not to be avoided; this one if all are.
/// `None` if there is none at all.
#[inline]
pub(crate) fn next_allowed(index: usize, count: usize, info: PickInfo<'_>) -> Option<usize> {
    if info.avoids(index) {
        return next_other(index, count, info.avoid);
    }
    (index < count).then_some(index)
}

#[cold]
fn next_other(index: usize, count: usize, avoid: &[usize]) -> Option<usize> {
    let from = |index: usize| {
        let place = avoid.partition_point(|one| *one < index);
        let run = avoid[place..].iter().zip(index..).take_while(|(one, next)| *one == next);
        index + run.count()
    };
    let next = Some(from(index)).filter(|next| *next < count);
    let next = next.or_else(|| Some(from(0)).filter(|next| *next < count));
    next.or((index < count).then_some(index))
}

/// The index whose turn it is, by `turn`. One that is to be avoided has its turn passed on a few times
/// before the next one round is taken, which has a turn of its own.
#[inline]
pub(crate) fn allowed_turn(
    count: usize,
    info: PickInfo<'_>,
    mut turn: impl FnMut() -> usize,
) -> Option<usize> {
    let mut index = turn();
    if !info.avoid.is_empty() {
        for _ in 0..MOST_TURNS_PASSED_ON {
            if !info.avoids(index) {
                break;
            }
            index = turn();
        }
    }
    next_allowed(index, count, info)
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
        let index = allowed_turn(endpoints.len(), info, || turn(rng))?;
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
    entered: u32,
}

impl Contest {
    #[inline]
    pub(crate) fn between(one: Candidate, other: Candidate) -> Self {
        Self { one, other, entered: 2 }
    }

    /// One more candidate, unless it is one of the two that lead.
    pub(crate) fn enter(&mut self, candidate: Candidate) {
        if [self.one.index, self.other.index].contains(&candidate.index) {
            return;
        }
        let (first, second) = self.ranked();
        self.entered += 1;
        if candidate.cost < second.cost {
            (self.one, self.other) = (first, candidate);
        }
    }

    /// The cheaper; but one that is ramping up only as often as its ramp admits.
    #[inline]
    pub(crate) fn winner(self, rng: &mut SmallRng, witness: &mut impl Witness) -> usize {
        let Self { one, other, .. } = self;
        if one.ramp < 1.0 || other.ramp < 1.0 {
            return self.winner_by_ramp(rng, witness);
        }
        // Which of two random endpoints is the cheaper no processor can predict: nothing branches on
        // it.
        select_unpredictable(self.other_is_cheaper(), other.index, one.index)
    }

    fn winner_by_ramp(self, rng: &mut SmallRng, witness: &mut impl Witness) -> usize {
        let (first, second) = self.ranked();
        if first.ramp < second.ramp {
            let ramp = first.ramp / second.ramp;
            let wins_by_cost = first.cost < second.cost;
            let kept = if wins_by_cost { ramp * self.share_of_wins(ramp) } else { ramp };
            if rng.random::<f64>() >= kept {
                witness.excluded(first.index, Exclusion::Ramping);
                return second.index;
            }
        }
        first.index
    }

    /// One that gets few calls has few under way, and so is the cheapest of all that it is compared
    /// with, where it should be so in one contest of as many as enter it. What it wins beyond that it is
    /// given slowly at first, and at the end of its ramp as any other.
    fn share_of_wins(&self, ramp: f64) -> f64 {
        let entered = f64::from(self.entered);
        (1.0 + (entered - 1.0) * ramp * ramp) / entered
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
            let avoid = sorted(avoid);
            let info = PickInfo { hash: None, avoid: &avoid };
            let allowed = next_allowed(index.min(count.saturating_sub(1)), count, info);
            match allowed {
                None => prop_assert_eq!(count, 0),
                Some(allowed) => {
                    let all_avoided = (0..count).all(|one| avoid.contains(&one));
                    prop_assert!(allowed < count && (all_avoided || !avoid.contains(&allowed)));
                    let around = (0..count).map(|step| (index.min(count - 1) + step) % count);
                    let first = around.clone().find(|one| !avoid.contains(one));
                    prop_assert_eq!(Some(allowed), first.or(around.clone().next()));
                }
            }
        }

        /// Two that are allowed, different ones, while there are any.
        #[test]
        fn both_are_allowed(
            count in 0_usize..20,
            avoid in prop::collection::vec(0_usize..20, 0..20),
            seed: u64,
        ) {
            let avoid = sorted(avoid);
            let info = PickInfo { hash: None, avoid: &avoid };
            let mut rng = SmallRng::seed_from_u64(seed);
            let allowed = (0..count).filter(|one| !avoid.contains(one)).count();
            match two_allowed(count, info, &mut rng) {
                None => prop_assert_eq!(count, 0),
                Some(two) => {
                    prop_assert!(two.iter().all(|one| *one < count));
                    prop_assert!(allowed == 0 || two.iter().all(|one| !avoid.contains(one)));
                    prop_assert!(allowed == 1 || count == 1 || two[0] != two[1]);
                }
            }
        }
    }

    fn sorted(mut indices: Vec<usize>) -> Vec<usize> {
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    /// Shares of many draws, of `count`.
    fn shares(count: usize, mut draw: impl FnMut(&mut SmallRng) -> usize) -> Vec<f64> {
        const DRAWS: usize = 100_000;
        let mut rng = SmallRng::seed_from_u64(2);
        let mut drawn = vec![0_usize; count];
        (0..DRAWS).for_each(|_| drawn[draw(&mut rng)] += 1);
        drawn.iter().map(|times| *times as f64 / DRAWS as f64).collect()
    }

    #[test]
    fn whoever_is_not_avoided_gets_as_much_as_any_other() {
        let info = PickInfo { hash: None, avoid: &[1, 2, 5] };
        let pairs = shares(6, |rng| two_allowed(6, info, rng).unwrap()[rng.random_range(0..2)]);
        let random = shares(6, |rng| allowed_turn(6, info, || one_of(6, rng)).unwrap());
        let mut turns = 0..;
        let turns = shares(6, |_| allowed_turn(6, info, || turns.next().unwrap() % 6).unwrap());
        for shares in [pairs, random, turns] {
            for (index, share) in shares.iter().enumerate() {
                let expected = if info.avoids(index) { 0.0 } else { 1.0 / 3.0 };
                assert!((share - expected).abs() < 0.02, "{index}: {shares:?}");
            }
        }
    }

    /// The share of one among five that is as far up its ramp, in contests of so many, of what each has
    /// without any: its cost, where that of the others is 1.
    fn share_when_ramping(ramp: f64, cost: f64, choices: usize) -> f64 {
        let candidate = |index| match index {
            0 => Candidate { index, cost, ramp },
            _ => Candidate { index, cost: 1.0, ramp: 1.0 },
        };
        let shares = shares(5, |rng| {
            let [one, other] = two_of(5, rng).unwrap();
            let mut contest = Contest::between(candidate(one), candidate(other));
            (2..choices).for_each(|_| contest.enter(candidate(one_of(5, rng))));
            contest.winner(rng, &mut ())
        });
        shares[0] * 5.0
    }

    #[test]
    fn one_that_wins_because_it_is_new_gets_what_its_ramp_says() {
        for (ramp, choices) in [(0.1, 2), (0.2, 2), (0.1, 3), (0.2, 3)] {
            let share = share_when_ramping(ramp, 0.0, choices);
            assert!((0.8..1.2).contains(&(share / ramp)), "{ramp}, {choices}: {share}");
            let share = share_when_ramping(ramp, 1.0, 2);
            assert!((0.8..1.2).contains(&(share / ramp)), "{ramp}, as the others: {share}");
        }
        let mut last = 0.0;
        for ramp in [0.1, 0.3, 0.5, 0.7, 0.9, 1.0] {
            let share = share_when_ramping(ramp, 0.0, 2);
            assert!(share > last, "{ramp}: {share} after {last}");
            last = share;
        }
        assert!((1.9..2.1).contains(&last), "at the end of it as any other: {last}");
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
