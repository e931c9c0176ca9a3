//! What a source last said, for operators and for whoever waits for its first answer.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::config::SourceConfig;

/// A source, and what it last said.
pub(crate) struct SourceStatus {
    /// As in `--pool`.
    pub(crate) name: String,
    said: watch::Sender<Said>,
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
    /// What is not right with it; empty if nothing is.
    pub(crate) problem: String,
}

impl SourceStatus {
    /// Not asked yet. There is nothing to ask of servers that register by themselves.
    pub(crate) fn new(config: &SourceConfig) -> Arc<Self> {
        let is_known = *config == SourceConfig::Registration;
        let problem = if is_known { String::new() } else { "no answer yet".to_owned() };
        let said = Said { is_asked: is_known, is_known, servers: 0, problem };
        Arc::new(Self { name: config.to_string(), said: watch::Sender::new(said) })
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
