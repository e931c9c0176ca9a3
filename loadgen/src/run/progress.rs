//! How far a run has come, for whoever watches it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// How far a run has come, warm-up included. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    done: AtomicU64,
    errors: AtomicU64,
    origin: OnceLock<Instant>,
}

impl Progress {
    /// When the run began, its connections made; times of its schedule count from here.
    pub fn origin(&self) -> Option<Instant> {
        self.0.origin.get().copied()
    }

    /// Calls given to a connection.
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Relaxed)
    }

    /// Calls that ended, however they did.
    pub fn done(&self) -> u64 {
        self.0.done.load(Relaxed)
    }

    /// Calls that failed, timed out or were shed.
    pub fn errors(&self) -> u64 {
        self.0.errors.load(Relaxed)
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u64 {
        let done = self.done();
        self.sent().saturating_sub(done)
    }

    pub(super) fn begin(&self, origin: Instant) {
        // Of one run; the first is the only one.
        let _ = self.0.origin.set(origin);
    }

    pub(super) fn count_sent(&self) {
        self.0.sent.fetch_add(1, Relaxed);
    }

    pub(super) fn count_done(&self, is_error: bool) {
        self.0.done.fetch_add(1, Relaxed);
        if is_error {
            self.count_error();
        }
    }

    pub(super) fn count_error(&self) {
        self.0.errors.fetch_add(1, Relaxed);
    }
}
