//! What policies do to a fleet whose servers are slow, fail, freeze, die, join and recover.
//!
//! pick_first, round_robin, random and ring_hash do not look at load or failures: to take out a server
//! that fails or is frozen is the business of health checks and outlier ejection, not theirs.

use std::time::Duration;

use strife_policy::Regime;

use crate::simulator::{
    Fate::{Dies, Fails, Freezes, Joins, Recovers, Thaws},
    Fleet, Measured, Says, Server, simulate,
};

/// Policies that look at load, and what servers have to say for it.
const BY_LOAD: [(&str, Says); 5] = [
    ("least_load", Says::Reports),
    ("least_load", Says::Nothing),
    ("least_request", Says::Nothing),
    ("peak_ewma", Says::Nothing),
    ("prequal", Says::Nothing),
];
const WEIGHTED: &str = "weighted_round_robin:blackout_period=1s";

/// Servers of which the third is special.
fn servers(count: usize, special: Server) -> Vec<Server> {
    let mut servers = vec![Server::default(); count];
    servers[2] = special;
    servers
}

fn slow() -> Server {
    Server { slowness: 3.0, ..Server::default() }
}

#[test]
fn an_even_fleet_is_shared_evenly_however_old_the_reports() {
    for (interval_ms, balancers) in [(100, 1), (1000, 1), (100, 8), (1000, 8), (10_000, 1)] {
        let fleet = Fleet {
            servers: vec![Server::default(); 12],
            balancers,
            report_interval: Duration::from_millis(interval_ms),
            ..Fleet::default()
        };
        let fair = simulate("round_robin", &fleet).between(1000, 10_000);
        let weighted = (WEIGHTED, Says::Orca);
        for (policy, says) in BY_LOAD.into_iter().chain([weighted]) {
            let fleet = Fleet { says, ..fleet.clone() };
            let measured = simulate(policy, &fleet).between(1000, 10_000);
            let label = format!("{policy}, {says:?} each {interval_ms} ms, {balancers} balancers");
            let even = 1.0 / 12.0;
            assert!(measured.max_share() < 1.3 * even, "{label}: {:?}", measured.shares());
            // No herd within an interval either: nobody is swamped while others idle. Round robin
            // is the best there is on an even fleet, until it is crowded.
            let bound = fair.p99().mul_f64(if balancers == 1 { 1.2 } else { 1.5 });
            let p99 = measured.p99();
            assert!(p99 <= bound, "{label}: p99 {p99:?}, round robin's {:?}", fair.p99());
        }
    }
}

#[test]
fn least_load_is_as_good_as_round_robin_on_an_even_fleet() {
    for (interval_ms, balancers, bound) in
        [(100, 1, 1.05), (1000, 1, 1.05), (100, 8, 1.3), (1000, 8, 1.3)]
    {
        let fleet = Fleet {
            servers: vec![Server::default(); 12],
            balancers,
            report_interval: Duration::from_millis(interval_ms),
            ..Fleet::default()
        };
        let [ours, fair] = ["least_load", "round_robin"]
            .map(|policy| simulate(policy, &fleet).between(1000, 10_000).p99());
        assert!(ours <= fair.mul_f64(bound), "{interval_ms} ms × {balancers}: {ours:?}, {fair:?}");
    }
}

#[test]
fn a_slow_server_is_spared() {
    for seed in 1..=3 {
        let fleet = Fleet { servers: servers(12, slow()), seed, ..Fleet::default() };
        let fair = simulate("round_robin", &fleet).between(1000, 10_000);
        let weighted = (WEIGHTED, Says::Orca);
        for (policy, says) in BY_LOAD.into_iter().chain([weighted]) {
            let fleet = Fleet { says, ..fleet.clone() };
            let measured = simulate(policy, &fleet).between(2000, 10_000);
            let (share, p99) = (measured.shares()[2], measured.p99());
            let label = format!("{policy}, {says:?}, seed {seed}: {share}");
            assert!(share > 0.0 && share < 0.8 / 12.0, "{label}");
            assert!(p99 < fair.p99(), "{label}: {p99:?} against {:?}", fair.p99());
        }
    }
}

#[test]
fn a_server_that_fails_at_once_is_no_sinkhole_and_recovers() {
    let failing = Server::with(&[(2000, Fails), (5000, Recovers)]);
    for (policy, says) in BY_LOAD {
        let duration = Duration::from_secs(40);
        let fleet =
            Fleet { servers: servers(4, failing.clone()), says, duration, ..Fleet::default() };
        let measured = simulate(policy, &fleet);
        let share = |from, until| measured.between(from, until).shares()[2];
        assert!(share(2000, 5000) < 0.02, "{policy}, {says:?}: {}", share(2000, 5000));
        assert!(share(30_000, 40_000) > 0.15, "{policy}, {says:?}: {}", share(30_000, 40_000));
    }
}

#[test]
fn a_server_that_reports_its_errors_has_fewer_turns() {
    let failing = Server::with(&[(2000, Fails)]);
    let fleet = Fleet { servers: servers(4, failing), says: Says::Orca, ..Fleet::default() };
    let [priced, unpriced] = [1, 0].map(|penalty| {
        let policy = format!("{WEIGHTED},error_utilization_penalty={penalty}");
        simulate(&policy, &fleet).between(5000, 10_000).shares()[2]
    });
    assert!(priced < 0.35 && priced < 0.6 * unpriced, "{priced}, {unpriced}");
}

/// Calls that a server had while it stood still make it look slow; nobody may stay away for that.
#[test]
fn least_load_comes_back_to_a_server_that_stood_still() {
    for utilization in [0.05, 0.2, 0.6] {
        for says in [Says::Reports, Says::Nothing] {
            let fleet = Fleet {
                servers: servers(12, Server::with(&[(2000, Freezes), (5000, Thaws)])),
                says,
                utilization,
                deadline: Duration::from_secs(5),
                duration: Duration::from_secs(20),
                ..Fleet::default()
            };
            let measured = simulate("least_load", &fleet).between(8000, 20_000);
            let share = 12.0 * measured.shares()[2];
            assert!(share > 0.7, "{says:?} at {utilization}: {share} of an even share");
        }
    }
}

#[test]
fn a_frozen_server_repels_calls_and_recovers() {
    let frozen = Server::with(&[(2000, Freezes), (8000, Thaws)]);
    for (policy, says) in BY_LOAD {
        // By its own measure a second is forgotten after some five decays.
        let policy = if policy == "peak_ewma" { "peak_ewma:decay=2s" } else { policy };
        let duration = Duration::from_secs(30);
        let fleet =
            Fleet { servers: servers(6, frozen.clone()), says, duration, ..Fleet::default() };
        let measured = simulate(policy, &fleet);
        let share = |from, until| measured.between(from, until).shares()[2];
        let even = 1.0 / 6.0;
        assert!(share(2500, 8000) < 0.1 * even, "{policy}, {says:?}: {}", share(2500, 8000));
        assert!(
            share(25_000, 30_000) > 0.6 * even,
            "{policy}, {says:?}: {}",
            share(25_000, 30_000)
        );
    }
}

/// Every policy that shares calls among all.
fn sharing() -> impl Iterator<Item = (&'static str, Says)> {
    let others =
        [("round_robin", Says::Nothing), ("random", Says::Nothing), (WEIGHTED, Says::Orca)];
    BY_LOAD.into_iter().chain(others)
}

#[test]
fn a_new_server_gets_a_floor_of_calls_and_then_its_share() {
    for (policy, says) in sharing() {
        let fleet = Fleet {
            servers: servers(4, Server::with(&[(2000, Joins)])),
            says,
            utilization: 0.5,
            ..Fleet::default()
        };
        let measured = simulate(policy, &fleet);
        let share = |from, until| measured.between(from, until).shares()[2];
        let label = format!("{policy}, {says:?}");
        assert_eq!(share(0, 2000), 0.0, "{label}");
        let early = share(2000, 2200);
        assert!(early < 0.1, "{label}: {early}");
        assert!(share(2000, 2500) > 0.002, "{label}: {early}");
        let late = share(3000, 10_000);
        assert!(late > 0.18 && late < 0.35, "{label}: {late}");
    }
}

#[test]
fn nothing_goes_to_a_dead_server_until_it_is_back() {
    for (policy, says) in
        sharing().chain([("pick_first", Says::Nothing), ("ring_hash", Says::Nothing)])
    {
        let mut fleet = Fleet {
            servers: vec![Server::default(); 3],
            says,
            utilization: 0.2,
            ..Fleet::default()
        };
        fleet.servers[0] = Server::with(&[(3000, Dies), (5000, Joins)]);
        let measured: Measured = simulate(policy, &fleet);
        let share = |from, until| measured.between(from, until).shares()[0];
        assert!(share(0, 3000) > 0.05, "{policy}: {}", share(0, 3000));
        assert_eq!(share(3001, 5000), 0.0, "{policy}");
        if policy != "pick_first" {
            assert!(share(6000, 10_000) > 0.2, "{policy}: {}", share(6000, 10_000));
        }
    }
}

#[test]
fn servers_that_never_report_are_balanced_by_calls_in_flight() {
    let fleet = Fleet { servers: servers(6, slow()), says: Says::Nothing, ..Fleet::default() };
    let measured = simulate("least_load", &fleet).between(1000, 10_000);
    assert_eq!(measured.regimes().into_keys().collect::<Vec<_>>(), [Regime::InFlight]);
    assert!(measured.shares()[2] < 1.0 / 6.0, "{:?}", measured.shares());
}

#[test]
fn least_load_makes_do_with_orca() {
    let fleet = Fleet { servers: servers(6, slow()), says: Says::Orca, ..Fleet::default() };
    let measured = simulate("least_load", &fleet).between(2000, 10_000);
    let [fresh, all] = [measured.regimes()[&Regime::Fresh], measured.calls.len()];
    assert!(fresh * 2 > all, "{:?}", measured.regimes());
    let fair = simulate("round_robin", &fleet).between(2000, 10_000);
    assert!(measured.shares()[2] < 0.8 / 6.0, "{:?}", measured.shares());
    assert!(measured.p99() < fair.p99(), "{:?} against {:?}", measured.p99(), fair.p99());
}

#[test]
fn prequal_picks_by_probes() {
    let fleet = Fleet { servers: vec![Server::default(); 12], ..Fleet::default() };
    let regimes = simulate("prequal", &fleet).between(1000, 10_000).regimes();
    let of = |regime| regimes.get(&regime).copied().unwrap_or(0) as f64;
    let all: f64 = regimes.values().map(|count| *count as f64).sum();
    assert!((of(Regime::Cold) + of(Regime::Hot)) / all > 0.99, "{regimes:?}");
    assert!(of(Regime::Cold) / all > 0.5, "{regimes:?}");
}
