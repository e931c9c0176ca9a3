//! Conformance of the balancer as an HTTP/2 intermediary, by section of RFC 9113 and RFC 7541.
//!
//! The rows of `downstream`, `upstream` and `forwarding` play a faulty client, a faulty server, or
//! both, over real sockets, with frames written by hand: nothing that is sent or judged here comes
//! from the code under test. Whatever the balancer sends in any row is judged too, by `judge`.

mod balancer;
mod case;
mod connection;
mod downstream;
mod forwarding;
mod frames;
mod hpack;
mod judge;
mod runner;
mod server;
mod upstream;
