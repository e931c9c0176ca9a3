//! The cost of explain on and off: a pick that nobody could explain, one that could be and is not,
//! one in 1,024 explained (the default), and every one.

use criterion::{BenchmarkId, Criterion};
use strife_lb::SampledPicks;

const ENDPOINTS: [usize; 2] = [15, 256];
const CASES: [(&str, Option<u64>); 4] =
    [("without", None), ("off", Some(0)), ("1 in 1024", Some(1024)), ("on", Some(1))];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("the cost of explain");
    for count in ENDPOINTS {
        for (name, every) in CASES {
            let picks = SampledPicks::new("least_load", count, every);
            let mut picks = picks.expect("a policy that exists");
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| picks.pick());
            });
        }
    }
    group.finish();
}
