//! A pick of every policy at 3, 15, 100 and 10,000 endpoints, with load on all of them; and what it
//! costs to write one down.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion};
use rand::{SeedableRng, rngs::SmallRng};
use strife_policy::{
    EndpointLoad, Endpoints, Explanation, Orca, Outcome, POLICIES, PickContext, PickInfo, Picker,
    Ramp, Regime, Report, by_spec,
};

const ENDPOINTS: [usize; 4] = [3, 15, 100, 10_000];
const NOW: Duration = Duration::from_secs(60);
/// Between two picks: time goes on, and what is known of an endpoint grows old.
const PICK_EVERY: Duration = Duration::from_micros(10);
/// Picks after which every server has ended a call and reports again, every 50 ms.
const PICKS_PER_REPORT: u64 = 5_000;

/// Endpoints with calls under way and behind them, and reports a moment old.
fn loaded(count: usize) -> Endpoints {
    let endpoint = |index: usize| {
        let load = EndpointLoad::new(&format!("10.0.0.1:{index}"), Ramp::default());
        load.joined(Duration::ZERO);
        (0..index % 5).for_each(|_| load.sent());
        Arc::new(load)
    };
    let endpoints = (0..count).map(endpoint).collect();
    report(&endpoints, NOW, 1);
    endpoints
}

/// Every server ends a call and says what its load is.
fn report(endpoints: &Endpoints, now: Duration, sequence: u64) {
    for (index, load) in endpoints.iter().enumerate() {
        load.sent();
        load.finished(now, Outcome::Succeeded, Duration::from_micros(5000 + index as u64 % 13));
        let report = Report {
            in_flight: (index % 7) as u32,
            slots: 4,
            service_time_us: 5000 + (index % 11) as u32 * 100,
            cpu_utilization: 0.1,
            completed: 100,
            sequence,
            epoch: 1,
            ..Report::default()
        };
        load.report(now, &report).expect("the report is sound");
        let cpu_utilization = 0.5 + (index % 11) as f64 * 0.02;
        let orca = Orca { cpu_utilization, rps: 100.0, ..Orca::default() };
        load.orca(now, &orca).expect("the report is sound");
    }
}

/// A picker as it is after a while: its weights count, and its probes last for thousands of picks.
fn settled(name: &str, count: usize) -> (Box<dyn Picker>, PickContext) {
    let spec = if name == "prequal" { "prequal:r_remove=100" } else { name };
    let now = NOW + Duration::from_secs(if name == "weighted_round_robin" { 20 } else { 0 });
    let picker = by_spec(spec).expect("a known policy").picker(loaded(count), now);
    refill(&*picker, now);
    (picker, PickContext { now, rng: SmallRng::seed_from_u64(1) })
}

/// Probes are used up.
fn refill(picker: &dyn Picker, now: Duration) {
    if let Some(prober) = picker.prober() {
        let some = 0..picker.endpoints().len().min(16);
        some.for_each(|index| prober.answered(now, index, 3, 5000));
    }
}

/// So many picks of calls with hashes of their own.
fn time(picker: &dyn Picker, context: &mut PickContext, picks: u64) -> Duration {
    refill(picker, context.now);
    let begun = Instant::now();
    let mut hash = 0_u64;
    for _ in 0..picks {
        hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
        context.now += PICK_EVERY;
        let info = PickInfo { hash: Some(hash), avoid: &[] };
        let pick = black_box(black_box(picker).pick(info, context));
        if pick.is_some_and(|pick| pick.regime == Regime::InFlight) {
            refill(picker, context.now);
        }
    }
    begun.elapsed()
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for kind in POLICIES {
        for count in ENDPOINTS {
            let (picker, mut context) = settled(kind.name, count);
            let mut sequence = 1;
            group.bench_function(BenchmarkId::new(kind.name, count), |bencher| {
                bencher.iter_custom(|picks| {
                    let mut taken = Duration::ZERO;
                    for begun in (0..picks).step_by(PICKS_PER_REPORT as usize) {
                        sequence += 1;
                        report(picker.endpoints(), context.now, sequence);
                        taken += time(&*picker, &mut context, PICKS_PER_REPORT.min(picks - begun));
                    }
                    taken
                });
            });
        }
    }
    group.finish();
    let mut group = criterion.benchmark_group("explain");
    for kind in POLICIES {
        let (picker, mut context) = settled(kind.name, 15);
        group.bench_function(BenchmarkId::new(kind.name, 15), |bencher| {
            bencher.iter(|| {
                let mut explanation = Explanation::default();
                picker.explain(PickInfo::default(), &mut context, &mut explanation)
            });
        });
    }
    group.finish();
}
