//! Which server gets how many calls.

use std::time::Duration;

use strife_channel::{Channel, ChannelError};
use tonic::Request;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::server::{Server, Setup, addresses, check, servers, until, until_idle, until_ready};

#[tokio::test]
async fn round_robin_is_exact() {
    let servers = servers(4);
    let channel = Channel::builder().servers(addresses(&servers)).policy("round_robin");
    let channel = channel.build().unwrap();
    until_ready(&channel, 4).await;
    for _ in 0..400 {
        check(&channel, "").await.unwrap();
    }
    let calls: Vec<_> = servers.iter().map(Server::calls).collect();
    assert_eq!(calls, [100; 4]);
}

#[tokio::test]
async fn least_load_avoids_a_slow_server() {
    let mut servers = servers(2);
    // Far longer than a call takes, however busy the machine.
    let delay = Duration::from_millis(500);
    servers.push(Server::with(Setup { delay, ..Setup::default() }));
    let channel = Channel::builder().servers(addresses(&servers)).build().unwrap();
    until_ready(&channel, 3).await;
    let clients = (0..8).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move {
            for _ in 0..100 {
                check(&channel, "").await.unwrap();
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let calls: Vec<_> = servers.iter().map(Server::calls).collect();
    assert!(calls[2] < 80 && calls[2] > 0, "{calls:?}");
}

#[tokio::test]
async fn ring_hash_keeps_the_calls_of_a_user_together() {
    let servers = servers(4);
    let builder = Channel::builder().servers(addresses(&servers)).policy("ring_hash");
    let channel = builder.hash_by("x-user").build().unwrap();
    until_ready(&channel, 4).await;
    let counts = || servers.iter().map(Server::calls).collect::<Vec<_>>();
    for user in 0..40 {
        let before = counts();
        for _ in 0..5 {
            let mut request = Request::new(HealthCheckRequest::default());
            request.metadata_mut().insert("x-user", user.into());
            HealthClient::new(channel.clone()).check(request).await.unwrap();
        }
        let after = counts();
        assert!((0..4).any(|one| after[one] == before[one] + 5), "{before:?} {after:?}");
    }
    assert!(counts().iter().filter(|calls| **calls > 0).count() > 1, "{:?}", counts());
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    let error = Channel::builder().build().unwrap_err();
    assert_eq!(error, ChannelError::NoRuntime);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    assert_eq!(Channel::builder().build().unwrap_err(), ChannelError::NoServers);
    let none: [&str; 0] = [];
    let error = Channel::builder().servers(none).build().unwrap_err();
    assert_eq!(error, ChannelError::NoServers);
    let error = Channel::builder().servers(["a:1"]).policy("best").build().unwrap_err();
    assert!(error.to_string().contains("there is no policy `best`"), "{error}");
    let error = Channel::builder().servers(["a:1"]).hash_by("no header\n").build().unwrap_err();
    assert!(matches!(error, ChannelError::InvalidHeader(_)), "{error}");
    let error = Channel::builder().servers(["a:1"]).max_calls(0).build().unwrap_err();
    assert_eq!(error, ChannelError::NoCalls);
}

/// However calls end: answered, refused, failed, given up, too late.
#[tokio::test]
async fn ten_thousand_calls_leave_nothing_in_flight() {
    let servers = servers(3);
    let channel = Channel::builder().servers(addresses(&servers)).build().unwrap();
    until_ready(&channel, 3).await;
    let clients = (0..10).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move {
            for number in 0..1000 {
                let wish = ["", "5", "13", "hang", ""][number % 5];
                let call = check(&channel, wish);
                let ended = match wish {
                    "hang" => tokio::time::timeout(Duration::from_millis(1), call).await,
                    _ => Ok(call.await),
                };
                assert_eq!(ended.is_ok_and(|answer| answer.is_ok()), wish.is_empty(), "{wish}");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    until_idle(&channel).await;
    let (calls, failed) = channel
        .servers()
        .iter()
        .fold((0, 0), |(calls, failed), server| (calls + server.calls, failed + server.failed));
    assert_eq!((calls, failed), (10_000, 2000));
    until(&channel, |servers| servers.len() == 3).await;
}
