//! Who may read the page and press its buttons.
//!
//! On loopback whoever is on this machine may: what has to be kept out is *other* pages that are
//! open in the same browser. One may point its own name at 127.0.0.1 (DNS rebinding), so the name
//! that was asked for must be a loopback one; or send a request across origins, so a change must
//! come from this page by everything that browsers say of it, with a header that no other page can
//! add unless it is allowed to, which none is (Fetch standard, CORS). Elsewhere, mutual TLS says
//! who asks, and only operators may.

use http::{HeaderMap, StatusCode, Uri, header, uri::Authority};
use strife_runtime::{Identity, Role};

use super::answer::Refusal;

/// The header that changes must carry; any value will do.
const OWN_HEADER: &str = "x-strife-dashboard";

/// Whom the page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Whoever is on this machine, in the clear.
    ThisMachine,
    /// Operators by their certificates.
    Operators,
}

impl Audience {
    fn scheme(self) -> &'static str {
        match self {
            Self::ThisMachine => "http",
            Self::Operators => "https",
        }
    }
}

/// Whether this may be answered at all.
pub(super) fn check_reader(
    audience: Audience,
    uri: &Uri,
    headers: &HeaderMap,
    identity: Option<&Identity>,
) -> Result<(), Refusal> {
    match audience {
        Audience::Operators if identity.is_some_and(|one| one.role == Role::Admin) => {}
        Audience::Operators => {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "the dashboard is for operators: show the certificate admin-1.pem",
            ));
        }
        Audience::ThisMachine if asked(uri, headers).is_some_and(|host| is_loopback(&host)) => {}
        Audience::ThisMachine => {
            return Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                "the dashboard answers to localhost, 127.0.0.1 and [::1] only: open it by one of them",
            ));
        }
    }
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        // `none`: the user's own doing, as by the address bar.
        None | Some(b"same-origin" | b"none") => Ok(()),
        // Following a link is harmless: what comes is shown to the user and not to the other page.
        Some(_) if is_navigation(headers) => Ok(()),
        Some(_) => Err(other_page()),
    }
}

/// Whether this may change anything; to be asked after [`check_reader`].
pub(super) fn check_writer(
    audience: Audience,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let is_same_site = match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => true,
    };
    let is_same_origin = match (headers.get(header::ORIGIN), asked(uri, headers)) {
        (Some(origin), Some(host)) => {
            origin.as_bytes() == format!("{}://{host}", audience.scheme()).as_bytes()
        }
        (Some(_), None) => false,
        // No browser.
        (None, _) => true,
    };
    if !is_same_site || !is_same_origin || !headers.contains_key(OWN_HEADER) {
        return Err(other_page());
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    if media_type.is_none_or(|media_type| !media_type.eq_ignore_ascii_case("application/json")) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send JSON, with content-type: application/json",
        ));
    }
    Ok(())
}

fn other_page() -> Refusal {
    Refusal::new(
        StatusCode::FORBIDDEN,
        "only the dashboard's own page may do that (programs: `strife admin`)",
    )
}

fn is_navigation(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
        && headers.get("sec-fetch-dest").is_some_and(|destination| destination == "document")
}

/// The authority that was asked for: in HTTP/2 part of the request's address.
fn asked(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    if let Some(authority) = uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none())?;
    Authority::try_from(host.as_bytes()).ok()
}

/// Whatever the port, which is another one behind `ssh -L`.
fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host().to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    !authority.as_str().contains('@') && (host == "localhost" || is_address())
}

#[cfg(test)]
mod tests;
