//! What can become of a call.

use std::fmt;

/// The gRPC status codes' names, by number.
const STATUS_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// How a call that was sent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, as asked.
    Accepted,
    /// Answered; the application refused.
    Refused,
    /// Answered; the application will do it later, or not.
    Queued,
    /// No answer by the deadline.
    TimedOut,
    /// Failed.
    Failed(ErrorKind),
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// Answered with this gRPC status code, not 0.
    Status(u8),
    /// Answered with this HTTP status, not 200.
    Http(u16),
    /// The peer reset the stream without a status.
    StreamReset,
    /// The connection ended under the call.
    ConnectionLost,
    /// There was no connection, and the last try to make one had failed.
    NotConnected,
    /// Answered with something that is not the method's response.
    Malformed,
}

impl ErrorKind {
    /// Whether servers end calls like this when their deadline passes.
    pub fn is_lack_of_time(self) -> bool {
        const CANCELLED: u8 = 1;
        const DEADLINE_EXCEEDED: u8 = 4;
        matches!(self, Self::Status(CANCELLED | DEADLINE_EXCEEDED) | Self::StreamReset)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => match STATUS_NAMES.get(usize::from(*code)) {
                Some(name) => f.write_str(name),
                None => write!(f, "status {code}"),
            },
            Self::Http(status) => write!(f, "HTTP {status}"),
            Self::StreamReset => f.write_str("stream reset"),
            Self::ConnectionLost => f.write_str("connection lost"),
            Self::NotConnected => f.write_str("not connected"),
            Self::Malformed => f.write_str("malformed response"),
        }
    }
}
