//! What is called: the calls of a run, made one after the other from a seed.
//!
//! A [`Workload`] makes request bytes and judges response bytes; it knows nothing of connections or
//! time. [`BankWorkload`] and [`PaymentsWorkload`] speak to Strife's own services, from the account
//! files those services were started with ([`accounts`]); [`FixedWorkload`] repeats one call of any
//! service.

use bytes::{BufMut, Bytes, BytesMut};

pub mod accounts;
mod bank;
mod payments;
mod service;
#[cfg(test)]
mod tests;

pub use accounts::{AccountBook, AccountsError};
pub use bank::BankWorkload;
pub use payments::{PaymentMix, PaymentsWorkload};

/// Bytes before a message in a gRPC stream: a compression flag and the length.
pub const FRAME_HEADER: usize = 5;

/// A method of a gRPC service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MethodName(String);

impl MethodName {
    /// From `/pkg.Service/Method`, `pkg.Service/Method` or `pkg.Service.Method`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('/').unwrap_or(text);
        let (service, method) = text.split_once('/').or_else(|| text.rsplit_once('.'))?;
        let named = |name: &str| !name.is_empty() && !name.contains(['/', ' ', '?', '#']);
        (named(service) && named(method)).then(|| Self(format!("/{service}/{method}")))
    }

    /// `/pkg.Service/Method`, as in `:path`.
    pub fn path(&self) -> &str {
        &self.0
    }

    /// `pkg.Service`.
    pub fn service(&self) -> &str {
        self.0[1..].split_once('/').map_or("", |(service, _)| service)
    }

    /// `Method`.
    pub fn method(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, method)| method)
    }
}

impl std::fmt::Display for MethodName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0[1..])
    }
}

/// One call to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Index into [`Workload::methods`].
    pub method: usize,
    /// Index into [`Workload::authorities`].
    pub authority: usize,
    /// The request, framed for gRPC.
    pub body: Bytes,
}

/// What an answer with status OK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Done as asked.
    Accepted,
    /// The application refused (no funds, payment aborted): an answer, not an error.
    Refused,
    /// The application has taken it on and will do it later, or not (a queued payment).
    Queued,
    /// Not what the method returns.
    Malformed,
}

/// Makes calls and judges answers. One per worker thread.
pub trait Workload: Send {
    /// What can be called. Fixed for the run.
    fn methods(&self) -> &[MethodName];
    /// By which `:authority` it is called. Fixed for the run.
    fn authorities(&self) -> &[String];
    /// The next call, made by `client`.
    fn next(&mut self, client: u32) -> Call;
    /// Reads the message that `method` answered with.
    fn judge(&self, _method: usize, _response: &[u8]) -> Verdict {
        Verdict::Accepted
    }
}

/// Puts the gRPC frame header before an encoded message.
pub fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("gRPC messages are below 4 GiB"));
    frame.put_slice(message);
    frame.freeze()
}

/// The same call again and again.
#[derive(Debug, Clone)]
pub struct FixedWorkload {
    method: [MethodName; 1],
    authority: [String; 1],
    body: Bytes,
}

impl FixedWorkload {
    /// `message`: the encoded request.
    pub fn new(method: MethodName, authority: impl Into<String>, message: &[u8]) -> Self {
        Self { method: [method], authority: [authority.into()], body: framed(message) }
    }
}

impl Workload for FixedWorkload {
    fn methods(&self) -> &[MethodName] {
        &self.method
    }

    fn authorities(&self) -> &[String] {
        &self.authority
    }

    fn next(&mut self, _client: u32) -> Call {
        Call { method: 0, authority: 0, body: self.body.clone() }
    }
}
