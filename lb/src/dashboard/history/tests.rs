//! Samples of counters that tests move, on a time of their own.

use std::num::NonZeroUsize;

use strife_policy::{Outcome, Ramp};
use strife_runtime::tls::Expected;

use super::*;
use crate::{
    config::PoolConfig,
    endpoint::Endpoint,
    health::Evidence,
    snapshot::{Member, State},
};

/// A pool of servers that are ready, sampled when the test says so.
struct World {
    balancer: Arc<Balancer>,
    endpoints: Vec<Arc<Endpoint>>,
    history: History,
    now: Duration,
}

impl World {
    fn new(servers: usize) -> Self {
        let config = PoolConfig::of("default", &["a:1"], "round_robin");
        let balancer = Arc::new(Balancer::new(&[config]).unwrap());
        let history = History::new(balancer.clone());
        let now = history.taken_at;
        let mut world = Self { balancer, endpoints: Vec::new(), history, now };
        let endpoint = |number| {
            let (address, expected) = (format!("server:{number}"), Expected::AnyServer);
            let (ramp, evidence) = (Ramp::default(), Evidence::default());
            Endpoint::new(&address, expected, ramp, NonZeroUsize::MIN, evidence)
        };
        world.set((0..servers).map(endpoint).collect());
        world
    }

    fn set(&mut self, endpoints: Vec<Arc<Endpoint>>) {
        let member = |endpoint: &Arc<Endpoint>| Member {
            state: State::Ready,
            ..Member::new(endpoint.clone())
        };
        self.balancer.pools[0].publish_members(endpoints.iter().map(member).collect());
        self.endpoints = endpoints;
    }

    /// So many calls, each answered after this time.
    fn call(&self, server: usize, calls: u64, latency_us: u64) {
        let endpoint = &self.endpoints[server];
        for _ in 0..calls {
            endpoint.load.sent();
            endpoint.metrics[0].latency.record(latency_us);
            endpoint.load.finished(self.now, Outcome::Succeeded, Duration::ZERO);
        }
    }

    fn sample(&mut self, seconds: f64) -> PoolSample {
        self.now += Duration::from_secs_f64(seconds);
        self.history.sample(self.now);
        *self.history.pools[0].trend.last().unwrap()
    }

    fn kept(&self, server: usize) -> &EndpointHistory {
        &self.history.pools[0].endpoints[&self.endpoints[server].id]
    }
}

#[test]
fn a_sample_is_what_happened_since_the_last() {
    let mut world = World::new(2);
    world.call(0, 30, 1000);
    world.call(1, 10, 100_000);
    let first = world.sample(1.0);
    assert_eq!((first.calls, first.failures, first.in_flight), (40.0, 0.0, 0));
    assert!((1000..=1125).contains(&first.p50_us.unwrap()), "{first:?}");
    assert!((100_000..=112_500).contains(&first.p99_us.unwrap()), "{first:?}");
    world.endpoints[0].load.sent();
    world.endpoints[1].load.sent();
    world.endpoints[1].load.finished(world.now, Outcome::Failed, Duration::ZERO);
    world.balancer.pools[0].count_unavailable();
    let second = world.sample(2.0);
    assert_eq!((second.calls, second.failures, second.in_flight), (1.0, 0.5, 1));
    assert_eq!((second.unavailable, second.p50_us), (0.5, None));
    assert_eq!(world.kept(0).last().in_flight, 1);
    assert_eq!(world.history.seconds(), 3, "a sample for each second");
}

#[test]
fn latencies_of_calls_that_took_longer_than_a_sample_are_not_lost() {
    let mut world = World::new(1);
    world.endpoints[0].load.sent();
    world.sample(1.0);
    assert_eq!(world.sample(1.0).p50_us, None);
    world.endpoints[0].metrics[0].latency.record(2_000_000);
    world.endpoints[0].load.finished(world.now, Outcome::Succeeded, Duration::ZERO);
    assert!(world.sample(1.0).p50_us >= Some(2_000_000));
}

#[test]
fn fairness_is_one_if_all_have_the_same_and_one_over_n_if_one_has_it_all() {
    let mut world = World::new(4);
    assert_eq!(world.sample(1.0).fairness, None);
    (0..4).for_each(|server| world.call(server, 10, 1));
    assert_eq!(world.sample(1.0).fairness, Some(1.0));
    let mut world = World::new(4);
    world.call(2, 10, 1);
    assert_eq!(world.sample(1.0).fairness, Some(0.25));
}

#[test]
fn only_the_last_minutes_are_kept_also_after_a_long_pause() {
    let mut world = World::new(1);
    for _ in 0..SAMPLES + 10 {
        world.sample(1.0);
    }
    world.call(0, 6, 1);
    world.sample(3.0);
    let trend: Vec<_> = world.kept(0).trend().unwrap().iter().map(|one| one.calls).collect();
    assert_eq!(trend.len(), SAMPLES);
    assert_eq!(trend[SAMPLES - 4..], [0.0, 2.0, 2.0, 2.0]);
    world.sample(1e6);
    assert_eq!(world.kept(0).trend().unwrap().iter().len(), SAMPLES);
}

#[test]
fn ten_thousand_endpoints_are_all_seen_and_the_first_thousand_kept() {
    let mut world = World::new(10_000);
    world.call(9_999, 50, 1000);
    let sample = world.sample(1.0);
    assert!(sample.calls == 50.0 && sample.p50_us.is_some(), "{sample:?}");
    assert_eq!(world.kept(9_999).last().calls, 50.0);
    assert!(world.kept(9_999).trend().is_none() && world.kept(TRACKED_ENDPOINTS).trend().is_none());
    assert!(world.kept(TRACKED_ENDPOINTS - 1).trend().is_some());
    // Whoever leaves makes place for another, and nothing of it stays.
    let rest = world.endpoints.split_off(1);
    world.set(rest);
    world.sample(1.0);
    world.sample(1.0);
    assert_eq!(world.history.pools[0].endpoints.len(), 9_999);
    assert_eq!(world.history.tracked, TRACKED_ENDPOINTS);
    assert!(world.kept(TRACKED_ENDPOINTS - 1).trend().is_some());
    world.set(Vec::new());
    world.sample(1.0);
    assert_eq!((world.history.pools[0].endpoints.len(), world.history.tracked), (0, 0));
}

#[test]
fn a_pool_without_servers_or_calls_has_nothing_to_show_and_shows_it() {
    let mut world = World::new(0);
    assert_eq!(world.sample(1.0), PoolSample::default());
}
