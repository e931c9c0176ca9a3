//! What those who ask get, how often, and how many may.

use futures_util::StreamExt;

use super::*;
use crate::load::LoadTracker;

fn asking(seconds: i64, nanos: i32) -> OrcaLoadReportRequest {
    let report_interval = Some(prost_types::Duration { seconds, nanos });
    OrcaLoadReportRequest { report_interval, request_cost_names: Vec::new() }
}

fn out_of_band() -> (OutOfBand, Shutdown) {
    let shutdown = Shutdown::manual();
    (OutOfBand::new(Reports::new(LoadTracker::new(2)), shutdown.clone()), shutdown)
}

async fn stream(service: &OutOfBand, request: OrcaLoadReportRequest) -> OrcaReports {
    service.stream_core_metrics(Request::new(request)).await.unwrap().into_inner()
}

#[test]
fn the_interval_asked_for_is_kept_within_bounds() {
    let least = STREAM_INTERVAL_MIN;
    assert_eq!(interval(&asking(2, 500_000_000)), Duration::from_millis(2_500));
    assert_eq!(interval(&asking(0, 1)), least);
    assert_eq!(interval(&asking(-5, 0)), least);
    assert_eq!(interval(&OrcaLoadReportRequest::default()), least);
    assert_eq!(interval(&asking(i64::MAX, i32::MAX)), STREAM_INTERVAL_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_stream_reports_at_once_and_then_at_its_interval() {
    let (service, _) = out_of_band();
    let tracker = service.reports.tracker().clone();
    let mut reports = stream(&service, asking(1, 0)).await;
    let begun = tokio::time::Instant::now();
    let first = reports.next().await.unwrap().unwrap();
    let in_flight = |report: &OrcaLoadReport| report.named_metrics["strife.in_flight"];
    assert_eq!((in_flight(&first), begun.elapsed()), (0.0, Duration::ZERO));
    let _call = tracker.started();
    let second = reports.next().await.unwrap().unwrap();
    assert_eq!((in_flight(&second), begun.elapsed()), (1.0, Duration::from_secs(1)));
    assert!(second.named_metrics["strife.sequence"] > first.named_metrics["strife.sequence"]);
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let (service, shutdown) = out_of_band();
    let mut reports = stream(&service, asking(3_600, 0)).await;
    reports.next().await.unwrap().unwrap();
    shutdown.request();
    assert!(reports.next().await.is_none());
}

#[tokio::test]
async fn streams_are_bounded_and_give_their_place_back() {
    let (service, _) = out_of_band();
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        streams.push(stream(&service, asking(1, 0)).await);
    }
    let refused = service.stream_core_metrics(Request::new(asking(1, 0))).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    streams.pop();
    drop(stream(&service, asking(1, 0)).await);
}

#[tokio::test]
async fn a_probe_tells_the_load_of_the_moment() {
    let reports = Reports::new(LoadTracker::new(3));
    let probed = Probed(reports.clone());
    let _call = reports.tracker().started();
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(probed.probe(Request::new(ProbeRequest {})).await.unwrap().into_inner());
    }
    assert_eq!((answers[0].in_flight, answers[0].slots), (1, 3));
    assert!(answers[1].sequence > answers[0].sequence);
    assert_eq!((answers[0].pool.as_str(), answers[0].address.as_str()), ("", ""));
}
