//! How a server joins its pool by itself, stays in it, and leaves it without losing a call.
//!
//! The balancer gives a lease; the server asks again when a third of it is over, so that two requests
//! may be lost. Asking again is the same request as asking first: a balancer that was restarted knows
//! the server again by it. A server that is asked to stop leaves the pool first, waits until its calls
//! are done, and stops then.

use std::{future::Future, sync::Arc, time::Duration};

use strife_proto::lb::v1::{
    DeregisterServerRequest, RegisterServerRequest, load_balancer_client::LoadBalancerClient,
};
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status, transport::Channel};
use tracing::{info, warn};

use super::LoadTracker;
use crate::{
    Failure, Shutdown, connect,
    shutdown::DRAIN_TIMEOUT,
    tls::{Expected, Security},
};

/// How long the balancer may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before the next attempt when the balancer cannot be reached.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Shortest time between two requests, whatever lease the balancer gives.
const RENEWAL_MIN: Duration = Duration::from_millis(50);
/// How often a server that has left looks whether its calls are done.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// Where to register, and as what.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The balancer's control address, `host:port`.
    pub balancer: String,
    /// The pool to join.
    pub pool: String,
    /// Where the balancer reaches this server, `host:port`.
    pub address: String,
}

/// When a server is asked to stop, and when it does. They are the same but for a registered server, which
/// leaves its pool in between.
#[derive(Debug, Clone)]
pub struct Stopping {
    /// The wish: by a signal, say.
    pub asked: Shutdown,
    /// What ends the server.
    pub stop: Shutdown,
}

impl Stopping {
    /// Stops when asked to.
    pub fn at_once(asked: Shutdown) -> Self {
        Self { stop: asked.clone(), asked }
    }

    /// Stops when [`Registration`] has left the pool.
    pub fn after_leaving(asked: Shutdown) -> Self {
        Self { asked, stop: Shutdown::manual() }
    }
}

impl Registration {
    /// Joins and stays, in the background, until `stopping.asked`; then leaves, waits until no call that
    /// `tracker` counts is under way, and requests `stopping.stop`. A refusal that no retry can mend
    /// requests it as well, and is the task's error.
    pub fn spawn(
        self,
        tracker: Arc<LoadTracker>,
        security: &Security,
        stopping: Stopping,
    ) -> Result<JoinHandle<Result<(), Failure>>, Failure> {
        let channel = connect::direct(&self.balancer, Expected::LB, security)?;
        let balancer = LoadBalancerClient::new(channel);
        Ok(tokio::spawn(async move {
            let outcome = self.run(balancer, &tracker, &stopping.asked).await;
            stopping.stop.request();
            outcome
        }))
    }

    async fn run(
        &self,
        mut balancer: LoadBalancerClient<Channel>,
        tracker: &LoadTracker,
        asked: &Shutdown,
    ) -> Result<(), Failure> {
        let mut standing = Standing::New;
        let mut last_lost = None;
        loop {
            let (pool, address) = (self.pool.clone(), self.address.clone());
            let request = RegisterServerRequest { pool, address };
            let answer = in_time(balancer.register_server(request)).await;
            let pause = match answer {
                Ok(response) => {
                    if standing != Standing::Member {
                        info!(balancer = %self.balancer, pool = self.pool, "registered");
                    }
                    (standing, last_lost) = (Standing::Member, None);
                    let lease = Duration::from_millis(response.into_inner().lease_ms.into());
                    (lease / 3).max(RENEWAL_MIN)
                }
                Err(status) if standing == Standing::New && is_refusal(status.code()) => {
                    return Err(self.refused(&status));
                }
                Err(status) => {
                    // Told whenever the reason is another one, not with every attempt.
                    if last_lost.replace(status.code()) != Some(status.code()) {
                        self.warn_of_loss(&status);
                    }
                    standing = standing.after_loss();
                    RETRY_PAUSE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = asked.requested() => break,
            }
        }
        // A request that was not answered in time may have been granted.
        self.leave(standing, &mut balancer, tracker).await;
        Ok(())
    }

    fn warn_of_loss(&self, status: &Status) {
        let why = status.message();
        warn!(balancer = %self.balancer, pool = self.pool, why, "cannot register; will keep trying");
    }

    async fn leave(
        &self,
        standing: Standing,
        balancer: &mut LoadBalancerClient<Channel>,
        tracker: &LoadTracker,
    ) {
        let (pool, address) = (self.pool.clone(), self.address.clone());
        let request = DeregisterServerRequest { pool, address };
        match in_time(balancer.deregister_server(request)).await {
            Ok(_) => info!(balancer = %self.balancer, pool = self.pool, "left"),
            Err(_) if standing == Standing::New => return,
            Err(status) => {
                let why = status.message();
                warn!(balancer = %self.balancer, why, "cannot leave the pool; the lease will end");
            }
        }
        let done = async {
            while tracker.in_flight() > 0 {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if tokio::time::timeout(DRAIN_TIMEOUT, done).await.is_err() {
            warn!(in_flight = tracker.in_flight(), "calls take long to end; stopping");
        }
    }

    fn refused(&self, status: &Status) -> Failure {
        let Self { balancer, pool, address } = self;
        let advice = match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => {
                "name a pool that this server's certificate may join".to_owned()
            }
            Code::Unimplemented => {
                "give the balancer's control address, not the one its clients call".to_owned()
            }
            Code::InvalidArgument => {
                "name the address where the balancer reaches it with --advertise HOST:PORT"
                    .to_owned()
            }
            _ => format!(
                "start the balancer with --pool {pool}=register:, or with this server among the \
                 servers of --pool {pool}=... and this server without --register"
            ),
        };
        let why = status.message();
        Failure::new(format!(
            "the balancer at {balancer} does not let {address} into the pool {pool} ({why}); {advice}"
        ))
    }
}

/// Where the server stands with the balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Never let in.
    New,
    /// In the pool.
    Member,
    /// Was in the pool; the last request failed.
    Lost,
}

impl Standing {
    fn after_loss(self) -> Self {
        if self == Self::New { Self::New } else { Self::Lost }
    }
}

/// Whether asking again cannot help unless somebody changes something.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::NotFound
            | Code::InvalidArgument
            | Code::Unimplemented
    )
}

async fn in_time<T>(
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Response<T>, Status> {
    let timed_out = |_| Status::deadline_exceeded(format!("no answer in {ANSWER_TIMEOUT:?}"));
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(timed_out)?
}

#[cfg(test)]
mod tests;
