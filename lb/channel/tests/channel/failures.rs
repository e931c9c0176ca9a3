//! Servers that are not there, die, come back, age or lie.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use strife_channel::{Channel, Connectivity};
use tonic::{Code, Request, metadata::BinaryMetadataValue};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::server::{
    PATIENCE, Server, Setup, addresses, check, free_port, servers, until, until_idle, until_ready,
};

#[tokio::test]
async fn without_a_server_a_call_fails_and_says_why() {
    let nobody = free_port();
    let channel = Channel::builder()
        .servers([nobody.clone()])
        .ready_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let status = check(&channel, "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains(&nobody), "{status}");
    let refused = |state: &Connectivity| match state {
        Connectivity::TransientFailure(why) => why.contains("refused"),
        _ => false,
    };
    until(&channel, |servers| refused(&servers[0].state)).await;
    let status = check(&channel, "").await.unwrap_err();
    assert!(status.message().contains("refused"), "{status}");
}

#[tokio::test]
async fn a_deadline_ends_the_waiting_too() {
    let channel = Channel::builder().servers([free_port()]).ready_timeout(PATIENCE * 10);
    let channel = channel.build().unwrap();
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(Duration::from_millis(20));
    let mut client = HealthClient::new(channel);
    let status = tokio::time::timeout(PATIENCE, client.check(request)).await;
    assert_eq!(status.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_at_the_deadline() {
    let server = Server::start();
    let channel = Channel::builder().servers([server.address.clone()]).build().unwrap();
    let mut request = Request::new(HealthCheckRequest { service: "hang".to_owned() });
    request.set_timeout(Duration::from_millis(20));
    let status = HealthClient::new(channel.clone()).check(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    until_idle(&channel).await;
}

#[tokio::test]
async fn a_server_that_starts_late_is_waited_for() {
    let address = free_port();
    let channel = Channel::builder().servers([address.clone()]).ready_timeout(PATIENCE);
    let channel = channel.build().unwrap();
    let calling = tokio::spawn({
        let channel = channel.clone();
        async move { check(&channel, "").await }
    });
    until(&channel, |servers| servers[0].state != Connectivity::Connecting).await;
    let _server = Server::with(Setup { address, ..Setup::default() });
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn when_a_server_dies_only_what_it_was_serving_fails() {
    let mut servers = servers(3);
    let list = addresses(&servers);
    let channel = Channel::builder().servers(&list).policy("round_robin").build().unwrap();
    until_ready(&channel, 3).await;
    let hanging = (0..3).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move { check(&channel, "hang").await })
    });
    let hanging: Vec<_> = hanging.collect();
    until(&channel, |servers| servers.iter().all(|server| server.in_flight == 1)).await;
    let (stop, done, failed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let clients = (0..4).map(|_| {
        let (channel, stop, done, failed) =
            (channel.clone(), stop.clone(), done.clone(), failed.clone());
        tokio::spawn(async move {
            while !stop.load(Relaxed) {
                if let Err(status) = check(&channel, "").await {
                    assert_eq!(status.code(), Code::Unavailable, "{status}");
                    failed.fetch_add(1, Relaxed);
                }
                done.fetch_add(1, Relaxed);
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    let more = async |count| {
        let enough = done.load(Relaxed) + count;
        let counting = async {
            while done.load(Relaxed) < enough {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, counting).await.expect("calls go on");
    };
    more(300).await;
    assert_eq!(failed.load(Relaxed), 0);
    let address = servers.remove(1).kill();
    until_ready(&channel, 2).await;
    more(300).await;
    // One a client at most: the one that was being served.
    assert!(failed.load(Relaxed) <= 4, "{} failed", failed.load(Relaxed));
    let mut ends = Vec::new();
    until(&channel, |servers| servers[1].in_flight == 0).await;
    until(&channel, |_| hanging.iter().any(|call| call.is_finished())).await;
    for call in hanging {
        if call.is_finished() {
            ends.push(call.await.unwrap().unwrap_err());
        }
    }
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0].code(), Code::Unavailable);
    assert!(ends[0].message().contains(&address), "{}", ends[0]);
    let again = Server::with(Setup { address, ..Setup::default() });
    until_ready(&channel, 3).await;
    more(30).await;
    assert!(again.calls() > 0, "it gets calls again");
    stop.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

/// A server that ends its connections by GOAWAY: what was not sent goes over the next one.
#[tokio::test]
async fn connections_that_age_cost_no_call() {
    let max_connection_age = Some(Duration::from_millis(20));
    let setup = Setup { max_connection_age, ..Setup::default() };
    let servers = [Server::with(setup.clone()), Server::with(setup)];
    let channel = Channel::builder().servers(addresses(&servers)).policy("round_robin");
    let channel = channel.ready_timeout(PATIENCE).build().unwrap();
    let clients = (0..4).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let started = std::time::Instant::now();
            while started.elapsed() < Duration::from_millis(800) {
                check(&channel, "").await.expect("no call fails");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    until_idle(&channel).await;
}

#[tokio::test]
async fn calls_beyond_the_bound_are_refused() {
    let server = Server::start();
    let channel = Channel::builder().servers([server.address.clone()]).max_calls(2);
    let channel = channel.build().unwrap();
    until_ready(&channel, 1).await;
    let hanging: Vec<_> = (0..2)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { check(&channel, "hang").await })
        })
        .collect();
    until(&channel, |servers| servers[0].in_flight == 2).await;
    let status = check(&channel, "").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    hanging.iter().for_each(|call| call.abort());
    until_idle(&channel).await;
    check(&channel, "").await.unwrap();
}

#[tokio::test]
async fn reports_that_lie_change_no_answer() {
    let server = Server::start();
    let channel = Channel::builder().servers([server.address.clone()]).build().unwrap();
    until_ready(&channel, 1).await;
    let nan = [&[9][..], &f64::NAN.to_le_bytes()].concat();
    let negative = [&[9][..], &(-1.0_f64).to_le_bytes()].concat();
    let sound = [&[9][..], &0.5_f64.to_le_bytes()].concat();
    let reports = [nan, negative, vec![0xff; 3], vec![9], vec![0; 8000], Vec::new(), sound];
    for report in reports {
        let mut request = Request::new(HealthCheckRequest { service: "orca".to_owned() });
        let value = BinaryMetadataValue::from_bytes(&report);
        request.metadata_mut().insert_bin("report-bin", value);
        let status = HealthClient::new(channel.clone()).check(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "as asked"), "{report:?}");
    }
    check(&channel, "").await.unwrap();
    until_idle(&channel).await;
}
