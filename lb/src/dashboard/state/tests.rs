//! What the page is told of pools small and large.

use std::{num::NonZeroUsize, sync::Arc};

use serde_json::Value;
use strife_policy::{Ramp, Report};
use strife_runtime::tls::Expected;

use super::{super::query::MOST_ROWS, *};
use crate::{
    balancer::Balancer,
    config::PoolConfig,
    endpoint::Endpoint,
    health::Evidence,
    snapshot::{Member, State},
};

/// A pool `default` of so many servers, `server:0` on.
fn world(servers: usize) -> (Arc<Balancer>, History) {
    let config = |name| PoolConfig::of(name, &["a:1"], "round_robin");
    let balancer = Arc::new(Balancer::new(&[config("default"), config("other")]).unwrap());
    let member = |number| {
        let (address, expected) = (format!("server:{number}"), Expected::AnyServer);
        let (ramp, evidence) = (Ramp::default(), Evidence::default());
        let endpoint = Endpoint::new(&address, expected, ramp, NonZeroUsize::MIN, evidence);
        Member { state: State::Ready, why: "".into(), ..Member::new(endpoint) }
    };
    balancer.pools[0].publish_members((0..servers).map(member).collect());
    let history = History::new(balancer.clone());
    (balancer, history)
}

fn shown(history: &History, query: &str) -> Value {
    let text = render(history, &Query::parse(query), Duration::from_secs(9), false);
    serde_json::from_str(&text).unwrap()
}

fn addresses(state: &Value) -> Vec<&str> {
    let servers = state["pool"]["servers"]["shown"].as_array().unwrap();
    servers.iter().map(|server| server["address"].as_str().unwrap()).collect()
}

#[test]
fn a_pool_is_told_with_its_policy_and_all_others_in_short() {
    let (_balancer, history) = world(2);
    let state = shown(&history, "pool=default");
    assert_eq!(state["pools"][0]["ready"], 2);
    assert_eq!(state["pools"][1]["name"], "other");
    assert_eq!(state["pool"]["policy"], "round_robin");
    let names = state["policies"].as_array().unwrap().iter().map(|policy| &policy["name"]);
    assert!(names.into_iter().any(|name| name == "least_load"));
    assert_eq!(addresses(&state), ["server:0", "server:1"]);
    assert_eq!(shown(&history, "pool=other")["pool"]["servers"]["total"], 0);
    assert_eq!(shown(&history, "pool=none")["pool"]["name"], "default", "the first, then");
}

#[test]
fn the_answer_is_bounded_whatever_the_pool() {
    let (balancer, mut history) = world(10_000);
    for _ in 0..SAMPLES + 5 {
        let now = balancer.clock.now() + Duration::from_secs(history.seconds() + 1);
        history.sample(now);
    }
    let text = render(&history, &Query::parse("rows=100000"), Duration::ZERO, false);
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(addresses(&state).len(), MOST_ROWS);
    assert_eq!(state["pool"]["servers"]["matching"], 10_000);
    assert!(text.len() < 400_000, "{} bytes", text.len());
}

#[test]
fn servers_are_found_and_ordered() {
    let (balancer, mut history) = world(12);
    let snapshot = balancer.pools[0].snapshot();
    let members = &snapshot.members;
    (0..5).for_each(|_| members[7].endpoint.load.sent());
    members[3].endpoint.load.sent();
    let report = Report { in_flight: 4, ..Report::default() };
    members[3].endpoint.load.report(Duration::from_secs(2), &report).unwrap();
    history.sample(balancer.clock.now() + Duration::from_secs(1));
    let check = |query: &str, expected: &[&str]| {
        let state = shown(&history, query);
        assert_eq!(addresses(&state)[..expected.len()], *expected, "{query}");
    };
    check("order=calls&descending=true", &["server:7", "server:3", "server:0"]);
    check("order=share&descending=true&rows=2", &["server:7", "server:3"]);
    check("order=in_flight", &["server:0", "server:1", "server:2", "server:4"]);
    check("order=address", &["server:0", "server:1", "server:10"]);
    check("order=report_age&descending=true", &["server:3"]);
    check("filter=ER:1", &["server:1", "server:10", "server:11"]);
    check("filter=ready&rows=1", &["server:0"]);
    assert_eq!(shown(&history, "filter=ER:1")["pool"]["servers"]["matching"], 3);
    assert_eq!(shown(&history, "filter=nobody")["pool"]["servers"]["total"], 12);
    let server = &shown(&history, "filter=server:3")["pool"]["servers"]["shown"][0];
    assert_eq!(
        (&server["report_age_ms"], &server["reported_in_flight"]),
        (&7000.into(), &4.into())
    );
    assert_eq!(
        shown(&history, "server=server:7")["pool"]["servers"]["one"]["trend"]["in_flight"][0],
        5
    );
}

#[test]
fn points_of_a_trend_stay_where_they_are() {
    let (balancer, mut history) = world(1);
    let endpoint = balancer.pools[0].snapshot().members[0].endpoint.clone();
    let start = balancer.clock.now();
    let mut points = Vec::new();
    for second in 1..=23_u64 {
        (0..second).for_each(|_| endpoint.load.sent());
        history.sample(start + Duration::from_secs(second));
        let state = shown(&history, "");
        let trend = &state["pool"]["servers"]["shown"][0]["trend"]["calls"];
        let whole: Vec<f64> = trend.as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        let whole = whole[..second as usize / 5].to_vec();
        assert!(whole.starts_with(&points), "{points:?} became {whole:?}");
        points = whole;
    }
    assert_eq!(points.len(), 4);
}
