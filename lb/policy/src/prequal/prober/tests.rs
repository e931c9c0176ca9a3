//! Who is asked how often, and which answer wins.

use std::sync::Arc;

use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::{EndpointLoad, Endpoints, Outcome, Pick, PickInfo, Picker, Ramp, Regime, by_spec};

const NOW: Duration = Duration::from_secs(60);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const PAPER: Parameters = Parameters {
    pool_size: 16,
    q_rif: 0.84,
    r_probe: 3.0,
    r_remove: 1.0,
    delta: 1.0,
    max_age: Duration::from_secs(1),
};

fn picker(spec: &str, count: usize) -> Box<dyn Picker> {
    let load = |index| Arc::new(EndpointLoad::new(&format!("server-{index}:1"), Ramp::default()));
    let endpoints: Endpoints = (0..count).map(load).collect();
    by_spec(spec).unwrap().picker(endpoints, NOW)
}

fn context(now: Duration) -> PickContext {
    PickContext { now, rng: SmallRng::seed_from_u64(1) }
}

fn pick(picker: &dyn Picker, now: Duration) -> (usize, Regime) {
    let Pick { index, regime } = picker.pick(PickInfo::default(), &mut context(now)).unwrap();
    (index, regime)
}

#[test]
fn a_probe_is_reused_as_the_paper_says() {
    let check = |servers, asked_share, expected: f64| {
        let uses = PAPER.reuse(servers, asked_share);
        assert!((uses - expected).abs() < 1e-9, "{servers}, {asked_share}: {uses}");
    };
    // (1 + 1) ÷ ((1 − 16/100) × 3 − 1)
    check(100, 1.0, 2.0 / 1.52);
    check(100, 0.1, 20.0 / 1.52);
    // Half of the servers at most are kept: (1 + 1) ÷ (1/2 × 3 − 1)
    check(12, 1.0, 4.0);
    check(2, 1.0, f64::from(MOST_USES));
    assert_eq!(PAPER.kept_of(100), 16);
    assert_eq!([2, 3, 4, 12].map(|servers| PAPER.kept_of(servers)), [2, 2, 2, 6]);
}

#[test]
fn the_quickest_cold_server_wins_and_else_the_least_loaded_hot_one() {
    // Whatever has more calls in flight than the least of recent answers is hot.
    let picker = picker("prequal:q_rif=0", 12);
    let prober = picker.prober().unwrap();
    for (index, in_flight, latency_us) in [(0, 2, 9000), (1, 5, 100), (2, 2, 7000)] {
        prober.answered(NOW, index, in_flight, latency_us);
    }
    assert_eq!(pick(&*picker, NOW), (2, Regime::Cold));
    // With that call it has three in flight, and is hot.
    assert_eq!(pick(&*picker, NOW), (0, Regime::Cold));
    for expected in [2, 0, 2, 0] {
        let (index, regime) = pick(&*picker, NOW);
        assert_eq!(regime, Regime::Hot);
        assert!(index != 1, "{index}, {expected}");
    }
}

#[test]
fn probes_grow_too_old_and_then_our_own_calls_decide() {
    let picker = picker("prequal", 12);
    let prober = picker.prober().unwrap();
    assert_eq!(pick(&*picker, NOW).1, Regime::InFlight);
    prober.answered(NOW, 0, 1, 5000);
    assert_eq!(pick(&*picker, NOW).1, Regime::InFlight);
    prober.answered(NOW, 1, 1, 5000);
    assert_eq!(pick(&*picker, NOW + ms(999)).1, Regime::Cold);
    assert_eq!(pick(&*picker, NOW + ms(1000)).1, Regime::InFlight);
}

#[test]
fn a_server_that_fails_fast_looks_slow_and_crowded() {
    let picker = picker("prequal:q_rif=0", 12);
    let (prober, failing) = (picker.prober().unwrap(), &picker.endpoints()[0]);
    for _ in 0..5 {
        failing.sent();
        failing.finished(NOW, Outcome::Failed, ms(1));
    }
    prober.answered(NOW, 0, 0, 1000);
    prober.answered(NOW, 1, 9, 50_000);
    assert_eq!(pick(&*picker, NOW).0, 1);
}

#[test]
fn three_servers_are_asked_for_a_pick_and_no_more_than_sixteen_at_once() {
    let picker = picker("prequal", 1000);
    let prober = picker.prober().unwrap();
    let asked = |now, picks: usize, answers: bool| {
        for _ in 0..picks {
            pick(&*picker, now);
        }
        let mut ask = Vec::new();
        prober.due(&mut context(now), &mut ask);
        if answers {
            ask.iter().for_each(|index| prober.answered(now, *index, 1, 5000));
        }
        ask.len()
    };
    // The pool is empty.
    assert!(asked(NOW, 0, true) > 12);
    let full = asked(NOW + ms(1), 0, true);
    assert!(full <= 4, "{full}");
    assert_eq!(asked(NOW + ms(2), 1, true), 3);
    assert_eq!(asked(NOW + ms(3), 1000, true).min(12), 12);
    assert!(asked(NOW + ms(4), 1000, true) <= MOST_PROBES_AT_ONCE);
}

#[test]
fn servers_that_never_answer_are_not_asked_all_the_time() {
    let picker = picker("prequal", 100);
    let prober = picker.prober().unwrap();
    let mut asked = Vec::new();
    for round in 0..1000 {
        let mut ask = Vec::new();
        prober.due(&mut context(NOW + ms(5) * round), &mut ask);
        asked.extend(ask);
    }
    // Five seconds, two pools of sixteen a second.
    assert!((100..=180).contains(&asked.len()), "{}", asked.len());
}

#[test]
fn a_server_that_ramps_up_gets_no_more_than_its_part_in_pools_of_any_size() {
    for count in [12, 100] {
        let picker = picker("prequal", count);
        let (prober, new) = (picker.prober().unwrap(), &picker.endpoints()[0]);
        new.ramps_from(NOW + ms(60_000));
        let mut context = context(NOW);
        let (mut ask, mut picks) = (Vec::new(), 0_u32);
        const PICKS: u32 = 20_000;
        for round in 0..PICKS {
            context.now = NOW + ms(1) * round;
            prober.due(&mut context, &mut ask);
            for index in ask.drain(..) {
                // Idle, and so quick that it is the best of all.
                let (in_flight, latency_us) = if index == 0 { (0, 1) } else { (3, 5000) };
                prober.answered(context.now, index, in_flight, latency_us);
            }
            let pick = picker.pick(PickInfo::default(), &mut context).unwrap();
            picks += u32::from(pick.index == 0);
        }
        let of_even = f64::from(picks) / f64::from(PICKS) * count as f64;
        assert!(of_even > 0.02 && of_even < 0.5, "{count} servers: {of_even} of an even share");
    }
}

#[test]
fn what_is_known_outlives_a_change_of_members() {
    let policy = by_spec("prequal").unwrap();
    let load = |index| Arc::new(EndpointLoad::new(&format!("server-{index}:1"), Ramp::default()));
    let before: Endpoints = (0..8).map(load).collect();
    let picker = policy.picker(before.clone(), NOW);
    for (index, latency_us) in [(0, 1000), (3, 2000), (5, 9000)] {
        picker.prober().unwrap().answered(NOW, index, 1, latency_us);
    }
    // The quickest leaves; the others move up.
    let after = policy.picker(before[1..].into(), NOW);
    assert_eq!(pick(&*after, NOW), (2, Regime::Cold));
    // One more answer does not decide alone what is hot.
    after.prober().unwrap().answered(NOW, 1, 0, 1000);
    assert_eq!(pick(&*after, NOW), (1, Regime::Cold));
    assert_eq!(pick(&*after, NOW).1, Regime::Cold);
}
