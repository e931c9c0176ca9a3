//! One call's line: field by field, in an order that stays.
//!
//! What clients send is hostile: strings are escaped and cut, bytes that are not UTF-8 are
//! replaced, and so are the control characters that JSON would let through to a terminal.

use std::{
    fmt::{self, Display, Write},
    net::SocketAddr,
    str,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use strife_wire::Code;
use time::OffsetDateTime;

use crate::metrics::{Label, Refusal};

/// Of a string, so much is written; `…` says that there was more.
const MAX_TEXT_BYTES: usize = 1024;
/// Why writing to a buffer cannot fail.
const TAKES_ALL: &str = "a buffer takes all that is written to it";

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
    CancelledByClient(Code),
    /// The endpoint reset it, with this HTTP/2 error code.
    ResetByServer(Code),
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
        let duration_us = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        let (ended, reason) = self.ended.as_strs();
        let mut line = Line(text);
        line.raw(r#"{"time":""#).raw(Timestamp::new(self.time).as_str());
        line.raw(r#"","method":"#).string(self.method);
        line.raw(r#","authority":"#).string(self.authority);
        line.raw(r#","pool":"#).optional_string(self.pool);
        line.raw(r#","endpoint":"#).optional_string(self.endpoint);
        line.raw(r#","client":"#).string(Address::new(self.client).as_bytes());
        line.raw(r#","client_identity":"#).optional_string(self.client_identity);
        line.raw(r#","http_status":"#).number(self.http_status.into());
        line.raw(r#","grpc_status":"#).optional_number(self.grpc_status);
        line.raw(r#","duration_us":"#).number(duration_us);
        line.raw(r#","request_bytes":"#).number(self.request_bytes);
        line.raw(r#","response_bytes":"#).number(self.response_bytes);
        line.raw(r#","attempts":"#).number(self.attempts.into());
        line.raw(r#","ended":"#).string(ended.as_bytes());
        line.raw(r#","reason":"#).optional_string(reason);
        line.raw("}\n");
    }
}

/// JSON as it grows. What is known to need no care is copied; the rest is for `serde_json`. A
/// derived serializer would escape every key and value byte by byte, at twice the cost.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn raw(&mut self, json: &str) -> &mut Self {
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    fn string(&mut self, bytes: &[u8]) {
        let needs_care = |byte: u8| !matches!(byte, b' '..=b'~') | matches!(byte, b'"' | b'\\');
        // Looks at every byte, whatever it found: so it looks at many at once.
        let any_does = || bytes.iter().fold(false, |any, byte| any | needs_care(*byte));
        if bytes.len() <= MAX_TEXT_BYTES && !any_does() {
            self.0.push(b'"');
            self.0.extend_from_slice(bytes);
            self.0.push(b'"');
        } else {
            let shown = format_args!("{}", Text(bytes));
            serde_json::to_writer(&mut *self.0, &shown).expect(TAKES_ALL);
        }
    }

    fn number(&mut self, number: u64) {
        serde_json::to_writer(&mut *self.0, &number).expect(TAKES_ALL);
    }

    fn optional_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text.as_bytes()),
            None => {
                self.raw("null");
            }
        }
    }

    fn optional_number(&mut self, number: Option<u32>) {
        match number {
            Some(number) => self.number(number.into()),
            None => {
                self.raw("null");
            }
        }
    }
}

impl Ended {
    /// What happened, and why if there is more to say.
    pub(crate) fn as_strs(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Completed => ("completed", None),
            Self::CancelledByClient(by) => ("cancelled_by_client", Some(by.as_str())),
            Self::ResetByServer(by) => ("reset_by_server", Some(by.as_str())),
            Self::ConnectionLost => ("connection_lost", None),
            Self::DeadlineExceeded => ("deadline_exceeded", None),
            Self::Refused(why) => ("refused", Some(why.as_str())),
        }
    }
}

/// Bytes from outside, made fit to be seen.
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

/// UTC, as RFC 3339 writes it, with microseconds. Digit by digit, as the formatting machinery takes
/// as long as the rest of the line.
pub(crate) struct Timestamp([u8; 27]);

impl Timestamp {
    pub(crate) fn new(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        let utc =
            OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        digits(&mut text[0..4], utc.year().unsigned_abs());
        digits(&mut text[5..7], u8::from(utc.month()).into());
        digits(&mut text[8..10], utc.day().into());
        digits(&mut text[11..13], utc.hour().into());
        digits(&mut text[14..16], utc.minute().into());
        digits(&mut text[17..19], utc.second().into());
        digits(&mut text[20..26], since_epoch.subsec_micros());
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The text of an address, where it costs no allocation.
struct Address {
    /// Enough for IPv6 with a scope and a port.
    text: [u8; 64],
    length: usize,
}

impl Address {
    fn new(address: SocketAddr) -> Self {
        let mut text = Self { text: [0; 64], length: 0 };
        write!(text, "{address}").expect("no address is longer");
        text
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

impl Write for Address {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        let place = self.text.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
