//! The channel with real sockets: tonic's servers behind it, a generated client in front of it.

mod balance;
mod failures;
mod lists;
mod look_aside;
mod server;
mod streams;
mod tls;
