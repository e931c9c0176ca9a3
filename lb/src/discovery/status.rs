//! What a source last said, for operators and for whoever waits for its first answer.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Mutex as Turn, watch};

use crate::{config::SourceConfig, membership::Writer};

/// A source, and what it last said.
pub(crate) struct SourceStatus {
    /// As in `--pool`; `static` for addresses.
    pub(crate) name: String,
    /// Its servers stand in the configuration.
    pub(crate) is_static: bool,
    /// As the pool's writer knows it.
    number: usize,
    said: watch::Sender<Said>,
    /// Held while its servers change, so that the pool has those that were said last.
    turn: Turn<()>,
}

/// What a source said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// It was asked, well or not.
    pub(crate) is_asked: bool,
    /// It has named its servers at least once.
    pub(crate) is_known: bool,
    /// How many it named last.
    pub(crate) servers: usize,
    /// Which those are, `host:port`, in its order; not of those that register.
    pub(crate) named: Arc<[String]>,
    /// What is not right with it; empty if nothing is.
    pub(crate) problem: String,
}

impl SourceStatus {
    /// Not asked yet. There is nothing to ask of servers that register by themselves.
    pub(crate) fn new(number: usize, config: &SourceConfig) -> Arc<Self> {
        let is_known = *config == SourceConfig::Registration;
        let problem = if is_known { String::new() } else { "no answer yet".to_owned() };
        let named = Arc::default();
        let said = Said { is_asked: is_known, is_known, servers: 0, named, problem };
        let is_static = matches!(config, SourceConfig::Static(_));
        let name = if is_static { "static".to_owned() } else { config.to_string() };
        let said = watch::Sender::new(said);
        Arc::new(Self { name, is_static, number, said, turn: Turn::new(()) })
    }

    /// It named these, and something may not be right with it. Resolves when the next pick knows.
    pub(super) async fn has(&self, writer: &Writer, servers: Vec<String>, problem: String) {
        let _turn = self.turn.lock().await;
        let named: Arc<[String]> = servers.clone().into();
        writer.set_servers(self.number, servers).await;
        self.say(|said| {
            (said.is_asked, said.is_known, said.problem) = (true, true, problem);
            (said.servers, said.named) = (named.len(), named);
        });
    }

    /// Somebody knew that it had these; unless it has said itself by now which it has.
    pub(crate) async fn had(&self, writer: &Writer, servers: Vec<String>) {
        let _turn = self.turn.lock().await;
        if self.said().is_known {
            return;
        }
        let named: Arc<[String]> = servers.clone().into();
        writer.set_servers(self.number, servers).await;
        self.say(|said| (said.servers, said.named) = (named.len(), named));
    }

    pub(crate) fn said(&self) -> Said {
        self.said.borrow().clone()
    }

    pub(super) fn say(&self, change: impl FnOnce(&mut Said)) {
        self.said.send_modify(change);
    }

    /// Resolves when it has said what is wanted.
    pub(super) async fn until(&self, is_wanted: impl FnMut(&Said) -> bool) {
        // Cannot fail: the sender is ours.
        let _ = self.said.subscribe().wait_for(is_wanted).await;
    }

    /// Whether it was asked, once it was or the time is over.
    pub(crate) async fn wait_until_asked(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.until(|said| said.is_asked)).await.is_ok()
    }
}
