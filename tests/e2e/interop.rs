//! gRPC's interoperability tests through the balancer: clients and servers that were not made for it
//! must not notice it.

pub(crate) mod balancer;
mod caller;
mod deadline;
mod flow;
pub(crate) mod load;
pub(crate) mod negative;
pub(crate) mod process;
mod raw;
pub(crate) mod rolling;

use std::{net::SocketAddr, time::Duration};

use strife_interop::{
    Server, Target,
    cases::{self, Case},
};

use self::balancer::{Balancer, Links};

/// How long a case may take. Never asserted as a time; it only ends one that would otherwise hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// Any free port on this machine.
pub(crate) const ANYWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A tonic server with the test service.
pub(crate) async fn tonic_server(links: &Links) -> Server {
    Server::start(ANYWHERE, links.server()).await.unwrap()
}

/// Every case as a tonic client runs it, side by side. Those that fail are named together.
pub(crate) async fn run_cases(target: &Target) {
    let all = cases::PROTOCOL.iter().chain(cases::FURTHER).copied();
    let running: Vec<_> = all
        .map(|case: Case| {
            let target = target.clone();
            let run = async move { tokio::time::timeout(PATIENCE, case.run(&target)).await };
            (case.name, tokio::spawn(run))
        })
        .collect();
    let mut failed = Vec::new();
    for (name, case) in running {
        match case.await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => failed.push(format!("{name}: did not end")),
            Err(panic) => failed.push(format!("{name}: {panic}")),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

async fn tonic_to_tonic(links: Links) {
    let server = tonic_server(&links).await;
    let balancer = Balancer::start(&[server.address], &links).await;
    run_cases(&balancer.target("tonic")).await;
    cases::check_events(&server.events, "tonic").await;
}

#[tokio::test]
async fn a_tonic_client_and_server_in_the_clear() {
    tonic_to_tonic(Links::plaintext()).await;
}

#[tokio::test]
async fn a_tonic_client_and_server_over_tls() {
    tonic_to_tonic(Links::tls()).await;
}
