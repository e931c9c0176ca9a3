//! Servers from DNS: asked again and again, and not believed when it has nothing to say.

use strife_runtime::Security;
use tonic::Code;

use crate::{
    fleet::{Fleet, PATIENCE, call},
    load::Load,
    name_server::NameServer,
    stub::Stub,
};

const HOST: &str = "bank.shop.svc.cluster.local";

/// Servers of one port, as the pods of a headless service: at `127.0.0.2` and on.
fn pods(count: u8) -> (u16, Vec<Stub>) {
    let first = Stub::start_at("127.0.0.2:0", &Security::Plaintext);
    let port = first.address.port();
    let at = |host| Stub::start_at(&format!("127.0.0.{host}:{port}"), &Security::Plaintext);
    let others = (3..2 + count).map(at);
    (port, std::iter::once(first).chain(others).collect())
}

#[tokio::test]
async fn pods_come_and_go_under_load_without_a_failed_call() {
    let (names, (port, _pods)) = (NameServer::start().await, pods(3));
    let at = |host: u8| format!("127.0.0.{host}:{port}");
    names.set_host(HOST, &["127.0.0.2"]);
    let flags = format!("--policy round_robin {} --pool default=dns:{HOST}:{port}", names.flags());
    let fleet = Fleet::start(&flags).await;
    fleet.wait_for_servers(&[&at(2)]).await;
    let load = Load::start((0..4).map(|_| fleet.bank()));
    load.go_on(20).await;
    names.set_host(HOST, &["127.0.0.4", "127.0.0.2", "127.0.0.3"]);
    fleet.wait_for_servers(&[&at(2), &at(3), &at(4)]).await;
    load.go_on(20).await;
    names.set_host(HOST, &["127.0.0.3", "127.0.0.4", "127.0.0.3"]);
    fleet.wait_for_servers(&[&at(3), &at(4)]).await;
    let said = &fleet.pool().await.sources[0].problem;
    assert!(said.contains(&format!("{} twice", at(3))), "{said}");
    load.go_on(20).await;
    load.stop().await;
}

#[tokio::test]
async fn dns_that_fails_or_has_nothing_takes_no_server_away() {
    let (names, (port, _pods)) = (NameServer::start().await, pods(2));
    let at = |host: u8| format!("127.0.0.{host}:{port}");
    names.set_host(HOST, &["127.0.0.2", "127.0.0.3"]);
    let flags = format!("{} --pool default=dns:{HOST}:{port}", names.flags());
    let fleet = Fleet::start(&flags).await;
    fleet.wait_for_servers(&[&at(2), &at(3)]).await;
    let load = Load::start((0..2).map(|_| fleet.bank()));
    let keeps = async |why: &str| {
        fleet.wait_until(|pool| pool.sources[0].problem.contains(why)).await;
        // Asked again: it does not give up.
        let asked = names.asked();
        let again = async {
            while names.asked() < asked + 4 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, again).await.expect("it is asked again");
        fleet.wait_for_servers(&[&at(2), &at(3)]).await;
        load.go_on(10).await;
    };
    names.fail(true);
    keeps("DNS does not answer").await;
    names.fail(false);
    names.set_host(HOST, &[]);
    keeps("DNS names no address").await;
    names.set_host(HOST, &["127.0.0.3"]);
    fleet.wait_for_servers(&[&at(3)]).await;
    assert_eq!(fleet.pool().await.sources[0].problem, "");
    load.stop().await;
}

#[tokio::test]
async fn a_successor_that_dns_does_not_answer_knows_what_was_known() {
    let (names, (port, _pods)) = (NameServer::start().await, pods(2));
    let at = |host: u8| format!("127.0.0.{host}:{port}");
    names.set_host(HOST, &["127.0.0.2", "127.0.0.3"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let pool = format!("--pool default=dns:{HOST}:{port}");
    let flags = format!("--handover {} {} {pool}", path.display(), names.flags());
    let old = Fleet::start(&flags).await;
    old.wait_for_servers(&[&at(2), &at(3)]).await;
    let load = Load::start((0..4).map(|_| old.bank()));
    load.go_on(20).await;
    names.fail(true);
    let new = Fleet::start(&flags).await;
    load.go_on(100).await;
    new.wait_for_servers(&[&at(2), &at(3)]).await;
    assert!(new.pool().await.sources[0].problem.contains("DNS does not answer"));
    names.fail(false);
    names.set_host(HOST, &["127.0.0.3"]);
    new.wait_for_servers(&[&at(3)]).await;
    load.stop().await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_yet_is_told_and_asked_for_again() {
    let (names, (port, _pods)) = (NameServer::start().await, pods(1));
    let flags = format!("{} --pool default=dns:{HOST}:{port}", names.flags());
    let fleet = Fleet::start(&flags).await;
    let status = call(&mut fleet.bank()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let why = format!(
        "pool `default` has no servers (dns:{HOST}:{port}: DNS names no address); see \
         `strife admin status`"
    );
    assert_eq!(status.message(), why);
    names.set_host(HOST, &["127.0.0.2"]);
    fleet.wait_for_servers(&[&format!("127.0.0.2:{port}")]).await;
    call(&mut fleet.bank()).await.unwrap();
}

#[tokio::test]
async fn addresses_of_both_families_are_members() {
    let (names, (port, _pods)) = (NameServer::start().await, pods(1));
    names.set_host(HOST, &["127.0.0.2", "::1"]);
    let flags = format!("{} --pool default=dns:{HOST}:{port}", names.flags());
    let fleet = Fleet::start(&flags).await;
    let wanted = [format!("127.0.0.2:{port}"), format!("[::1]:{port}")];
    fleet.wait_until(|pool| pool.endpoints.iter().map(|one| &one.address).eq(wanted.iter())).await;
    names.set_host(HOST, &["127.0.0.2"]);
    fleet.wait_for_servers(&[&wanted[0]]).await;
}

#[tokio::test]
async fn services_are_the_targets_of_lowest_priority() {
    let names = NameServer::start().await;
    let stubs: Vec<_> = (0..3).map(|_| Stub::start(&Security::Plaintext)).collect();
    let address = |index: usize| stubs[index].address.to_string();
    let port = |index: usize| stubs[index].address.port();
    let service = "_bank._tcp.example.com";
    names.set_host("near.example.com", &["127.0.0.1"]);
    names.set_host("far.example.com", &["127.0.0.1"]);
    let far = (20, "far.example.com", port(2));
    let near = |index| (10, "near.example.com", port(index));
    names.set_service(service, &[far, near(0), near(1)]);
    let flags = format!("{} --pool default=srv:{service}", names.flags());
    let fleet = Fleet::start(&flags).await;
    fleet.wait_for_servers(&[&address(0), &address(1)]).await;
    let load = Load::start((0..2).map(|_| fleet.bank()));
    names.set_service(service, &[far, near(1)]);
    fleet.wait_for_servers(&[&address(1)]).await;
    load.go_on(10).await;
    names.set_service(service, &[far]);
    fleet.wait_for_servers(&[&address(2)]).await;
    names.set_service(service, &[]);
    fleet.wait_until(|pool| pool.sources[0].problem == "DNS names no server").await;
    fleet.wait_for_servers(&[&address(2)]).await;
    load.stop().await;
}
