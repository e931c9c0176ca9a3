//! Load reports, look-aside picks, policy switches.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use strife_proto::lb::v1::{LoadReport, ServerRequest, SetPolicyRequest};
use strife_runtime::Security;
use tonic::Code;

use crate::{
    fleet::{Fleet, call},
    stub::{Stub, free_port, list, plain_stubs},
};

fn report(stub: &Stub, sequence: u64) -> LoadReport {
    LoadReport {
        pool: "default".to_owned(),
        address: stub.address.to_string(),
        sequence,
        epoch: 1,
        in_flight: 3,
        service_time_us: 5000,
        ..LoadReport::default()
    }
}

#[tokio::test]
async fn reports_are_taken_in_sequence_only() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let mut client = fleet.look_aside(&Security::Plaintext);
    for (sequence, epoch, accepted) in
        [(5, 1, true), (5, 1, false), (4, 1, false), (1, 2, true), (9, 1, false)]
    {
        let report = LoadReport { epoch, ..report(&stubs[0], sequence) };
        let ack = client.report_server_load(report).await.unwrap().into_inner();
        assert_eq!((ack.sequence, ack.accepted), (sequence, accepted), "epoch {epoch}");
    }
    let endpoint = fleet.pool().await.endpoints.remove(0);
    assert_eq!((endpoint.reported_in_flight, endpoint.reported_service_time_us), (3, 5000));
    assert!(endpoint.report_age_ms.is_some());
}

#[tokio::test]
async fn reports_that_make_no_sense_are_refused() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let mut client = fleet.look_aside(&Security::Plaintext);
    let good = report(&stubs[0], 1);
    let elsewhere = free_port().to_string();
    let cases = [
        (LoadReport { cpu_utilization: f64::NAN, ..good.clone() }, Code::InvalidArgument),
        (LoadReport { cpu_utilization: -1.0, ..good.clone() }, Code::InvalidArgument),
        (LoadReport { address: elsewhere.clone(), ..good.clone() }, Code::NotFound),
        (LoadReport { pool: "bank.x".to_owned(), address: elsewhere, ..good }, Code::NotFound),
    ];
    for (report, expected) in cases {
        let status = client.report_server_load(report.clone()).await.unwrap_err();
        assert_eq!(status.code(), expected, "{report:?}");
    }
    assert_eq!(fleet.pool().await.endpoints[0].report_age_ms, None);
}

#[tokio::test]
async fn look_aside_picks_follow_the_reports_and_debit_the_picked_server() {
    let stubs = plain_stubs(2);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let mut client = fleet.look_aside(&Security::Plaintext);
    let request = ServerRequest::default();
    let first = client.get_best_server(request.clone()).await.unwrap().into_inner();
    assert_eq!((first.policy.as_str(), first.regime.as_str()), ("least_load", "in_flight"));
    assert!(first.lease_ms > 0);
    let second = client.get_best_server(request).await.unwrap().into_inner();
    assert!(second.pick_id > first.pick_id);
    let unknown = ServerRequest { pool: "bank.x".to_owned(), ..ServerRequest::default() };
    let status = client.get_best_server(unknown).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn no_look_aside_pick_without_a_ready_server() {
    let fleet = Fleet::start(&format!("--pool default={}", free_port())).await;
    let mut client = fleet.look_aside(&Security::Plaintext);
    let status = client.get_best_server(ServerRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn the_policy_is_switched_under_load_without_a_failed_call() {
    let stubs = plain_stubs(3);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = |mut client| {
        let (stop, calls) = (stop.clone(), calls.clone());
        tokio::spawn(async move {
            while !stop.load(Relaxed) {
                call(&mut client).await.expect("no call fails");
                calls.fetch_add(1, Relaxed);
            }
        })
    };
    let clients: Vec<_> = (0..8).map(|_| load(fleet.bank())).collect();
    for policy in ["pick_first", "round_robin", "least_load"].iter().cycle().take(30) {
        let before = calls.load(Relaxed);
        fleet.set_policy(policy).await;
        assert_eq!(fleet.pool().await.policy, *policy);
        while calls.load(Relaxed) < before + 10 {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let failed: u64 = fleet.pool().await.endpoints.iter().map(|endpoint| endpoint.failed).sum();
    assert_eq!(failed, 0);
}

#[tokio::test]
async fn an_unknown_policy_or_pool_changes_nothing() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let check = async |pool: &str, policy: &str, expected| {
        let request = SetPolicyRequest { pool: pool.to_owned(), policy: policy.to_owned() };
        let status = fleet.admin().set_policy(request).await.unwrap_err();
        assert_eq!(status.code(), expected, "{pool} {policy}");
    };
    check("", "best", Code::InvalidArgument).await;
    check("bank.x", "pick_first", Code::NotFound).await;
    assert_eq!(fleet.pool().await.policy, "least_load");
}
