//! State in a PostgreSQL database instead of a file, for services of many processes without an owner.
//!
//! [`Address`] is what `--store postgres://…` says. [`Database`] is a bounded pool of connections to
//! one schema in it, which [`Database::migrate`] creates and brings up to date. [`BatchCommit`] is
//! to it what [`crate::GroupCommit`] is to a file: commands queue up, a batch of all that wait is
//! one transaction, and answers follow its COMMIT; but several batches are under way at once, and
//! when the database is away callers are told to ask again, and the process goes on.

mod address;
mod batches;
mod database;
mod migrations;
mod passing;
#[cfg(feature = "test-support")]
pub mod testing;
mod tls;
mod work;

pub use address::{Address, is_address};
pub use batches::{BatchCommit, Transactions};
pub use database::{Client, Connections, Database, READ_TIMEOUT};
pub use migrations::{Migration, Opened, Schema, quoted};
pub(crate) use passing::said;
pub use work::{Work, Write};

#[cfg(test)]
mod tests;
