//! Durable state for the services that keep some: a redb file with one writer, or a database.
//!
//! [`mod@file`] opens and creates the file and never harms one it does not know. [`GroupCommit`]
//! owns it: commands queue up, a thread of its own takes everything that waits, has a [`Machine`]
//! apply it inside one transaction, commits durably once, and only then answers everyone. What the
//! commands mean is the machine's business; a bank's ledger and a gateway's payments are two.
//!
//! When a commit fails, nobody is answered and the process stops: what is on the disk is not known
//! any more, and only a fresh start may look.
//!
//! [`mod@postgres`] is the same for a PostgreSQL database, which many processes share without an owner.

#[cfg(feature = "test-support")]
pub mod disk;
pub mod error;
pub mod file;
pub mod group_commit;
pub mod latency;
pub mod postgres;
mod waiting;

pub use error::StoreError;
pub use group_commit::{GroupCommit, Limits, Machine};
pub use latency::Latencies;
