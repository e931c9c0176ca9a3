//! A call's flight: sent, answered or not, recorded.

use std::{future::Future, rc::Rc, time::Duration};

use bytes::Bytes;
use http::HeaderValue;

use super::Worker;
use crate::{
    run::transport::{Connection, Reply},
    samples::{Ended, ErrorKind, Outcome},
    workload::{Call, Verdict},
};

/// How long after their deadline the last calls are waited for.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// A server that keeps deadlines may be first by a little: a call that it ends within this last part
/// of the time for lack of time has timed out.
const TIMED_OUT_FROM: f64 = 0.9;

impl Worker {
    pub(super) fn connection_of(&self, client: u32) -> &Rc<Connection> {
        let nth = client / self.config.threads;
        &self.connections[nth as usize % self.connections.len()]
    }

    /// Gives a call to its connection now; what is returned ends when the call is recorded.
    pub(super) fn send(
        self: &Rc<Self>,
        client: u32,
        intended: Duration,
    ) -> impl Future<Output = Outcome> + use<> {
        let Call { method, authority, body } = self.workload.borrow_mut().next(client);
        let head = &self.heads[authority * self.methods + method];
        let sent = self.now();
        let reply = self.connection_of(client).call(head, body);
        self.in_flight.set(self.in_flight.get() + 1);
        self.progress.count_sent();
        self.recorder.borrow_mut().sent(intended);
        let worker = self.clone();
        async move {
            let deadline = sent + worker.config.timeout;
            let reply = tokio::time::timeout_at((worker.origin + deadline).into(), reply).await;
            let now = worker.now();
            let (outcome, server) = match reply {
                Ok(Reply { server, result }) => {
                    (worker.outcome(method, result, now - sent), server)
                }
                Err(_elapsed) => (Outcome::TimedOut, None),
            };
            let done = if outcome == Outcome::TimedOut { deadline } else { now };
            let server = server.as_ref().map(HeaderValue::as_bytes);
            worker.land(&Ended { method, intended, sent, done, outcome, server });
            outcome
        }
    }

    fn outcome(&self, method: usize, result: Result<Bytes, ErrorKind>, took: Duration) -> Outcome {
        match result {
            Ok(message) => match self.workload.borrow().judge(method, &message) {
                Verdict::Accepted => Outcome::Accepted,
                Verdict::Refused => Outcome::Refused,
                Verdict::Queued => Outcome::Queued,
                Verdict::Malformed => Outcome::Failed(ErrorKind::Malformed),
            },
            Err(kind)
                if kind.is_lack_of_time()
                    && took >= self.config.timeout.mul_f64(TIMED_OUT_FROM) =>
            {
                Outcome::TimedOut
            }
            Err(kind) => Outcome::Failed(kind),
        }
    }

    fn land(&self, call: &Ended<'_>) {
        self.recorder.borrow_mut().ended(call);
        let is_error = matches!(call.outcome, Outcome::TimedOut | Outcome::Failed(_));
        self.progress.count_done(is_error);
        self.in_flight.set(self.in_flight.get() - 1);
        if self.in_flight.get() == 0 {
            self.landed.notify_one();
        }
    }

    /// Waits for the calls under way; each ends by its deadline.
    pub(super) async fn drain(&self) {
        let landed = async {
            while self.in_flight.get() > 0 {
                self.landed.notified().await;
            }
        };
        // Nothing to do about a call that its timer forgot.
        let _ = tokio::time::timeout(self.config.timeout + DRAIN_GRACE, landed).await;
    }
}
