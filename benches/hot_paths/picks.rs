//! A pick of every policy at 3, 15, 100 and 10,000 endpoints, with load on all of them.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion};
use rand::{SeedableRng, rngs::SmallRng};
use strife_policy::{EndpointLoad, Endpoints, POLICIES, PickContext, PickInfo, Ramp, Report};

const ENDPOINTS: [usize; 4] = [3, 15, 100, 10_000];

/// Endpoints with calls under way and a report a moment old.
fn loaded(count: usize) -> Endpoints {
    let endpoint = |index: usize| {
        let load = Arc::new(EndpointLoad::new("", Ramp::default()));
        load.joined(Duration::ZERO);
        (0..index % 5).for_each(|_| load.sent());
        let report = Report {
            in_flight: (index % 7) as u32,
            queued: 0,
            slots: 4,
            service_time_us: 5000 + (index % 11) as u32 * 100,
            latency_us: 0,
            cpu_utilization: 0.1,
            completed: 100,
            sequence: 1,
            epoch: 1,
        };
        load.report(Duration::from_secs(60), &report).expect("the report is sound");
        load
    };
    (0..count).map(endpoint).collect()
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for (name, make) in POLICIES {
        for count in ENDPOINTS {
            let picker = make().picker(loaded(count), Duration::from_secs(60));
            let rng = SmallRng::seed_from_u64(1);
            let mut context = PickContext { now: Duration::from_millis(60_050), rng };
            group.bench_function(BenchmarkId::new(*name, count), |bencher| {
                bencher.iter(|| black_box(&picker).pick(PickInfo::default(), &mut context));
            });
        }
    }
    group.finish();
}
