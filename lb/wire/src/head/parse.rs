//! One pass over the fields of a block, and then what must hold for all of them together.

use super::{BlockKind, Head, Malformed, grpc};
use crate::hpack::Fields;

/// The method that has neither `:scheme` nor `:path`.
pub(super) const CONNECT: &[u8] = b"CONNECT";

/// What an octet may be part of.
mod class {
    /// A field name: a token without upper case (RFC 9113, section 8.2.1; RFC 9110, section 5.1).
    pub(super) const NAME: u8 = 1;
    /// A token (RFC 9110, section 5.6.2).
    pub(super) const TOKEN: u8 = 2;
    /// An authority without user information (RFC 3986, section 3.2).
    pub(super) const AUTHORITY: u8 = 4;
    /// A path or query. Wider than RFC 3986, which also asks some printable octets to be escaped.
    pub(super) const PATH: u8 = 8;
    /// A scheme, after its first letter (RFC 3986, section 3.1).
    pub(super) const SCHEME: u8 = 16;

    /// The classes of each octet.
    pub(super) static OF: [u8; 256] = {
        let mut classes = [0; 256];
        put(&mut classes, b"abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~", NAME | TOKEN);
        put(&mut classes, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", TOKEN | AUTHORITY | SCHEME);
        put(&mut classes, b"abcdefghijklmnopqrstuvwxyz0123456789", AUTHORITY | SCHEME);
        put(&mut classes, b"-._~%!$&'()*+,;=:[]", AUTHORITY);
        put(&mut classes, b"+-.", SCHEME);
        let mut octet = b'!';
        while octet <= b'~' {
            if octet != b'#' {
                classes[octet as usize] |= PATH;
            }
            octet += 1;
        }
        classes
    };

    const fn put(classes: &mut [u8; 256], octets: &[u8], class: u8) {
        let mut place = 0;
        while place < octets.len() {
            classes[octets[place] as usize] |= class;
            place += 1;
        }
    }
}

/// Whether all octets are of a class.
fn all(octets: &[u8], class: u8) -> bool {
    octets.iter().fold(class, |classes, &octet| classes & class::OF[usize::from(octet)]) != 0
}

/// Checks a block and keeps what it says.
pub(super) fn parse(kind: BlockKind, fields: Fields) -> Result<Head, Malformed> {
    let mut parsing = Parsing::new(kind);
    let is_suspect = has_forbidden(fields.bytes());
    for (place, field) in fields.iter().enumerate() {
        if field.name.first() == Some(&b':') {
            parsing.pseudo(place, field.name)?;
        } else {
            parsing.after_pseudo = true;
            check_name(field.name)?;
            parsing.regular(place, field.name, field.value, &fields)?;
        }
        check_value(field.value, is_suspect)?;
    }
    parsing.head.fields = fields;
    match kind {
        BlockKind::Request => parsing.finish_request(),
        BlockKind::Response => parsing.finish_response(),
        BlockKind::Trailers => Ok(parsing.head),
    }
}

fn check_name(name: &[u8]) -> Result<(), Malformed> {
    if name.is_empty() {
        return Err(Malformed::EmptyName);
    }
    if all(name, class::NAME) {
        return Ok(());
    }
    match name.iter().any(u8::is_ascii_uppercase) {
        true => Err(Malformed::UpperCaseName),
        false => Err(Malformed::NameCharacter),
    }
}

/// `is_suspect` says that a forbidden octet stands somewhere in the block.
fn check_value(value: &[u8], is_suspect: bool) -> Result<(), Malformed> {
    let is_space = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    if is_space(value.first()) || is_space(value.last()) {
        return Err(Malformed::ValueWhitespace);
    }
    if is_suspect && has_forbidden(value) {
        return Err(Malformed::ValueCharacter);
    }
    Ok(())
}

/// Whether an octet is there that no value may have (RFC 9113, section 8.2.1). Without an early
/// return, so that many are looked at together: fastest over a whole block at once.
fn has_forbidden(octets: &[u8]) -> bool {
    let is_forbidden = |octet: u8| (octet == 0) | (octet == b'\r') | (octet == b'\n');
    octets.iter().fold(0, |found, &octet| found | u8::from(is_forbidden(octet))) != 0
}

/// What is known of a block so far.
struct Parsing {
    kind: BlockKind,
    head: Head,
    status: Option<usize>,
    host: Option<usize>,
    after_pseudo: bool,
}

impl Parsing {
    fn new(kind: BlockKind) -> Self {
        let head = Head {
            fields: Fields::new(),
            method: None,
            scheme: None,
            authority: None,
            path: None,
            status: 0,
            content_length: None,
            grpc_status: None,
            grpc_timeout: None,
            is_grpc: false,
        };
        Self { kind, head, status: None, host: None, after_pseudo: false }
    }

    /// A pseudo-header field (RFC 9113, section 8.3).
    fn pseudo(&mut self, place: usize, name: &[u8]) -> Result<(), Malformed> {
        if self.kind == BlockKind::Trailers {
            return Err(Malformed::PseudoInTrailers);
        }
        let (slot, of_request) = match name {
            b":method" => (&mut self.head.method, true),
            b":scheme" => (&mut self.head.scheme, true),
            b":authority" => (&mut self.head.authority, true),
            b":path" => (&mut self.head.path, true),
            b":status" => (&mut self.status, false),
            _ => return Err(Malformed::UnknownPseudo),
        };
        match (self.kind, of_request) {
            (BlockKind::Request, false) => return Err(Malformed::ResponsePseudoInRequest),
            (BlockKind::Response, true) => return Err(Malformed::RequestPseudoInResponse),
            _ => {}
        }
        if self.after_pseudo {
            return Err(Malformed::PseudoAfterRegular);
        }
        match slot.replace(place) {
            Some(_) => Err(Malformed::DuplicatePseudo),
            None => Ok(()),
        }
    }

    /// A regular field: most have no meaning here.
    fn regular(
        &mut self,
        place: usize,
        name: &[u8],
        value: &[u8],
        fields: &Fields,
    ) -> Result<(), Malformed> {
        let is_request = self.kind == BlockKind::Request;
        match name {
            b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding"
            | b"upgrade" => return Err(Malformed::ConnectionSpecific),
            b"te" if !is_request => return Err(Malformed::ConnectionSpecific),
            b"te" if !value.eq_ignore_ascii_case(b"trailers") => {
                return Err(Malformed::TeNotTrailers);
            }
            b"host" if is_request => {
                let first = *self.host.get_or_insert(place);
                if !fields.value(first).eq_ignore_ascii_case(value) {
                    return Err(Malformed::HostDiffers);
                }
            }
            b"content-type" => self.head.is_grpc |= grpc::is_content_type(value),
            b"content-length" if self.kind != BlockKind::Trailers => self.content_length(value)?,
            b"grpc-timeout" if is_request && self.head.grpc_timeout.is_none() => {
                self.head.grpc_timeout = grpc::timeout(value);
            }
            b"grpc-status" if !is_request && self.head.grpc_status.is_none() => {
                self.head.grpc_status = Some(grpc::status(value));
            }
            _ => {}
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let length = grpc::number(value).ok_or(Malformed::InvalidContentLength)?;
        match self.head.content_length.replace(length) {
            Some(other) if other != length => Err(Malformed::DifferingContentLengths),
            _ => Ok(()),
        }
    }

    /// RFC 9113, sections 8.3.1 and 8.5.
    fn finish_request(mut self) -> Result<Head, Malformed> {
        let head = &self.head;
        head.method.ok_or(Malformed::MissingMethod)?;
        if head.method().is_empty() || !all(head.method(), class::TOKEN) {
            return Err(Malformed::InvalidMethod);
        }
        if head.is_connect() {
            if head.scheme.is_some() || head.path.is_some() {
                return Err(Malformed::ConnectWithTarget);
            }
            if head.authority().is_empty() {
                return Err(Malformed::ConnectWithoutAuthority);
            }
        } else {
            check_scheme(head)?;
            check_path(head)?;
        }
        self.agree_on_authority()?;
        if !all(self.head.authority(), class::AUTHORITY) {
            return Err(Malformed::InvalidAuthority);
        }
        Ok(self.head)
    }

    /// `host` stands in for `:authority`, or names the same entity (section 8.3.1).
    fn agree_on_authority(&mut self) -> Result<(), Malformed> {
        let Some(host) = self.host else { return Ok(()) };
        let head = &mut self.head;
        if head.authority.is_none() {
            head.authority = Some(host);
            return Ok(());
        }
        let (authority, host) = (head.authority(), head.fields.value(host));
        let entity = |authority| without_default_port(head.scheme(), authority);
        if authority != host && !entity(authority).eq_ignore_ascii_case(entity(host)) {
            return Err(Malformed::HostDiffers);
        }
        Ok(())
    }

    /// RFC 9113, section 8.3.2.
    fn finish_response(mut self) -> Result<Head, Malformed> {
        let status = self.status.ok_or(Malformed::MissingStatus)?;
        self.head.status = match self.head.fields.value(status) {
            &[hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
                let digit = |octet| u16::from(octet - b'0');
                100 * digit(hundreds) + 10 * digit(tens) + digit(ones)
            }
            _ => return Err(Malformed::InvalidStatus),
        };
        if self.head.status == 101 {
            return Err(Malformed::SwitchingProtocols);
        }
        Ok(self.head)
    }
}

fn check_scheme(head: &Head) -> Result<(), Malformed> {
    head.scheme.ok_or(Malformed::MissingScheme)?;
    match head.scheme().split_first() {
        Some((first, rest)) if first.is_ascii_alphabetic() && all(rest, class::SCHEME) => Ok(()),
        _ => Err(Malformed::InvalidScheme),
    }
}

fn check_path(head: &Head) -> Result<(), Malformed> {
    head.path.ok_or(Malformed::MissingPath)?;
    match head.path() {
        b"" => Err(Malformed::EmptyPath),
        b"*" if head.method() == b"OPTIONS" => Ok(()),
        path if path[0] == b'/' && all(path, class::PATH) => Ok(()),
        _ => Err(Malformed::InvalidPath),
    }
}

/// An authority as its scheme would normalise it (RFC 3986, section 6.2.3), but for case.
fn without_default_port<'a>(scheme: &[u8], authority: &'a [u8]) -> &'a [u8] {
    let port: &[u8] = if scheme.eq_ignore_ascii_case(b"https") { b":443" } else { b":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}
