//! Rolling restarts under load: nobody's call fails.

use strife_interop::{Events, Server};

use super::{
    balancer::{Balancer, Links},
    load::Load,
    tonic_server,
};

/// Servers behind the balancer; one at a time is away.
pub(crate) const SERVERS: usize = 3;

/// Waits until a server that was started is called.
pub(crate) async fn is_called(events: &Events) {
    events.first("any call", |_| Some(())).await;
}

#[tokio::test]
async fn of_tonic_servers() {
    let links = Links::plaintext();
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(tonic_server(&links).await);
    }
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let balancer = Balancer::start(&addresses, &links).await;
    let load = Load::start(&balancer.target("rolling")).await;
    let mut successors = Vec::new();
    for server in servers {
        let address = server.address;
        server.stop().await;
        load.progress().await;
        let successor = Server::start(address, links.server()).await.unwrap();
        is_called(&successor.events).await;
        successors.push(successor);
    }
    load.stop().await;
}
