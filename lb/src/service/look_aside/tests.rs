//! Picks for clients that connect by themselves; who may report for whom.

use std::num::NonZeroUsize;

use strife_policy::Ramp;
use strife_runtime::tls::Expected;

use super::*;
use crate::{
    config::PoolConfig,
    health::Evidence,
    snapshot::{Member, State},
};

#[test]
fn a_server_speaks_for_its_own_pool() {
    let check = |role, name: &str, pool: &str, expected| {
        assert_eq!(may_report(&Identity::new(role, name), pool), expected, "{name} {pool}");
    };
    check(Role::Bank, "ICICI", "bank.icici", true);
    check(Role::Bank, "icici", "bank.sbi", false);
    check(Role::Bank, "icici", "gateway", false);
    check(Role::Bank, "icici", "default", true);
    check(Role::Bank, "icici", "", false);
    check(Role::Gateway, "1", "gateway", true);
    check(Role::Gateway, "1", "bank.icici", false);
    check(Role::Txid, "1", "txid", true);
    check(Role::Txid, "1", "gateway", false);
    check(Role::Client, "john", "default", false);
}

const SERVERS: [&str; 4] = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"];

/// A balancer of one pool, with these servers READY.
fn look_aside(policy: &str, servers: &[&str]) -> (LookAside, Arc<Pool>) {
    let balancer = Arc::new(Balancer::new(&[PoolConfig::of("bank", servers, policy)]).unwrap());
    let pool = balancer.pools[0].clone();
    publish(&pool, servers);
    (serving(balancer, 0), pool)
}

/// Which writes down one pick in so many.
fn serving(balancer: Arc<Balancer>, every: u64) -> LookAside {
    let registry = Registry::new(balancer.clone(), Vec::new());
    LookAside::new(balancer, registry, PickRecorder { every, log: None })
}

fn publish(pool: &Pool, servers: &[&str]) {
    let member = |address: &&str| {
        // Long past its ramp.
        let ramp = Ramp { window: Duration::ZERO, ..Ramp::default() };
        let (expected, evidence) = (Expected::AnyServer, Evidence::default());
        let endpoint = Endpoint::new(address, expected, ramp, NonZeroUsize::MIN, evidence);
        Member { state: State::Ready, ..Member::new(endpoint) }
    };
    pool.publish_members(servers.iter().map(member).collect());
}

fn leased(pool: &Pool, now: Duration) -> Vec<u64> {
    pool.snapshot().ready.iter().map(|endpoint| endpoint.load.leased(now)).collect()
}

fn avoiding(avoid: &[&str]) -> ServerRequest {
    let avoid = avoid.iter().map(|&address| address.to_owned()).collect();
    ServerRequest { avoid, ..ServerRequest::default() }
}

#[test]
fn servers_to_avoid_are_avoided_while_there_are_others() {
    let (service, pool) = look_aside("least_load", &SERVERS);
    for _ in 0..200 {
        let picked = service.pick(&pool, &avoiding(&SERVERS[..3])).unwrap();
        assert_eq!(picked.address, SERVERS[3]);
    }
    let all = service.pick(&pool, &avoiding(&SERVERS)).unwrap();
    assert!(SERVERS.contains(&all.address.as_str()), "better one of those than none");
    let strangers = service.pick(&pool, &avoiding(&["10.0.0.1:1", "nobody"])).unwrap();
    assert!(SERVERS.contains(&strangers.address.as_str()));
}

#[test]
fn picks_are_explained_as_those_of_calls_are() {
    let (service, pool) = look_aside("least_load", &SERVERS);
    service.pick(&pool, &ServerRequest::default()).unwrap();
    assert_eq!(pool.picks.explained(), 0, "nobody asked for it");
    let service = serving(service.balancer.clone(), 1);
    let picked: Vec<_> =
        (0..5).map(|_| service.pick(&pool, &avoiding(&SERVERS[..1])).unwrap().address).collect();
    let traces = pool.picks.recent();
    let explained = traces.iter().map(|trace| {
        assert_eq!((trace.pool.as_str(), &trace.avoid[..]), ("bank", &[0][..]));
        SERVERS[trace.pick.unwrap().index]
    });
    assert_eq!(explained.collect::<Vec<_>>(), picked);
}

#[test]
fn a_client_does_not_choose_by_avoiding_all_others() {
    let (service, pool) = look_aside("least_load", &SERVERS);
    let error = service.pick(&pool, &avoiding(&["127.0.0.1:9"; 17])).unwrap_err();
    assert!(matches!(error, LbError::TooManyAvoided { named: 17, most: 16 }), "{error}");
    assert_eq!(leased(&pool, service.balancer.clock.now()), [0; 4]);
}

#[test]
fn a_pool_without_a_ready_server_is_named() {
    let (service, pool) = look_aside("least_load", &[]);
    let error = service.pick(&pool, &ServerRequest::default()).unwrap_err();
    assert!(matches!(&error, LbError::NoServers { pool, .. } if pool == "bank"), "{error}");
    assert_eq!(pool.unavailable(), 1);
}

#[test]
fn a_server_that_leaves_takes_its_debt_along() {
    let (service, pool) = look_aside("pick_first", &SERVERS[..1]);
    for _ in 0..5 {
        service.pick(&pool, &ServerRequest::default()).unwrap();
    }
    let left = pool.snapshot().ready[0].clone();
    let now = service.balancer.clock.now();
    assert_eq!(leased(&pool, now), [5]);
    publish(&pool, &SERVERS[1..3]);
    assert_eq!(leased(&pool, now), [0, 0]);
    publish(&pool, &SERVERS[..1]);
    assert_eq!(leased(&pool, now), [0], "whoever comes back is somebody else");
    drop(service);
    assert_eq!(Arc::strong_count(&left), 1, "nobody holds it for its leases");
}

#[test]
fn a_pool_that_is_not_named_is_not_everybodys() {
    let check = |reporter: &str, pools: &[&str], named: &str, expected: bool| {
        let configs: Vec<_> =
            pools.iter().map(|name| PoolConfig::of(name, &SERVERS, "pick_first")).collect();
        let balancer = Arc::new(Balancer::new(&configs).unwrap());
        balancer.pools.iter().for_each(|pool| publish(pool, &SERVERS));
        let service = serving(balancer, 0);
        let report = LoadReport {
            pool: named.to_owned(),
            address: SERVERS[0].to_owned(),
            ..LoadReport::default()
        };
        let outcome = service.reported(Some(&Identity::new(Role::Bank, reporter)), &report);
        let is_refused = matches!(outcome, Err(LbError::NotItsPool { .. }));
        assert_eq!((outcome.is_ok(), is_refused), (expected, !expected), "{reporter}: `{named}`");
    };
    for named in ["", "default", "bank.sbi", "bank.icici"] {
        check("sbi", &["bank.icici"], named, false);
    }
    check("icici", &["bank.icici"], "", true);
    check("icici", &["bank.icici"], "default", true);
    // A bank without a pool of its own stands in the default pool.
    for named in ["", "default", "bank.sbi"] {
        check("sbi", &["default", "bank.icici"], named, true);
    }
}
