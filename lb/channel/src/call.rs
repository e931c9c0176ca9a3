//! A call from its pick to its answer.

use std::{error::Error, sync::Arc, time::Duration};

use http::{HeaderMap, Request, Response};
use strife_policy::Outcome;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tonic::{Code, Status, body::Body, transport};
use tower::{BoxError, Service};

use crate::{
    body::Counted,
    in_flight::InFlight,
    look_aside::LookAside,
    pick::Picks,
    retry::{Kept, causes},
    servers::{Ready, ServerStatus},
};

/// Connections a call is tried on, as the balancer's `--max-attempts`.
const MAX_ATTEMPTS: usize = 3;

/// What all clones of a channel share.
pub(crate) struct Shared {
    picks: Picks,
    look_aside: Option<LookAside>,
    room: Arc<Semaphore>,
    max_calls: usize,
}

/// Where a call has been.
struct Trial {
    hash: Option<u64>,
    tried: Vec<Arc<Ready>>,
    /// Addresses that the balancer is asked not to name.
    avoid: Vec<String>,
    /// How long it waits for a server.
    until: Instant,
}

impl Shared {
    pub(crate) fn new(picks: Picks, look_aside: Option<LookAside>, max_calls: usize) -> Self {
        let max_calls = max_calls.min(Semaphore::MAX_PERMITS);
        Self { picks, look_aside, room: Arc::new(Semaphore::new(max_calls)), max_calls }
    }

    pub(crate) fn servers(&self) -> Vec<ServerStatus> {
        let snapshot = self.picks.snapshot();
        let status = |(load, state): &(Arc<strife_policy::EndpointLoad>, _)| ServerStatus {
            address: load.address().to_owned(),
            state: Clone::clone(state),
            in_flight: load.in_flight(),
            calls: load.calls(),
            failed: load.failed(),
        };
        snapshot.members.iter().map(status).collect()
    }

    pub(crate) async fn call(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        let room = self.room.clone().try_acquire_owned().map_err(|_| {
            let most = self.max_calls;
            Status::resource_exhausted(format!("{most} calls of this channel are under way"))
        })?;
        let deadline = timeout(request.headers()).map(|timeout| Instant::now() + timeout);
        let calling = self.attempts(request, deadline, room);
        match deadline {
            None => calling.await,
            Some(at) => timeout_at(at, calling).await.unwrap_or_else(|_| Err(deadline_exceeded())),
        }
    }

    async fn attempts(
        &self,
        request: Request<Body>,
        deadline: Option<Instant>,
        room: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let kept = Kept::new(body);
        let mut trial = Trial {
            hash: self.picks.hash(&parts.headers),
            tried: Vec::new(),
            avoid: Vec::new(),
            until: Instant::now() + self.picks.ready_timeout,
        };
        loop {
            let ready = self.next(&mut trial).await?;
            let mut in_flight = InFlight::start(&ready.load, self.picks.clock, deadline);
            let request = Request::from_parts(parts.clone(), kept.body());
            match send(ready.channel.clone(), request).await {
                Ok(response) => return Ok(counted(response, in_flight, room)),
                Err(error) if kept.is_unsent(&error) => {
                    in_flight.end(Outcome::Cancelled);
                    trial.avoid.push(ready.load.address().to_owned());
                    trial.tried.push(ready);
                }
                Err(error) => return Err(failed(&mut in_flight, error.into())),
            }
            if trial.tried.len() == MAX_ATTEMPTS {
                let why = "its connection was lost before the call was sent";
                return Err(Status::unavailable(format!(
                    "servers {}: {why}",
                    trial.avoid.join(", ")
                )));
            }
        }
    }

    async fn next(&self, trial: &mut Trial) -> Result<Arc<Ready>, Status> {
        let Some(look_aside) = &self.look_aside else {
            return self.picks.wait(trial.hash, &trial.tried, trial.until).await;
        };
        loop {
            let address = match look_aside.ask(trial.hash, &trial.avoid).await {
                Ok(address) => address,
                Err(status) if status.code() == Code::Unavailable => {
                    return self.picks.pick(trial.hash, &trial.tried).ok_or(status);
                }
                Err(status) => return Err(status),
            };
            if let Some(ready) = self.picks.connected(&address, &trial.tried, trial.until).await {
                return Ok(ready);
            }
            trial.avoid.push(address);
            if trial.avoid.len() >= MAX_ATTEMPTS || Instant::now() >= trial.until {
                // None of those that were named; or, if there is one, another.
                let picked = self.picks.wait(trial.hash, &trial.tried, Instant::now());
                return picked.await;
            }
        }
    }
}

async fn send(
    mut channel: transport::Channel,
    request: Request<Body>,
) -> Result<Response<Body>, transport::Error> {
    std::future::poll_fn(|context| channel.poll_ready(context)).await?;
    channel.call(request).await
}

/// The answer, with its call in flight until it was read.
fn counted(
    response: Response<Body>,
    mut in_flight: InFlight,
    room: OwnedSemaphorePermit,
) -> Response<Body> {
    in_flight.headed();
    let (head, body) = response.into_parts();
    // An answer of headers alone has its status there, or none at all.
    let over = in_flight.answered(&head.headers);
    if http_body::Body::is_end_stream(&body) {
        if !over {
            in_flight.end(Outcome::Failed);
        }
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::new(Counted::new(body, in_flight, room)))
}

/// What to tell of a call that was sent and got no answer, or not all of it.
pub(crate) fn failed(in_flight: &mut InFlight, error: BoxError) -> Status {
    if in_flight.is_late() {
        in_flight.end(Outcome::TimedOut);
        return deadline_exceeded();
    }
    in_flight.end(Outcome::Failed);
    let address = in_flight.address();
    if is_lost(&*error) {
        return Status::unavailable(format!("server {address}: the connection was lost"));
    }
    let status = Status::from_error(error);
    Status::new(status.code(), format!("server {address}: {}", status.message()))
}

pub(crate) fn deadline_exceeded() -> Status {
    Status::deadline_exceeded("the deadline of the call has passed")
}

/// Whether the connection is to blame, rather than its server's answer to this call.
fn is_lost(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        cause.is::<std::io::Error>()
            || cause.is::<crate::connection::Gone>()
            || cause
                .downcast_ref()
                .is_some_and(|error: &h2::Error| error.is_io() || error.is_go_away())
            || cause.downcast_ref().is_some_and(|error: &hyper::Error| {
                error.is_canceled() || error.is_closed() || error.is_timeout()
            })
    })
}

/// The time a call has, by its `grpc-timeout` (gRPC over HTTP/2, Timeout): at most eight digits and a
/// unit. What is not of that form is no deadline here; the server will say what it thinks of it.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (value, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if value.len() > 8 || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = value.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let check = |text: &str, expected: Option<Duration>| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                text.parse().unwrap(),
            )]);
            assert_eq!(timeout(&headers), expected, "{text}");
        };
        check("10S", Some(Duration::from_secs(10)));
        check("250m", Some(Duration::from_millis(250)));
        check("99999999H", Some(Duration::from_secs(99_999_999 * 3600)));
        for text in ["", "S", "10", "-1S", "123456789m", "1 S", "10x"] {
            check(text, None);
        }
    }
}
