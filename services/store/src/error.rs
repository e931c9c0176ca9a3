//! What can go wrong between a service and its file or database, each with the way out.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a store could not be opened, read or asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no file.
    #[error("{}: there is no store; it is created at the first start", path.display())]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another process has the file open.
    #[error(
        "{} is in use by another process; stop that one or give this one a directory of its own",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Not a store, or one that was cut short or damaged.
    #[error(
        "{} is not a usable store ({why}); it was left as it is: put a backup in its place, or \
         move it away to start anew",
        path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A store, but somebody else's.
    #[error(
        "{} is the store of `{found}`, not of `{expected}`; give each a directory of its own",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it should be.
        expected: String,
        /// Whose it is.
        found: String,
    },
    /// A store that a newer version made or has brought up to date.
    #[error(
        "{} is a store of a newer version (`{found}`; this one knows `{known}`); it was left as it \
         is: start that version",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// What stands in it.
        found: String,
        /// The newest that this version knows.
        known: String,
    },
    /// A store was to be created where one already is.
    #[error("{} exists already and is never overwritten; move it away first", path.display())]
    AlreadyExists {
        /// The file.
        path: PathBuf,
    },
    /// The file or its directory could not be read or written.
    #[error(
        "{}: {source}; check that the directory exists, is writable and has room",
        path.display()
    )]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// As many commands wait as may wait. None of the refused ones was applied.
    #[error("{limit} commands wait for the store already; ask again")]
    Overloaded {
        /// The bound.
        limit: usize,
    },
    /// The store has stopped. Whether the command was applied is not known.
    #[error("the store has stopped")]
    Stopped,
    /// A read failed.
    #[error("the store could not be read: {0}")]
    Read(#[source] Box<redb::Error>),
    /// What `--store` says is not an address of a PostgreSQL database.
    #[error(
        "--store is not a usable address of PostgreSQL ({why}); write \
         postgres://USER@HOST:PORT/DATABASE, the password in PGPASSWORD"
    )]
    Address {
        /// What is wrong with it.
        why: String,
    },
    /// The database did not answer, or broke off. Whether a command was applied is not known;
    /// commands are idempotent, so asking again is safe.
    #[error("PostgreSQL at {place} is away ({why}); check that it runs there, and ask again")]
    DatabaseAway {
        /// `HOST:PORT/DATABASE`.
        place: String,
        /// What was seen.
        why: String,
    },
    /// A transaction met others again and again and was rolled back each time: nothing was applied.
    #[error("PostgreSQL at {place} is contended ({why}); ask again")]
    DatabaseContended {
        /// `HOST:PORT/DATABASE`.
        place: String,
        /// What it said last.
        why: String,
    },
    /// The database does not want us.
    #[error("PostgreSQL at {place} refuses ({why}); {advice}")]
    DatabaseRefuses {
        /// `HOST:PORT/DATABASE`.
        place: String,
        /// What it said.
        why: String,
        /// What can be done.
        advice: &'static str,
    },
    /// The database has such a schema, but it is somebody else's or was changed.
    #[error(
        "schema {schema} in PostgreSQL at {place} {why}; it was left as it is: use another \
         database"
    )]
    SchemaForeign {
        /// `HOST:PORT/DATABASE`.
        place: String,
        /// Its name.
        schema: String,
        /// What is wrong with it.
        why: String,
    },
    /// A newer version has been here.
    #[error(
        "schema {schema} in PostgreSQL at {place} was made by a newer version (migration {found}; \
         this one knows {known}); start that version"
    )]
    SchemaNewer {
        /// `HOST:PORT/DATABASE`.
        place: String,
        /// Its name.
        schema: String,
        /// The newest migration there.
        found: i32,
        /// The newest migration we know.
        known: i32,
    },
    /// The database could not do what it was told.
    #[error("PostgreSQL failed: {}", crate::postgres::said(.0))]
    Sql(#[source] Box<tokio_postgres::Error>),
    /// A transaction failed for a reason that will not pass; it was rolled back.
    #[error("PostgreSQL at {place} failed: {why}")]
    DatabaseFailed {
        /// `HOST:PORT/DATABASE`.
        place: String,
        /// What it said.
        why: String,
    },
    /// A row holds what this version cannot have written.
    #[error("{0} in the database is not one this version knows")]
    Row(&'static str),
    /// No end of a transaction was seen in time, so its connection was given up.
    #[error("the transaction took too long")]
    TimedOut,
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(Box::new(error))
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        Self::Read(Box::new(error))
    }
}
