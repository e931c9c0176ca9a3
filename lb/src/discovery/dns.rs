//! DNS as a source: a host's addresses (A and AAAA), or a service's (SRV), asked for again and again.
//!
//! An answer is good for its TTL, within bounds. DNS that fails or has nothing to say takes no server
//! away: what was known stays, and the question is asked again with growing pauses.

mod families;
mod resolver;
mod services;

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt, stream};

use self::{
    families::{Families, Lookup},
    resolver::Resolver,
    services::{Target, lowest},
};
use super::feed::Feed;
use crate::config::Membership;

/// No answer is asked for again sooner, unless `--dns-interval` says so.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// First, last and growth of the time between attempts that fail; never more than `--dns-interval`.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LAST: Duration = Duration::from_secs(30);
const BACKOFF_GROWTH: u32 = 2;
/// Targets of one service whose addresses are asked for at once.
const LOOKUPS_AT_ONCE: usize = 16;
/// Targets of one service; more are passed over.
const MAX_TARGETS: usize = 1024;

/// What is asked.
pub(super) enum Question {
    /// All addresses of a host, and the port of each.
    Host(String, u16),
    /// The targets of a service.
    Service(String),
}

/// What an answer came to.
struct Answer {
    /// `host:port`; `None`: those that were known.
    servers: Option<Vec<String>>,
    /// What is not right; empty if nothing is.
    problem: String,
    /// How long it is good for.
    ttl: Duration,
}

impl Answer {
    /// What was known stays.
    fn nothing(problem: String) -> Self {
        Self { servers: None, problem, ttl: Duration::ZERO }
    }
}

/// Tells the pool which servers DNS names, as long as it is polled.
pub(super) async fn resolve(question: Question, membership: Membership, feed: Feed) {
    let interval = membership.dns_interval;
    let (backoff_first, backoff_last) = (BACKOFF_FIRST.min(interval), BACKOFF_LAST.min(interval));
    let mut backoff = backoff_first;
    let (mut known, mut resolver) = (HashMap::new(), None::<Resolver>);
    loop {
        let opened = resolver.take().map_or_else(|| Resolver::open(membership.dns_server), Ok);
        let answer = match &opened {
            Ok(resolver) => question.ask(resolver, &mut known).await,
            Err(why) => Answer::nothing(why.clone()),
        };
        let is_well = answer.problem.is_empty();
        let pause = if is_well { good_for(answer.ttl, interval) } else { backoff };
        backoff =
            if is_well { backoff_first } else { (backoff * BACKOFF_GROWTH).min(backoff_last) };
        // After a failure the system's configuration is read again: it may name another server by now.
        resolver = opened.ok().filter(|_| is_well);
        tell(answer, &feed).await;
        tokio::time::sleep(pause).await;
    }
}

fn good_for(ttl: Duration, interval: Duration) -> Duration {
    ttl.clamp(LEAST_INTERVAL.min(interval), interval)
}

async fn tell(answer: Answer, feed: &Feed) {
    match answer.servers {
        Some(mut servers) => {
            // Answers are shuffled by servers of DNS; the order of a pool means something.
            servers.sort_unstable();
            feed.has_with(servers, answer.problem).await;
        }
        None => feed.keeps(answer.problem),
    }
}

impl Question {
    /// `known`: what every host had.
    async fn ask(&self, resolver: &Resolver, known: &mut HashMap<String, Families>) -> Answer {
        match self {
            Self::Host(host, port) => {
                let found = resolver.addresses(host).await;
                let families = known.entry(host.clone()).or_default();
                let folded = families.fold(found);
                let servers = families.servers(*port).collect();
                let servers = folded.is_answered.then_some(servers);
                Answer { servers, problem: folded.problem, ttl: folded.ttl }
            }
            Self::Service(name) => ask_service(name, resolver, known).await,
        }
    }
}

async fn ask_service(
    name: &str,
    resolver: &Resolver,
    known: &mut HashMap<String, Families>,
) -> Answer {
    const NONE: &str = "DNS names no server";
    let (services, mut ttl) = match resolver.services(name).await {
        Lookup::Found(services, ttl) => (services, ttl),
        Lookup::Nothing => return Answer::nothing(NONE.to_owned()),
        Lookup::Failed(why) => return Answer::nothing(why),
    };
    let targets = lowest(services);
    let asked: Vec<_> = stream::iter(hosts(&targets))
        .map(async |host| (resolver.addresses(&host).await, host))
        .buffered(LOOKUPS_AT_ONCE)
        .collect()
        .await;
    known.retain(|host, _| targets.iter().any(|target| target.host == *host));
    let mut problem = String::new();
    for (found, host) in asked {
        let folded = known.entry(host.clone()).or_default().fold(found);
        ttl = ttl.min(folded.ttl);
        if problem.is_empty() && !folded.problem.is_empty() {
            problem = format!("{host}: {}", folded.problem);
        }
    }
    let servers: Vec<_> = targets
        .iter()
        .filter_map(|target| Some(known.get(&target.host)?.servers(target.port)))
        .flatten()
        .collect();
    if servers.is_empty() {
        return Answer::nothing(if problem.is_empty() { NONE.to_owned() } else { problem });
    }
    Answer { servers: Some(servers), problem, ttl }
}

/// Each once, [`MAX_TARGETS`] at most.
fn hosts(targets: &[Target]) -> Vec<String> {
    let mut hosts: Vec<_> = targets.iter().map(|target| target.host.clone()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts.truncate(MAX_TARGETS);
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_for_its_ttl_within_bounds() {
        let check = |ttl_ms, interval_ms, expected_ms| {
            let [ttl, interval, expected] =
                [ttl_ms, interval_ms, expected_ms].map(Duration::from_millis);
            assert_eq!(good_for(ttl, interval), expected);
        };
        check(5_000, 30_000, 5_000);
        check(0, 30_000, 1_000);
        check(86_400_000, 30_000, 30_000);
        check(0, 100, 100);
    }

    #[test]
    fn a_host_is_asked_for_once_however_many_ports_it_has() {
        let target = |host: &str, port| Target { host: host.to_owned(), port };
        assert_eq!(hosts(&[target("a.", 1), target("b.", 1), target("a.", 2)]), ["a.", "b."]);
    }
}
