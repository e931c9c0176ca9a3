//! What can be wrong with what a channel is made from. Calls fail with a gRPC status.

use strife_policy::InvalidPolicy;
use thiserror::Error;

/// Why there is no channel.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ChannelError {
    /// No list of servers, no receiver of one, no balancer to ask.
    #[error("no servers: give the channel a list, a watch::Receiver of lists or a balancer to ask")]
    NoServers,
    /// No such policy, or not with these parameters.
    #[error(transparent)]
    InvalidPolicy(#[from] InvalidPolicy),
    /// No call could ever be made.
    #[error("max_calls is 0; a channel needs room for one call at least")]
    NoCalls,
    /// Not a header's name.
    #[error("`{0}` is no name of a header to hash by")]
    InvalidHeader(String),
    /// There is no runtime to keep the connections.
    #[error("a channel is made within a tokio runtime: call build() in async code")]
    NoRuntime,
}
