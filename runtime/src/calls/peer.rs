//! An accepted connection, and what it knows of its peer.

use std::net::SocketAddr;

use tokio::sync::OwnedSemaphorePermit;
use tonic::transport::server::Connected;

use crate::{identity::Identity, tls::Carrying};

/// What a connection knows of its peer; made at accept time.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Proved by a certificate. `None` in the clear.
    pub identity: Option<Identity>,
    /// The other end of the connection.
    pub address: SocketAddr,
}

/// An accepted connection with its peer and its place among the most a server has at once, as tonic
/// wants it.
pub(crate) type Accepted = Carrying<(Peer, OwnedSemaphorePermit)>;

impl Connected for Accepted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.carried.0.clone()
    }
}
