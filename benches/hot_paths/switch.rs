//! Unary calls through the frame switch in memory, side by side, and the same calls between the two
//! ends alone: the difference is the switch.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::in_memory::{BackToBack, through};

/// Size of the message in either direction, bytes, and calls side by side: more of the large ones do
/// not fit a core's output.
const CELLS: [(usize, usize); 5] = [(100, 1), (100, 10), (100, 100), (16_384, 1), (16_384, 10)];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("switch");
    for (message_bytes, calls) in CELLS {
        let message = vec![7; message_bytes];
        let cell = format!("{message_bytes} B/{calls}");
        group.throughput(Throughput::Elements(calls as u64));
        let mut loopback = through();
        group.bench_function(BenchmarkId::new("through", &cell), |bencher| {
            bencher.iter(|| loopback.calls(calls, black_box(&message), black_box(&message)));
        });
        let mut cores = BackToBack::new();
        group.bench_function(BenchmarkId::new("ends alone", &cell), |bencher| {
            bencher.iter(|| cores.calls(calls, black_box(&message), black_box(&message)));
        });
    }
    group.finish();
}
