//! The frame switch: streams of clients' connections joined to streams of endpoints' connections.
//!
//! Pure and for one thread: bytes that were read, connections that were made and the time come in;
//! bytes to write, connections to make and to close come out. A round goes so: all bytes that are
//! there are given to [`Switch::receive`], [`Switch::settle`] sends the calls that are new on their
//! way, and every link with output is written once. That batching is where the speed comes from.
//!
//! Where a call goes is asked of the [`Director`]. Flow control is end to end: a byte is given back to
//! its sender when the other side has taken it, so a call that does not move holds one window of bytes
//! in either direction, and holds up nobody.

mod answer;
mod budget;
mod call;
mod director;
mod dispatch;
mod downstream;
mod life;
mod link;
mod loopback;
mod pump;
mod retry;
mod slot;
mod time;
mod translate;
mod upstream;
mod wheel;

use std::{collections::VecDeque, rc::Rc, sync::Arc, time::Duration};

use http::HeaderName;
use rand::rngs::SmallRng;
use slab::Slab;
use strife_policy::Outcome;
use strife_wire::{BufferPool, Config as WireConfig};

pub use self::loopback::Loopback;
use self::{
    budget::Budget,
    call::Call,
    link::{Link, Side},
    slot::Slot,
    wheel::Wheel,
};
pub(crate) use self::{
    director::{Avoid, CallEnd, Director},
    translate::Peer,
};
use crate::{
    access_log::Ended,
    config::Limits,
    metrics::ThreadMetrics,
    reports::{self, ServerReport, Unreadable},
};

/// Names the endpoint that answered, in the response headers (which are the trailers of an answer
/// that has trailers only).
pub const ENDPOINT_HEADER: HeaderName = HeaderName::from_static("x-strife-endpoint");

/// A queue shorter than that is not looked through for what is over.
const MIN_PURGED: usize = 64;

/// What is derived from a header block once: it comes again with most calls.
#[derive(Debug)]
pub(crate) enum Memo {
    /// The pool a request goes to, or what its client is told instead; whether it may run twice; and its
    /// block as sent on.
    Request { pool: Result<usize, String>, is_idempotent: bool, block: Box<[u8]> },
    /// The end of an answer, as sent on, and the load report in it.
    Answered { block: Box<[u8]>, report: Option<Box<TrailerReport>> },
    /// Any other block, as sent on.
    Block(Box<[u8]>),
}

/// A load report in the trailers of a call, if it can be read.
pub(crate) type TrailerReport = Result<ServerReport, Unreadable>;

impl Memo {
    fn block(&self) -> &[u8] {
        match self {
            Self::Request { block, .. } | Self::Answered { block, .. } | Self::Block(block) => {
                block
            }
        }
    }
}

/// One thread's switch.
pub(crate) struct Switch<D> {
    director: D,
    limits: Limits,
    metrics: Arc<ThreadMetrics>,
    rng: SmallRng,
    now: Duration,
    buffers: Rc<BufferPool>,
    links: Slab<Link>,
    calls: Slab<Call>,
    next_serial: u32,
    /// By the endpoint's number.
    slots: Vec<Slot>,
    wheel: Wheel,
    /// Of retries, by the pool's number.
    budgets: Vec<Budget>,
    /// Bytes of requests that were sent and are kept to be sent again.
    replay_bytes: usize,
    /// Calls, with their serials, whose endpoint is decided when all bytes are read.
    fresh: Vec<(u32, u32)>,
    /// Calls, with their serials, that wait for any endpoint to be ready, by the pool's number.
    parked: Vec<VecDeque<(u32, u32)>>,
    /// When they were last looked at.
    parked_looked_at: Duration,
    /// Links with output.
    dirty: Vec<usize>,
    /// Endpoints to connect to.
    connects: Vec<usize>,
    draining: bool,
    swept_at: Duration,
    expired: Vec<u32>,
}

impl<D: Director> Switch<D> {
    /// Without connections.
    pub(crate) fn new(
        director: D,
        limits: Limits,
        metrics: Arc<ThreadMetrics>,
        rng: SmallRng,
        now: Duration,
    ) -> Self {
        Self {
            director,
            limits,
            metrics,
            rng,
            now,
            buffers: Rc::default(),
            links: Slab::new(),
            calls: Slab::new(),
            next_serial: 0,
            slots: Vec::new(),
            wheel: Wheel::new(now),
            budgets: Vec::new(),
            replay_bytes: 0,
            fresh: Vec::new(),
            parked: Vec::new(),
            parked_looked_at: now,
            dirty: Vec::new(),
            connects: Vec::new(),
            draining: false,
            swept_at: now,
            expired: Vec::new(),
        }
    }

    fn wire_config(&self, max_streams: u32) -> WireConfig {
        WireConfig {
            max_streams,
            stream_window: self.limits.stream_window_bytes,
            max_header_list: self.limits.max_header_list_bytes,
            handshake_timeout: self.limits.handshake_timeout,
            keepalive: (self.limits.keepalive, self.limits.keepalive_timeout),
            stall_timeout: self.limits.stall_timeout,
            ..WireConfig::default()
        }
    }

    /// Who decides.
    pub(crate) fn director(&self) -> &D {
        &self.director
    }

    /// Whether links have output that [`Switch::take_dirty`] has not told of.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes the list of links with output; give back an empty one.
    pub(crate) fn take_dirty(&mut self, links: &mut Vec<usize>) {
        links.clear();
        std::mem::swap(&mut self.dirty, links);
        for link in links {
            if let Some(link) = self.links.get_mut(*link) {
                link.dirty = false;
            }
        }
    }

    /// Takes the list of endpoints to connect to: [`Switch::connected`] or
    /// [`Switch::connect_failed`] must follow for each.
    pub(crate) fn take_connects(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.connects)
    }

    fn mark_dirty(&mut self, link: usize) {
        if let Some(one) = self.links.get_mut(link)
            && !one.dirty
        {
            one.dirty = true;
            self.dirty.push(link);
        }
    }

    /// A call by number, if it is still the one of this serial.
    fn live(&self, (number, serial): (u32, u32)) -> Option<&Call> {
        self.calls.get(number as usize).filter(|call| call.serial == serial)
    }

    fn set_timer(&mut self, number: usize) {
        match self.calls[number].timer() {
            Some(at) => self.wheel.set(number as u32, at),
            None => self.wheel.clear(number as u32),
        }
    }

    /// The slot of an endpoint, which may be new.
    fn slot(&mut self, endpoint: usize) -> &mut Slot {
        if endpoint >= self.slots.len() {
            self.slots.resize_with(endpoint + 1, Slot::default);
        }
        &mut self.slots[endpoint]
    }

    /// The retries of a pool, which may be new.
    fn budget(&mut self, pool: usize) -> &mut Budget {
        if pool >= self.budgets.len() {
            self.budgets.resize_with(pool + 1, Budget::default);
        }
        &mut self.budgets[pool]
    }

    /// The call is over: its streams are closed or reset by now.
    fn finish(&mut self, number: usize, ended: Ended, outcome: Outcome) {
        let mut call = self.calls.remove(number);
        if let Some(endpoint) = call.endpoint {
            self.slots[endpoint].calls -= 1;
        }
        self.wheel.clear(number as u32);
        if call.replayable {
            self.replay_bytes -= call.request.sent;
        }
        let cleared = call.request.clear(&self.buffers) + call.response.clear(&self.buffers);
        let held = cleared + call.head_bytes;
        self.metrics.buffered_bytes.subtract(held as u64);
        let Some(Side::Down(peer)) = self.links.get(call.down.link).map(|link| &link.side) else {
            unreachable!("a call ends before its client's link does");
        };
        self.director.ended(
            self.now,
            &CallEnd {
                head: call.head.as_ref().map(|block| &block.head),
                peer,
                pool: call.pool,
                endpoint: call.endpoint,
                outcome,
                ended,
                http_status: call.http_status,
                grpc_status: call.grpc_status,
                started: call.started,
                assigned_at: call.assigned_at,
                latency: call.latency(self.now),
                request_bytes: call.request.bytes,
                response_bytes: call.response.bytes,
                attempts: call.attempts,
                trace: call.trace.as_deref(),
            },
        );
        if let Some(pool) = call.pool {
            self.look_for_parked(pool);
        }
    }
}

/// Entries of calls that are over are dropped from a queue that has more of them than there are
/// calls.
fn purge(queue: &mut VecDeque<(u32, u32)>, calls: &Slab<Call>) {
    if queue.len() > 2 * calls.len() + MIN_PURGED {
        queue.retain(|(number, serial)| {
            calls.get(*number as usize).is_some_and(|call| call.serial == *serial)
        });
    }
}

#[cfg(test)]
mod tests;
