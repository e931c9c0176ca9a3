//! Answers that take long: a call is in flight until the last of it.

use std::time::Duration;

use strife_channel::Channel;
use tonic::{Code, Request, Streaming};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};

use crate::server::{Server, until, until_idle, until_ready};

async fn watch(
    channel: &Channel,
    wish: &str,
    timeout: Option<Duration>,
) -> Streaming<HealthCheckResponse> {
    let mut request = Request::new(HealthCheckRequest { service: wish.to_owned() });
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    let answer = HealthClient::new(channel.clone()).watch(request).await;
    answer.expect("a stream begins").into_inner()
}

fn in_flight(channel: &Channel) -> u64 {
    channel.servers()[0].in_flight
}

#[tokio::test]
async fn a_stream_is_in_flight_until_its_end() {
    let server = Server::start();
    let channel = Channel::builder().servers([server.address.clone()]).build().unwrap();
    until_ready(&channel, 1).await;
    let mut answers = watch(&channel, "3", None).await;
    assert_eq!(in_flight(&channel), 1);
    for _ in 0..3 {
        assert!(answers.message().await.unwrap().is_some());
    }
    assert_eq!(in_flight(&channel), 1);
    assert!(answers.message().await.unwrap().is_none());
    assert_eq!(in_flight(&channel), 0, "it is over, though the stream is still held");
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_over() {
    let server = Server::start();
    let channel = Channel::builder().servers([server.address.clone()]).build().unwrap();
    until_ready(&channel, 1).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut answers = watch(&channel, "", None).await;
        assert!(answers.message().await.unwrap().is_some());
        streams.push(answers);
    }
    assert_eq!(in_flight(&channel), 10);
    drop(streams);
    until_idle(&channel).await;
    assert_eq!(channel.servers()[0].failed, 0, "that is nobody's fault");
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline() {
    let server = Server::start();
    let channel = Channel::builder().servers([server.address.clone()]).build().unwrap();
    until_ready(&channel, 1).await;
    // Enough for the answer to begin.
    let mut answers = watch(&channel, "", Some(Duration::from_secs(3))).await;
    assert!(answers.message().await.unwrap().is_some());
    let status = answers.message().await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    until_idle(&channel).await;
}

#[tokio::test]
async fn a_stream_whose_server_dies_is_unavailable_and_the_servers_failure() {
    let server = Server::start();
    let channel = Channel::builder().servers([server.address.clone()]).build().unwrap();
    until_ready(&channel, 1).await;
    let mut answers = watch(&channel, "", None).await;
    assert!(answers.message().await.unwrap().is_some());
    server.kill();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    until(&channel, |servers| servers[0].in_flight == 0 && servers[0].failed == 1).await;
}
