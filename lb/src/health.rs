//! Is an endpoint there, and does it say that it is well?
//!
//! One task per endpoint keeps one connection of its own, asks the gRPC health protocol over it at
//! an interval, and at once when the data plane lost a connection or the server tells of a change. A server that does not speak
//! the health protocol is well as long as the connection works. Loss of the connection is noticed
//! when it happens, not at the next check; a server that is well may end an old connection (gRFC A9), so
//! another is made at once before it is called down.

mod link;
mod outlier;
mod passive;

use std::{pin::pin, sync::Arc, time::Duration};

use rand::{RngExt, rngs::SmallRng};
use strife_runtime::Security;
use tokio::{sync::Notify, time::Instant};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use self::link::Link;
pub(crate) use self::passive::{Evidence, Judgement, PassiveTask, Verdict};
use crate::{
    clock::Clock,
    config::Limits,
    endpoint::Endpoint,
    membership::{Finding, Writer},
    reports,
    snapshot::State,
};

/// First, last and growth of the time between attempts to connect (gRPC's connection backoff, with
/// a shorter start and end: the servers behind a balancer are near).
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LAST: Duration = Duration::from_secs(5);
const BACKOFF_GROWTH: f64 = 1.6;
/// A server that pushes reports of its load is there, and is not waited for longer than this. So one that was away
/// for long is back as soon as it says so.
const HEARD: Duration = Duration::from_millis(250);
/// Attempts are spread by up to this share either way.
const BACKOFF_JITTER: f64 = 0.2;

/// A connection that was well for so long and ends is made again before its server is called down, if
/// that takes no longer than [`RECONNECT`]; one that is younger shows that the server keeps none.
const OLD: Duration = Duration::from_secs(1);
const RECONNECT: Duration = Duration::from_millis(100);

/// What the pool was last told of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Down,
    Ready,
}

/// What the server says of its health.
enum Answer {
    Well,
    Unwell(String),
}

/// Why a connection is watched no more.
enum Ended {
    /// It is over, or as good as that: another one may do better.
    Lost(String),
    /// The server does not answer.
    Silent(String),
}

/// Watches one endpoint.
pub(crate) struct HealthTask {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) writer: Writer,
    pub(crate) security: Security,
    pub(crate) limits: Limits,
    /// How often the server is asked to report its load out of band; `None`: it is not.
    pub(crate) orca_interval: Option<Duration>,
    pub(crate) clock: Clock,
    /// Whom it asks for; empty: the server as a whole.
    pub(crate) service: String,
}

impl HealthTask {
    /// Never ends by itself.
    pub(crate) async fn run(self) {
        let mut rng: SmallRng = rand::make_rng();
        let mut backoff = BACKOFF_FIRST;
        let mut told = Told::Down;
        self.tell(State::Connecting, "connecting").await;
        loop {
            let opened = Instant::now();
            let why = match self.open(told).await {
                Ok(link) => {
                    let (ended, was_ready) = self.watch(&link, &mut told).await;
                    self.endpoint.set_channel(None);
                    if was_ready {
                        backoff = BACKOFF_FIRST;
                    }
                    match ended {
                        Ended::Lost(_) if told == Told::Ready && opened.elapsed() >= OLD => {
                            continue;
                        }
                        Ended::Lost(why) | Ended::Silent(why) => why,
                    }
                }
                Err(why) => why,
            };
            told = Told::Down;
            self.tell(State::TransientFailure, &why).await;
            rest(&self.endpoint, jittered(backoff, &mut rng)).await;
            backoff = backoff.mul_f64(BACKOFF_GROWTH).min(BACKOFF_LAST);
        }
    }

    async fn open(&self, told: Told) -> Result<Link, String> {
        let Endpoint { address, expected, .. } = &*self.endpoint;
        let link = Link::open(address, expected, &self.security, &self.limits);
        match told {
            Told::Down => link.await,
            // Calls go there meanwhile.
            Told::Ready => tokio::time::timeout(RECONNECT, link)
                .await
                .unwrap_or_else(|_| Err("the connection was lost".to_owned())),
        }
    }

    /// Checks until the connection ends; what ended it, and whether the server ever was well.
    async fn watch(&self, link: &Link, told: &mut Told) -> (Ended, bool) {
        let mut was_ready = false;
        let mut reports = pin!(self.take_reports(link));
        let changed = Notify::new();
        let mut news = pin!(self.take_news(link, &changed));
        loop {
            match self.check(link).await {
                Ok(Answer::Well) => {
                    // Not told of a connection that took the place of another, but probed over it.
                    if self.endpoint.channel().is_none() {
                        self.endpoint.set_channel(Some(link.channel.clone()));
                    }
                    was_ready = true;
                    if std::mem::replace(told, Told::Ready) == Told::Down {
                        self.tell(State::Ready, "").await;
                    }
                }
                Ok(Answer::Unwell(why)) => {
                    // It is there, and tells when that changes.
                    self.endpoint.set_channel(None);
                    *told = Told::Down;
                    self.tell(State::TransientFailure, &why).await;
                }
                Err(ended) => return (ended, was_ready),
            }
            tokio::select! {
                () = &mut reports => {}
                () = &mut news => {}
                () = changed.notified() => {}
                () = link.lost() => {
                    return (Ended::Lost("the connection was lost".to_owned()), was_ready);
                }
                () = self.endpoint.suspected() => {}
                () = tokio::time::sleep(self.limits.health_interval) => {}
            }
        }
    }

    /// Never ends.
    async fn take_reports(&self, link: &Link) {
        match self.orca_interval {
            Some(interval) => {
                reports::follow(&link.channel, &self.endpoint, interval, self.clock).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Never ends. A server that tells of changes of its health is asked at once; it is asked at every
    /// interval, too, for one that is frozen tells nothing.
    async fn take_news(&self, link: &Link, changed: &Notify) {
        let mut client = HealthClient::new(link.channel.clone());
        let request = HealthCheckRequest { service: self.service.clone() };
        if let Ok(news) = client.watch(request).await {
            let mut news = news.into_inner();
            while let Ok(Some(_)) = news.message().await {
                changed.notify_one();
            }
        }
        // It tells nothing, or no more.
        std::future::pending().await
    }

    async fn check(&self, link: &Link) -> Result<Answer, Ended> {
        let mut client = HealthClient::new(link.channel.clone());
        let check = client.check(HealthCheckRequest { service: self.service.clone() });
        match tokio::time::timeout(self.limits.health_timeout, check).await {
            Err(_) => {
                let timeout = self.limits.health_timeout;
                Err(Ended::Silent(format!("no answer to a health check in {timeout:?}")))
            }
            Ok(Ok(answer)) => Ok(match answer.get_ref().status() {
                ServingStatus::Serving => Answer::Well,
                other => Answer::Unwell(format!("its health is {}", other.as_str_name())),
            }),
            Ok(Err(status)) if status.code() == Code::Unimplemented => Ok(Answer::Well),
            Ok(Err(status)) => Err(Ended::Lost(self.why_failed(&status))),
        }
    }

    fn why_failed(&self, status: &tonic::Status) -> String {
        let (code, message) = (status.code(), status.message());
        if code == Code::NotFound && !self.service.is_empty() {
            return format!(
                "it knows no health of the service {} (--health-service)",
                self.service
            );
        }
        let message = if message.is_empty() { code.description() } else { message };
        format!("its health check failed: {message}")
    }

    async fn tell(&self, state: State, why: &str) {
        let (id, why) = (self.endpoint.id, why.to_owned());
        self.writer.found(Finding { id, state, why }).await;
    }
}

/// Waits before the next attempt.
async fn rest(endpoint: &Endpoint, time: Duration) {
    let heard = async {
        tokio::time::sleep(HEARD).await;
        endpoint.heard().await;
    };
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = heard => {}
    }
}

fn jittered(backoff: Duration, rng: &mut SmallRng) -> Duration {
    backoff.mul_f64(rng.random_range(1.0 - BACKOFF_JITTER..1.0 + BACKOFF_JITTER))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use rand::SeedableRng;
    use strife_policy::Ramp;
    use strife_runtime::tls::Expected;

    use super::*;
    use crate::metrics::ReportChannel;

    /// Time is paused: how long it waits is exact.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_heard_of_is_connected_to_soon() {
        let (expected, ramp, evidence) = (Expected::LB, Ramp::default(), Evidence::default());
        let endpoint = Endpoint::new("127.0.0.1:1", expected, ramp, NonZeroUsize::MIN, evidence);
        let waited = async |time| {
            let began = Instant::now();
            rest(&endpoint, time).await;
            began.elapsed()
        };
        assert_eq!(waited(BACKOFF_LAST).await, BACKOFF_LAST, "nothing is heard");
        let report = Ok(reports::ServerReport { orca: None, report: None });
        let says = || endpoint.reported(Duration::ZERO, ReportChannel::Push, &report).unwrap();
        says();
        assert_eq!(waited(BACKOFF_LAST).await, HEARD);
        let later = async {
            tokio::time::sleep(2 * HEARD).await;
            says();
        };
        let (took, ()) = tokio::join!(waited(BACKOFF_LAST), later);
        assert_eq!(took, 2 * HEARD);
        says();
        assert_eq!(waited(BACKOFF_FIRST).await, BACKOFF_FIRST, "no longer than otherwise");
    }

    #[test]
    fn attempts_are_spread_around_the_backoff() {
        let mut rng = SmallRng::seed_from_u64(1);
        for _ in 0..1000 {
            let wait = jittered(BACKOFF_LAST, &mut rng);
            assert!((4.0..6.0).contains(&wait.as_secs_f64()), "{wait:?}");
        }
    }
}
