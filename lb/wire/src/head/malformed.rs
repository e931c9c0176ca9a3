//! The ways in which a header block can be malformed (RFC 9113, section 8.1.1).

use thiserror::Error;

/// A header block that breaks a rule of RFC 9113, section 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("{}", self.why())]
pub enum Malformed {
    /// A field without a name (section 8.2.1).
    EmptyName,
    /// A name with an upper-case letter (section 8.2.1).
    UpperCaseName,
    /// A name that is not a token (section 8.2.1; RFC 9110, section 5.1).
    NameCharacter,
    /// A value with NUL, CR or LF (section 8.2.1).
    ValueCharacter,
    /// A value that begins or ends with a space or a tab (section 8.2.1).
    ValueWhitespace,
    /// `connection`, `proxy-connection`, `keep-alive`, `transfer-encoding`, `upgrade`, or `te`
    /// outside a request (section 8.2.2).
    ConnectionSpecific,
    /// `te` with another value than `trailers` (section 8.2.2).
    TeNotTrailers,
    /// A pseudo-header field that is not defined (section 8.3).
    UnknownPseudo,
    /// A pseudo-header field after a regular field (section 8.3).
    PseudoAfterRegular,
    /// The same pseudo-header field twice (section 8.3).
    DuplicatePseudo,
    /// A pseudo-header field in trailers (section 8.1).
    PseudoInTrailers,
    /// `:status` in a request (section 8.3).
    ResponsePseudoInRequest,
    /// A request's pseudo-header field in a response (section 8.3).
    RequestPseudoInResponse,
    /// No `:method` (section 8.3.1).
    MissingMethod,
    /// A `:method` that is not a token (section 8.3.1; RFC 9110, section 9.1).
    InvalidMethod,
    /// No `:scheme` (section 8.3.1).
    MissingScheme,
    /// A `:scheme` that is none (section 8.3.1; RFC 3986, section 3.1).
    InvalidScheme,
    /// No `:path` (section 8.3.1).
    MissingPath,
    /// An empty `:path` (section 8.3.1).
    EmptyPath,
    /// A `:path` that neither begins with `/` nor is the `*` of OPTIONS, or that has a character
    /// no path or query has (section 8.3.1).
    InvalidPath,
    /// An `:authority` or `host` with user information or a character no authority has
    /// (section 8.3.1; RFC 3986, section 3.2).
    InvalidAuthority,
    /// A `host` that names another entity than `:authority` or another `host` (section 8.3.1).
    HostDiffers,
    /// CONNECT with `:scheme` or `:path` (section 8.5).
    ConnectWithTarget,
    /// CONNECT without `:authority` (section 8.5).
    ConnectWithoutAuthority,
    /// No `:status` (section 8.3.2).
    MissingStatus,
    /// A `:status` that is not three digits, the first not 0 (section 8.3.2; RFC 9110, section 15).
    InvalidStatus,
    /// `:status` 101, which HTTP/2 does not have (section 8.6).
    SwitchingProtocols,
    /// A `content-length` that is not a number (section 8.1.1; RFC 9110, section 8.6).
    InvalidContentLength,
    /// Two `content-length` that differ (section 8.1.1; RFC 9110, section 8.6).
    DifferingContentLengths,
}

impl Malformed {
    /// The rule that was broken, and where it stands.
    pub const fn why(self) -> &'static str {
        match self {
            Self::EmptyName => "field without a name (RFC 9113, 8.2.1)",
            Self::UpperCaseName => "upper case in a field name (RFC 9113, 8.2.1)",
            Self::NameCharacter => "invalid character in a field name (RFC 9113, 8.2.1)",
            Self::ValueCharacter => "NUL, CR or LF in a field value (RFC 9113, 8.2.1)",
            Self::ValueWhitespace => "field value begins or ends with space (RFC 9113, 8.2.1)",
            Self::ConnectionSpecific => "connection-specific field (RFC 9113, 8.2.2)",
            Self::TeNotTrailers => "te is not trailers (RFC 9113, 8.2.2)",
            Self::UnknownPseudo => "unknown pseudo-header field (RFC 9113, 8.3)",
            Self::PseudoAfterRegular => "pseudo-header after a regular field (RFC 9113, 8.3)",
            Self::DuplicatePseudo => "pseudo-header field twice (RFC 9113, 8.3)",
            Self::PseudoInTrailers => "pseudo-header field in trailers (RFC 9113, 8.1)",
            Self::ResponsePseudoInRequest => ":status in a request (RFC 9113, 8.3)",
            Self::RequestPseudoInResponse => "request pseudo-header in a response (RFC 9113, 8.3)",
            Self::MissingMethod => ":method is missing (RFC 9113, 8.3.1)",
            Self::InvalidMethod => ":method is not a token (RFC 9113, 8.3.1)",
            Self::MissingScheme => ":scheme is missing (RFC 9113, 8.3.1)",
            Self::InvalidScheme => ":scheme is no scheme (RFC 9113, 8.3.1)",
            Self::MissingPath => ":path is missing (RFC 9113, 8.3.1)",
            Self::EmptyPath => ":path is empty (RFC 9113, 8.3.1)",
            Self::InvalidPath => ":path is no path (RFC 9113, 8.3.1)",
            Self::InvalidAuthority => ":authority is no authority (RFC 9113, 8.3.1)",
            Self::HostDiffers => "host differs from :authority (RFC 9113, 8.3.1)",
            Self::ConnectWithTarget => "CONNECT with :scheme or :path (RFC 9113, 8.5)",
            Self::ConnectWithoutAuthority => "CONNECT without :authority (RFC 9113, 8.5)",
            Self::MissingStatus => ":status is missing (RFC 9113, 8.3.2)",
            Self::InvalidStatus => ":status is no status code (RFC 9113, 8.3.2)",
            Self::SwitchingProtocols => "status 101 (RFC 9113, 8.6)",
            Self::InvalidContentLength => "content-length is no number (RFC 9113, 8.1.1)",
            Self::DifferingContentLengths => "content-lengths differ (RFC 9113, 8.1.1)",
        }
    }
}
