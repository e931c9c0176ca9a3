//! gRPC's interoperability tests, for whatever stands between a client and a server.
//!
//! The protocol and its cases are those of gRPC (`doc/interop-test-descriptions.md`); [`Server`] is the
//! service on tonic and [`cases`] are the cases as a tonic client runs them. `tests/python` and
//! `tests/node` hold the same for grpcio and grpc-js. Beyond the protocol all three servers obey and
//! answer a few request headers ([`headers`]) by which a test learns what the *server* saw of a call.

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

pub mod cases;
mod client;
pub mod events;
mod observe;
mod orca;
mod server;
mod service;

pub use self::{
    client::{Target, was_not_sent},
    events::Events,
    server::Server,
};

/// The generated messages, client and server of `grpc.testing`.
#[allow(missing_docs, clippy::all, unreachable_pub, clippy::unwrap_used)]
pub mod pb {
    tonic::include_proto!("grpc.testing");
}

/// Request headers our test servers know.
pub mod headers {
    /// Sent back among the response headers (of the protocol).
    pub const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
    /// Sent back among the trailers (of the protocol).
    pub const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";
    /// Names the call, so that the server reports when it begins and how it ends.
    pub const CALL: &str = "x-strife-test-call";
    /// The server sends its response headers and nothing more, until the call is cancelled.
    pub const HOLD: &str = "x-strife-test-hold";
    /// A serialized `google.rpc.Status` the call ends with.
    pub const DETAILS: &str = "x-strife-test-details-bin";
    /// Among the trailers: the server's load (gRFC A51).
    pub const LOAD: &str = "endpoint-load-metrics-bin";
}

/// The longest message any of the cases sends is 4 MiB of payload; both sides admit twice that.
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;
/// Header fields of one request or response that both sides admit, as HTTP/2 counts them.
pub const MAX_HEADER_BYTES: u32 = 64 << 10;
