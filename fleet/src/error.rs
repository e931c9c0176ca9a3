//! Why a fleet could not be booted or asked.

use std::{io, path::PathBuf};

use strife_runtime::{Failure, certs::CertsError};
use thiserror::Error;

/// A fleet could not be booted, or one of its members could not be asked.
#[derive(Debug, Error)]
pub enum FleetError {
    /// A directory or file of the fleet could not be made.
    #[error("{}: {source}; choose another directory", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program could not be started at all.
    #[error("cannot start {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A member ended before it served. `reason` is its own last word.
    #[error("{member} did not start: {reason}")]
    NotStarted {
        /// Which.
        member: String,
        /// What it said.
        reason: String,
    },
    /// A member did not answer in time.
    #[error("{member} did not {what} within {seconds} s; its log is {}", log.display())]
    TooSlow {
        /// Which.
        member: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
        /// Where to look.
        log: PathBuf,
    },
    /// A member ended while it was needed.
    #[error("{member} ended ({status}) while it was needed; its log is {}", log.display())]
    Died {
        /// Which.
        member: String,
        /// How.
        status: String,
        /// Where to look.
        log: PathBuf,
    },
    /// The directory was made for a fleet of fewer banks.
    #[error(
        "{} was made for a fleet without the bank {bank}; ask for the banks it was made for, or choose another directory",
        dir.display()
    )]
    OtherBanks {
        /// Which.
        dir: PathBuf,
        /// The first bank that is not in it.
        bank: String,
    },
    /// No member has this name.
    #[error("the fleet has no member `{0}`")]
    UnknownMember(String),
    /// A call to a member failed.
    #[error("{member}: {reason}")]
    Call {
        /// Which.
        member: String,
        /// The status it gave.
        reason: String,
    },
    /// Money is missing, doubled, or still held.
    #[error("the books do not balance: {0}")]
    Unbalanced(String),
    /// Certificates could not be made.
    #[error(transparent)]
    Certs(#[from] CertsError),
    /// A certificate or an address is not usable.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<FleetError> for Failure {
    fn from(error: FleetError) -> Self {
        match error {
            FleetError::Failure(failure) => failure,
            other => Failure::new(other.to_string()),
        }
    }
}
