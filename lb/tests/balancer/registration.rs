//! Servers that register by themselves, and leave.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use rustix::process::{Signal, getpid, kill_process};
use strife_proto::{
    bank::v1::bank_service_client::BankServiceClient,
    lb::v1::{
        DeregisterServerRequest, DeregisterServerResponse, DrainServerRequest, EndpointState,
        EndpointStatus, RegisterServerRequest, SetPolicyRequest,
        load_balancer_client::LoadBalancerClient,
    },
};
use strife_runtime::{Role, Security, certs};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    fleet::{Fleet, PATIENCE, call},
    identity::identity,
    load::Load,
    stub::{Stub, free_port, plain_stubs},
};

/// A lease that ends within a test but not when the machine stands still for a moment, and one that does not.
const SHORT: &str = "--registration-lease 3s --pool default=register:";
const LONG: &str = "--registration-lease 10m --pool default=register:";

type Client = LoadBalancerClient<Channel>;

async fn register(client: &mut Client, pool: &str, address: &str) -> Result<u32, Status> {
    let request = RegisterServerRequest { pool: pool.to_owned(), address: address.to_owned() };
    Ok(client.register_server(request).await?.into_inner().lease_ms)
}

async fn deregister(
    client: &mut Client,
    pool: &str,
    address: &str,
) -> Result<DeregisterServerResponse, Status> {
    let request = DeregisterServerRequest { pool: pool.to_owned(), address: address.to_owned() };
    Ok(client.deregister_server(request).await?.into_inner())
}

/// Registers again and again until it is dropped.
struct Member(JoinHandle<()>);

impl Member {
    fn start(mut client: Client, address: String) -> Self {
        Self(tokio::spawn(async move {
            loop {
                let lease_ms = register(&mut client, "", &address).await.expect("a lease");
                tokio::time::sleep(Duration::from_millis(u64::from(lease_ms) / 3)).await;
            }
        }))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test]
async fn a_server_stays_as_long_as_it_registers() {
    let stubs = plain_stubs(2);
    let [a, b] = [0, 1].map(|index: usize| stubs[index].address.to_string());
    let fleet = Fleet::start(SHORT).await;
    let status = call(&mut fleet.bank()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let why = "pool `default` has no servers (register: names none)";
    assert!(status.message().starts_with(why), "{status}");
    let client = fleet.look_aside(&Security::Plaintext);
    let members = [&a, &b].map(|address| Member::start(client.clone(), address.clone()));
    fleet.wait_for_servers(&[&a, &b]).await;
    let load = Load::start((0..4).map(|_| fleet.bank()));
    load.go_on(100).await;
    let [first, second] = members;
    drop(first);
    fleet.wait_for_servers(&[&b]).await;
    load.go_on(20).await;
    let again = Member::start(client, a.clone());
    fleet.wait_for_servers(&[&a, &b]).await;
    assert_eq!(fleet.pool().await.sources[0].servers, 2);
    load.stop().await;
    drop((again, second));
    fleet.wait_for_servers(&[]).await;
}

#[tokio::test]
async fn a_server_that_leaves_has_no_new_call() {
    let stubs = plain_stubs(2);
    let [a, b] = [0, 1].map(|index: usize| stubs[index].address.to_string());
    let fleet = Fleet::start(LONG).await;
    let mut client = fleet.look_aside(&Security::Plaintext);
    for address in [&a, &b, &a] {
        assert_eq!(register(&mut client, "", address).await.unwrap(), 600_000);
    }
    fleet.wait_for_servers(&[&a, &b]).await;
    let left = deregister(&mut client, "default", &a).await.unwrap();
    assert_eq!(left.in_flight, 0);
    for _ in 0..20 {
        assert_eq!(call(&mut fleet.bank()).await.unwrap(), b);
    }
    let again = deregister(&mut client, "default", &a).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
}

#[tokio::test]
async fn what_is_no_registration_is_refused() {
    let fleet = Fleet::start(&format!("{LONG} --pool fixed={}", free_port())).await;
    let mut client = fleet.look_aside(&Security::Plaintext);
    let long = format!("{}:1", "a".repeat(300));
    let cases = [
        ("fixed", "127.0.0.1:1", Code::FailedPrecondition, "--pool fixed=register:"),
        ("nowhere", "127.0.0.1:1", Code::NotFound, "the pools are default, fixed"),
        ("default", "", Code::InvalidArgument, "is not host:port"),
        ("default", "127.0.0.1", Code::InvalidArgument, "is not host:port"),
        ("default", "127.0.0.1:0", Code::InvalidArgument, "is not host:port"),
        ("default", "http://a:1", Code::InvalidArgument, "is not host:port"),
        ("default", "a:1,b:1", Code::InvalidArgument, "is not host:port"),
        ("default", &long, Code::InvalidArgument, "is not host:port"),
    ];
    for (pool, address, code, message) in cases {
        let refused = register(&mut client, pool, address).await.unwrap_err();
        assert_eq!(refused.code(), code, "{pool} {address}: {refused}");
        assert!(refused.message().contains(message), "{pool} {address}: {refused}");
    }
    let refused = deregister(&mut client, "fixed", "127.0.0.1:1").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(fleet.pool().await.endpoints.is_empty());
}

#[tokio::test]
async fn an_address_that_is_configured_stays_when_its_registration_ends() {
    let stub = Stub::start(&Security::Plaintext);
    let address = stub.address.to_string();
    let fleet = Fleet::start(&format!("{LONG},{address} --pool other=register:")).await;
    let mut client = fleet.look_aside(&Security::Plaintext);
    for pool in ["default", "other"] {
        register(&mut client, pool, &address).await.unwrap();
    }
    fleet.wait_for_servers(&[&address]).await;
    deregister(&mut client, "default", &address).await.unwrap();
    fleet.wait_for_servers(&[&address]).await;
    call(&mut fleet.bank()).await.unwrap();
    let status = fleet.admin().get_status(strife_proto::lb::v1::StatusRequest {}).await.unwrap();
    let other = &status.get_ref().pools[1];
    assert_eq!(other.endpoints.len(), 1, "the other pool's is another one: {other:?}");
    assert_eq!(other.endpoints[0].calls, 0);
}

#[tokio::test]
async fn strangers_do_not_register() {
    let dir = tempfile::tempdir().unwrap();
    let banks = ["icici".to_owned(), "sbi".to_owned()];
    let wanted = certs::Wanted::for_fleet(&banks, &["john".to_owned()], &[]);
    certs::init(dir.path(), &wanted).unwrap();
    let of = |role, name| identity(dir.path(), role, name);
    let stub = Stub::start(&of(Role::Bank, "icici"));
    let address = stub.address.to_string();
    let flags = "--pool bank.icici=register:";
    let fleet = Fleet::start_with(flags, of(Role::Lb, "1"), of(Role::Admin, "1")).await;
    for (role, name) in
        [(Role::Bank, "sbi"), (Role::Gateway, "1"), (Role::Client, "john"), (Role::Admin, "1")]
    {
        let mut client = fleet.look_aside(&of(role, name));
        for pool in ["bank.icici", ""] {
            let refused = register(&mut client, pool, &address).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied, "{name}: {refused}");
            let refused = deregister(&mut client, pool, &address).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied, "{name}: {refused}");
        }
    }
    let mut client = fleet.look_aside(&of(Role::Bank, "icici"));
    register(&mut client, "bank.icici", &address).await.unwrap();
    fleet.wait_for_servers(&[&address]).await;
}

/// Calls by server that one connection makes in a second.
async fn second_of_calls(bank: &mut BankServiceClient<Channel>) -> HashMap<String, u32> {
    let (begun, mut calls) = (Instant::now(), HashMap::new());
    while begun.elapsed() < Duration::from_secs(1) {
        *calls.entry(call(bank).await.expect("an answer")).or_default() += 1;
    }
    calls
}

#[tokio::test]
async fn a_new_server_soon_has_its_share_over_the_connections_there_are() {
    /// The first is that of its slow start, and a busy machine spoils others.
    const SECONDS: usize = 10;
    for policy in ["round_robin", "least_load"] {
        let stubs = plain_stubs(3);
        let addresses: Vec<_> = stubs.iter().map(|stub| stub.address.to_string()).collect();
        let [a, b, new] = [0, 1, 2].map(|index: usize| addresses[index].as_str());
        let fleet = Fleet::start(&format!("--policy {policy} {LONG}")).await;
        let mut client = fleet.look_aside(&Security::Plaintext);
        for address in [a, b] {
            register(&mut client, "", address).await.unwrap();
        }
        fleet.wait_for_servers(&[a, b]).await;
        let mut bank = fleet.bank();
        // The pool is no new one any more.
        second_of_calls(&mut bank).await;
        register(&mut client, "", new).await.unwrap();
        fleet.wait_for_servers(&[a, b, new]).await;
        let mut seconds = Vec::new();
        let share = async {
            for _ in 0..SECONDS {
                let calls = second_of_calls(&mut bank).await;
                let all: u32 = calls.values().sum();
                let of_even =
                    3.0 * f64::from(calls.get(new).copied().unwrap_or(0)) / f64::from(all);
                seconds.push(of_even);
                if (0.8..1.25).contains(&of_even) {
                    return;
                }
            }
            panic!("{policy}: second by second, of an even share: {seconds:?}");
        };
        tokio::time::timeout(PATIENCE, share).await.expect("calls are answered");
    }
}

/// The sum of a family's samples on the metrics page.
async fn metric(page: &str, start: &str) -> f64 {
    let mut stream = TcpStream::connect(page).await.expect("the page is served");
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    let samples = text.lines().filter(|line| line.starts_with(start));
    samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn a_thousand_joins_and_leaves_under_load_fail_no_call_and_leave_nothing() {
    const ROUNDS: usize = 250;
    let stubs = plain_stubs(5);
    let addresses: Vec<_> = stubs.iter().map(|stub| stub.address.to_string()).collect();
    let (stays, others) = addresses.split_first().unwrap();
    let page = free_port().to_string();
    let fleet =
        Fleet::start(&format!("--metrics {page} --policy round_robin {LONG},{stays}")).await;
    let mut client = fleet.look_aside(&Security::Plaintext);
    let load = Load::start((0..8).map(|_| fleet.bank()));
    load.go_on(10).await;
    for round in 0..ROUNDS {
        for address in others {
            register(&mut client, "", address).await.unwrap();
        }
        if round % 25 == 0 {
            let all: Vec<_> = addresses.iter().map(String::as_str).collect();
            fleet.wait_for_servers(&all).await;
            load.go_on(50).await;
        }
        load.go_on(5).await;
        for address in others {
            deregister(&mut client, "", address).await.unwrap();
        }
    }
    load.go_on(50).await;
    load.stop().await;
    fleet.wait_for_servers(&[stays]).await;
    let came = (ROUNDS * others.len()) as f64;
    assert_eq!(metric(&page, "strife_lb_pool_endpoints_joined_total").await, came + 1.0);
    assert_eq!(metric(&page, "strife_lb_pool_endpoints_left_total").await, came);
    assert_eq!(metric(&page, "strife_lb_pool_endpoints{").await, 1.0);
    let idle = async {
        // A connection for each of two threads to the server that stays.
        while metric(&page, "strife_lb_connections_active{leg=\"upstream\"").await > 2.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, idle)
        .await
        .expect("connections to servers that left are closed");
    assert_eq!(metric(&page, "strife_lb_endpoint_calls_failed_total").await, 0.0);
}

#[tokio::test]
async fn a_successor_inherits_registrations_and_switched_policies() {
    let (stubs, dir) = (plain_stubs(2), tempfile::tempdir().unwrap());
    let [a, b] = [0, 1].map(|index: usize| stubs[index].address.to_string());
    let path = dir.path().join("lb.sock");
    let flags = format!("--handover {} {LONG} --pool other=register:", path.display());
    let old = Fleet::start(&flags).await;
    let mut client = old.look_aside(&Security::Plaintext);
    for address in [&a, &b] {
        register(&mut client, "", address).await.unwrap();
    }
    old.wait_for_servers(&[&a, &b]).await;
    let request = SetPolicyRequest { pool: "default".to_owned(), policy: "pick_first".to_owned() };
    old.admin().set_policy(request).await.unwrap();
    let load = Load::start((0..4).map(|_| old.bank()));
    load.go_on(20).await;
    let new = Fleet::start(&flags).await;
    load.go_on(100).await;
    load.stop().await;
    new.wait_for_servers(&[&a, &b]).await;
    assert_eq!(new.pool().await.policy, "pick_first");
    let status = new.admin().get_status(strife_proto::lb::v1::StatusRequest {}).await.unwrap();
    assert_eq!(status.get_ref().pools[1].policy, "least_load", "as configured");
}

#[tokio::test]
async fn a_hangup_takes_no_server_before_the_new_source_has_named_its_own() {
    // Ours: the balancer's own may come later than the first signal.
    let _not_fatal = signal(SignalKind::hangup()).unwrap();
    let (stubs, dir) = (plain_stubs(2), tempfile::tempdir().unwrap());
    let [a, b] = [0, 1].map(|index: usize| stubs[index].address.to_string());
    let config = dir.path().join("lb.toml");
    let configure = |source: &str| {
        fs::write(&config, format!("[[pool]]\nname = \"default\"\n{source}\n")).unwrap();
    };
    configure("register = true");
    let flags = format!("--registration-lease 3s --config {}", config.display());
    let fleet = Fleet::start(&flags).await;
    let hang_up_until = async |source: &str| {
        fleet
            .wait_until(|pool| {
                kill_process(getpid(), Signal::HUP).unwrap();
                pool.sources[0].source.starts_with(source)
            })
            .await;
    };
    let member = Member::start(fleet.look_aside(&Security::Plaintext), a.clone());
    fleet.wait_for_servers(&[&a]).await;
    let load = Load::start((0..4).map(|_| fleet.bank()));
    load.go_on(20).await;
    configure("file = \"servers.txt\"");
    hang_up_until("file:").await;
    load.go_on(20).await;
    fleet.wait_for_servers(&[&a]).await;
    fs::write(dir.path().join("servers.txt"), &b).unwrap();
    fleet.wait_for_servers(&[&b]).await;
    drop(member);
    let mut client = fleet.look_aside(&Security::Plaintext);
    let refused = register(&mut client, "", &a).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    load.go_on(20).await;
    // And back: nobody could have registered before.
    configure("register = true");
    hang_up_until("register:").await;
    load.go_on(20).await;
    fleet.wait_for_servers(&[&b]).await;
    let _member = Member::start(client, a.clone());
    fleet.wait_for_servers(&[&a]).await;
    load.stop().await;
}

#[tokio::test]
async fn a_registered_server_that_is_drained_is_drained_when_it_comes_back() {
    let stubs = plain_stubs(2);
    let [a, b] = [0, 1].map(|index: usize| stubs[index].address.to_string());
    let fleet = Fleet::start(LONG).await;
    let mut client = fleet.look_aside(&Security::Plaintext);
    for address in [&a, &b] {
        register(&mut client, "", address).await.unwrap();
    }
    fleet.wait_for_servers(&[&a, &b]).await;
    let drain =
        |drain| DrainServerRequest { address: a.clone(), drain, ..DrainServerRequest::default() };
    fleet.admin().drain_server(drain(true)).await.unwrap();
    deregister(&mut client, "", &a).await.unwrap();
    register(&mut client, "", &a).await.unwrap();
    let is_drained = |one: &EndpointStatus| {
        one.address == a && one.state() == EndpointState::Draining && one.last_error.is_empty()
    };
    fleet.wait_until(|pool| pool.endpoints.iter().any(is_drained)).await;
    for _ in 0..20 {
        assert_eq!(call(&mut fleet.bank()).await.unwrap(), b);
    }
    deregister(&mut client, "", &a).await.unwrap();
    let undrained = fleet.admin().drain_server(drain(false)).await.unwrap();
    assert_eq!(undrained.get_ref().pools, ["default"]);
    register(&mut client, "", &a).await.unwrap();
    fleet.wait_for_servers(&[&a, &b]).await;
}
