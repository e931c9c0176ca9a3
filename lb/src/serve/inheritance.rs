//! What a balancer leaves to its successor beside its sockets: a line each for what operators and
//! servers told it and no flag says.
//!
//! | line | meaning |
//! |---|---|
//! | `POOL ADDRESS` | the server is drained |
//! | `registered POOL ADDRESS` | the server registered |
//! | `policy POOL SPEC` | the policy was switched |
//!
//! Lines that mean nothing here (another version's, a pool or server that is no longer configured) are
//! passed over.

use std::{fmt::Write, sync::Arc};

use futures_util::future::join_all;
use tracing::{info, warn};

use crate::{
    balancer::Balancer,
    discovery::Registrations,
    membership::{Drain, Writer},
};

/// A message to a successor holds no more; servers beyond register again by themselves.
const MAX_REGISTERED_BYTES: usize = 512 * 1024;

/// Where the lines come from and go to. One of each per pool, in the balancer's order.
pub(super) struct Inheritance {
    pub(super) balancer: Arc<Balancer>,
    pub(super) writers: Vec<Writer>,
    pub(super) registrations: Vec<Arc<Registrations>>,
    /// As configured.
    pub(super) policies: Vec<String>,
}

/// A line, read.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Drained(&'a str),
    Registered(&'a str),
    Policy(&'a str),
}

impl Inheritance {
    /// To be left.
    pub(super) fn lines(&self) -> String {
        let (mut text, mut registered) = (String::new(), String::new());
        let pools = self.balancer.pools.iter().zip(&self.policies).zip(&self.registrations);
        for ((pool, policy), registrations) in pools {
            let (name, snapshot) = (&pool.name, pool.snapshot());
            if snapshot.policy.spec != *policy {
                let _ = writeln!(text, "policy {name} {}", snapshot.policy.spec);
            }
            for member in snapshot.members.iter().filter(|member| member.draining) {
                let _ = writeln!(text, "{name} {}", member.endpoint.address);
            }
            for address in registrations.addresses() {
                if registered.len() < MAX_REGISTERED_BYTES {
                    let _ = writeln!(registered, "registered {name} {address}");
                }
            }
        }
        text + &registered
    }

    /// What was left is as it was before. Resolves when the next pick knows.
    pub(super) async fn take(&self, left: &str) {
        let read: Vec<_> = left.lines().filter_map(read).collect();
        let of = |name: &str| self.balancer.pools.iter().position(|pool| pool.name == *name);
        let lines: Vec<_> =
            read.iter().filter_map(|(name, line)| Some((of(name)?, line))).collect();
        // Side by side, so that a pool is written once; drained before it can be called.
        join_all(lines.iter().map(async |&(pool, line)| match line {
            Line::Registered(address) => self.register(pool, address).await,
            Line::Policy(spec) => self.set_policy(pool, spec).await,
            Line::Drained(_) => {}
        }))
        .await;
        for (pool, line) in lines {
            if let Line::Drained(address) = line {
                // Forced, so refused only if there is no such server.
                let address = (*address).to_owned();
                let drain = Drain { address, draining: true, force: true };
                let _ = self.writers[pool].drain(drain).await;
            }
        }
    }

    async fn register(&self, pool: usize, address: &str) {
        if let Err(error) = self.registrations[pool].register(address).await {
            info!(%error, "a registration was not taken over");
        }
    }

    async fn set_policy(&self, pool: usize, spec: &str) {
        if let Err(error) = self.writers[pool].set_policy(spec).await {
            warn!(%error, "a switched policy was not taken over");
        }
    }
}

/// The pool and what is said of it.
fn read(line: &str) -> Option<(&str, Line<'_>)> {
    let words: Vec<_> = line.splitn(3, ' ').collect();
    match words[..] {
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
        assert_eq!(read("health a h:1"), None);
        assert_eq!(read(""), None);
    }
}
