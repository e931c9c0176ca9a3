//! Is an endpoint there, and does it say that it is well?
//!
//! One task per endpoint keeps one connection of its own, asks the gRPC health protocol over it at
//! an interval, and at once when the data plane lost a connection or the server tells of a change. A server that does not speak
//! the health protocol is well as long as the connection works. Loss of the connection is noticed
//! when it happens, not at the next check.

mod link;
mod outlier;
mod passive;

use std::{pin::pin, sync::Arc, time::Duration};

use rand::{RngExt, rngs::SmallRng};
use strife_runtime::Security;
use tokio::sync::Notify;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use self::link::Link;
pub(crate) use self::passive::{FailureRun, Judgement, PassiveTask, Verdict};
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
/// Attempts are spread by up to this share either way.
const BACKOFF_JITTER: f64 = 0.2;

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
        self.tell(State::Connecting, "connecting").await;
        loop {
            let Endpoint { address, expected, .. } = &*self.endpoint;
            let why = match Link::open(address, expected, &self.security, &self.limits).await {
                Ok(link) => {
                    let (was_ready, why) = self.watch(&link).await;
                    self.endpoint.set_channel(None);
                    if was_ready {
                        backoff = BACKOFF_FIRST;
                    }
                    why
                }
                Err(why) => why,
            };
            self.tell(State::TransientFailure, &why).await;
            tokio::time::sleep(jittered(backoff, &mut rng)).await;
            backoff = backoff.mul_f64(BACKOFF_GROWTH).min(BACKOFF_LAST);
        }
    }

    /// Checks until the connection is lost or a check fails; whether it ever was well, and what
    /// ended it.
    async fn watch(&self, link: &Link) -> (bool, String) {
        let mut was_ready = false;
        let mut reports = pin!(self.take_reports(link));
        let changed = Notify::new();
        let mut news = pin!(self.take_news(link, &changed));
        loop {
            if let Err(why) = self.check(link).await {
                return (was_ready, why);
            }
            if !was_ready {
                was_ready = true;
                self.endpoint.set_channel(Some(link.channel.clone()));
                self.tell(State::Ready, "").await;
            }
            tokio::select! {
                () = &mut reports => {}
                () = &mut news => {}
                () = changed.notified() => {}
                () = link.lost() => return (was_ready, "the connection was lost".to_owned()),
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

    async fn check(&self, link: &Link) -> Result<(), String> {
        let mut client = HealthClient::new(link.channel.clone());
        let check = client.check(HealthCheckRequest { service: self.service.clone() });
        match tokio::time::timeout(self.limits.health_timeout, check).await {
            Err(_) => {
                Err(format!("no answer to a health check in {:?}", self.limits.health_timeout))
            }
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
            Ok(Ok(answer)) => {
                Err(format!("its health is {}", answer.get_ref().status().as_str_name()))
            }
            Ok(Err(status)) if status.code() == Code::Unimplemented => Ok(()),
            Ok(Err(status)) => Err(format!("its health check failed: {}", status.message())),
        }
    }

    async fn tell(&self, state: State, why: &str) {
        let (id, why) = (self.endpoint.id, why.to_owned());
        self.writer.found(Finding { id, state, why }).await;
    }
}

fn jittered(backoff: Duration, rng: &mut SmallRng) -> Duration {
    backoff.mul_f64(rng.random_range(1.0 - BACKOFF_JITTER..1.0 + BACKOFF_JITTER))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn attempts_are_spread_around_the_backoff() {
        let mut rng = SmallRng::seed_from_u64(1);
        for _ in 0..1000 {
            let wait = jittered(BACKOFF_LAST, &mut rng);
            assert!((4.0..6.0).contains(&wait.as_secs_f64()), "{wait:?}");
        }
    }
}
