//! The whole system as child processes on this machine: certificates, accounts, banks, gateway,
//! balancer.
//!
//! `strife up` keeps a fleet in the foreground, `strife sweep` drives one with load, and the
//! end-to-end tests kill parts of one. A fleet knows the other crates only by their command lines:
//! every member is the `strife` program itself. Members end when the fleet is dropped, and, by the
//! lifeline of [`strife_runtime::shutdown`], when this process ends in any other way.

mod control;
mod error;
mod faults;
mod fleet;
mod member;
mod ports;
mod queue;
mod recipes;
mod spec;
mod up;

pub use control::{EndpointCalls, Fsyncs, PoolCalls, Totals};
pub use error::FleetError;
pub use fleet::Fleet;
pub use spec::{BankSpec, FleetSpec, Output};
pub use up::{UpArgs, run_up};
