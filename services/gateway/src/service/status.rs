//! Errors as gRPC codes: the one place where they meet.

use strife_store::StoreError;
use tonic::{Code, Status};

use crate::{error::GatewayError, retry};

/// Longest message, in characters: it travels in a header, and may quote what the client sent.
const MESSAGE_CHARS_MAX: usize = 400;

impl From<GatewayError> for Status {
    fn from(error: GatewayError) -> Self {
        let message = error.to_string();
        Self::new(code(&error), message.chars().take(MESSAGE_CHARS_MAX).collect::<String>())
    }
}

fn code(error: &GatewayError) -> Code {
    match error {
        GatewayError::MalformedOrder(_)
        | GatewayError::Missing(_)
        | GatewayError::UserMissing
        | GatewayError::MalformedFollower
        | GatewayError::MalformedPageToken(_) => Code::InvalidArgument,
        GatewayError::UnknownUser(_)
        | GatewayError::UnknownBank(_)
        | GatewayError::UnknownPayment(_)
        | GatewayError::UnknownFollower(_) => Code::NotFound,
        GatewayError::NotThatUser { .. } | GatewayError::NotTheirAccount { .. } => {
            Code::PermissionDenied
        }
        GatewayError::Conflict(_) => Code::AlreadyExists,
        GatewayError::TooManyPayments { .. }
        | GatewayError::BankBehind { .. }
        | GatewayError::TooManyFollowers { .. } => Code::ResourceExhausted,
        GatewayError::NoSuchEvent(_)
        | GatewayError::OtherEvent(_)
        | GatewayError::EventsRemoved { .. } => Code::OutOfRange,
        GatewayError::Leaving => Code::Unavailable,
        GatewayError::StillUnderWay(_) => Code::DeadlineExceeded,
        GatewayError::ForeignTransaction(_) | GatewayError::TransactionNotMade(_) => {
            Code::FailedPrecondition
        }
        GatewayError::NoTransactionIds | GatewayError::Store(StoreError::Stopped) => {
            Code::Unavailable
        }
        GatewayError::Store(error) if retry::is_passing(error) => Code::Unavailable,
        GatewayError::Store(_) | GatewayError::MalformedUsers(_) => Code::Internal,
    }
}
