//! A pick of every policy at 3, 15, 100 and 10,000 endpoints, with load on all of them; and what it
//! costs to write one down.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion};
use rand::{SeedableRng, rngs::SmallRng};
use strife_policy::{
    EndpointLoad, Endpoints, Explanation, Orca, Outcome, POLICIES, PickContext, PickInfo, Picker,
    Ramp, Regime, Report, by_spec,
};

const ENDPOINTS: [usize; 4] = [3, 15, 100, 10_000];
const NOW: Duration = Duration::from_secs(60);

/// Endpoints with calls under way and behind them, and reports a moment old.
fn loaded(count: usize) -> Endpoints {
    let endpoint = |index: usize| {
        let load = EndpointLoad::new(&format!("10.0.0.1:{index}"), Ramp::default());
        load.joined(Duration::ZERO);
        load.sent();
        load.finished(NOW, Outcome::Succeeded, Duration::from_micros(5000 + index as u64 % 13));
        (0..index % 5).for_each(|_| load.sent());
        let report = Report {
            in_flight: (index % 7) as u32,
            slots: 4,
            service_time_us: 5000 + (index % 11) as u32 * 100,
            cpu_utilization: 0.1,
            completed: 100,
            sequence: 1,
            epoch: 1,
            ..Report::default()
        };
        load.report(NOW, &report).expect("the report is sound");
        let cpu_utilization = 0.5 + (index % 11) as f64 * 0.02;
        let orca = Orca { cpu_utilization, rps: 100.0, ..Orca::default() };
        load.orca(NOW, &orca).expect("the report is sound");
        Arc::new(load)
    };
    (0..count).map(endpoint).collect()
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

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for kind in POLICIES {
        for count in ENDPOINTS {
            let (picker, mut context) = settled(kind.name, count);
            let mut hash = 0_u64;
            group.bench_function(BenchmarkId::new(kind.name, count), |bencher| {
                bencher.iter(|| {
                    hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let info = PickInfo { hash: Some(hash), avoid: &[] };
                    let pick = black_box(&picker).pick(info, &mut context);
                    if kind.name == "prequal"
                        && pick.is_some_and(|pick| pick.regime == Regime::InFlight)
                    {
                        refill(&*picker, context.now);
                    }
                    pick
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
