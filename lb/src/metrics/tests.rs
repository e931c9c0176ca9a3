//! The page as a whole: threads summed, every family valid and documented.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use strife_policy::{Outcome, POLICIES, Pick, Ramp, Regime, Report};
use strife_runtime::tls::Expected;

use super::{exposition::tests::parse, *};
use crate::{
    access_log,
    balancer::Balancer,
    config::{LbArgs, PoolConfig, SourceConfig},
    discovery::SourceStatus,
    endpoint::Endpoint,
    health::Evidence,
    line_log::tests::call,
    pool,
    snapshot::{Member, State},
};

const THREADS: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// Two pools, one of two endpoints and one of one.
pub(super) fn balancer() -> Balancer {
    let pool = |name, addresses: &[&str]| PoolConfig::of(name, addresses, "least_load");
    let first = pool("default", &["127.0.0.1:1", "127.0.0.1:2"]);
    let configs = [first, pool("bank.icici", &["[::1]:3"])];
    let balancer = Balancer::new(&configs).unwrap();
    for (pool, config) in balancer.pools.iter().zip(&configs) {
        let endpoint = |address: &String| {
            let expected = Expected::of_pool(&config.name);
            Endpoint::new(address, expected, Ramp::default(), THREADS, Evidence::default())
        };
        let [SourceConfig::Static(addresses)] = &config.sources[..] else { panic!("one source") };
        let members = addresses.iter().map(|address| Member::new(endpoint(address)));
        pool.set_sources(vec![SourceStatus::new(0, &config.sources[0])]);
        pool.publish_members(members.collect());
    }
    balancer
}

pub(super) fn limits() -> Limits {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: LbArgs,
    }
    let flags = ["lb", "--pool", "default=127.0.0.1:1", "--plaintext"];
    let command: Command = clap::Parser::try_parse_from(flags).unwrap();
    command.args.config().unwrap().limits
}

fn metrics() -> Arc<Metrics> {
    Metrics::new(THREADS, limits(), Recorded::default())
}

/// Something of everything, `n` times.
fn count(thread: &ThreadMetrics, endpoint: &EndpointMetrics, n: u64) {
    for _ in 0..n {
        thread.calls.increment();
        thread.refused_calls.increment(Refusal::NoFreeStream);
        for leg in [&thread.downstream, &thread.upstream] {
            leg.connections_opened.increment();
            leg.connections_active.add(1);
            leg.connections_closed.increment(CloseReason::FloodGuard);
            leg.bytes_received.add(100);
            leg.protocol_errors.increment(Code::FLOW_CONTROL_ERROR);
            leg.floods.increment(Flood::ProvokedResets);
        }
        endpoint.calls_ended.increment(CallCode::of(Some(14)));
        endpoint.retries.increment(Retry::GoAway);
        endpoint.latency.record(1_000_000);
        thread.buffered_bytes.add(7);
    }
    thread.buffered_bytes.subtract(n);
    thread.upstream.connections_active.set(1);
}

#[test]
fn threads_are_summed_and_none_has_a_series_of_its_own() {
    const EACH: u64 = 10_000;
    let balancer = balancer();
    let metrics = metrics();
    let endpoint = balancer.pools[1].endpoint("[::1]:3").unwrap();
    thread::scope(|scope| {
        for (n, of_endpoint) in endpoint.metrics.iter().enumerate() {
            let counters = metrics.thread(n);
            scope.spawn(move || count(&counters, of_endpoint, EACH));
        }
        // While they count: never torn, never beyond what is counted.
        let seen = parse(&metrics.render(&balancer)).samples["strife_lb_calls_total"];
        assert!(seen <= (3 * EACH) as f64);
    });
    let parsed = parse(&metrics.render(&balancer));
    let check = |series: &str, expected: u64| {
        let found = parsed.samples.get(&format!("strife_lb_{series}"));
        assert_eq!(found, Some(&(expected as f64)), "{series}");
    };
    let all = 3 * EACH;
    let icici = "pool=\"bank.icici\",endpoint=\"[::1]:3\"";
    check("calls_total", all);
    check("threads", 3);
    check("calls_refused_total{reason=\"no_free_stream\"}", all);
    check("calls_refused_total{reason=\"no_pool\"}", 0);
    check("connections_opened_total{leg=\"downstream\"}", all);
    check("connections_active{leg=\"downstream\"}", all);
    check("connections_active{leg=\"upstream\"}", 3);
    check("connections_closed_total{leg=\"upstream\",reason=\"flood_guard\"}", all);
    check("received_bytes_total{leg=\"upstream\"}", 100 * all);
    check("protocol_errors_total{leg=\"downstream\",code=\"FLOW_CONTROL_ERROR\"}", all);
    check("floods_total{leg=\"upstream\",kind=\"provoked_resets\"}", all);
    check("buffered_bytes", 6 * all);
    check(&format!("endpoint_calls_ended_total{{{icici},code=\"UNAVAILABLE\"}}"), all);
    check(&format!("endpoint_calls_ended_total{{{icici},code=\"OK\"}}"), 0);
    check(&format!("endpoint_retries_total{{{icici},reason=\"goaway\"}}"), all);
    check(&format!("endpoint_call_duration_seconds_sum{{{icici}}}"), all);
    check(&format!("endpoint_call_duration_seconds_bucket{{{icici},le=\"0.524288\"}}"), 0);
    check(&format!("endpoint_call_duration_seconds_bucket{{{icici},le=\"1.048576\"}}"), all);
    assert!(!parsed.samples.keys().any(|series| series.contains("code=\"DATA_LOSS\"")));
}

#[test]
fn the_page_shows_what_policies_go_by() {
    let balancer = balancer();
    let metrics = metrics();
    let pool = &balancer.pools[0];
    let endpoint = pool.endpoint("127.0.0.1:2").unwrap();
    let mut members = pool.snapshot().members.to_vec();
    members[0].draining = true;
    members[1].state = State::Ready;
    pool.publish_members(members);
    let renewed = pool.snapshot().renewed(pool::chosen("round_robin").unwrap(), Duration::ZERO);
    pool.publish(renewed);
    pool.count_unavailable();
    pool.metrics.policy_switches.increment();
    let now = balancer.clock.now();
    let report = Report { in_flight: 9, service_time_us: 1_500, sequence: 1, ..Report::default() };
    endpoint.load.report(now, &report).unwrap();
    endpoint.load.sent();
    endpoint.load.sent();
    endpoint.load.finished(now, Outcome::Failed, Duration::ZERO);
    let parsed = parse(&metrics.render(&balancer));
    let check = |series: &str, expected: f64| {
        assert_eq!(parsed.samples.get(&format!("strife_lb_{series}")), Some(&expected), "{series}");
    };
    let labels = "{pool=\"default\",endpoint=\"127.0.0.1:2\"}";
    check("pool_policy_info{pool=\"default\",policy=\"round_robin\"}", 1.0);
    check("pool_endpoints{pool=\"default\"}", 2.0);
    check("pool_endpoints_ready{pool=\"default\"}", 1.0);
    check("pool_calls_unavailable_total{pool=\"default\"}", 1.0);
    check("pool_policy_switches_total{pool=\"default\"}", 1.0);
    check("pool_endpoints_joined_total{pool=\"default\"}", 0.0);
    check(&format!("endpoint_ready{labels}"), 1.0);
    check(&format!("endpoint_draining{labels}"), 0.0);
    check("endpoint_draining{pool=\"default\",endpoint=\"127.0.0.1:1\"}", 1.0);
    check(&format!("endpoint_calls_total{labels}"), 2.0);
    check(&format!("endpoint_calls_failed_total{labels}"), 1.0);
    check(&format!("endpoint_calls_in_flight{labels}"), 1.0);
    check(&format!("endpoint_reported_in_flight{labels}"), 9.0);
    check(&format!("endpoint_reported_service_time_seconds{labels}"), 0.0015);
    assert!(parsed.samples.contains_key(&format!("strife_lb_endpoint_report_age_seconds{labels}")));
    let silent = "strife_lb_endpoint_report_age_seconds{pool=\"default\",endpoint=\"127.0.0.1:1\"}";
    assert!(!parsed.samples.contains_key(silent), "it never reported");
}

#[test]
fn picks_are_counted_by_policy_and_regime_and_summed_over_threads() {
    let balancer = balancer();
    let pool = &balancer.pools[0].metrics;
    let place = |name| POLICIES.iter().position(|kind| kind.name == name).unwrap();
    let count = |policy, regime, picks: u64| {
        let thread = pool.of_thread();
        (0..picks).for_each(|_| thread.count(place(policy), Pick { index: 0, regime }));
    };
    count("least_load", Regime::Fresh, 3);
    count("least_load", Regime::Fresh, 4);
    count("least_load", Regime::InFlight, 2);
    count("round_robin", Regime::Only, 5);
    let parsed = parse(&metrics().render(&balancer));
    let picks = |policy: &str, regime: &str| {
        let labels = format!("{{pool=\"default\",policy=\"{policy}\",regime=\"{regime}\"}}");
        parsed.samples.get(&format!("strife_lb_pool_picks_total{labels}")).copied()
    };
    assert_eq!(picks("least_load", "fresh"), Some(7.0));
    assert_eq!(picks("least_load", "in_flight"), Some(2.0));
    assert_eq!(picks("least_load", "decayed"), None, "none was made");
    assert_eq!(picks("round_robin", "only"), Some(5.0));
}

#[test]
fn limits_are_on_the_page_unless_there_is_none() {
    let balancer = balancer();
    let parsed = parse(&metrics().render(&balancer));
    let check = |series: &str, expected: Option<f64>| {
        assert_eq!(parsed.samples.get(series).copied(), expected, "{series}");
    };
    check("strife_lb_limit{limit=\"max_streams\"}", Some(1024.0));
    check("strife_lb_limit_bytes{limit=\"stream_window\"}", Some(65_536.0));
    check("strife_lb_limit_seconds{limit=\"ready_timeout\"}", Some(0.5));
    check("strife_lb_limit_seconds{limit=\"max_connection_age\"}", None);
}

#[test]
fn every_family_is_documented_and_nothing_else_is() {
    let (balancer, dir) = (balancer(), tempfile::tempdir().unwrap());
    let log = access_log::open(dir.path().join("access.log").to_str().unwrap()).unwrap();
    log.sender().record(&call(SystemTime::UNIX_EPOCH, Duration::ZERO));
    let recorded = Recorded {
        access_log: Some(log.written()),
        pick_log: Some(log.written()),
        spans: Some(Arc::default()),
    };
    let metrics = Metrics::new(NonZeroUsize::MIN, limits(), recorded);
    let parsed = parse(&metrics.render(&balancer));
    let documented: std::collections::BTreeMap<_, _> = include_str!("../../../docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `strife_lb_")?.split_once("` | "))
        .map(|(name, rest)| {
            let kind = rest.split(' ').next().unwrap_or_default();
            (format!("strife_lb_{name}"), kind.to_owned())
        })
        .collect();
    assert_eq!(parsed.families, documented);
}

#[test]
fn a_status_that_grpc_does_not_know_counts_as_unknown() {
    let check = |status, name: &str| assert_eq!(CallCode::of(status).as_str(), name);
    check(Some(0), "OK");
    check(Some(16), "UNAUTHENTICATED");
    check(Some(17), "UNKNOWN");
    check(Some(u32::MAX), "UNKNOWN");
    check(None, "none");
}

#[test]
fn every_label_has_its_place() {
    fn check<L: Label + PartialEq + std::fmt::Debug>() {
        for (index, label) in L::ALL.iter().enumerate() {
            assert_eq!(label.index(), index, "{label:?}");
            let name = label.as_str();
            assert!(!name.is_empty() && name != "undefined", "{label:?}");
            assert_eq!(L::ALL.iter().filter(|other| other.as_str() == name).count(), 1, "{name}");
        }
    }
    check::<Refusal>();
    check::<CloseReason>();
    check::<Retry>();
    check::<Regime>();
    check::<CallCode>();
    check::<Flood>();
    check::<Code>();
    assert_eq!(Code(0xe).index(), Code::INTERNAL_ERROR.index());
}
