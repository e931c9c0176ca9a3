//! Load reports (gRFC A51): what the server is told to report is what arrives, in the trailers of the
//! call and out of band. The protocol's cases look at them from inside a client's policy; here the client
//! reads them itself.

use std::collections::HashMap;

use strife_proto::xds::{data::orca::v3::OrcaLoadReport, service::orca::v3::OrcaLoadReportRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::message::{check_large, large_request};
use crate::{
    Target, orca,
    pb::{
        ResponseParameters, SimpleRequest, StreamingOutputCallRequest, StreamingOutputCallResponse,
        TestOrcaReport,
    },
};

/// Seconds between the reports of a stream, as the protocol has it.
const INTERVAL_SECONDS: i64 = 1;

fn named(name: &str, value: f64) -> HashMap<String, f64> {
    HashMap::from([(name.to_owned(), value)])
}

pub(super) async fn orca_per_rpc(target: &Target) {
    let wanted = TestOrcaReport {
        cpu_utilization: 0.8210,
        memory_utilization: 0.5847,
        request_cost: named("cost", 3456.32),
        utilization: named("util", 0.30499),
    };
    let orca_per_query_report = Some(wanted.clone());
    let request = SimpleRequest { orca_per_query_report, ..large_request() };
    let mut client = target.client();
    let response = client.unary_call(request).await.unwrap();
    check_large(response.get_ref());
    assert_eq!(orca::carried(response.metadata()), Some(orca::report(wanted)));
    let response = client.unary_call(large_request()).await.unwrap();
    assert_eq!(orca::carried(response.metadata()), None, "of another call");
}

pub(super) async fn orca_oob(target: &Target) {
    let interval = prost_types::Duration { seconds: INTERVAL_SECONDS, nanos: 0 };
    let asking = OrcaLoadReportRequest { report_interval: Some(interval), ..Default::default() };
    let reports = target.load().stream_core_metrics(asking).await.unwrap();
    let mut reports = reports.into_inner();
    let (requests, receiver) = mpsc::channel(1);
    let [first, second] = [(0.8210, 0.5847, 0.30499), (0.29309, 0.2, 0.2039)].map(told);
    // A server may keep its headers until there is a response.
    requests.send(telling(&first)).await.unwrap();
    let mut client = target.client();
    let answers = client.full_duplex_call(ReceiverStream::new(receiver)).await.unwrap();
    let mut answers = answers.into_inner();
    check_answer(&mut answers).await;
    until(&mut reports, &orca::report(first)).await;
    requests.send(telling(&second)).await.unwrap();
    check_answer(&mut answers).await;
    until(&mut reports, &orca::report(second)).await;
    drop(requests);
    assert_eq!(answers.message().await.unwrap(), None);
}

fn told((cpu_utilization, memory_utilization, util): (f64, f64, f64)) -> TestOrcaReport {
    let (request_cost, utilization) = (HashMap::new(), named("util", util));
    TestOrcaReport { cpu_utilization, memory_utilization, request_cost, utilization }
}

fn telling(report: &TestOrcaReport) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_parameters: vec![ResponseParameters { size: 1, ..Default::default() }],
        orca_oob_report: Some(report.clone()),
        ..Default::default()
    }
}

async fn check_answer(answers: &mut Streaming<StreamingOutputCallResponse>) {
    let answer = answers.message().await.unwrap().expect("an answer");
    assert_eq!(answer.payload.map(|payload| payload.body.len()), Some(1));
}

/// Reads reports until one is as it should be; those before may have been on their way.
async fn until(reports: &mut Streaming<OrcaLoadReport>, wanted: &OrcaLoadReport) {
    while reports.message().await.unwrap().expect("one report after another") != *wanted {}
}
