//! A header block that was checked: requests, responses and trailers by the rules of RFC 9113,
//! sections 8.1 to 8.5, and what the gRPC protocol says in them.
//!
//! What breaks a rule is [`Malformed`], a stream error of type PROTOCOL_ERROR (section 8.1.1). What
//! is asked more than once is read once, in [`Head::parse`].

mod grpc;
mod malformed;
mod parse;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::hpack::Fields;

pub use malformed::Malformed;

/// What a header block is, which its place in the stream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// The first block of a stream, from the client.
    Request,
    /// Blocks from the server up to the first that is not informational.
    Response,
    /// The block after the body, from either side.
    Trailers,
}

/// A well-formed header block.
#[derive(Debug, Clone)]
pub struct Head {
    fields: Fields,
    /// The places of pseudo-header fields among the fields.
    method: Option<usize>,
    scheme: Option<usize>,
    authority: Option<usize>,
    path: Option<usize>,
    status: u16,
    content_length: Option<u64>,
    grpc_status: Option<u32>,
    grpc_timeout: Option<Duration>,
    is_grpc: bool,
}

impl Head {
    /// Checks a decoded block.
    pub fn parse(kind: BlockKind, fields: Fields) -> Result<Self, Malformed> {
        parse::parse(kind, fields)
    }

    /// All fields in order, pseudo-header fields first.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// `:method`; empty outside requests.
    pub fn method(&self) -> &[u8] {
        self.value(self.method)
    }

    /// `:scheme`; empty outside requests and for CONNECT.
    pub fn scheme(&self) -> &[u8] {
        self.value(self.scheme)
    }

    /// `:authority`, or else `host`; empty if there is neither.
    pub fn authority(&self) -> &[u8] {
        self.value(self.authority)
    }

    /// `:path`; empty outside requests and for CONNECT.
    pub fn path(&self) -> &[u8] {
        self.value(self.path)
    }

    /// `:status`; 0 outside responses.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether this is an interim response (1xx): another one follows it (RFC 9113, section 8.1).
    pub fn is_informational(&self) -> bool {
        (100..200).contains(&self.status)
    }

    /// `content-length`, in bytes of all DATA payloads (RFC 9113, section 8.1.1).
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// `grpc-status`, of trailers and of a response that is nothing but trailers. What is not a
    /// number counts as 2, UNKNOWN.
    pub fn grpc_status(&self) -> Option<u32> {
        self.grpc_status
    }

    /// `grpc-timeout` of a request; `None` if there is none, or if it is malformed.
    pub fn grpc_timeout(&self) -> Option<Duration> {
        self.grpc_timeout
    }

    /// Whether `content-type` is `application/grpc`, alone or followed by `+` or `;`.
    pub fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// Whether this asks for a tunnel (RFC 9113, section 8.5).
    pub fn is_connect(&self) -> bool {
        self.method() == parse::CONNECT
    }

    fn value(&self, place: Option<usize>) -> &[u8] {
        place.map_or(b"", |place| self.fields.value(place))
    }
}
