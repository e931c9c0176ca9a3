//! What became of a call, as the endpoint's load is told.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use strife_policy::Outcome;
use tonic::Code;

use crate::{clock::Clock, endpoint::Endpoint};

/// A call sent to an endpoint. Dropped without an outcome, it was cancelled by the client.
pub(super) struct SentCall {
    endpoint: Arc<Endpoint>,
    clock: Clock,
    outcome: Outcome,
}

impl SentCall {
    pub(super) fn new(endpoint: Arc<Endpoint>, clock: Clock) -> Self {
        endpoint.load.sent();
        Self { endpoint, clock, outcome: Outcome::Cancelled }
    }

    pub(super) fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for SentCall {
    fn drop(&mut self) {
        self.endpoint.load.finished(self.clock.now(), self.outcome);
    }
}

/// The outcome that trailers, or headers that are trailers too, tell.
pub(super) fn told_by(trailers: &HeaderMap) -> Option<Outcome> {
    let status = trailers.get("grpc-status")?;
    Some(match Code::from_bytes(status.as_bytes()) {
        Code::Unavailable
        | Code::Internal
        | Code::Unknown
        | Code::DataLoss
        | Code::ResourceExhausted => Outcome::Failed,
        _ => Outcome::Succeeded,
    })
}

/// The outcome of an answer that ends without trailers: an error for gRPC, which always has a
/// status, and what the HTTP status says for everything else.
pub(super) fn without_trailers(status: StatusCode, headers: &HeaderMap) -> Outcome {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let is_grpc = content_type.is_some_and(|value| value.starts_with(b"application/grpc"));
    if is_grpc || status.is_server_error() { Outcome::Failed } else { Outcome::Succeeded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_an_answer_and_a_server_error_a_failure() {
        let check = |status: &str, expected| {
            let trailers = [("grpc-status", status)];
            let trailers =
                trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            assert_eq!(told_by(&trailers.into_iter().collect()), expected, "{status}");
        };
        check("0", Some(Outcome::Succeeded));
        check("5", Some(Outcome::Succeeded));
        check("4", Some(Outcome::Succeeded));
        check("14", Some(Outcome::Failed));
        check("13", Some(Outcome::Failed));
        check("nonsense", Some(Outcome::Failed));
        assert_eq!(told_by(&HeaderMap::new()), None);
    }
}
