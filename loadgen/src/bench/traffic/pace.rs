//! Calls at a rate: each is due at its time, whatever became of those before it.
//!
//! Latency counts from when a call was due, so that a proxy which stalls is charged for the calls it
//! kept from being sent.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    rc::Rc,
    task::Waker,
    time::{Duration, Instant},
};

use super::{pump::Shared, tally::Tally};
use crate::{
    pace::Pacer,
    schedule::{Arrivals, schedule},
};

/// Calls that may wait on a connection before they are sent. More are counted as unfinished: the proxy
/// is far behind.
const MAX_WAITING: usize = 65_536;

/// How often calls are due.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Pace {
    pub(in crate::bench) per_second: f64,
    pub(in crate::bench) seed: u64,
}

/// Calls that are due on one connection and not sent yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    due: RefCell<VecDeque<Duration>>,
    waker: RefCell<Option<Waker>>,
}

impl Inbox {
    fn put(&self, due: Duration) -> bool {
        let mut waiting = self.due.borrow_mut();
        let has_room = waiting.len() < MAX_WAITING;
        if has_room {
            waiting.push_back(due);
        }
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
        has_room
    }

    /// The next call that is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.due.borrow_mut().pop_front()
    }

    /// Puts one back that could not be sent.
    pub(super) fn put_back(&self, due: Duration) {
        self.due.borrow_mut().push_front(due);
    }

    /// Whom to wake when a call is due.
    pub(super) fn wake(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }
}

/// Poisson arrivals, dealt to the connections at random, until `until` since the origin.
pub(super) async fn run(
    pace: Pace,
    inboxes: &[Rc<Inbox>],
    shared: &Shared,
    tally: &Tally,
    until: Duration,
) -> io::Result<()> {
    let mut pacer = Pacer::new()?;
    let start = shared.now();
    let connections = inboxes.len() as u32;
    for arrival in schedule(Arrivals::Poisson, pace.per_second, connections, pace.seed) {
        let due = start + arrival.at;
        if due >= until {
            break;
        }
        let at: Instant = shared.origin + due;
        pacer.wait_until(at).await?;
        if !inboxes[arrival.client as usize].put(due) {
            tally.unfinished(due, until);
        }
    }
    pacer.wait_until(shared.origin + until).await
}
