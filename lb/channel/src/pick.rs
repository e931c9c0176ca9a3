//! A connected server for a call, now or as soon as there is one.

use std::{cell::RefCell, fmt::Write, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName};
use strife_policy::{PickContext, PickInfo};
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use crate::{
    Clock,
    servers::{Connectivity, Ready, Snapshot, Snapshots},
};

/// Servers whose trouble is told when there is none to pick.
const MOST_NAMED: usize = 5;

thread_local! {
    /// For the picks of every channel on this thread: none waits for another thread's.
    static CONTEXT: RefCell<PickContext> =
        RefCell::new(PickContext { now: Duration::ZERO, rng: rand::make_rng() });
}

/// Picks among what the newest snapshot has.
pub(crate) struct Picks {
    snapshots: Snapshots,
    hashed: Option<HeaderName>,
    pub(crate) clock: Clock,
    pub(crate) ready_timeout: Duration,
}

impl Picks {
    pub(crate) fn new(
        snapshots: Snapshots,
        hashed: Option<HeaderName>,
        clock: Clock,
        ready_timeout: Duration,
    ) -> Self {
        Self { snapshots, hashed, clock, ready_timeout }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.newest.load_full()
    }

    /// Of the header by which calls are kept together.
    pub(crate) fn hash(&self, headers: &HeaderMap) -> Option<u64> {
        let value = headers.get(self.hashed.as_ref()?)?;
        Some(strife_policy::hash(value.as_bytes()))
    }

    /// One by the policy, none of these connections.
    pub(crate) fn pick(&self, hash: Option<u64>, tried: &[Arc<Ready>]) -> Option<Arc<Ready>> {
        let snapshot = self.snapshots.newest.load();
        let is_tried = |ready: &Arc<Ready>| tried.iter().any(|one| Arc::ptr_eq(one, ready));
        let avoid: Vec<_> = match tried {
            [] => Vec::new(),
            _ => (0..snapshot.ready.len()).filter(|&one| is_tried(&snapshot.ready[one])).collect(),
        };
        let pick = CONTEXT.with_borrow_mut(|context| {
            context.now = self.clock.now();
            snapshot.picker.pick(PickInfo { hash, avoid: &avoid }, context)
        })?;
        let picked = snapshot.ready[pick.index].clone();
        (!is_tried(&picked)).then_some(picked)
    }

    /// As [`Picks::pick`], as soon as there is one.
    pub(crate) async fn wait(
        &self,
        hash: Option<u64>,
        tried: &[Arc<Ready>],
        until: Instant,
    ) -> Result<Arc<Ready>, Status> {
        match self.first(until, |_| self.pick(hash, tried)).await {
            Some(picked) => Ok(picked),
            None => Err(Status::unavailable(self.why_none())),
        }
    }

    /// The server of this address once it is connected, over none of these connections; `None` if it
    /// cannot be.
    pub(crate) async fn connected(
        &self,
        address: &str,
        tried: &[Arc<Ready>],
        until: Instant,
    ) -> Option<Arc<Ready>> {
        let found = self.first(until, |snapshot| {
            let is_tried = |ready: &Arc<Ready>| tried.iter().any(|one| Arc::ptr_eq(one, ready));
            let mut ready = snapshot.ready.iter();
            let ready = ready.find(|one| one.load.address() == address && !is_tried(one));
            let mut members = snapshot.members.iter();
            let member = members.find(|(load, _)| load.address() == address);
            let failed = matches!(member, Some((_, Connectivity::TransientFailure(_))));
            ready.map(|ready| Some(ready.clone())).or(failed.then_some(None))
        });
        found.await.flatten()
    }

    /// What `look` first finds in a snapshot, in time.
    async fn first<T>(&self, until: Instant, look: impl Fn(&Snapshot) -> Option<T>) -> Option<T> {
        if let Some(found) = look(&self.snapshot()) {
            return Some(found);
        }
        let mut changed = self.snapshots.changed.clone();
        let looking = async {
            loop {
                // Before it is looked: what comes while it is wakes it again.
                changed.mark_unchanged();
                if let Some(found) = look(&self.snapshot()) {
                    return Some(found);
                }
                changed.changed().await.ok()?;
            }
        };
        timeout_at(until, looking).await.ok().flatten()
    }

    fn why_none(&self) -> String {
        let snapshot = self.snapshot();
        let members = &snapshot.members;
        if members.is_empty() {
            return "the list of servers is empty".to_owned();
        }
        let mut why = format!("no server was connected within {:?}", self.ready_timeout);
        for (place, (load, state)) in members.iter().take(MOST_NAMED).enumerate() {
            let state = match state {
                Connectivity::Connecting => "connecting",
                Connectivity::Ready => "the call was there already",
                Connectivity::TransientFailure(why) => why,
            };
            let mark = if place == 0 { ':' } else { ';' };
            let _ = write!(why, "{mark} {}: {state}", load.address());
        }
        if members.len() > MOST_NAMED {
            let _ = write!(why, "; and {} more", members.len() - MOST_NAMED);
        }
        why
    }
}
