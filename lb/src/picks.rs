//! Why calls went where they went: some of a pool's picks, written down.
//!
//! One pick in so many is made by [`PickTrace::of_pick`] instead, which is the same pick with its
//! reasons. It goes to the log of picks, to the last few that a pool remembers, and to whoever
//! watches. Watchers can have more picks written down for as long as they watch, up to a bound, and
//! who reads too slowly misses some and is told how many.

mod alone;
mod sampler;
mod words;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use strife_policy::PickTrace;
use tokio::sync::broadcast;

pub use self::alone::SampledPicks;
pub(crate) use self::{
    sampler::{PickRecorder, Sampler},
    words::{block, why},
};
use crate::line_log::Kind;

/// One pick in so many is written down if no flag says otherwise.
pub(crate) const DEFAULT_EVERY: u64 = 1024;
/// Nobody watches fewer picks than one in so many.
const MOST_EVERY: u64 = 1 << 40;
/// Picks that a pool remembers.
const RECENT: usize = 64;
/// Picks that may wait for each who watches.
const WATCH_QUEUE: usize = 256;

/// The log of picks.
pub(crate) const LOG: Kind = Kind { name: "pick log", flag: "--pick-log", thread: "pick-log" };

/// What is written down of one pool's picks.
pub(crate) struct PoolPicks {
    /// Who watches wants one pick in so many; 0: nobody watches.
    watched_every: AtomicU64,
    /// What each who watches wants.
    watchers: Mutex<Vec<u64>>,
    recent: Mutex<VecDeque<Arc<PickTrace>>>,
    live: broadcast::Sender<Arc<PickTrace>>,
    explained: AtomicU64,
}

/// Somebody watches a pool's picks, until this is dropped.
pub(crate) struct Watch {
    picks: Arc<PoolPicks>,
    every: u64,
    received: broadcast::Receiver<Arc<PickTrace>>,
}

/// What who watches gets to see.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Pick(Arc<PickTrace>),
    /// So many came while nobody looked.
    Missed(u64),
}

impl Default for PoolPicks {
    fn default() -> Self {
        Self {
            watched_every: AtomicU64::new(0),
            watchers: Mutex::default(),
            recent: Mutex::new(VecDeque::with_capacity(RECENT)),
            live: broadcast::Sender::new(WATCH_QUEUE),
            explained: AtomicU64::new(0),
        }
    }
}

impl PoolPicks {
    /// The last ones that were written down, oldest first.
    pub(crate) fn recent(&self) -> Vec<Arc<PickTrace>> {
        lock(&self.recent).iter().cloned().collect()
    }

    /// How many were written down.
    pub(crate) fn explained(&self) -> u64 {
        self.explained.load(Relaxed)
    }

    /// From now on, one pick in `every` is written down at least; more, if others want more.
    pub(crate) fn watch(self: &Arc<Self>, every: u64) -> Watch {
        let every = every.clamp(1, MOST_EVERY);
        self.change_watchers(|watchers| watchers.push(every));
        Watch { picks: self.clone(), every, received: self.live.subscribe() }
    }

    fn change_watchers(&self, change: impl FnOnce(&mut Vec<u64>)) {
        let mut watchers = lock(&self.watchers);
        change(&mut watchers);
        self.watched_every.store(watchers.iter().copied().min().unwrap_or(0), Relaxed);
    }

    fn keep(&self, trace: PickTrace) {
        self.explained.fetch_add(1, Relaxed);
        let trace = Arc::new(trace);
        // An error: nobody watches.
        let _ = self.live.send(trace.clone());
        let mut recent = lock(&self.recent);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(trace);
    }
}

impl Watch {
    /// The next one; `None` when the pool is gone.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        match self.received.recv().await {
            Ok(trace) => Some(Seen::Pick(trace)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Seen::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.picks.change_watchers(|watchers| {
            let place = watchers.iter().position(|every| *every == self.every);
            watchers.swap_remove(place.expect("who watches is among those who do"));
        });
    }
}

/// What is inside is whole whenever nobody is, even after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
