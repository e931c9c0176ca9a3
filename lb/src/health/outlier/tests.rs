//! Pools whose servers fail by chance or for good, on virtual time.

use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;

const STEP: Duration = Duration::from_millis(1);
/// Share of its calls that a server on trial gets, as slow start has it.
const TRICKLE: f64 = 0.1;

fn config() -> EjectionConfig {
    EjectionConfig {
        consecutive_failures: 5,
        success_rate_deviations: 1.9,
        failure_percentage: 85,
        interval: Duration::from_secs(1),
        ejection_time: Duration::from_secs(5),
        max_ejection_time: Duration::from_secs(300),
        max_ejection_percent: 50,
    }
}

/// Only what looks at windows.
fn windows_only() -> EjectionConfig {
    EjectionConfig { consecutive_failures: 0, ..config() }
}

struct Server {
    seen: Seen,
    /// Share of its calls that fail.
    fails: f64,
    ejection: Option<Ejection>,
    on_trial: bool,
}

/// A pool that gets so many calls a second, dealt evenly to servers that take calls.
struct Sim {
    detector: Detector,
    servers: Vec<Server>,
    now: Duration,
    rng: SmallRng,
    calls_per_step: usize,
    failures: usize,
    verdicts: Vec<(Duration, u64, Verdict)>,
}

impl Sim {
    fn new(config: EjectionConfig, fails: &[f64], seed: u64) -> Self {
        let server = |(id, fails): (usize, &f64)| Server {
            seen: Seen {
                id: id as u64,
                counts: Counts::default(),
                failures_in_a_row: 0,
                is_candidate: true,
                ready_since: Duration::ZERO,
            },
            fails: *fails,
            ejection: None,
            on_trial: false,
        };
        Self {
            detector: Detector::new(config, Duration::ZERO),
            servers: fails.iter().enumerate().map(server).collect(),
            now: Duration::ZERO,
            rng: SmallRng::seed_from_u64(seed),
            calls_per_step: 1,
            failures: 0,
            verdicts: Vec::new(),
        }
    }

    fn call(&mut self) {
        let could = |server: &Server| server.seen.is_candidate && server.ejection.is_none();
        let weight = |server: &Server| match (could(server), server.on_trial) {
            (false, _) => 0.0,
            (true, trial) => {
                if trial {
                    TRICKLE
                } else {
                    1.0
                }
            }
        };
        let all: f64 = self.servers.iter().map(weight).sum();
        if all == 0.0 {
            return;
        }
        let mut left = self.rng.random_range(0.0..all);
        let place = self.servers.iter().position(|server| {
            left -= weight(server);
            left < 0.0
        });
        let Some(place) = place else { return };
        let server = &mut self.servers[place];
        if self.rng.random_bool(server.fails) {
            server.seen.counts.failed += 1;
            server.seen.failures_in_a_row += 1;
            self.failures += 1;
            let limit = if server.on_trial { 1 } else { config().consecutive_failures };
            if server.seen.failures_in_a_row.is_multiple_of(limit) {
                self.judge();
            }
        } else {
            server.seen.counts.succeeded += 1;
            server.seen.failures_in_a_row = 0;
        }
    }

    fn judge(&mut self) {
        let seen: Vec<_> = self.servers.iter().map(|server| server.seen).collect();
        for (id, verdict) in self.detector.judge(self.now, &seen, &mut self.rng) {
            let server = &mut self.servers[id as usize];
            match verdict {
                Verdict::Eject(ejection) => {
                    (server.ejection, server.on_trial) = (Some(ejection), false);
                }
                Verdict::Try => {
                    (server.ejection, server.on_trial) = (None, true);
                    server.seen.failures_in_a_row = 0;
                }
                Verdict::HoldBack => assert!(server.on_trial),
                Verdict::Trust => server.on_trial = false,
            }
            self.verdicts.push((self.now, id, verdict));
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += STEP;
            (0..self.calls_per_step).for_each(|_| self.call());
            if self.now.as_millis().is_multiple_of(20) {
                self.judge();
            }
        }
    }

    fn run_seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    fn ejected(&self) -> Vec<u64> {
        let ejected = self.servers.iter().filter(|server| server.ejection.is_some());
        ejected.map(|server| server.seen.id).collect()
    }

    /// Who was ever ejected, and why.
    fn ejections(&self) -> Vec<(u64, EjectionCause, u32)> {
        let ejection = |(_, id, verdict): &(Duration, u64, Verdict)| match verdict {
            Verdict::Eject(ejection) => Some((*id, ejection.cause, ejection.times)),
            _ => None,
        };
        self.verdicts.iter().filter_map(ejection).collect()
    }
}

#[test]
fn whoever_fails_everything_is_ejected_after_a_few_calls_in_pools_of_any_size() {
    for size in [2, 3, 4, 5, 20] {
        let mut fails = vec![0.0; size];
        fails[1] = 1.0;
        let mut sim = Sim::new(config(), &fails, 1);
        sim.run_seconds(3);
        assert_eq!(sim.ejections(), [(1, EjectionCause::ConsecutiveFailures, 1)], "of {size}");
        // A few more while little is known of the others.
        assert!((5..=10).contains(&sim.failures), "{} of {size}", sim.failures);
    }
}

#[test]
fn one_that_goes_on_failing_costs_one_call_a_trial_and_comes_back_when_it_heals() {
    let mut sim = Sim::new(config(), &[0.0, 1.0], 2);
    sim.run_seconds(120);
    let ejections = sim.ejections();
    let at_first = sim.failures + 1 - ejections.len();
    assert!((5..=10).contains(&at_first), "{at_first} at first, then one each");
    let causes: Vec<_> = ejections.iter().map(|(_, cause, _)| *cause).collect();
    assert!(causes[1..].iter().all(|cause| *cause == EjectionCause::Trial), "{causes:?}");
    let times: Vec<_> = ejections.iter().map(|(_, _, times)| *times).collect();
    assert_eq!(times, (1..=times.len() as u32).collect::<Vec<_>>(), "each longer than the last");
    assert!((4..8).contains(&times.len()), "5 s, 10 s, 15 s, … in 120 s: {times:?}");
    sim.servers[1].fails = 0.0;
    sim.run_seconds(60);
    assert!(sim.ejected().is_empty() && !sim.servers[1].on_trial);
    let (failures, trusted) = (sim.failures, sim.servers[1].seen.counts.succeeded);
    sim.run_seconds(10);
    let share = sim.servers[1].seen.counts.succeeded - trusted;
    assert!((4_000..6_000).contains(&share) && sim.failures == failures, "{share}");
    // Forgiven, one ejection for every time as long as the first.
    sim.run_seconds(5 * times.len() as u64);
    sim.servers[1].fails = 1.0;
    sim.run_seconds(2);
    assert_eq!(sim.ejections().last(), Some(&(1, EjectionCause::ConsecutiveFailures, 1)));
}

#[test]
fn ejections_are_bounded() {
    let config = EjectionConfig { max_ejection_time: Duration::from_secs(12), ..config() };
    let mut sim = Sim::new(config, &[0.0, 1.0], 3);
    sim.run_seconds(300);
    for (at, _, verdict) in &sim.verdicts {
        if let Verdict::Eject(ejection) = verdict {
            let time = (ejection.until - *at).as_secs_f64();
            let due = f64::from(5 * ejection.times.min(3)).min(12.0);
            assert!((due..due * 1.1).contains(&time), "{ejection:?} for {time}");
        }
    }
    assert!(sim.ejections().len() > 20);
}

#[test]
fn one_that_fails_a_third_is_found_by_comparison_whatever_the_size() {
    for size in [2, 3, 4, 5, 20] {
        let mut fails = vec![0.01; size];
        fails[0] = 0.33;
        let mut sim = Sim::new(windows_only(), &fails, 4);
        sim.calls_per_step = size;
        sim.run_seconds(3);
        assert_eq!(sim.ejections(), [(0, EjectionCause::SuccessRate, 1)], "of {size}");
    }
}

#[test]
fn one_that_fails_nearly_all_is_found_by_its_percentage() {
    let config = EjectionConfig { success_rate_deviations: 0.0, ..windows_only() };
    let mut sim = Sim::new(config, &[0.2, 0.2, 0.9], 5);
    sim.run_seconds(5);
    assert_eq!(sim.ejections(), [(2, EjectionCause::FailurePercentage, 1)]);
}

#[test]
fn what_fails_everywhere_ejects_nobody() {
    for (seed, fails) in [0.0, 0.05, 0.3, 0.6, 0.95, 1.0].into_iter().enumerate() {
        for size in [1, 2, 3, 5, 12] {
            let mut sim = Sim::new(config(), &vec![fails; size], seed as u64);
            sim.calls_per_step = size;
            sim.run_seconds(20);
            assert_eq!(sim.ejections(), [], "{fails} of all calls, {size} servers");
        }
    }
}

#[test]
fn a_slight_difference_is_not_worth_a_server() {
    for size in [2, 3, 8] {
        let mut fails = vec![0.0; size];
        fails[0] = 0.04;
        let mut sim = Sim::new(config(), &fails, 6);
        sim.calls_per_step = size;
        sim.run_seconds(30);
        assert_eq!(sim.ejections(), [], "of {size}");
    }
}

#[test]
fn who_comes_back_from_an_outage_is_tried_at_once() {
    let mut sim = Sim::new(config(), &[0.0, 1.0], 7);
    sim.run_seconds(1);
    assert_eq!(sim.ejected(), [1]);
    sim.servers[1].seen.is_candidate = false;
    sim.run_seconds(1);
    assert_eq!(sim.ejected(), [1]);
    let server = &mut sim.servers[1];
    (server.fails, server.seen.is_candidate, server.seen.ready_since) = (0.0, true, sim.now);
    sim.run_seconds(2);
    assert!(sim.ejected().is_empty() && !sim.servers[1].on_trial);
}

#[test]
fn a_trial_that_fails_while_nobody_else_is_there_begins_anew() {
    let mut sim = Sim::new(config(), &[0.0, 1.0], 9);
    sim.run_seconds(1);
    assert_eq!(sim.ejected(), [1]);
    sim.servers[0].seen.is_candidate = false;
    sim.run_seconds(6);
    assert!(sim.servers[1].on_trial && sim.servers[1].seen.failures_in_a_row > 0);
    sim.servers[1].fails = 0.0;
    sim.run_seconds(2);
    assert!(!sim.servers[1].on_trial, "it has done well since");
    // What it failed is in no window any more.
    sim.run_seconds(12);
    let now = sim.now;
    let back = &mut sim.servers[0].seen;
    (back.is_candidate, back.ready_since) = (true, now);
    sim.run_seconds(2);
    assert_eq!(sim.ejections().len(), 1, "{:?}", sim.ejections());
}

#[test]
fn a_server_without_calls_is_never_an_outlier() {
    let mut sim = Sim::new(config(), &[0.5, 0.5, 1.0], 8);
    sim.servers[2].seen.is_candidate = false;
    sim.run_seconds(20);
    assert!(sim.ejections().iter().all(|(id, ..)| *id != 2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever fails, comes and goes: never the last, never more than the cap, one may always be.
    #[test]
    fn somebody_is_always_left(
        fails in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.0..1.0_f64], 1..9),
        turns in prop::collection::vec((any::<prop::sample::Index>(), 0.0..1.0_f64, any::<bool>()), 0..20),
        percent in 0_u8..=100,
        seed in any::<u64>(),
    ) {
        let config = EjectionConfig { max_ejection_percent: percent, ..config() };
        let mut sim = Sim::new(config, &fails, seed);
        for (who, fails, is_candidate) in turns {
            let now = sim.now;
            let place = who.index(sim.servers.len());
            let server = &mut sim.servers[place];
            server.fails = fails;
            if is_candidate && !server.seen.is_candidate {
                server.seen.ready_since = now;
            }
            server.seen.is_candidate = is_candidate;
            for _ in 0..15 {
                let before = sim.verdicts.len();
                sim.run(Duration::from_millis(100));
                let candidates = sim.servers.iter().filter(|one| one.seen.is_candidate);
                let candidates: Vec<_> = candidates.collect();
                let ejected = candidates.iter().filter(|one| one.ejection.is_some()).count();
                let ejects = |(_, _, verdict): &(_, _, Verdict)| matches!(verdict, Verdict::Eject(_));
                // Others may have left since somebody was ejected.
                if sim.verdicts[before..].iter().any(ejects) {
                    let most = (candidates.len() * usize::from(percent) / 100).max(1);
                    prop_assert!(ejected <= most, "{ejected} of {} at {percent}%", candidates.len());
                    prop_assert!(ejected < candidates.len(), "nobody is left");
                    prop_assert!(percent > 0, "ejection is off");
                }
            }
        }
    }
}
