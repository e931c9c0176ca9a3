//! What least_load prefers, endpoint by endpoint.

use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;

use super::*;
use crate::{Outcome, Report};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Long after every ramp.
const START: Duration = Duration::from_secs(60);

fn endpoints(count: usize) -> Vec<Arc<EndpointLoad>> {
    (0..count).map(|_| Arc::new(EndpointLoad::new())).collect()
}

fn report(load: &EndpointLoad, at: Duration, in_flight: u32, service_time_us: u32) {
    let sequence = at.as_millis() as u64;
    let report =
        Report { in_flight, service_time_us, slots: 4, sequence, epoch: 1, ..Report::default() };
    load.report(at, &report).unwrap();
}

/// How often each endpoint is picked in `picks` picks at `at`, and the last regime.
fn shares(endpoints: &[Arc<EndpointLoad>], at: Duration, picks: usize) -> (Vec<f64>, Regime) {
    let policy = LeastLoad::default();
    let mut context = PickContext { now: at, rng: SmallRng::seed_from_u64(7) };
    let mut counts = vec![0; endpoints.len()];
    let mut regime = Regime::Only;
    for _ in 0..picks {
        let pick = policy.pick(endpoints, &mut context).unwrap();
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
        load.finished(last_call, Outcome::Succeeded);
        report(load, last_call, 0, service_time_us);
    }
    assert_eq!(shares(&pool, last_call, 100).0, [1.0, 0.0]);
    // Six seconds on, only the fast one has served, and some calls wait there now; at 15 ms
    // the slow one would still be no better.
    let later = last_call + Duration::from_secs(6);
    pool[0].sent();
    pool[0].finished(later, Outcome::Succeeded);
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
    check(ms(0), 0.08, 0.12);
    check(ms(2500), 0.48, 0.52);
    check(ms(5000), 1.0, 1.0);
}

#[test]
fn failures_cost_more_than_load() {
    let pool = endpoints(2);
    pool[0].sent();
    pool[0].finished(START, Outcome::Failed);
    for _ in 0..10 {
        pool[1].sent();
    }
    assert_eq!(shares(&pool, START, 100).0, [0.0, 1.0]);
}

proptest! {
    /// Whatever the figures, a pick is in range, and its cost is a number.
    #[test]
    fn any_state_has_a_sane_pick(
        count in 0_usize..6,
        reports in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>(), 0_u64..2000), 6),
        seed: u64,
    ) {
        let pool = endpoints(count);
        for (load, (in_flight, slots, service_time_us, at)) in pool.iter().zip(reports) {
            let report = Report { in_flight, slots, service_time_us, ..Report::default() };
            load.report(ms(at), &report).unwrap();
            let cost = Reading::of(load, ms(2000)).expected_time(&Means { strangers: 0.0, service_time_us: 0.0 });
            prop_assert!(cost.is_finite() && cost > 0.0);
        }
        let mut context = PickContext { now: ms(2000), rng: SmallRng::seed_from_u64(seed) };
        match LeastLoad::default().pick(&pool, &mut context) {
            None => prop_assert_eq!(count, 0),
            Some(pick) => prop_assert!(pick.index < count),
        }
    }

    /// Candidates are two different endpoints, each pair as likely as any other.
    #[test]
    fn candidates_differ(count in 2_usize..50, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let [first, second] = two_of(count, &mut rng).unwrap();
        prop_assert!(first != second && first < count && second < count);
    }
}
