//! Load on a balancer under test, of which no call may fail.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use strife_proto::bank::v1::bank_service_client::BankServiceClient;
use tokio::task::JoinHandle;
use tonic::{Status, transport::Channel};

use crate::fleet::{PATIENCE, call};

/// Clients that call until they are told to stop, and count.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(clients: impl Iterator<Item = BankServiceClient<Channel>>) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let load = |mut client| {
            let (stop, calls) = (stop.clone(), calls.clone());
            tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    call_processed(&mut client).await.expect("no call fails");
                    calls.fetch_add(1, Relaxed);
                }
            })
        };
        let clients = clients.map(load).collect();
        Self { stop, calls, clients }
    }

    pub(crate) async fn go_on(&self, calls: u64) {
        let wanted = self.calls.load(Relaxed) + calls;
        let going = async {
            while self.calls.load(Relaxed) < wanted && !self.clients.iter().any(|c| c.is_finished())
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, going).await.expect("calls are made");
    }

    pub(crate) async fn stop(self) {
        self.stop.store(true, Relaxed);
        for client in self.clients {
            client.await.expect("no call failed");
        }
    }
}

/// As any gRPC client does and tonic does not: a call that GOAWAY says was never processed, or that
/// hyper never sent because its connection had ended, is made again (RFC 9113, section 6.8; gRFC A6,
/// transparent retries).
pub(crate) async fn call_processed(
    client: &mut BankServiceClient<Channel>,
) -> Result<String, Status> {
    loop {
        match call(client).await {
            Err(status) if was_never_processed(&status) => {}
            answered => return answered,
        }
    }
}

fn was_never_processed(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_graceful = error.reason() == Some(h2::Reason::NO_ERROR);
            return error.is_go_away() && error.is_remote() && is_graceful;
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        source = error.source();
    }
    false
}
