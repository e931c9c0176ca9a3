//! The one writer of a pool's snapshots.
//!
//! Sources say which servers there are, health tasks what they found, operators what they wish;
//! this task folds it into the next snapshot. With one writer no change is lost and no lock is
//! needed. Whatever has arrived is folded in before anything is published, so that a thousand
//! findings cost one snapshot.

mod absent;
mod roster;
mod task;

use std::{num::NonZeroUsize, pin::Pin, sync::Arc};

use strife_policy::InvalidPolicy;
use strife_runtime::tls::Expected;
use tokio::sync::{Notify, mpsc, oneshot};

use self::task::Task;
use crate::{
    clock::Clock,
    config::HealthConfig,
    endpoint::Endpoint,
    error::LbError,
    health::Judgement,
    pool::{self, Pool},
    snapshot::{ChosenPolicy, State},
};

/// Changes that may wait to be written.
const QUEUE: usize = 1024;

/// Who says that a server belongs to a pool. A server belongs to it as long as anybody says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The pool's source of this number: its flag or file, by which it is asked for.
    Source(usize),
    /// The server itself.
    Registration,
}

/// What a health task found.
#[derive(Debug)]
pub(crate) struct Finding {
    /// [`Endpoint::id`].
    pub(crate) id: u64,
    pub(crate) state: State,
    /// Why it is not ready.
    pub(crate) why: String,
}

/// What an operator wishes for a member.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    /// `host:port`.
    pub(crate) address: String,
    /// Or may have calls again.
    pub(crate) draining: bool,
    /// Even if no other takes calls.
    pub(crate) force: bool,
}

enum Change {
    Found(Finding),
    Judged(Judgement),
    Drain(Drain, oneshot::Sender<Result<bool, LbError>>),
    SetPolicy(ChosenPolicy, oneshot::Sender<()>),
    /// All servers that this source has now.
    Servers(Origin, Vec<String>, oneshot::Sender<()>),
    Joins(Vec<String>, oneshot::Sender<()>),
    Leaves(Vec<String>, oneshot::Sender<()>),
    /// Drained before there was this writer.
    Drained(Vec<String>, oneshot::Sender<()>),
}

/// Hands changes to the writer of one pool.
#[derive(Clone)]
pub(crate) struct Writer(mpsc::Sender<Change>);

/// What a pool's endpoints are made with.
pub(crate) struct Making {
    pub(crate) health: HealthConfig,
    /// How many carry calls.
    pub(crate) threads: NonZeroUsize,
    /// Woken by servers whose calls fail in a row.
    pub(crate) failures_told: Arc<Notify>,
    /// Watches a new endpoint for as long as it is polled.
    pub(crate) watch: Box<dyn Fn(Arc<Endpoint>, Writer) -> Watch + Send>,
}

/// An endpoint's watch under way.
pub(crate) type Watch = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Writer {
    pub(crate) async fn found(&self, finding: Finding) {
        self.send(Change::Found(finding)).await;
    }

    pub(crate) async fn judged(&self, judgement: Judgement) {
        self.send(Change::Judged(judgement)).await;
    }

    /// Whether that changed anything, once the next pick knows of it.
    pub(crate) async fn drain(&self, drain: Drain) -> Result<bool, LbError> {
        let (answer, written) = oneshot::channel();
        self.send(Change::Drain(drain, answer)).await;
        written.await.unwrap_or(Ok(false))
    }

    /// From the next pick on.
    pub(crate) async fn set_policy(&self, spec: &str) -> Result<(), InvalidPolicy> {
        let policy = pool::chosen(spec)?;
        self.written(|written| Change::SetPolicy(policy, written)).await;
        Ok(())
    }

    /// These, in this order, and no others, are the servers that a source has now. `host:port`.
    pub(crate) async fn set_servers(&self, source: usize, addresses: Vec<String>) {
        let origin = Origin::Source(source);
        self.written(|written| Change::Servers(origin, addresses, written)).await;
    }

    /// Servers registered.
    pub(crate) async fn join(&self, addresses: Vec<String>) {
        self.written(|written| Change::Joins(addresses, written)).await;
    }

    /// Servers that registered do so no more. `gone` is called when nothing can keep the writer from
    /// knowing, even if this is no more polled.
    pub(crate) async fn leave(&self, gone: impl FnOnce() -> Vec<String>) {
        self.written(|written| Change::Leaves(gone(), written)).await;
    }

    /// These are drained, whether they are there or come later.
    pub(crate) async fn have_drained(&self, addresses: Vec<String>) {
        self.written(|written| Change::Drained(addresses, written)).await;
    }

    /// Resolves when the next pick knows of the change.
    async fn written(&self, change: impl FnOnce(oneshot::Sender<()>) -> Change) {
        // Fails only when the balancer is being torn down.
        let Ok(room) = self.0.reserve().await else { return };
        let (answer, written) = oneshot::channel();
        room.send(change(answer));
        // Nobody answers when the balancer is being torn down.
        let _ = written.await;
    }

    async fn send(&self, change: Change) {
        // Fails only when the balancer is being torn down.
        let _ = self.0.send(change).await;
    }
}

/// The writer of a pool, to be run by a task of its own. Dropped, it ends the watches of its endpoints.
pub(crate) fn writer(
    pool: Arc<Pool>,
    clock: Clock,
    making: Making,
) -> (Writer, impl Future<Output = ()> + Send) {
    let (changes, received) = mpsc::channel(QUEUE);
    let expected = Expected::of_pool(&pool.name);
    // Who writes must not wait for itself.
    let task = Task::new(pool, clock, making, expected, changes.downgrade());
    (Writer(changes), task.run(received))
}

#[cfg(test)]
mod tests;
