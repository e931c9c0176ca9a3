//! A sans-io HTTP/2 core (RFC 9113, RFC 7541), for both sides of a connection, cut to what gRPC
//! needs: bytes and time go in, bytes and events come out.
//!
//! No sockets, no clock, no tasks: the balancer's data plane, the benchmarks, the fuzzers and the
//! property tests all drive the same [`Connection`]. Every rule names the section it comes from.

pub mod buffer;
pub mod connection;
mod error;
pub mod frame;
pub mod head;
pub mod hpack;

pub use crate::{
    buffer::BufferPool,
    connection::{Block, Config, Connection, Event, Expired, NO_TAG, Part, Role},
    error::{ConnectionError, Flood},
    frame::Code,
    head::Head,
};
