//! Which of the database's errors pass: told apart by SQLSTATE, and by whether there was an answer.

use std::{error::Error as _, io};

use deadpool_postgres::{HookError, PoolError, TimeoutType};
use tokio_postgres::{Error, error::SqlState};

use crate::StoreError;

/// Why a transaction may well succeed when it is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// It met another transaction (serialization failure, deadlock, the same new key, a lock that
    /// took too long). It has been rolled back.
    Conflict,
    /// The connection was lost or could not be made, the server has ended it, or is starting, stopping
    /// or full. If a COMMIT was under way it is not known whether it took place.
    Away,
}

/// Whether, and how, an error of the client's or the server's passes.
pub(super) fn passing(error: &Error) -> Option<Passing> {
    let Some(code) = error.code() else {
        let lost = error.is_closed() || error.source().is_some_and(|why| why.is::<io::Error>());
        return lost.then_some(Passing::Away);
    };
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::UNIQUE_VIOLATION
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::QUERY_CANCELED => Some(Passing::Conflict),
        // A server that became a standby takes no writes; its successor will.
        SqlState::READ_ONLY_SQL_TRANSACTION => Some(Passing::Away),
        // Whoever was suspended amid a transaction finds its connection ended, and its work undone.
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Some(Passing::Away),
        // 08: connection exception; 53: insufficient resources; 57P: operator intervention.
        ref other if ["08", "53", "57P"].iter().any(|class| other.code().starts_with(class)) => {
            Some(Passing::Away)
        }
        _ => None,
    }
}

/// What the database or the client said, on one line.
pub(crate) fn said(error: &Error) -> String {
    if let Some(database) = error.as_db_error() {
        return format!("{} [{}]", database.message(), database.code().code());
    }
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(why) = source {
        said = format!("{said}: {why}");
        source = why.source();
    }
    said
}

/// Why the pool gave no connection to `place`, with what to do about it.
pub(super) fn unreachable(place: &str, error: PoolError) -> StoreError {
    let away = |why: String| StoreError::DatabaseAway { place: place.to_owned(), why };
    let error = match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => error,
        PoolError::Timeout(TimeoutType::Wait) => {
            return away("no connection became free in time".to_owned());
        }
        PoolError::Timeout(_) => return away("it did not answer in time".to_owned()),
        other => return away(other.to_string()),
    };
    let why = said(&error);
    match advice(&error) {
        Some(advice) => StoreError::DatabaseRefuses { place: place.to_owned(), why, advice },
        None => away(why),
    }
}

/// What a user can do about a refusal; `None` if the error is not one.
pub(super) fn advice(error: &Error) -> Option<&'static str> {
    const PASSWORD: &str = "check the user, and the password in PGPASSWORD";
    const TLS: &str = "check sslmode and sslrootcert in the address, and `ssl` at the server";
    let Some(code) = error.code() else {
        return match error.to_string().as_str() {
            "error performing TLS handshake" => Some(TLS),
            "authentication error" | "invalid configuration" => Some(PASSWORD),
            _ => None,
        };
    };
    match *code {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            Some(PASSWORD)
        }
        SqlState::INVALID_CATALOG_NAME => Some("create the database with `createdb`"),
        SqlState::INSUFFICIENT_PRIVILEGE => {
            Some("let its owner run GRANT CREATE ON DATABASE … TO the user")
        }
        _ => None,
    }
}

impl StoreError {
    /// Whether, and how, this error of a transaction passes.
    pub(super) fn passing(&self) -> Option<Passing> {
        match self {
            Self::Sql(error) => passing(error),
            Self::DatabaseContended { .. } => Some(Passing::Conflict),
            Self::DatabaseAway { .. } | Self::TimedOut => Some(Passing::Away),
            _ => None,
        }
    }
}
