//! Whole-policy properties, on a virtual clock: what a policy does to a fleet, not to one pick.

mod simulator;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};
use strife_policy::{EndpointLoad, PickContext, Policy, Regime, by_spec};

use crate::simulator::{Fleet, Server, simulate};

fn endpoints(count: usize) -> Vec<Arc<EndpointLoad>> {
    (0..count).map(|_| Arc::new(EndpointLoad::new())).collect()
}

fn context(seed: u64) -> PickContext {
    PickContext { now: Duration::from_secs(60), rng: SmallRng::seed_from_u64(seed) }
}

fn picks(policy: &dyn Policy, endpoints: &[Arc<EndpointLoad>], count: usize) -> Vec<usize> {
    let mut context = context(1);
    (0..count)
        .map(|_| policy.pick(endpoints, &mut context).expect("there are endpoints").index)
        .collect()
}

#[test]
fn no_endpoint_no_pick_and_any_number_of_them_is_served() {
    for (name, _) in strife_policy::POLICIES {
        let policy = by_spec(name).unwrap();
        assert_eq!(policy.pick(&[], &mut context(1)), None, "{name}");
        for count in [1, 2, 10_000] {
            let pool = endpoints(count);
            assert!(picks(&*policy, &pool, 1000).iter().all(|index| *index < count), "{name}");
        }
    }
}

#[test]
fn pick_first_stays_until_its_choice_is_gone() {
    let policy = by_spec("pick_first").unwrap();
    let pool = endpoints(3);
    assert_eq!(picks(&*policy, &pool, 5), [0; 5]);
    // The first one is lost, and comes back.
    assert_eq!(picks(&*policy, &pool[1..], 5), [0; 5]);
    assert_eq!(picks(&*policy, &pool, 5), [1; 5]);
    assert_eq!(picks(&*policy, &pool[2..], 5), [0; 5]);
    assert_eq!(picks(&*policy, &pool, 5), [2; 5]);
}

proptest! {
    /// Over any window, any two endpoints differ by one call at most.
    #[test]
    fn round_robin_is_exact_over_any_window(count in 1_usize..40, skip in 0_usize..100, window in 1_usize..400) {
        let policy = by_spec("round_robin").unwrap();
        let pool = endpoints(count);
        picks(&*policy, &pool, skip);
        let mut calls = vec![0_u32; count];
        for index in picks(&*policy, &pool, window) {
            calls[index] += 1;
        }
        let (most, least) = (calls.iter().max().unwrap(), calls.iter().min().unwrap());
        prop_assert!(most - least <= 1, "{calls:?}");
    }
}

#[test]
fn least_load_splits_an_even_fleet_evenly_however_old_the_reports() {
    for (interval_ms, balancers) in [(100, 1), (1000, 1), (100, 8), (1000, 8)] {
        let fleet = Fleet {
            servers: vec![Server::default(); 12],
            balancers,
            report_interval: Duration::from_millis(interval_ms),
            ..Fleet::default()
        };
        let outcome = simulate("least_load", &fleet);
        let even = 1.0 / 12.0;
        assert!(outcome.max_share() < 1.3 * even, "{interval_ms} ms: {:?}", outcome.shares);
        // No herd within an interval either: nobody is swamped while others idle. Round robin is
        // the best there is on an even fleet, until it is crowded.
        let fair = simulate("round_robin", &fleet);
        let bound = fair.p99().mul_f64(if balancers == 1 { 1.05 } else { 1.3 });
        assert!(
            outcome.p99() <= bound,
            "{interval_ms} ms × {balancers}: p99 {:?}, round robin's {:?}",
            outcome.p99(),
            fair.p99()
        );
    }
}

#[test]
fn least_load_spares_a_slow_server_and_beats_round_robin() {
    for seed in 1..=5 {
        let mut servers = vec![Server::default(); 12];
        servers[3].slowness = 3.0;
        let fleet = Fleet { servers, seed, ..Fleet::default() };
        let (least_load, round_robin) =
            (simulate("least_load", &fleet), simulate("round_robin", &fleet));
        assert!(least_load.shares[3] < 1.0 / 12.0, "seed {seed}: {:?}", least_load.shares);
        assert!(least_load.shares[3] > 0.0, "seed {seed}: {:?}", least_load.shares);
        assert!(
            least_load.p99() < round_robin.p99(),
            "seed {seed}: {:?} against {:?}",
            least_load.p99(),
            round_robin.p99()
        );
    }
}

#[test]
fn a_server_that_fails_at_once_is_no_sinkhole() {
    for report_interval in [Duration::from_millis(100), Duration::from_secs(3600)] {
        let mut servers = vec![Server::default(); 4];
        servers[2].fails_in = Some(Duration::from_millis(1));
        let fleet = Fleet { servers, report_interval, ..Fleet::default() };
        let outcome = simulate("least_load", &fleet);
        assert!(outcome.shares[2] < 0.02, "{report_interval:?}: {:?}", outcome.shares);
    }
}

#[test]
fn servers_that_never_report_are_balanced_by_calls_in_flight() {
    let mut servers = vec![Server::default(); 6];
    servers[0].slowness = 3.0;
    let fleet = Fleet { servers, report_interval: Duration::from_secs(3600), ..Fleet::default() };
    let outcome = simulate("least_load", &fleet);
    assert_eq!(outcome.regimes.keys().collect::<Vec<_>>(), [&Regime::InFlight]);
    assert!(outcome.shares[0] < 1.0 / 6.0, "{:?}", outcome.shares);
}
