//! A pick that was written down is made again, from what was written alone.

use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use strife_policy::{
    Endpoints, InvalidTrace, Orca, Origin, Outcome, POLICIES, PickContext, PickInfo, PickTrace,
    Picker, Report, by_spec, replay,
};

use super::{NOW, endpoints};

/// Endpoints with a past of their own.
fn lived(count: usize, rng: &mut SmallRng) -> Endpoints {
    let pool = endpoints(count);
    for load in pool.iter() {
        let mut ago = |most_ms: u64| NOW - Duration::from_millis(rng.random_range(0..most_ms));
        let (joined, reported, utilized) = (ago(60_000), ago(800), ago(800));
        load.joined(joined);
        (0..rng.random_range(0..8)).for_each(|_| load.sent());
        for _ in 0..rng.random_range(0..4) {
            load.sent();
            let ended = NOW - Duration::from_micros(rng.random_range(0..8_000_000));
            let latency = Duration::from_micros(rng.random_range(1..50_000));
            let outcomes = [Outcome::Succeeded, Outcome::Failed, Outcome::TimedOut];
            load.finished(ended, outcomes[rng.random_range(0..3)], latency);
        }
        (0..rng.random_range(0..3)).for_each(|_| load.lease(NOW));
        if rng.random() {
            let report = Report {
                in_flight: rng.random_range(0..20),
                slots: rng.random_range(0..6),
                service_time_us: rng.random_range(0..9000),
                sequence: 1,
                ..Report::default()
            };
            load.report(reported, &report).expect("sound");
        }
        if rng.random() {
            let (cpu_utilization, rps) = (rng.random::<f64>(), rng.random::<f64>() * 1e4);
            load.orca(utilized, &Orca { cpu_utilization, rps, ..Orca::default() }).expect("sound");
        }
    }
    pool
}

/// Some picks and some probes, so that there is something to remember.
fn used(picker: &dyn Picker, rng: &mut SmallRng) {
    let mut context = PickContext { now: NOW, rng: rng.clone() };
    let mut ask = Vec::new();
    for _ in 0..rng.random_range(0..10) {
        picker.pick(PickInfo::default(), &mut context);
        if let Some(prober) = picker.prober() {
            prober.due(&mut context, &mut ask);
        }
    }
    for index in ask.drain(..) {
        let prober = picker.prober().expect("it asked");
        prober.answered(NOW, index, rng.random_range(0..20), rng.random_range(0..9000));
    }
}

fn traced(spec: &str, count: usize, seed: u64, info: PickInfo<'_>) -> PickTrace {
    let mut rng = SmallRng::seed_from_u64(seed);
    let policy = by_spec(spec).expect("sound");
    let picker = policy.picker(lived(count, &mut rng), NOW);
    used(&*picker, &mut rng);
    let origin = Origin { time_unix_ms: 1, pool: "default", policy: spec };
    PickTrace::of_pick(&*picker, origin, info, NOW, rng.random())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_trace_replays_to_its_pick(
        count in 0_usize..=200,
        seed: u64,
        hash: Option<u64>,
        avoid in prop::collection::btree_set(0_usize..200, 0..3),
    ) {
        let avoid = Vec::from_iter(avoid);
        for kind in POLICIES {
            let info = PickInfo { hash, avoid: &avoid };
            let trace = traced(kind.name, count, seed, info);
            let line = serde_json::to_string(&trace).expect("sound");
            let read: PickTrace = serde_json::from_str(&line).expect("sound");
            prop_assert_eq!(&read, &trace);
            prop_assert_eq!(replay(&read).expect("sound"), trace.pick, "{}", line);
        }
    }
}

#[test]
fn a_trace_of_many_endpoints_holds_those_that_were_looked_at() {
    for kind in POLICIES {
        let trace = traced(kind.name, 1000, 3, PickInfo::default());
        assert!(trace.endpoints.len() < 64, "{}", kind.name);
        match replay(&trace) {
            Ok(pick) => assert_eq!(pick, trace.pick, "{}", kind.name),
            Err(error) => {
                assert!(matches!(error, InvalidTrace::Incomplete { .. }), "{error}");
                assert_eq!(kind.name, "ring_hash");
            }
        }
    }
}

#[test]
fn a_damaged_trace_is_refused() {
    let sound = traced("weighted_round_robin:blackout_period=0s", 3, 1, PickInfo::default());
    let check = |damage: fn(&mut PickTrace)| {
        let mut trace = sound.clone();
        damage(&mut trace);
        assert!(replay(&trace).is_err(), "{trace:?}");
    };
    check(|trace| trace.policy = "best".to_owned());
    check(|trace| trace.endpoint_count = 2);
    check(|trace| trace.endpoint_count = usize::MAX);
    check(|trace| trace.now = Duration::MAX);
    check(|trace| trace.endpoints[1].1.leased = u64::MAX);
    check(|trace| trace.endpoints[1].1.in_flight = u64::MAX);
    check(|trace| trace.endpoints[1].1.joined_at = Some(Duration::MAX));
    check(|trace| trace.endpoints[1].1.ramp.window = Duration::MAX);
    check(|trace| trace.explanation.memory = serde_json::Value::Null);
    check(|trace| {
        trace.explanation.memory = serde_json::json!({ "sequence": 1, "stride": [1, 1, 1] });
    });
}
