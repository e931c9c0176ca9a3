//! Policies that do not look at load: whose turn it is, over any window.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use strife_policy::{Orca, PickInfo, Picker, Regime, by_spec, hash};

use super::{NOW, context, endpoints, picks};

const ANY: PickInfo<'_> = PickInfo { hash: None, avoid: &[] };

#[test]
fn pick_first_stays_until_its_choice_is_gone() {
    let pool = endpoints(3);
    let check = |spec: &str, expected: [usize; 5]| {
        let policy = by_spec(spec).unwrap();
        // The first one is lost and comes back; then the second one is lost and comes back.
        let ready =
            [&pool[..], &pool[1..], &pool[..], &[pool[0].clone(), pool[2].clone()], &pool[..]];
        for (ready, expected) in ready.into_iter().zip(expected) {
            let picker = policy.picker(ready.into(), NOW);
            assert_eq!(picks(&*picker, ANY, 5), [expected; 5], "{spec}");
        }
    };
    check("pick_first", [0, 0, 1, 0, 0]);
    check("pick_first:failback=true", [0, 0, 0, 0, 0]);
}

#[test]
fn turns_go_on_when_endpoints_come_and_go() {
    let policy = by_spec("round_robin").unwrap();
    let pool = endpoints(4);
    assert_eq!(picks(&*policy.picker(pool.clone(), NOW), ANY, 6), [0, 1, 2, 3, 0, 1]);
    assert_eq!(picks(&*policy.picker(pool, NOW), ANY, 3), [2, 3, 0]);
}

#[test]
fn weights_expire_and_have_to_prove_themselves_again() {
    let policy = by_spec("weighted_round_robin").unwrap();
    let pool = endpoints(2);
    let report = |at| {
        for load in pool.iter() {
            load.orca(at, &Orca { cpu_utilization: 0.5, rps: 100.0, ..Orca::default() }).unwrap();
        }
    };
    let check = |seconds, expected| {
        let now = NOW + Duration::from_secs(seconds);
        let pick = policy.picker(pool.clone(), now).pick(ANY, &mut context(1)).unwrap();
        assert_eq!(pick.regime, expected, "{seconds} s");
    };
    check(0, Regime::Unweighted);
    report(NOW);
    check(9, Regime::Unweighted);
    check(10, Regime::Weighted);
    check(179, Regime::Weighted);
    check(180, Regime::Unweighted);
    report(NOW + Duration::from_secs(200));
    check(209, Regime::Unweighted);
    check(210, Regime::Weighted);
    // It was away: what it reported before is of another process, perhaps.
    pool.iter().for_each(|load| load.joined(NOW + Duration::from_secs(220)));
    check(220, Regime::Unweighted);
}

#[test]
fn the_same_value_goes_to_the_same_server_in_every_process() {
    assert_eq!(hash(b"john_doe"), 0x206d6d0db2279ae7);
    let picker = by_spec("ring_hash").unwrap().picker(endpoints(12), NOW);
    let owner = |value: &str| {
        let info = PickInfo { hash: Some(hash(value.as_bytes())), avoid: &[] };
        picks(&*picker, info, 3)
    };
    assert_eq!(["alice", "bob", "carol"].map(owner), [[11; 3], [0; 3], [3; 3]]);
}

#[test]
fn a_ring_is_shared_evenly() {
    let picker = by_spec("ring_hash").unwrap().picker(endpoints(12), NOW);
    let mut counts = [0_u32; 12];
    for value in 0..120_000_u64 {
        let info = PickInfo { hash: Some(hash(&value.to_le_bytes())), avoid: &[] };
        counts[picks(&*picker, info, 1)[0]] += 1;
    }
    assert!(counts.iter().all(|count| (9_000..11_000).contains(count)), "{counts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A value moves only if its endpoint left, or to the one that came.
    #[test]
    fn a_ring_moves_what_it_must(count in 2_usize..20, leaves in 0_usize..20, values in prop::collection::vec(any::<u64>(), 100)) {
        let (policy, pool) = (by_spec("ring_hash:ring_size=1024").unwrap(), endpoints(count));
        let leaves = leaves % count;
        let mut left = pool.to_vec();
        left.remove(leaves);
        let (before, after) = (policy.picker(pool, NOW), policy.picker(left.into(), NOW));
        for value in values {
            let info = PickInfo { hash: Some(value), avoid: &[] };
            let owner = picks(&*before, info, 1)[0];
            let new_owner = picks(&*after, info, 1)[0];
            let new_owner = new_owner + usize::from(new_owner >= leaves);
            prop_assert!(owner == leaves || owner == new_owner);
        }
    }

    /// However a pool came to be what it is, its ring is the same.
    #[test]
    fn a_ring_has_no_history(
        members in prop::collection::vec(prop::collection::vec(any::<bool>(), 12), 1..6),
        values in prop::collection::vec(any::<u64>(), 100),
    ) {
        let (all, policy) = (endpoints(12), by_spec("ring_hash:ring_size=1024").unwrap());
        let mut grown = policy.picker(Arc::new([]), NOW);
        let mut last = Vec::new();
        for present in members {
            let those = all.iter().zip(present).filter(|(_, is_there)| *is_there);
            last = those.map(|(load, _)| load.clone()).collect();
            grown = policy.picker(last.clone().into(), NOW);
        }
        let fresh = by_spec("ring_hash:ring_size=1024").unwrap().picker(last.into(), NOW);
        for value in values {
            let info = PickInfo { hash: Some(value), avoid: &[] };
            let owner = |picker: &dyn Picker| picker.pick(info, &mut context(1)).map(|it| it.index);
            prop_assert_eq!(owner(&*grown), owner(&*fresh));
        }
    }

    /// Over any window, any two endpoints differ by one call at most.
    #[test]
    fn round_robin_is_exact_over_any_window(count in 1_usize..40, skip in 0_usize..100, window in 1_usize..400) {
        let picker = by_spec("round_robin").unwrap().picker(endpoints(count), NOW);
        picks(&*picker, ANY, skip);
        let mut calls = vec![0_u32; count];
        for index in picks(&*picker, ANY, window) {
            calls[index] += 1;
        }
        let (most, least) = (calls.iter().max().unwrap(), calls.iter().min().unwrap());
        prop_assert!(most - least <= 1, "{calls:?}");
    }

    /// Over any window an endpoint has its share of the turns, but for those of two generations.
    #[test]
    fn weighted_turns_follow_the_weights_over_any_window(
        utilizations in prop::collection::vec(0.1_f64..1.0, 2..40),
        skip in 0_usize..1000,
        window in 1_usize..4000,
    ) {
        let pool = endpoints(utilizations.len());
        for (load, cpu_utilization) in pool.iter().zip(&utilizations) {
            let orca = Orca { cpu_utilization: *cpu_utilization, rps: 100.0, ..Orca::default() };
            load.orca(NOW, &orca).unwrap();
        }
        let policy = by_spec("weighted_round_robin:blackout_period=0s").unwrap();
        let picker = policy.picker(pool.clone(), NOW);
        picks(&*picker, ANY, skip);
        let mut turns = vec![0.0; pool.len()];
        for index in picks(&*picker, ANY, window) {
            turns[index] += 1.0;
        }
        let total: f64 = utilizations.iter().map(|one| 1.0 / one).sum();
        for (turns, utilization) in turns.iter().zip(&utilizations) {
            let share = 1.0 / utilization / total;
            let bound = 2.0 + 2.0 * share * pool.len() as f64;
            let expected = share * window as f64;
            prop_assert!((turns - expected).abs() <= bound, "{turns} turns instead of {expected}");
        }
    }
}
