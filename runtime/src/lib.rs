//! What every Strife process shares.
//!
//! A service crate says *what* it serves; this crate knows how a process serves it: who may call
//! ([`identity`], [`access`]), over which connection ([`tls`], [`connect`], [`server`]), what is
//! written down about a call ([`calls`], [`telemetry`]), what the balancer is told ([`load`]), when to
//! stop ([`shutdown`]), and who serves on ([`handover`]). Nothing else reads certificates, installs the crypto provider or
//! installs the log subscriber.

pub mod access;
pub mod calls;
pub mod certs;
pub mod connect;
pub mod executor;
pub mod failpoint;
pub mod failure;
pub mod handover;
pub mod identity;
pub mod load;
pub mod parse;
pub mod server;
pub mod service_time;
pub mod shutdown;
pub mod telemetry;
pub mod tls;

pub use access::{AccessTable, Rule};
pub use calls::Caller;
pub use failure::Failure;
pub use identity::{Identity, Role};
pub use server::{Server, Services};
pub use shutdown::Shutdown;
pub use tls::{Security, TlsArgs};
