//! What can go wrong in a bank, apart from refusals, which are answers.

use std::{io, path::PathBuf};

use strife_store::StoreError;
use thiserror::Error;
use tonic::Code;

/// Why a bank could not do what it was asked.
#[derive(Debug, Error)]
pub enum BankError {
    /// The bank's own store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process that owns the store did not answer. Whether the command was applied is not
    /// known; commands are idempotent, so asking again is safe.
    #[error("the bank's store at {owner} is unavailable ({why}); ask again")]
    OwnerUnavailable {
        /// `host:port`.
        owner: String,
        /// What was seen.
        why: String,
    },
    /// The process that owns the store has more to do than it takes on.
    #[error("the bank's store at {owner} is overloaded; ask again")]
    OwnerOverloaded {
        /// `host:port`.
        owner: String,
    },
    /// The process at the address will never serve us.
    #[error("{owner} refuses to be the store of this bank ({why}); check --store and --bank-name")]
    OwnerRefuses {
        /// `host:port`.
        owner: String,
        /// What it said.
        why: String,
    },
    /// Too many calls wait for a slot.
    #[error("{limit} calls wait for a slot already")]
    SlotsExhausted {
        /// The bound.
        limit: usize,
    },
    /// The server was told to fail.
    #[error("this server was told to fail its calls (BankFaults.SetFault)")]
    Faulty {
        /// How.
        code: Code,
    },
    /// An account file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An account file says something that cannot be; nothing of it was loaded.
    #[error("{}, line {line}: {reason}; nothing was loaded", path.display())]
    MalformedAccounts {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The first start needs accounts.
    #[error(
        "there are no accounts to start with ({why}); make some with `strife accounts generate \
         --out accounts` and start the bank with --accounts accounts/{bank}.csv"
    )]
    NoAccounts {
        /// The bank's name.
        bank: String,
        /// Which file is missing, or that none was named.
        why: String,
    },
    /// The database could not keep a schema of such a name apart from others.
    #[error(
        "with PostgreSQL the name of a bank has at most {most} letters, and {bank} has more; choose \
         a shorter --bank-name"
    )]
    NameTooLong {
        /// The bank's name.
        bank: String,
        /// The bound.
        most: usize,
    },
    /// A file that is to be generated is there already.
    #[error(
        "{} exists already; choose another directory with --out, or --force to replace it",
        .0.display()
    )]
    WouldOverwrite(PathBuf),
}
