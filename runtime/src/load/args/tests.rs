//! What the flags mean, read and served.

use clap::Parser;
use strife_proto::{
    lb::v1::{ProbeRequest, server_load_client::ServerLoadClient},
    xds::service::orca::v3::{
        OrcaLoadReportRequest, open_rca_service_client::OpenRcaServiceClient,
    },
};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;
use crate::{connect, load::orca, tls::Expected};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    load: LoadArgs,
}

fn parsed(flags: &str) -> Result<LoadArgs, String> {
    let words = ["server"].into_iter().chain(flags.split_whitespace());
    Line::try_parse_from(words).map(|line| line.load).map_err(|error| error.to_string())
}

#[test]
fn all_channels_are_on_unless_some_are_named() {
    let on = |flags: &str| parsed(flags).unwrap().load_reports.to_string();
    assert_eq!(on(""), "push,probe,trailers,oob");
    assert_eq!(on("--load-reports oob,push"), "push,oob");
    assert_eq!(on("--load-reports none"), "none");
    for wrong in ["", "pull", "push,none", "push,,oob"] {
        let error = parsed(&format!("--load-reports={wrong}")).unwrap_err();
        assert!(error.contains("push, probe, trailers and oob"), "{error}");
    }
}

#[test]
fn an_interval_is_at_least_a_millisecond() {
    assert_eq!(parsed("").unwrap().report_interval, Duration::from_millis(100));
    assert!(parsed("--report-interval 0s").is_err());
}

/// What stands in the way of a server with `flags`, if anything.
fn refusal(flags: &str, balancer: Option<&str>, listens: &str) -> Option<String> {
    let listens = listens.parse().unwrap();
    let place = Place { balancer, balancer_flag: "--control", pool: "gateway", listens };
    let args = parsed(flags).unwrap();
    let stopping = args.stopping(Shutdown::manual());
    let made = args.balanced(place, LoadTracker::new(0), &Security::Plaintext, stopping);
    made.err().map(|error| error.to_string())
}

#[tokio::test]
async fn registering_needs_a_balancer_and_an_address_it_reaches() {
    let balancer = Some("127.0.0.1:7001");
    let said = refusal("--register", None, "127.0.0.1:1").unwrap();
    assert!(said.ends_with("add --control HOST:PORT"), "{said}");
    let said = refusal("--register", balancer, "0.0.0.0:1").unwrap();
    assert!(said.ends_with("add --advertise HOST:PORT"), "{said}");
    assert_eq!(refusal("--register --advertise me:1", balancer, "0.0.0.0:1"), None);
    assert_eq!(refusal("--register", balancer, "127.0.0.1:1"), None);
    assert_eq!(refusal("", None, "0.0.0.0:1"), None);
}

/// A server that was started with `flags`, and serves health only; its calls are counted.
async fn server(flags: &str) -> (Channel, Shutdown) {
    let args = parsed(flags).unwrap();
    let server = Server::bind("127.0.0.1:0", "--port", &Security::Plaintext).await.unwrap();
    let listens = server.address();
    let place = Place { balancer: None, balancer_flag: "--balancer", pool: "health", listens };
    let (asked, tracker) = (Shutdown::manual(), LoadTracker::new(4));
    let services = Services::new(&[]).tracked(&["/grpc.health.v1.Health/"], tracker.clone());
    let stopping = args.stopping(asked.clone());
    let balanced = args.balanced(place, tracker, &Security::Plaintext, stopping).unwrap();
    tokio::spawn(balanced.serve(server, services));
    let address = listens.to_string();
    (connect::direct(&address, Expected::AnyServer, &Security::Plaintext).unwrap(), asked)
}

async fn check(channel: &Channel, service: &str) -> Result<http::HeaderMap, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel.clone()).check(request).await?;
    Ok(answer.metadata().clone().into_headers())
}

#[tokio::test]
async fn reports_come_by_every_channel_that_is_on() {
    let (channel, asked) = server("").await;
    let answer = check(&channel, "").await.unwrap();
    let first = orca::tests::read(&answer).named_metrics;
    let counts = ["in_flight", "slots", "completed"].map(|name| first[&format!("strife.{name}")]);
    assert_eq!(counts, [0.0, 4.0, 1.0], "the call that carries the report is over");
    let probed = ServerLoadClient::new(channel.clone()).probe(ProbeRequest {}).await.unwrap();
    let probed = probed.into_inner();
    assert_eq!((probed.completed, probed.slots), (1, 4), "being asked is no load");
    let asking = OrcaLoadReportRequest::default();
    let mut client = OpenRcaServiceClient::new(channel);
    let mut streamed = client.stream_core_metrics(asking).await.unwrap().into_inner();
    let report = streamed.message().await.unwrap().unwrap().named_metrics;
    assert_eq!(report["strife.epoch"], probed.epoch as f64);
    let numbers = [first["strife.sequence"], probed.sequence as f64, report["strife.sequence"]];
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    asked.request();
    while streamed.message().await.unwrap().is_some() {}
}

#[tokio::test]
async fn a_failed_call_carries_a_report_too() {
    let (channel, _asked) = server("").await;
    let status = check(&channel, "no such service").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let report = orca::tests::read(&status.metadata().clone().into_headers());
    assert_eq!(report.named_metrics["strife.completed"], 1.0);
}

#[tokio::test]
async fn a_channel_that_is_off_is_silent() {
    let (channel, _asked) = server("--load-reports none").await;
    assert!(!check(&channel, "").await.unwrap().contains_key(orca::TRAILER));
    let refused = ServerLoadClient::new(channel.clone()).probe(ProbeRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    let asking = OrcaLoadReportRequest::default();
    let refused = OpenRcaServiceClient::new(channel).stream_core_metrics(asking).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}
