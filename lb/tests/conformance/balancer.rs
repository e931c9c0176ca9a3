//! A balancer in this process, on free ports, in the clear, on threads of its own.

use std::{net::SocketAddr, thread};

use clap::Parser;
use strife_lb::{Bound, Config, LbArgs};
use strife_runtime::{Security, Shutdown, executor};
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
    /// One thread carries calls, so that they share a connection to the server.
    pub(crate) async fn start(server: SocketAddr, flags: &str) -> Self {
        let flags = format!(
            "lb --listen 127.0.0.1:0 --control 127.0.0.1:0 --threads 1 --ready-timeout 2s \
             --pool default={server} {flags}"
        );
        let config = Command::parse_from(flags.split_whitespace()).args.config();
        let (shutdown, (ready, is_ready)) = (Shutdown::manual(), oneshot::channel());
        let served = serve(config.expect("valid flags"), shutdown.clone(), ready);
        thread::spawn(served);
        Self { listen: is_ready.await.expect("it becomes ready"), shutdown }
    }
}

impl Balancer {
    /// No new calls; those under way may end.
    pub(crate) fn shut_down(&self) {
        self.shutdown.request();
    }
}

/// Until shutdown; says where it listens when it is ready.
fn serve(config: Config, shutdown: Shutdown, ready: oneshot::Sender<SocketAddr>) -> impl FnOnce() {
    move || {
        let served = executor::block_on(1, async {
            let bound = Bound::bind(config, Security::Plaintext).await?;
            let listen = bound.listen_address();
            bound.serve(shutdown, || ready.send(listen).expect("the row waits")).await
        });
        served.expect("the balancer serves");
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shut_down();
    }
}
