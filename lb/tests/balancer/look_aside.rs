//! Leased picks: who asks the balancer and connects by itself is spread as the proxy's calls are.

use std::collections::BTreeMap;

use strife_proto::lb::v1::{LoadReport, ServerRequest, ServerResponse};
use strife_runtime::Security;
use tonic::Code;

use crate::{
    fleet::Fleet,
    stub::{Stub, free_port, list, plain_stubs},
};

/// How the picks of `clients` clients that ask at once, `each` times, fall on the servers.
async fn picks(fleet: &Fleet, clients: usize, each: usize) -> BTreeMap<String, usize> {
    let asking = (0..clients).map(|_| {
        let mut client = fleet.look_aside(&Security::Plaintext);
        tokio::spawn(async move {
            let mut picked = Vec::new();
            for _ in 0..each {
                let answer = client.get_best_server(ServerRequest::default()).await;
                picked.push(answer.expect("a server is ready").into_inner().address);
            }
            picked
        })
    });
    let asking: Vec<_> = asking.collect();
    let mut shares = BTreeMap::new();
    for client in asking {
        for address in client.await.expect("it asks to the end") {
            *shares.entry(address).or_default() += 1;
        }
    }
    shares
}

async fn report(fleet: &Fleet, stub: &Stub, report: LoadReport) {
    let named = LoadReport { address: stub.address.to_string(), epoch: 1, ..report };
    let mut client = fleet.look_aside(&Security::Plaintext);
    let ack = client.report_server_load(named).await.expect("it is one of ours");
    assert!(ack.get_ref().accepted);
}

async fn pick(fleet: &Fleet, request: ServerRequest) -> ServerResponse {
    let mut client = fleet.look_aside(&Security::Plaintext);
    client.get_best_server(request).await.expect("a server is ready").into_inner()
}

/// All that anybody knows is one report a server, and it says that one of them is idle: without the
/// debt, every pick that sees that server would go there until the next report.
#[tokio::test]
async fn two_clients_that_ask_a_thousand_times_at_once_are_no_herd() {
    let stubs = plain_stubs(4);
    let flags = format!("--pool default={} --policy least_load", list(&stubs));
    let fleet = Fleet::start(&flags).await;
    for (stub, in_flight) in stubs.iter().zip([0, 40, 40, 40]) {
        let load = LoadReport {
            sequence: 1,
            in_flight,
            slots: 4,
            service_time_us: 5000,
            ..LoadReport::default()
        };
        report(&fleet, stub, load).await;
    }
    let shares = picks(&fleet, 2, 1000).await;
    assert_eq!(shares.len(), 4, "{shares:?}");
    let (most, least) = (shares.values().max().unwrap(), shares.values().min().unwrap());
    assert!(*most < 800 && *least > 250, "{shares:?}");
}

#[tokio::test]
async fn servers_that_could_not_be_reached_are_named_and_avoided() {
    let stubs = plain_stubs(2);
    let flags = format!("--pool default={} --policy pick_first:failback=true", list(&stubs));
    let fleet = Fleet::start(&flags).await;
    let [first, second] = [0, 1].map(|index: usize| stubs[index].address.to_string());
    assert_eq!(pick(&fleet, ServerRequest::default()).await.address, first);
    let avoid = vec![first.clone()];
    assert_eq!(pick(&fleet, ServerRequest { avoid, ..Default::default() }).await.address, second);
    let avoid = vec![first.clone(), second];
    assert_eq!(pick(&fleet, ServerRequest { avoid, ..Default::default() }).await.address, first);
    let avoid = vec![first; 17];
    let mut client = fleet.look_aside(&Security::Plaintext);
    let request = ServerRequest { avoid, ..Default::default() };
    let status = client.get_best_server(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("16 at most"), "{status}");
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_is_told_what_there_is() {
    let fleet = Fleet::start(&format!("--pool bank.icici={}", free_port())).await;
    let mut client = fleet.look_aside(&Security::Plaintext);
    let unknown = ServerRequest { pool: "bank.x".to_owned(), ..Default::default() };
    let status = client.get_best_server(unknown).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("the pools are bank.icici"), "{status}");
    let status = client.get_best_server(ServerRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("no server of pool `bank.icici` is ready"), "{status}");
}
