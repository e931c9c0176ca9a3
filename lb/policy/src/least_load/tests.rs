//! What least_load prefers, endpoint by endpoint.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::{EndpointLoad, Outcome, Ramp, Report};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Long after every ramp.
const START: Duration = Duration::from_secs(60);

fn endpoints(count: usize) -> Vec<Arc<EndpointLoad>> {
    (0..count).map(|_| Arc::new(EndpointLoad::new("server:1", Ramp::default()))).collect()
}

fn report(load: &EndpointLoad, at: Duration, in_flight: u32, service_time_us: u32) {
    let sequence = at.as_millis() as u64;
    let report =
        Report { in_flight, service_time_us, slots: 4, sequence, epoch: 1, ..Report::default() };
    load.report(at, &report).unwrap();
}

/// How often each endpoint is picked in `picks` picks at `at`, and the last regime.
fn shares(endpoints: &[Arc<EndpointLoad>], at: Duration, picks: usize) -> (Vec<f64>, Regime) {
    let picker = LeastLoad.picker(endpoints.into(), at);
    let mut context = PickContext { now: at, rng: SmallRng::seed_from_u64(7) };
    let mut counts = vec![0; endpoints.len()];
    let mut regime = Regime::Only;
    for _ in 0..picks {
        let pick = picker.pick(PickInfo::default(), &mut context).unwrap();
        counts[pick.index] += 1;
        regime = pick.regime;
    }
    (counts.iter().map(|count| f64::from(*count) / picks as f64).collect(), regime)
}

#[test]
fn the_regime_follows_the_age_of_the_reports() {
    let pool = endpoints(2);
    assert_eq!(shares(&pool, START, 1).1, Regime::InFlight);
    for load in &pool {
        report(load, START, 1, 5000);
    }
    let check = |age, expected| assert_eq!(shares(&pool, START + age, 1).1, expected, "{age:?}");
    check(ms(0), Regime::Fresh);
    check(ms(100), Regime::Fresh);
    check(ms(101), Regime::Decayed);
    check(ms(499), Regime::Decayed);
    check(ms(500), Regime::InFlight);
    check(ms(60_000), Regime::InFlight);
}

#[test]
fn without_reports_fewer_calls_in_flight_win() {
    let pool = endpoints(2);
    pool[0].sent();
    assert_eq!(shares(&pool, START, 100).0, [0.0, 1.0]);
}

#[test]
fn what_was_sent_since_the_report_counts() {
    let pool = endpoints(2);
    report(&pool[0], START, 4, 5000);
    report(&pool[1], START, 5, 5000);
    assert_eq!(shares(&pool, START, 100).0, [1.0, 0.0]);
    for _ in 0..2 {
        pool[0].sent();
    }
    assert_eq!(shares(&pool, START, 100).0, [0.0, 1.0]);
}

#[test]
fn a_look_aside_pick_counts_until_its_lease_ends() {
    let pool = endpoints(2);
    pool[0].lease(START);
    assert_eq!(shares(&pool, START, 100).0, [0.0, 1.0]);
    let (after, _) = shares(&pool, START + crate::LEASE, 1000);
    assert!(after[0] > 0.4, "{after:?}");
}

#[test]
fn a_slow_endpoint_that_was_left_alone_is_tried_again() {
    let pool = endpoints(2);
    let last_call = START;
    for (load, service_time_us) in pool.iter().zip([5_000, 15_000]) {
        load.sent();
        load.finished(last_call, Outcome::Succeeded, ms(5));
        report(load, last_call, 0, service_time_us);
    }
    assert_eq!(shares(&pool, last_call, 100).0, [1.0, 0.0]);
    // Six seconds on, only the fast one has served, and some calls wait there now; at 15 ms
    // the slow one would still be no better.
    let later = last_call + Duration::from_secs(6);
    pool[0].sent();
    pool[0].finished(later, Outcome::Succeeded, ms(5));
    report(&pool[0], later, 6, 5_000);
    report(&pool[1], later, 0, 15_000);
    assert_eq!(shares(&pool, later, 100).0, [0.0, 1.0]);
}

#[test]
fn a_new_endpoint_gets_a_floor_of_traffic_and_then_more() {
    let pool = endpoints(2);
    pool[0].sent();
    pool[1].joined(START);
    let check = |age, low, high| {
        let (share, _) = shares(&pool, START + age, 10_000);
        assert!((low..=high).contains(&share[1]), "{share:?} after {age:?}");
    };
    // A tenth of its half, and somewhat more than half of it.
    check(ms(0), 0.04, 0.06);
    check(ms(500), 0.28, 0.34);
    check(ms(1000), 1.0, 1.0);
}

#[test]
fn failures_cost_more_than_load() {
    let pool = endpoints(2);
    for _ in 0..10 {
        pool[1].sent();
    }
    let fail = || {
        pool[0].sent();
        pool[0].finished(START, Outcome::Failed, ms(1));
        shares(&pool, START, 100).0
    };
    assert_eq!(fail(), [1.0, 0.0], "one failure is none");
    assert_eq!(fail(), [0.0, 1.0]);
}

#[test]
fn a_server_that_sends_orca_alone_is_judged_by_its_capacity() {
    let pool = endpoints(2);
    for (load, rps) in pool.iter().zip([100.0, 300.0]) {
        let orca = crate::Orca { cpu_utilization: 0.5, rps, ..crate::Orca::default() };
        load.sent();
        load.finished(START, Outcome::Succeeded, ms(5));
        load.orca(START, &orca).unwrap();
    }
    let (share, regime) = shares(&pool, START, 100);
    assert_eq!((share, regime), (vec![0.0, 1.0], Regime::Fresh));
    // Three times the capacity, so two calls of three less still go there.
    (0..2).for_each(|_| pool[1].sent());
    assert_eq!(shares(&pool, START, 100).0, [0.0, 1.0]);
    (0..8).for_each(|_| pool[1].sent());
    assert_eq!(shares(&pool, START, 100).0, [1.0, 0.0]);
}

#[test]
fn orca_beside_reports_counts_only_once_they_have_ended() {
    let pool = endpoints(2);
    let busy = crate::Orca { cpu_utilization: 0.1, rps: 100.0, ..crate::Orca::default() };
    for at in [START, START + ms(100)] {
        for load in &pool {
            load.orca(at, &busy).unwrap();
            report(load, at, 1, 5000);
        }
    }
    let check = |age, expected| assert_eq!(shares(&pool, START + age, 1).1, expected, "{age:?}");
    pool.iter().for_each(|load| load.orca(START + ms(101), &busy).unwrap());
    // Reports come more often, so they are distrusted sooner than ORCA, which said as much before.
    for at in [102, 104, 109] {
        pool.iter().for_each(|load| report(load, START + ms(at), 1, 5000));
    }
    check(ms(600), Regime::InFlight);
    pool.iter().for_each(|load| load.orca(START + ms(700), &busy).unwrap());
    check(ms(710), Regime::Fresh);
}

#[test]
fn whoever_does_not_say_how_many_it_serves_is_taken_for_the_others() {
    let pool = endpoints(2);
    report(&pool[0], START, 2, 5000);
    let silent =
        Report { in_flight: 2, service_time_us: 5000, sequence: 1, epoch: 1, ..Report::default() };
    pool[1].report(START, &silent).unwrap();
    let (share, _) = shares(&pool, START, 1000);
    assert!((0.45..0.55).contains(&share[0]), "{share:?}");
}

#[test]
fn a_figure_that_is_made_up_draws_few_calls() {
    let sane =
        Report { in_flight: 2, slots: 4, service_time_us: 5000, sequence: 1, ..Report::default() };
    for absurd in [
        Report { service_time_us: 1, ..sane },
        Report { slots: u32::MAX, ..sane },
        Report { slots: u32::MAX, service_time_us: 1, in_flight: 0, ..sane },
        Report { slots: 0, service_time_us: 0, in_flight: 0, ..sane },
    ] {
        let pool = endpoints(4);
        for load in &pool[1..] {
            load.report(START, &sane).unwrap();
        }
        pool[0].report(START, &absurd).unwrap();
        let picker = LeastLoad.picker(pool.clone().into(), START);
        let mut context = PickContext { now: START, rng: SmallRng::seed_from_u64(1) };
        // Nobody answers, so what is sent there piles up.
        for _ in 0..20_000 {
            let pick = picker.pick(PickInfo::default(), &mut context).unwrap();
            pool[pick.index].sent();
        }
        // It is in every second pair of candidates; the others have the rest.
        assert!(pool[0].in_flight() <= 10_500, "{absurd:?}: {}", pool[0].in_flight());
        let least = pool[1..].iter().map(|load| load.in_flight()).min().unwrap();
        assert!(least > 3000, "{absurd:?}: {least}");
    }
}

proptest! {
    /// Whatever servers report, every cost is a number and every pick in range.
    #[test]
    fn any_report_has_a_sane_cost(
        reports in prop::collection::vec(
            (any::<u32>(), any::<u32>(), any::<u32>(), 0_u64..2000, 0.0..f64::MAX, 0.0..f64::MAX), 0..6),
        failures in 0_usize..3,
        seed: u64,
    ) {
        let pool = endpoints(reports.len());
        for (load, (in_flight, slots, service_time_us, at, utilization, rps)) in pool.iter().zip(reports) {
            let report = Report { in_flight, slots, service_time_us, ..Report::default() };
            load.report(ms(at), &report).unwrap();
            let orca = crate::Orca { cpu_utilization: utilization, rps, ..crate::Orca::default() };
            load.orca(ms(2000), &orca).unwrap();
            (0..failures).for_each(|_| load.sent());
            (0..failures).for_each(|_| load.finished(ms(2000), Outcome::Failed, ms(1)));
        }
        let pool: Endpoints = pool.into();
        let means = Means::over(&pool, ms(2000));
        for load in pool.iter() {
            let estimate = Estimate::of(load, ms(2000), &means.into());
            for known in [0.0, 1.0, u32::MAX as f32] {
                let costs = [estimate.expected_time_us(known), estimate.in_flight_cost(known)];
                prop_assert!(costs.iter().all(|cost| cost.is_finite() && *cost > 0.0), "{estimate:?}");
            }
        }
        let mut context = PickContext { now: ms(2000), rng: SmallRng::seed_from_u64(seed) };
        match LeastLoad.picker(pool.clone(), ms(2000)).pick(PickInfo::default(), &mut context) {
            None => prop_assert_eq!(pool.len(), 0),
            Some(pick) => prop_assert!(pick.index < pool.len()),
        }
    }
}
