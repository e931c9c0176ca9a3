//! A call at a server: counted from its pick to its end, however it ends.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use strife_policy::{EndpointLoad, Outcome};
use tokio::time::Instant;

use crate::{Clock, orca};

/// Statuses that are the server's fault, as the balancer has them: UNKNOWN, RESOURCE_EXHAUSTED,
/// INTERNAL, UNAVAILABLE, DATA_LOSS.
const SERVER_ERRORS: [&[u8]; 5] = [b"2", b"8", b"13", b"14", b"15"];
const DEADLINE_EXCEEDED: &[u8] = b"4";
/// In an answer of such a status: it is due to what was asked, and says nothing of the server.
const AT_FAULT: &str = "x-strife-at-fault";

/// Dropped before its end, the call was given up, or its deadline has passed.
pub(crate) struct InFlight {
    load: Arc<EndpointLoad>,
    clock: Clock,
    started: Instant,
    deadline: Option<Instant>,
    /// To the head of the answer: how long that is being read is the caller's own affair.
    latency: Option<Duration>,
    ended: bool,
}

impl InFlight {
    pub(crate) fn start(load: &Arc<EndpointLoad>, clock: Clock, deadline: Option<Instant>) -> Self {
        load.sent();
        let (load, started) = (load.clone(), Instant::now());
        Self { load, clock, started, deadline, latency: None, ended: false }
    }

    pub(crate) fn address(&self) -> &str {
        self.load.address()
    }

    pub(crate) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The head of the answer has come.
    pub(crate) fn headed(&mut self) {
        self.latency = Some(self.started.elapsed());
    }

    /// The last headers of the answer have come; whether they say how the call ended.
    pub(crate) fn answered(&mut self, headers: &HeaderMap) -> bool {
        orca::record(&self.load, self.clock.now(), headers);
        let Some(status) = headers.get("grpc-status") else { return false };
        let outcome = match status.as_bytes() {
            DEADLINE_EXCEEDED => Outcome::TimedOut,
            status if SERVER_ERRORS.contains(&status) && !headers.contains_key(AT_FAULT) => {
                Outcome::Failed
            }
            _ => Outcome::Succeeded,
        };
        self.end(outcome);
        true
    }

    /// Only the first end counts.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        if !self.ended {
            self.ended = true;
            let latency = self.latency.unwrap_or_else(|| self.started.elapsed());
            self.load.finished(self.clock.now(), outcome, latency);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.end(if self.is_late() { Outcome::TimedOut } else { Outcome::Cancelled });
    }
}

#[cfg(test)]
mod tests {
    use strife_policy::Ramp;

    use super::*;

    fn check(headers: &[(&'static str, &'static str)], failed: u64) {
        let load = Arc::new(EndpointLoad::new("127.0.0.1:1", Ramp::default()));
        let fields = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        let mut call = InFlight::start(&load, Clock::start(), None);
        assert!(call.answered(&HeaderMap::from_iter(fields)));
        assert_eq!(load.failed(), failed, "{headers:?}");
    }

    #[tokio::test]
    async fn what_is_its_callers_fault_is_not_held_against_a_server() {
        check(&[("grpc-status", "8")], 1);
        check(&[("grpc-status", "8"), (AT_FAULT, "caller")], 0);
        check(&[("grpc-status", "5")], 0);
    }
}
