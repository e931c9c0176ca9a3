//! What can go wrong between a service and its file, each with the way out.

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
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        Self::Read(Box::new(error))
    }
}
