//! What can be made to ail one server of a bank while it runs, for experiments: slowness, failure.
//!
//! A server takes faults only if it was started with `--allow-faults`. The way in is
//! [`crate::service::faults`], the place where they are felt [`crate::gate`].

use tonic::Code;

/// What ails a server; by default nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// Service times take this many times as long.
    pub slow: f64,
    /// What every call ends with instead of being served.
    pub fail_with: Option<Code>,
}

impl Default for Fault {
    fn default() -> Self {
        Self { slow: 1.0, fail_with: None }
    }
}
