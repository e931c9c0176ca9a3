//! Rolling restarts with grpcio: of its servers, drained and then stopped, and of the balancer under
//! its clients.

use super::Language;
use crate::interop::{
    balancer::{Balancer, Links},
    load::Load,
    rolling::{Replaced, SERVERS, SUCCESSORS, is_called},
};

#[tokio::test]
async fn of_python_servers() {
    let Some(python) = Language::python() else { return };
    let links = Links::plaintext();
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(python.server(&links, 0).await);
    }
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let balancer = Balancer::start(&addresses, &links).await;
    let load = Load::start(&balancer.target("rolling")).await;
    let mut successors = Vec::new();
    for server in servers {
        let address = server.address;
        // grpcio refuses calls that arrive while it stops, GOAWAY or not: it is stopped when none will.
        balancer.admin(&["drain", &address.to_string()]).await;
        server.terminate();
        server.ended().await;
        load.progress().await;
        let successor = python.server(&links, address.port()).await;
        balancer.admin(&["undrain", &address.to_string()]).await;
        is_called(&successor.events).await;
        successors.push(successor);
    }
    load.stop().await;
}

#[tokio::test]
async fn of_the_balancer_under_python_and_tonic_clients() {
    let Some(python) = Language::python() else { return };
    let mut replaced = Replaced::start(Links::tls()).await;
    let tonic = Load::start(&replaced.balancer.target("rolling")).await;
    let grpcio = python.load(&replaced.balancer).await;
    for _ in 0..SUCCESSORS {
        replaced.replace().await;
        tonic.progress().await;
    }
    grpcio.stop().await;
    tonic.stop().await;
}
