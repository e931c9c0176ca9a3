//! Which picks are written down, who gets to see them, and that memory has a bound.

use std::time::Duration;

use rand::{SeedableRng, rngs::SmallRng};
use strife_policy::{Explanation, PickContext};

use super::*;

fn trace(seed: u64) -> PickTrace {
    PickTrace {
        time_unix_ms: 0,
        pool: "default".to_owned(),
        policy: "random".to_owned(),
        now: Duration::ZERO,
        seed,
        hash: None,
        avoid: Vec::new(),
        pick: None,
        explanation: Explanation::default(),
        endpoint_count: 0,
        endpoints: Vec::new(),
    }
}

fn context(seed: u64) -> PickContext {
    PickContext { now: Duration::ZERO, rng: SmallRng::seed_from_u64(seed) }
}

/// Of a million picks in a second, how many are due.
fn due(picks: &Arc<PoolPicks>, every: u64) -> usize {
    let (mut sampler, mut context) = (Sampler::new(picks.clone(), every), context(7));
    let picks = (0..1_000_000).filter(|n| {
        context.now = Duration::from_micros(*n);
        sampler.due(&mut context).is_some()
    });
    picks.count()
}

#[test]
fn one_in_so_many_is_written_down_and_none_at_zero() {
    let picks = Arc::<PoolPicks>::default();
    assert_eq!((due(&picks, 0), due(&picks, 1)), (0, 1_000_000));
    let sampled = due(&picks, 1000);
    assert!((900..1100).contains(&sampled), "{sampled}");
}

#[test]
fn who_watches_gets_more_up_to_a_bound_and_no_longer_than_they_watch() {
    let picks = Arc::<PoolPicks>::default();
    let seldom = picks.watch(10_000);
    let count = due(&picks, 0);
    assert!((70..130).contains(&count), "{count}");
    let often = picks.watch(1);
    let count = due(&picks, 0);
    assert!((150..=201).contains(&count), "a hundred at once and a hundred a second: {count}");
    drop(often);
    assert!(due(&picks, 0) < 130);
    drop(seldom);
    assert_eq!(due(&picks, 0), 0);
}

#[test]
fn a_gap_ends_soon_when_more_is_asked_for() {
    let picks = Arc::<PoolPicks>::default();
    let (mut sampler, mut context) = (Sampler::new(picks.clone(), 0), context(1));
    let seldom = picks.watch(1 << 40);
    for _ in 0..1000 {
        sampler.due(&mut context);
    }
    let _often = picks.watch(2);
    assert!((0..4).any(|_| sampler.due(&mut context).is_some()));
    drop(seldom);
}

#[test]
fn whatever_is_asked_for_can_be_counted() {
    let picks = Arc::<PoolPicks>::default();
    for every in [u64::MAX, (1 << 63) + 1, 1 << 63, 0] {
        let _watch = picks.watch(every);
        let mut sampler = Sampler::new(picks.clone(), 0);
        let mut context = context(1);
        let due = (0..100).filter(|_| sampler.due(&mut context).is_some()).count();
        assert_eq!(due, if every == 0 { 100 } else { 1 }, "{every}: the first begins the count");
    }
}

#[test]
fn gaps_do_not_march_in_step_with_turns() {
    let (mut sampler, mut context) = (Sampler::new(Arc::default(), 64), context(3));
    let mut turns = [0_u32; 4];
    for n in 0..100_000 {
        turns[n % 4] += u32::from(sampler.due(&mut context).is_some());
    }
    assert!(turns.iter().all(|count| *count > 200), "{turns:?}");
}

#[test]
fn a_pool_remembers_the_last_ones() {
    let picks = PoolPicks::default();
    (0..100).for_each(|seed| picks.keep(trace(seed)));
    let seeds: Vec<_> = picks.recent().iter().map(|trace| trace.seed).collect();
    assert_eq!(seeds, (100 - RECENT as u64..100).collect::<Vec<_>>());
    assert_eq!(picks.explained(), 100);
}

#[tokio::test]
async fn who_reads_too_slowly_misses_some_and_is_told_how_many() {
    let picks = Arc::<PoolPicks>::default();
    let mut watch = picks.watch(1);
    (0..WATCH_QUEUE as u64 + 5).for_each(|seed| picks.keep(trace(seed)));
    assert!(matches!(watch.next().await, Some(Seen::Missed(5))));
    assert!(matches!(watch.next().await, Some(Seen::Pick(trace)) if trace.seed == 5));
}
