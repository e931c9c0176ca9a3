//! What can be wrong with a configuration or a request to the balancer itself.
//!
//! Mapped to a [`Failure`] for the command line here, to a gRPC status in `service.rs`.

use strife_policy::{InvalidPolicy, InvalidReport};
use strife_runtime::{Failure, Identity};
use thiserror::Error;

use crate::reports::Unreadable;

/// Why the balancer refuses.
#[derive(Debug, Error)]
pub enum LbError {
    /// No `--pool` at all.
    #[error("no pool to balance; name one, as in --pool default=127.0.0.1:9101,127.0.0.1:9102")]
    NoPool,
    /// Not `NAME=ADDR,ADDR…`.
    #[error(
        "--pool `{0}` is not a pool; write NAME=ADDR,ADDR with a name of letters, digits, `.`, `-`, `_`"
    )]
    MalformedPool(String),
    /// A name in a configuration file that no authority can have.
    #[error("`{0}` cannot name a pool; use letters, digits, `.`, `-`, `_`")]
    MalformedPoolName(String),
    /// The configuration file cannot be read.
    #[error("cannot read the configuration {path} ({reason}); ready ones stand in docs/examples/")]
    UnreadableConfig {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// The configuration file says what cannot be.
    #[error("{path}, line {line}: {reason}")]
    InvalidConfig {
        /// Which.
        path: String,
        /// From 1.
        line: usize,
        /// What, and what to do.
        reason: String,
    },
    /// `NAME=` with nothing behind it.
    #[error(
        "pool `{0}` has no servers; name at least one host:port, file:PATH, dns:HOST:PORT, srv:NAME \
         or register:"
    )]
    PoolWithoutServers(String),
    /// The same name twice.
    #[error("pool `{0}` is named twice; name all its servers in one place")]
    DuplicatePool(String),
    /// Not `host:port`.
    #[error("pool `{pool}`: `{address}` is not host:port")]
    MalformedAddress {
        /// Where.
        pool: String,
        /// What.
        address: String,
    },
    /// Neither an address nor anything else that servers come from.
    #[error("pool `{pool}`: `{text}` does not say where servers are; write {expected}")]
    MalformedSource {
        /// Where.
        pool: String,
        /// What.
        text: String,
        /// What to write.
        expected: &'static str,
    },
    /// The same server twice.
    #[error("pool `{pool}` names {address} twice; remove one")]
    DuplicateAddress {
        /// Where.
        pool: String,
        /// What.
        address: String,
    },
    /// Not `NAME=POLICY`.
    #[error("`{0}` does not give a pool its policy; write --pool-policy NAME=POLICY")]
    MalformedPoolPolicy(String),
    /// Not a method's path.
    #[error(
        "`{0}` names no method; write --idempotent NAME=/package.Service/Method,/package.Service/*"
    )]
    MalformedMethod(String),
    /// A limit that lets nothing through, or too much.
    #[error("{flag} must be between {least} and {most}")]
    OutOfRange {
        /// Which.
        flag: &'static str,
        /// The least it may be.
        least: String,
        /// The most it may be.
        most: String,
    },
    /// No such policy.
    #[error(transparent)]
    InvalidPolicy(#[from] InvalidPolicy),
    /// No pool of this name.
    #[error("there is no pool `{name}`; the pools are {known}")]
    UnknownPool {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The authority names no pool and no pool takes the rest.
    #[error(
        "no pool serves the authority `{authority}` and there is no default pool; the pools are {known}"
    )]
    NoPoolFor {
        /// What the call asked for.
        authority: String,
        /// What there is.
        known: String,
    },
    /// The pool has no endpoint of this address.
    #[error(
        "pool `{pool}` has no server {address}; report the address that the balancer was given"
    )]
    UnknownEndpoint {
        /// Where.
        pool: String,
        /// What.
        address: String,
    },
    /// No pool, or not the one that was named, has a server of this address.
    #[error("there is no server {0} to drain; name it as `strife admin status` does")]
    NoServerToDrain(String),
    /// Nothing would be left to take calls.
    #[error(
        "{address} is the last server of pool `{pool}` that takes calls; undrain or start another, \
         or drain it all the same with --force"
    )]
    LastServer {
        /// Where.
        pool: String,
        /// Which.
        address: String,
    },
    /// Servers of this pool come from elsewhere.
    #[error("pool `{0}` takes no registrations; start the balancer with --pool {0}=register:")]
    NoRegistration(String),
    /// There is nothing to end.
    #[error("no server {address} is registered with pool `{pool}`; its lease may have ended")]
    NotRegistered {
        /// Where.
        pool: String,
        /// Which.
        address: String,
    },
    /// A pool holds no more registered servers.
    #[error("pool `{pool}` has {most} registered servers and takes no more")]
    TooManyRegistrations {
        /// Where.
        pool: String,
        /// How many it may have.
        most: usize,
    },
    /// A server may speak for its own pool only.
    #[error("{identity} may not speak for servers of pool `{pool}`")]
    NotItsPool {
        /// Who.
        identity: Identity,
        /// For whom.
        pool: String,
    },
    /// Numbers that cannot be.
    #[error(transparent)]
    InvalidReport(#[from] InvalidReport),
    /// Not a report at all.
    #[error("the load report is not an ORCA report (gRFC A51) of a few hundred bytes")]
    UnreadableReport,
    /// Every endpoint is down or not connected yet.
    #[error("no server of pool `{0}` is ready; see `strife admin status`")]
    NoReadyEndpoint(String),
    /// A look-aside request that would leave the choice to the client.
    #[error("{named} servers to avoid; name {most} at most, those that failed last")]
    TooManyAvoided {
        /// How many were named.
        named: usize,
        /// How many may be.
        most: usize,
    },
    /// The pool's sources named no server so far.
    #[error("pool `{pool}` has no servers ({why}); see `strife admin status`")]
    NoServers {
        /// Which.
        pool: String,
        /// What its sources say.
        why: String,
    },
    /// Every connection to it carries as many calls as it may.
    #[error("server {0} has as many calls under way as it may have; try again later")]
    NoFreeStream(String),
    /// As many watch picks as may.
    #[error("{0} watch picks already; try again when one of them has ended")]
    TooManyWatchers(usize),
}

impl From<Unreadable> for LbError {
    fn from(_: Unreadable) -> Self {
        Self::UnreadableReport
    }
}

impl From<LbError> for Failure {
    fn from(error: LbError) -> Self {
        Self::usage(error.to_string())
    }
}
