//! One balancer follows another on the same port.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use futures_util::StreamExt;
use strife_lb::Bound;
use strife_proto::{
    bank::v1::{CommandBatch, bank_service_client::BankServiceClient},
    lb::v1::{DrainServerRequest, EndpointState},
};
use strife_runtime::{Security, Shutdown, connect, handover::Predecessor, tls::Expected};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    fleet::{Fleet, PATIENCE, call, config},
    load::{Load, call_processed},
    stub::{Stub, list, plain_stubs},
};

/// Balancers that know one another by a path.
struct Line {
    _dir: tempfile::TempDir,
    path: PathBuf,
    stubs: Vec<Stub>,
}

impl Line {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lb.sock");
        Self { _dir: dir, path, stubs: plain_stubs(2) }
    }

    fn flags(&self) -> String {
        format!("--handover {} --pool default={}", self.path.display(), list(&self.stubs))
    }

    async fn next(&self) -> Fleet {
        Fleet::start(&self.flags()).await
    }
}

async fn ended(fleet: Fleet) {
    let served = tokio::time::timeout(PATIENCE, fleet.served).await;
    served.expect("it ends").expect("without a panic").expect("well");
}

#[tokio::test]
async fn no_call_fails_while_balancers_follow_one_another() {
    let line = Line::new();
    let mut serving = line.next().await;
    let load = Load::start((0..8).map(|_| serving.bank()));
    load.go_on(100).await;
    for _ in 0..3 {
        let (batches, sent) = mpsc::channel(1);
        let mut results =
            serving.store().apply(ReceiverStream::new(sent)).await.unwrap().into_inner();
        let next = line.next().await;
        assert_eq!((next.listen, next.control), (serving.listen, serving.control));
        load.go_on(100).await;
        assert!(!serving.served.is_finished(), "it waits for the stream");
        for batch_id in 0..10 {
            batches.send(CommandBatch { batch_id, commands: Vec::new() }).await.unwrap();
            assert_eq!(results.next().await.unwrap().unwrap().batch_id, batch_id);
        }
        drop(batches);
        assert!(results.next().await.is_none());
        ended(serving).await;
        load.go_on(100).await;
        serving = next;
    }
    load.stop().await;
}

#[tokio::test]
async fn no_new_connection_is_lost_while_balancers_follow_one_another() {
    let line = Line::new();
    let mut serving = line.next().await;
    let (listen, stop) = (serving.listen, Arc::new(AtomicBool::new(false)));
    let connect = || {
        let stop = stop.clone();
        tokio::spawn(async move {
            while !stop.load(Relaxed) {
                let channel =
                    connect::direct(&listen.to_string(), Expected::LB, &Security::Plaintext);
                let mut client = BankServiceClient::new(channel.expect("an address"));
                call_processed(&mut client).await.expect("no connection is lost");
            }
        })
    };
    let clients: Vec<_> = (0..4).map(|_| connect()).collect();
    for _ in 0..10 {
        let next = line.next().await;
        ended(serving).await;
        serving = next;
    }
    stop.store(true, Relaxed);
    for client in clients {
        client.await.expect("no connection was lost");
    }
}

#[tokio::test]
async fn a_successor_that_ends_before_it_is_ready_changes_nothing() {
    let line = Line::new();
    let serving = line.next().await;
    let load = Load::start((0..2).map(|_| serving.bank()));
    let flags = format!("--listen 127.0.0.1:0 --control 127.0.0.1:0 {}", line.flags());
    drop(Bound::bind(config(&flags), Security::Plaintext).await.expect("it takes the sockets"));
    drop(Predecessor::find(&line.path).await.expect("it answers").expect("it serves"));
    load.go_on(100).await;
    call(&mut serving.bank()).await.unwrap();
    assert!(!serving.served.is_finished());
    let next = line.next().await;
    ended(serving).await;
    call(&mut next.bank()).await.unwrap();
    load.stop().await;
}

#[tokio::test]
async fn a_successor_that_cannot_listen_changes_nothing() {
    let line = Line::new();
    let serving = line.next().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let control = taken.local_addr().unwrap();
    let flags = format!("--listen 127.0.0.1:0 --control {control} {}", line.flags());
    let failure = Bound::bind(config(&flags), Security::Plaintext).await.err().unwrap();
    assert!(failure.to_string().contains("--control"), "{failure}");
    call(&mut serving.bank()).await.unwrap();
    assert!(!serving.served.is_finished());
}

#[tokio::test]
async fn a_successor_that_cannot_serve_changes_nothing() {
    let line = Line::new();
    let serving = line.next().await;
    let log = line.path.with_file_name("nowhere").join("access.log");
    let addresses = "--listen 127.0.0.1:0 --control 127.0.0.1:0";
    let flags = format!("{addresses} --access-log {} {}", log.display(), line.flags());
    let bound = Bound::bind(config(&flags), Security::Plaintext).await.unwrap();
    let failure = bound.serve(Shutdown::manual(), || panic!("it is not ready")).await.unwrap_err();
    assert!(failure.to_string().contains("access.log"), "{failure}");
    call(&mut serving.bank()).await.unwrap();
    assert!(!serving.served.is_finished());
}

#[tokio::test]
async fn an_address_that_differs_is_bound_afresh() {
    let line = Line::new();
    let serving = line.next().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let control = free.local_addr().unwrap();
    drop(free);
    let flags = format!("--listen 127.0.0.1:0 --control {control} {}", line.flags());
    let next = Bound::bind(config(&flags), Security::Plaintext).await.unwrap();
    assert_eq!((next.listen_address(), next.control_address()), (serving.listen, control));
}

#[tokio::test]
async fn drained_servers_stay_drained() {
    let line = Line::new();
    let serving = line.next().await;
    let request = DrainServerRequest {
        address: line.stubs[0].address.to_string(),
        drain: true,
        ..DrainServerRequest::default()
    };
    serving.admin().drain_server(request).await.unwrap();
    let next = line.next().await;
    ended(serving).await;
    assert_eq!(next.pool().await.endpoints[0].state(), EndpointState::Draining);
    for _ in 0..20 {
        assert_eq!(call(&mut next.bank()).await.unwrap(), line.stubs[1].address.to_string());
    }
}
