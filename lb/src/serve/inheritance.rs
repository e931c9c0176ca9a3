//! What a balancer leaves to its successor beside its sockets: a line each for what operators and
//! servers told it and no flag says.
//!
//! | line | meaning |
//! |---|---|
//! | `POOL ADDRESS` | the server is drained, and may have left |
//! | `registered POOL ADDRESS` | the server registered |
//! | `policy POOL SPEC` | the policy was switched |
//! | `known POOL ADDRESS SOURCE` | the source named the server; for a successor to whom it does not answer |
//!
//! Lines that mean nothing here (another version's, a pool that is no longer configured) are passed
//! over.

use std::{fmt::Write, sync::Arc};

use futures_util::future::join_all;
use tracing::{info, warn};

use crate::{
    balancer::Balancer,
    discovery::{Configured, Registrations},
    membership::Writer,
    pool::Pool,
};

/// A message to a successor holds no more servers; those beyond it has to find itself.
const MAX_SERVERS_BYTES: usize = 512 * 1024;

/// Where the lines come from and go to. One of each per pool, in the balancer's order.
pub(super) struct Inheritance {
    pub(super) balancer: Arc<Balancer>,
    pub(super) writers: Vec<Writer>,
    pub(super) registrations: Vec<Arc<Registrations>>,
    pub(super) configured: Configured,
}

/// A line, read.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Drained(&'a str),
    Registered(&'a str),
    Policy(&'a str),
    Known { address: &'a str, source: &'a str },
}

impl Inheritance {
    /// To be left.
    pub(super) fn lines(&self) -> String {
        let (mut text, mut servers) = (String::new(), String::new());
        let configured = self.configured.load();
        let pools = self.balancer.pools.iter().zip(configured.iter()).zip(&self.registrations);
        for ((pool, config), registrations) in pools {
            let (name, snapshot) = (&pool.name, pool.snapshot());
            if snapshot.policy.spec != config.policy {
                let _ = writeln!(text, "policy {name} {}", snapshot.policy.spec);
            }
            for member in snapshot.members.iter().filter(|member| member.draining) {
                let _ = writeln!(text, "{name} {}", member.endpoint.address);
            }
            for address in pool.absent_drained().iter() {
                let _ = writeln!(text, "{name} {address}");
            }
            let registered = registrations.addresses().into_iter();
            let registered = registered.map(|address| format!("registered {name} {address}\n"));
            for line in registered.chain(known(pool)) {
                if servers.len() + line.len() <= MAX_SERVERS_BYTES {
                    servers.push_str(&line);
                }
            }
        }
        text + &servers
    }

    /// What was left is as it was before. Resolves when the next pick knows.
    pub(super) async fn take(&self, left: &str) {
        let read: Vec<_> = left.lines().filter_map(read).collect();
        let of = |name: &str| self.balancer.pools.iter().position(|pool| pool.name == *name);
        let lines: Vec<_> =
            read.iter().filter_map(|(name, line)| Some((of(name)?, line))).collect();
        join_all((0..self.writers.len()).map(|pool| self.take_for(pool, &lines))).await;
        self.remember(&lines).await;
    }

    /// What was left of one pool. Each kind at once, so that the pool is written once; drained servers
    /// before those that could be called.
    async fn take_for(&self, pool: usize, lines: &[(usize, &Line<'_>)]) {
        let (mut drained, mut registered) = (Vec::new(), Vec::new());
        for (_, line) in lines.iter().filter(|(of, _)| *of == pool) {
            match line {
                Line::Drained(address) => drained.push((*address).to_owned()),
                Line::Registered(address) => registered.push((*address).to_owned()),
                Line::Policy(spec) => self.set_policy(pool, spec).await,
                Line::Known { .. } => {}
            }
        }
        self.writers[pool].have_drained(drained).await;
        if !registered.is_empty()
            && let Err(error) = self.registrations[pool].register_all(registered).await
        {
            info!(%error, "registrations were not taken over");
        }
    }

    /// Sources that have not named their servers have those that they had.
    async fn remember(&self, lines: &[(usize, &Line<'_>)]) {
        for (number, pool) in self.balancer.pools.iter().enumerate() {
            for status in pool.sources().iter() {
                let had = lines.iter().filter_map(|(of, line)| match line {
                    Line::Known { address, source } if *of == number && *source == status.name => {
                        Some((*address).to_owned())
                    }
                    _ => None,
                });
                let had: Vec<_> = had.collect();
                if !had.is_empty() {
                    status.had(&self.writers[number], had).await;
                }
            }
        }
    }

    async fn set_policy(&self, pool: usize, spec: &str) {
        if let Err(error) = self.writers[pool].set_policy(spec).await {
            warn!(%error, "a switched policy was not taken over");
        }
    }
}

/// A line for every server that a source named.
fn known(pool: &Pool) -> impl Iterator<Item = String> {
    let sources = pool.sources().to_vec().into_iter();
    sources.filter(|source| !source.is_static).flat_map(|source| {
        let line = |address: &String| format!("known {} {address} {}\n", pool.name, source.name);
        source.said().named.iter().map(line).collect::<Vec<_>>()
    })
}

/// The pool and what is said of it.
fn read(line: &str) -> Option<(&str, Line<'_>)> {
    let words: Vec<_> = line.splitn(3, ' ').collect();
    match words[..] {
        ["known", pool, rest] => {
            let (address, source) = rest.split_once(' ')?;
            Some((pool, Line::Known { address, source }))
        }
        [pool, address] => Some((pool, Line::Drained(address))),
        ["registered", pool, address] => Some((pool, Line::Registered(address))),
        ["policy", pool, spec] => Some((pool, Line::Policy(spec))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_one_thing_of_one_pool() {
        assert_eq!(read("a 10.0.0.1:1"), Some(("a", Line::Drained("10.0.0.1:1"))));
        assert_eq!(read("policy 10.0.0.1:1"), Some(("policy", Line::Drained("10.0.0.1:1"))));
        assert_eq!(read("registered a h:1"), Some(("a", Line::Registered("h:1"))));
        assert_eq!(read("policy a x:k=1,l=2"), Some(("a", Line::Policy("x:k=1,l=2"))));
        let known = Line::Known { address: "h:1", source: "file:/a b" };
        assert_eq!(read("known a h:1 file:/a b"), Some(("a", known)));
        assert_eq!(read("health a h:1"), None);
        assert_eq!(read(""), None);
    }
}
