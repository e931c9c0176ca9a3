//! One call's line: field by field, in an order that stays.
//!
//! What clients send is hostile: strings are escaped and cut, bytes that are not UTF-8 are
//! replaced, and so are the control characters that JSON would let through to a terminal.

use std::{
    fmt::{self, Display, Write},
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use serde::ser::{Serialize, SerializeStruct, Serializer};
use time::OffsetDateTime;

use crate::metrics::{ErrorCode, Label, Refusal};

/// Of a string, so much is written; `…` says that there was more.
const MAX_TEXT_BYTES: usize = 1024;

/// A call that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallRecord<'a> {
    /// When its headers had arrived.
    pub(crate) time: SystemTime,
    /// `:path`.
    pub(crate) method: &'a [u8],
    pub(crate) authority: &'a [u8],
    /// Where it was routed to, if anywhere.
    pub(crate) pool: Option<&'a str>,
    /// Who answered it, or was tried last.
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) client: SocketAddr,
    /// From the client's certificate.
    pub(crate) client_identity: Option<&'a str>,
    /// As the client saw it; 0 if it saw none.
    pub(crate) http_status: u16,
    pub(crate) grpc_status: Option<u32>,
    pub(crate) duration: Duration,
    /// Of messages with their gRPC prefix, headers not counted.
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// Endpoints it was sent to.
    pub(crate) attempts: u8,
    pub(crate) ended: Ended,
}

/// What ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its answer arrived in full, whatever it says.
    Completed,
    /// The client reset it, with this HTTP/2 error code.
    CancelledByClient(u32),
    /// The endpoint reset it, with this HTTP/2 error code.
    ResetByServer(u32),
    /// The client's connection or the endpoint's was lost.
    ConnectionLost,
    /// Its own deadline passed.
    DeadlineExceeded,
    /// The balancer answered it itself.
    Refused(Refusal),
}

impl CallRecord<'_> {
    /// Appends the line, its end included.
    pub(super) fn write_line(&self, text: &mut Vec<u8>) {
        serde_json::to_writer(&mut *text, self).expect("a buffer takes all that is written to it");
        text.push(b'\n');
    }
}

impl Serialize for CallRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let duration_us = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        let (ended, reason) = self.ended.as_strs();
        let mut line = serializer.serialize_struct("call", 15)?;
        line.serialize_field("time", &Shown(Timestamp(self.time)))?;
        line.serialize_field("method", &Shown(Text(self.method)))?;
        line.serialize_field("authority", &Shown(Text(self.authority)))?;
        line.serialize_field("pool", &self.pool)?;
        line.serialize_field("endpoint", &self.endpoint)?;
        line.serialize_field("client", &Shown(self.client))?;
        line.serialize_field("client_identity", &self.client_identity)?;
        line.serialize_field("http_status", &self.http_status)?;
        line.serialize_field("grpc_status", &self.grpc_status)?;
        line.serialize_field("duration_us", &duration_us)?;
        line.serialize_field("request_bytes", &self.request_bytes)?;
        line.serialize_field("response_bytes", &self.response_bytes)?;
        line.serialize_field("attempts", &self.attempts)?;
        line.serialize_field("ended", ended)?;
        line.serialize_field("reason", &reason)?;
        line.end()
    }
}

impl Ended {
    /// What happened, and why if there is more to say.
    fn as_strs(self) -> (&'static str, Option<&'static str>) {
        let code = |code| ErrorCode::of(code).map_or("undefined", Label::as_str);
        match self {
            Self::Completed => ("completed", None),
            Self::CancelledByClient(by) => ("cancelled_by_client", Some(code(by))),
            Self::ResetByServer(by) => ("reset_by_server", Some(code(by))),
            Self::ConnectionLost => ("connection_lost", None),
            Self::DeadlineExceeded => ("deadline_exceeded", None),
            Self::Refused(why) => ("refused", Some(why.as_str())),
        }
    }
}

/// A JSON string of what is displayed, without a string in between.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Bytes from outside.
struct Text<'a>(&'a [u8]);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(MAX_TEXT_BYTES)];
        for chunk in shown.utf8_chunks() {
            write_printable(chunk.valid(), f)?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        if shown.len() < self.0.len() { f.write_char('…') } else { Ok(()) }
    }
}

/// JSON escapes the control characters below U+0020 only.
fn write_printable(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_hidden = |character: char| character.is_control() && character >= '\u{7f}';
    let mut parts = text.split(is_hidden);
    f.write_str(parts.next().unwrap_or_default())?;
    parts.try_for_each(|part| {
        f.write_char(char::REPLACEMENT_CHARACTER)?;
        f.write_str(part)
    })
}

/// UTC, as RFC 3339 writes it, with microseconds.
pub(super) struct Timestamp(pub(super) SystemTime);

impl Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = OffsetDateTime::from(self.0);
        let (year, month, day) = (utc.year(), u8::from(utc.month()), utc.day());
        let (hour, minute, second, us) =
            (utc.hour(), utc.minute(), utc.second(), utc.microsecond());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
    }
}

#[cfg(test)]
mod tests;
