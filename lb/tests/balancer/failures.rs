//! Servers that are not there, go away, come back, or speak no health protocol.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use strife_proto::{
    bank::v1::{CommandBatch, bank_service_server::BankServiceServer},
    lb::v1::EndpointState::{Ready, TransientFailure},
};
use strife_runtime::Security;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::Code;
use tonic_health::ServingStatus;

use crate::{
    fleet::{Fleet, PATIENCE, account, call},
    stub::{Stub, free_port, list, plain_stubs},
};

/// How often is tried what a machine that stands still may spoil.
const TRIES: usize = 5;

#[tokio::test]
async fn a_dead_server_is_avoided() {
    let mut stubs = plain_stubs(3);
    let flags = format!("--pool default={} --policy round_robin", list(&stubs));
    let fleet = Fleet::start(&flags).await;
    let mut client = fleet.bank();
    for _ in 0..6 {
        call(&mut client).await.unwrap();
    }
    stubs.remove(1).kill();
    fleet.wait_for_state(1, TransientFailure).await;
    for _ in 0..20 {
        call(&mut client).await.unwrap();
    }
    let endpoint = fleet.pool().await.endpoints.remove(1);
    assert!(!endpoint.last_error.is_empty());
}

#[tokio::test]
async fn a_call_under_way_at_a_dying_server_fails_with_unavailable() {
    let stub = Stub::start(&Security::Plaintext);
    let fleet = Fleet::start(&format!("--pool default={}", stub.address)).await;
    let (batches, sent) = mpsc::channel(1);
    let mut results = fleet.store().apply(ReceiverStream::new(sent)).await.unwrap().into_inner();
    batches.send(CommandBatch { batch_id: 1, commands: Vec::new() }).await.unwrap();
    results.message().await.unwrap().unwrap();
    stub.kill();
    assert!(results.message().await.is_err());
    fleet.wait_for(|endpoints| endpoints[0].failed == 1 && endpoints[0].in_flight == 0).await;
}

#[tokio::test]
async fn without_a_ready_server_the_call_is_told_so() {
    let flags = format!("--pool default={} --ready-timeout 20ms", free_port());
    let fleet = Fleet::start(&flags).await;
    let status = fleet.bank().validate_account(account("a")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("no server of pool `default` is ready"), "{status:?}");
    assert_eq!(fleet.pool().await.unavailable, 1);
}

#[tokio::test]
async fn a_call_waits_for_a_server_that_is_coming() {
    let address = free_port();
    let fleet = Fleet::start(&format!("--pool default={address} --ready-timeout 20s")).await;
    let mut client = fleet.bank();
    let (answer, stub) = tokio::join!(call(&mut client), async {
        fleet.wait_for_state(0, TransientFailure).await;
        Stub::start_at(&address.to_string(), &Security::Plaintext)
    });
    assert_eq!(answer.unwrap(), stub.address.to_string());
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let stub = Stub::start(&Security::Plaintext);
    let address = stub.address.to_string();
    let fleet = Fleet::start(&format!("--pool default={address}")).await;
    let mut client = fleet.bank();
    call(&mut client).await.unwrap();
    stub.kill();
    fleet.wait_for_state(0, TransientFailure).await;
    let stub = Stub::start_at(&address, &Security::Plaintext);
    fleet.wait_for_state(0, Ready).await;
    assert_eq!(call(&mut client).await.unwrap(), stub.address.to_string());
}

/// Any gRPC server can be balanced, also one that has no health service.
#[tokio::test]
async fn a_server_without_health_checks_is_well_while_it_is_connected() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let service = BankServiceServer::new(crate::stub::Service::alone(address));
    let server = tonic::transport::Server::builder().add_service(service);
    let server = tokio::spawn(server.serve_with_incoming(incoming));
    let fleet = Fleet::start(&format!("--pool default={address}")).await;
    assert_eq!(call(&mut fleet.bank()).await.unwrap(), address.to_string());
    server.abort();
}

/// The interval is too long to notice it.
#[tokio::test]
async fn a_server_that_tells_that_it_is_not_well_is_left_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (incoming, connections) = counted(listener);
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("orders", ServingStatus::Serving).await;
    reporter.set_service_status("", ServingStatus::NotServing).await;
    let server = tonic::transport::Server::builder().add_service(service);
    let server = tokio::spawn(server.serve_with_incoming(incoming));
    let flags = format!("--pool default={address} --health-interval 1h");
    let whole = Fleet::start(&flags).await;
    whole.wait_for_state(0, TransientFailure).await;
    let fleet = Fleet::start(&format!("{flags} --health-service orders")).await;
    fleet.wait_for_state(0, Ready).await;
    reporter.set_service_status("orders", ServingStatus::NotServing).await;
    fleet.wait_for_state(0, TransientFailure).await;
    reporter.set_service_status("orders", ServingStatus::Serving).await;
    fleet.wait_for_state(0, Ready).await;
    reporter.set_service_status("", ServingStatus::Serving).await;
    whole.wait_for_state(0, Ready).await;
    assert_eq!(connections.load(Relaxed), 2, "they were watched all the time");
    server.abort();
}

#[tokio::test]
async fn a_service_whose_health_a_server_does_not_know_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (incoming, _) = counted(listener);
    let (_reporter, service) = tonic_health::server::health_reporter();
    let server = tonic::transport::Server::builder().add_service(service);
    let server = tokio::spawn(server.serve_with_incoming(incoming));
    let flags = format!("--pool default={address} --health-service ordres");
    let fleet = Fleet::start(&flags).await;
    fleet.wait_for_state(0, TransientFailure).await;
    let why = fleet.pool().await.endpoints[0].last_error.clone();
    assert!(why.contains("ordres") && why.contains("--health-service"), "{why}");
    server.abort();
}

/// As servers do that spread their clients (gRFC A9).
#[tokio::test]
async fn a_server_that_ends_old_connections_stays_ready() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (incoming, connections) = counted(listener);
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("", ServingStatus::Serving).await;
    let age = Duration::from_millis(1500);
    let server = tonic::transport::Server::builder().max_connection_age(age).add_service(service);
    let server = tokio::spawn(server.serve_with_incoming(incoming));
    // It is called down when the next connection takes long, as on a machine that stands still for a moment.
    let mut is_well = false;
    for _ in 0..TRIES {
        is_well |= stays_ready(address, &connections).await;
        if is_well {
            break;
        }
    }
    assert!(is_well, "it is called down whenever a connection ends");
    server.abort();
}

/// Whether a server is ready all the time while its connections end and are made again.
async fn stays_ready(address: SocketAddr, connections: &AtomicUsize) -> bool {
    let fleet = Fleet::start(&format!("--pool default={address} --health-interval 50ms")).await;
    fleet.wait_for_state(0, Ready).await;
    let (before, begun) = (connections.load(Relaxed), Instant::now());
    while connections.load(Relaxed) < before + 2 {
        if fleet.pool().await.endpoints[0].state() != Ready {
            return false;
        }
        assert!(begun.elapsed() < PATIENCE, "its connections do not end");
    }
    true
}

/// What a listener accepts, and how many that were.
fn counted(
    listener: tokio::net::TcpListener,
) -> (impl Stream<Item = std::io::Result<tokio::net::TcpStream>>, Arc<AtomicUsize>) {
    let count = Arc::<AtomicUsize>::default();
    let counter = count.clone();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let incoming = incoming.map(move |accepted| {
        counter.fetch_add(1, Relaxed);
        accepted
    });
    (incoming, count)
}
