//! Who makes a call, and what its handler says of it.

use std::sync::{Arc, OnceLock};

use http::Request;

use super::Peer;
use crate::identity::{Identity, Role};

/// Carries the caller's identity across the balancer: `URI=spiffe://strife/client/john_doe`.
pub const FORWARDED_IDENTITY: &str = "x-forwarded-client-cert";
/// Carries the caller's address across the balancer.
pub const FORWARDED_ADDRESS: &str = "x-forwarded-for";

/// Longest subject on a log line, in bytes: what a caller wrote may be as large as a message.
const SUBJECT_BYTES_MAX: usize = 256;

/// Who makes a call. A handler finds it in the request's extensions ([`Caller::of`]).
#[derive(Debug, Clone)]
pub struct Caller {
    /// Proved by a certificate. `None` only where TLS is off.
    pub identity: Option<Identity>,
    /// The caller's own address, as far as it can be known.
    pub address: String,
    remarks: Arc<Remarks>,
}

/// What the handler adds to the call's log line.
#[derive(Debug, Default)]
struct Remarks {
    subject: OnceLock<String>,
    outcome: OnceLock<String>,
}

impl Caller {
    /// The caller of a request that came through [`super::CallLayer`].
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        let found = request.extensions().get::<Self>().cloned();
        found.unwrap_or_else(|| Self::new(None, String::new()))
    }

    fn new(identity: Option<Identity>, address: String) -> Self {
        Self { identity, address, remarks: Arc::default() }
    }

    /// Puts the call's subject (amount, accounts; never a secret) on its log line. To be said
    /// before anything is checked, so that the line of a refused call has it too.
    pub fn note(&self, subject: impl FnOnce() -> String) {
        if tracing::enabled!(tracing::Level::INFO) {
            self.remarks.subject.get_or_init(|| shortened(subject()));
        }
    }

    /// Puts what became of it behind the subject, where the result does not say it: a payment that
    /// was answered and is refused.
    pub fn outcome(&self, outcome: impl FnOnce() -> String) {
        if tracing::enabled!(tracing::Level::INFO) {
            self.remarks.outcome.get_or_init(|| shortened(outcome()));
        }
    }

    /// Subject and outcome, as far as they were said.
    pub(super) fn remarks(&self) -> String {
        let said = [self.remarks.subject.get(), self.remarks.outcome.get()];
        said.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(": ")
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > SUBJECT_BYTES_MAX {
        let end = (0..=SUBJECT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push_str("...");
    }
    text
}

/// The caller of a request, by its connection and, behind the balancer, by the balancer's word.
pub(super) fn caller_of<T>(request: &Request<T>) -> Caller {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let peer = request.extensions().get::<Peer>();
    let direct = peer.and_then(|peer| peer.identity.clone());
    let mut address = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
    let behind_balancer = direct.as_ref().is_none_or(|identity| identity.role == Role::Lb);
    if behind_balancer && let Some(forwarded) = header(FORWARDED_ADDRESS) {
        address = forwarded.to_owned();
    }
    let identity = match direct {
        Some(balancer) if balancer.role == Role::Lb => {
            let forwarded = header(FORWARDED_IDENTITY).and_then(|text| text.strip_prefix("URI="));
            Some(forwarded.and_then(|uri| uri.parse().ok()).unwrap_or(balancer))
        }
        other => other,
    };
    Caller::new(identity, address)
}
