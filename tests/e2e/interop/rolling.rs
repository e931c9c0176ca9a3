//! Rolling restarts under load, of servers and of the balancer itself: nobody's call fails.

use strife_interop::{Events, Server};
use tempfile::TempDir;

use super::{
    balancer::{Balancer, Links},
    load::Load,
    tonic_server,
};

/// Servers behind the balancer; one at a time is away.
pub(crate) const SERVERS: usize = 3;
/// How often the balancer is replaced.
pub(crate) const SUCCESSORS: usize = 3;

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

/// A balancer that is replaced by another process, as often as one likes, in front of tonic servers.
pub(crate) struct Replaced {
    pub(crate) balancer: Balancer,
    servers: Vec<Server>,
    links: Links,
    directory: TempDir,
}

impl Replaced {
    pub(crate) async fn start(links: Links) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut servers = Vec::new();
        for _ in 0..SERVERS {
            servers.push(tonic_server(&links).await);
        }
        let balancer = balancer(&servers, &links, &directory).await;
        Self { balancer, servers, links, directory }
    }

    /// Puts a new process in the place of the one that serves, and waits until that has ended.
    pub(crate) async fn replace(&mut self) {
        let successor = balancer(&self.servers, &self.links, &self.directory).await;
        assert_eq!(successor.address(), self.balancer.address(), "it took the port over");
        let old = std::mem::replace(&mut self.balancer, successor);
        old.process.ended().await;
    }
}

async fn balancer(servers: &[Server], links: &Links, directory: &TempDir) -> Balancer {
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let path = directory.path().join("lb.sock").display().to_string();
    Balancer::start_with(&addresses, links, &["--handover", &path]).await
}

#[tokio::test]
async fn of_the_balancer() {
    let mut replaced = Replaced::start(Links::plaintext()).await;
    let load = Load::start(&replaced.balancer.target("rolling")).await;
    for _ in 0..SUCCESSORS {
        replaced.replace().await;
        load.progress().await;
    }
    load.stop().await;
}
