//! Bounds of the error, against the values themselves.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

fn of(values: impl IntoIterator<Item = u64>) -> Latencies {
    let histogram = Histogram::default();
    values.into_iter().for_each(|us| histogram.record(us));
    let mut latencies = Latencies::default();
    latencies.add(&histogram);
    latencies
}

#[test]
fn buckets_follow_each_other_without_a_gap() {
    let last = BUCKETS - 1;
    let mut next = 0;
    for index in 0..last {
        assert_eq!(bucket(next), index, "the first value of bucket {index}");
        assert_eq!(bucket(highest(index)), index, "the last value of bucket {index}");
        assert!(highest(index) - next <= next / 8, "bucket {index} is wider than an eighth");
        next = highest(index) + 1;
    }
    assert_eq!((next, bucket(next), bucket(u64::MAX)), (1 << TOP_BIT, last, last));
}

#[test]
fn nothing_recorded_has_no_quantile() {
    assert_eq!(of([]).quantile_us(0.5), None);
    assert_eq!((of([]).count(), of([]).sum_us()), (0, 0));
}

#[test]
fn what_is_too_long_is_counted_and_stands_for_itself_as_the_top() {
    let latencies = of([u64::from(u32::MAX), 1 << TOP_BIT, (1 << TOP_BIT) - 1]);
    assert_eq!((latencies.count(), latencies.below(TOP_BIT)), (3, 1));
    assert_eq!(latencies.quantile_us(1.0), Some(1 << TOP_BIT));
}

#[test]
fn quantiles_are_an_eighth_too_high_at_most_and_never_too_low() {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..100 {
        let top_bit = random.random_range(1..TOP_BIT);
        let count = random.random_range(1..500);
        let mut values: Vec<u64> =
            (0..count).map(|_| random.random_range(0..1_u64 << top_bit)).collect();
        let latencies = of(values.iter().copied());
        values.sort_unstable();
        for quantile in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let rank = ((quantile * values.len() as f64).ceil() as usize).max(1);
            let exact = values[rank - 1];
            let found = latencies.quantile_us(quantile).unwrap();
            assert!(
                (exact..=exact + exact / 8).contains(&found),
                "seed {seed}: {found} for {exact} at {quantile} of {count}"
            );
        }
        for bit in BOUND_BITS {
            let below = values.iter().filter(|us| **us < 1 << bit).count();
            assert_eq!(latencies.below(bit), below as u64, "seed {seed}: below 2^{bit}");
        }
        assert_eq!(latencies.sum_us(), values.iter().sum::<u64>(), "seed {seed}");
    }
}

#[test]
fn histograms_of_several_threads_add_up() {
    let (first, second) = (Histogram::default(), Histogram::default());
    first.record(10);
    second.record(10);
    second.record(5_000_000);
    let mut latencies = Latencies::default();
    latencies.add(&first);
    latencies.add(&second);
    assert_eq!(latencies, of([10, 10, 5_000_000]));
}

#[test]
fn what_was_recorded_since_is_told_apart() {
    let earlier = of([10, 5_000]);
    let mut later = of([10, 5_000, 7, 7, 90_000]);
    assert_eq!(later.since(&earlier), of([7, 7, 90_000]));
    assert_eq!(later.since(&later), of([]));
    later.merge(&earlier);
    assert_eq!(later, of([10, 10, 5_000, 5_000, 7, 7, 90_000]));
}
