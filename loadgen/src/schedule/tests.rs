//! Laws of the schedules: rate, gaps, determinism.

use proptest::prelude::*;

use super::*;

fn until(schedule: impl Iterator<Item = Arrival>, end_s: u64) -> Vec<Arrival> {
    schedule.take_while(|arrival| arrival.at < Duration::from_secs(end_s)).collect()
}

proptest! {
    #[test]
    fn a_poisson_stream_has_its_rate(seed: u64, rate in 200.0..5_000.0_f64, clients in 1_u32..2_000) {
        let expected = rate * 20.0;
        let count = until(Poisson::new(rate, clients, seed), 20).len() as f64;
        // Six standard deviations of a Poisson count.
        prop_assert!((count - expected).abs() < 6.0 * expected.sqrt(), "{count} of {expected}");
    }

    #[test]
    fn the_same_seed_gives_the_same_times(seed: u64, rate in 1.0..10_000.0_f64, clients in 1_u32..100) {
        let take = |seed| Poisson::new(rate, clients, seed).take(200).collect::<Vec<_>>();
        prop_assert_eq!(take(seed), take(seed));
        prop_assert_ne!(take(seed), take(seed.wrapping_add(1)));
    }

    #[test]
    fn times_never_go_back_and_clients_exist(
        seed: u64,
        rate in 1.0..100_000.0_f64,
        clients in 1_u32..100,
        poisson: bool,
    ) {
        let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Constant };
        let all: Vec<_> = schedule(arrivals, rate, clients, seed).take(500).collect();
        prop_assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at));
        prop_assert!(all.iter().all(|arrival| arrival.client < clients));
    }

    #[test]
    fn a_constant_schedule_is_exact(rate in 1_u32..10_000, seconds in 1_u64..5) {
        let count = until(Constant::new(f64::from(rate), 7), seconds).len() as u64;
        prop_assert_eq!(count, u64::from(rate) * seconds);
    }
}

#[test]
fn poisson_gaps_are_exponential() {
    let rate = 1_000.0;
    let times: Vec<f64> =
        Poisson::new(rate, 1, 7).take(50_001).map(|arrival| arrival.at.as_secs_f64()).collect();
    let mut gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    let n = gaps.len() as f64;
    // Kolmogorov–Smirnov distance to 1 - exp(-rate t); 1.95 / sqrt(n) is its 0.1% critical value.
    let distance = gaps.iter().enumerate().map(|(index, gap)| {
        let expected = 1.0 - (-rate * gap).exp();
        (expected - index as f64 / n).abs().max((expected - (index + 1) as f64 / n).abs())
    });
    let distance = distance.fold(0.0, f64::max);
    assert!(distance < 1.95 / n.sqrt(), "{distance}");
}

#[test]
fn every_client_gets_its_share() {
    let mut calls = [0_u32; 10];
    for arrival in Poisson::new(1_000.0, 10, 3).take(10_000) {
        calls[arrival.client as usize] += 1;
    }
    // Six standard deviations of a binomial count with p = 0.1.
    assert!(calls.iter().all(|count| count.abs_diff(1_000) < 180), "{calls:?}");
}
