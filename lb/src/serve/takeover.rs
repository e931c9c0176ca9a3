//! The port passes from an old balancer to this one, and later from this one to its successor
//! (`--handover`): the protocol is [`strife_runtime::handover`]'s, what is left is ours.
//!
//! Besides its sockets a balancer leaves what operators and servers told it: see [`Inheritance`].

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use strife_runtime::{
    Failure,
    handover::{Offer, Predecessor},
    server,
};
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::inheritance::Inheritance;

/// Both sides of the port's passing.
pub(super) struct Takeover {
    predecessor: Option<Predecessor>,
    offer: Offer,
    /// What a successor is given, by flag.
    sockets: Vec<(&'static str, OwnedFd)>,
}

impl Takeover {
    /// Asks the balancer that serves now, if one does, for its sockets.
    pub(super) async fn begin(path: &Path) -> Result<Self, Failure> {
        let predecessor = Predecessor::find(path).await?;
        Ok(Self { predecessor, offer: Offer::bind(path)?, sockets: Vec::new() })
    }

    /// The old balancer's socket for this flag if it listens on `address`, or one of our own.
    pub(super) async fn listen(
        &mut self,
        address: &str,
        flag: &'static str,
    ) -> Result<TcpListener, Failure> {
        let failed = |error| Failure::new(format!("cannot take over {address} ({error})"));
        let taken = match &mut self.predecessor {
            Some(predecessor) => predecessor.take(flag, address).await.map_err(failed)?,
            None => None,
        };
        let listener = match taken {
            Some(listener) => listener,
            None => server::bind(address, flag).await?,
        };
        self.sockets.push((flag, listener.as_fd().try_clone_to_owned().map_err(failed)?));
        Ok(listener)
    }

    /// Tells the old balancer, if there is one, that this one is ready; from then on only this one
    /// accepts, and only it is found by a successor. To be called once servers are known.
    pub(super) async fn complete(&mut self, inheritance: &Inheritance) -> Result<(), Failure> {
        if let Some(predecessor) = self.predecessor.take() {
            let left = predecessor.release().await?;
            inheritance.take(&left).await;
            info!("took over from the balancer before this one");
        }
        if let Err(error) = self.offer.publish() {
            // Connections may wait for us already: better no successor than no balancer.
            warn!(%error, "a successor will not find this balancer");
        }
        Ok(())
    }

    /// Whether another balancer serves until [`Takeover::complete`].
    pub(super) fn has_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Resolves when a successor serves in our place.
    pub(super) async fn taken_over(self, inheritance: &Inheritance) {
        self.offer.taken_over(&self.sockets, || inheritance.lines()).await;
        info!("another balancer took over");
    }
}
