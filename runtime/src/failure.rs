//! The one way a command fails: a line that says what happened and what to do, and an exit code.

use std::{fmt, process::ExitCode};

/// Why a command could not do what it was asked. Shown to the user as one line.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Exit code of a command that failed.
    pub const FAILED: u8 = 1;
    /// Exit code of a command that was called wrongly (as clap's own).
    pub const USAGE: u8 = 2;
    /// Exit code of a measurement that ran but is not valid.
    pub const INVALID_MEASUREMENT: u8 = 3;

    /// `message`: what happened, then what to do, on one line, without a full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: Self::FAILED }
    }

    /// A flag, a plan or a file is wrong: nothing was started.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: Self::USAGE }
    }

    /// The run itself went well, but what it measured cannot be trusted.
    pub fn invalid_measurement(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: Self::INVALID_MEASUREMENT }
    }

    /// For `main`.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
