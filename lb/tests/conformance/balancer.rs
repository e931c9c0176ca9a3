//! A balancer in this process, on free ports, in the clear.

use std::net::SocketAddr;

use clap::Parser;
use strife_lb::{Bound, LbArgs};
use strife_runtime::{Security, Shutdown};
use tokio::sync::oneshot;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: LbArgs,
}

/// A running balancer; it ends when this is dropped.
pub(crate) struct Balancer {
    pub(crate) listen: SocketAddr,
    shutdown: Shutdown,
}

impl Balancer {
    /// One thread, so that calls share a connection to the server.
    pub(crate) async fn start(server: SocketAddr, flags: &str) -> Self {
        let flags = format!(
            "lb --listen 127.0.0.1:0 --control 127.0.0.1:0 --threads 1 --ready-timeout 2s \
             --pool default={server} {flags}"
        );
        let config = Command::parse_from(flags.split_whitespace()).args.config();
        let config = config.expect("valid flags");
        let bound = Bound::bind(config, Security::Plaintext).await.expect("free ports");
        let (listen, shutdown) = (bound.listen_address(), Shutdown::manual());
        let (ready, is_ready) = oneshot::channel();
        tokio::spawn(bound.serve(shutdown.clone(), || ready.send(()).expect("it is waited for")));
        is_ready.await.expect("it becomes ready");
        Self { listen, shutdown }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}
