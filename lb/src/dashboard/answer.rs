//! Answers, and what every one of them tells the browser: run nothing and load nothing that is not
//! ours, show the page in nobody else's frame, keep no copy.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

use crate::{error::LbError, http::response};

pub(super) const JSON: &str = "application/json";

/// An answer's status, with the words that the page shows.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// `{"error": MESSAGE}`.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        response(self.status, JSON, json!({ "error": self.message }).to_string())
    }
}

impl From<LbError> for Refusal {
    fn from(error: LbError) -> Self {
        let status = match error {
            LbError::UnknownPool { .. } | LbError::NoServerToDrain(_) => StatusCode::NOT_FOUND,
            LbError::LastServer { .. } => StatusCode::CONFLICT,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

/// Trusted types: Chromium throws when a script makes HTML of a string.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const ALWAYS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Adds what every answer says.
pub(super) fn guarded(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
