//! From a source to the pool's writer: which servers it names, or why it cannot.

use std::{collections::HashSet, sync::Arc};

use tracing::{info, warn};

use super::{MAX_SERVERS, SourceStatus};
use crate::membership::Writer;

/// One source of one pool.
pub(super) struct Feed {
    pub(super) pool: String,
    pub(super) writer: Writer,
    pub(super) status: Arc<SourceStatus>,
}

impl Feed {
    /// The source has these servers, and no others. Resolves when the next pick knows.
    pub(super) async fn has(&self, addresses: Vec<String>) {
        self.has_with(addresses, String::new()).await;
    }

    /// As [`Feed::has`], and something about it is not right.
    pub(super) async fn has_with(&self, addresses: Vec<String>, mut problem: String) {
        let (servers, remark) = distinct(addresses);
        if problem.is_empty() {
            problem = remark;
        }
        self.say(&problem);
        self.status.has(&self.writer, servers, problem).await;
    }

    /// The source cannot say which servers it has: those it had stay.
    pub(super) fn keeps(&self, why: String) {
        self.say(&why);
        self.status.say(|said| (said.is_asked, said.problem) = (true, why));
    }

    /// Once, not each time it is found again.
    fn say(&self, problem: &str) {
        let before = self.status.said();
        let (pool, source, servers) = (&self.pool, &self.status.name, before.servers);
        if problem.is_empty() && before.is_asked && !before.problem.is_empty() {
            info!(pool, source, "the source is well again");
        } else if !problem.is_empty() && before.problem != problem {
            warn!(pool, source, servers, problem, "the source is not well; its servers stay");
        }
    }
}

/// Each once, in the order of their first time, and what is to be said of the others.
fn distinct(addresses: Vec<String>) -> (Vec<String>, String) {
    let (mut seen, mut twice) = (HashSet::with_capacity(addresses.len()), None);
    let mut servers = Vec::with_capacity(addresses.len().min(MAX_SERVERS));
    let named = addresses.len();
    for address in addresses {
        if !seen.insert(address.clone()) {
            twice.get_or_insert(address);
        } else if servers.len() < MAX_SERVERS {
            servers.push(address);
        }
    }
    let remark = match twice {
        _ if seen.len() > MAX_SERVERS => {
            format!("it names {named} servers; the first {MAX_SERVERS} are used")
        }
        Some(address) => format!("it names {address} twice; used once"),
        None => String::new(),
    };
    (servers, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[&str], expected: &[&str], remark: &str) {
        let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        let (servers, said) = distinct(addresses);
        assert_eq!((servers.as_slice(), said.as_str()), (&owned(expected)[..], remark));
    }

    fn owned(addresses: &[&str]) -> Vec<String> {
        addresses.iter().map(|&address| address.to_owned()).collect()
    }

    #[test]
    fn a_server_named_twice_is_used_once() {
        check(&["a:1", "b:1"], &["a:1", "b:1"], "");
        check(&["b:1", "a:1", "b:1", "a:1"], &["b:1", "a:1"], "it names b:1 twice; used once");
    }

    #[test]
    fn no_source_fills_the_memory() {
        let many = (0..MAX_SERVERS + 5).map(|number| format!("h{number}:1")).collect();
        let (servers, said) = distinct(many);
        assert_eq!(servers.len(), MAX_SERVERS);
        assert!(said.contains("20005") && said.contains("20000"), "{said}");
    }
}
