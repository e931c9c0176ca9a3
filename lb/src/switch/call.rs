//! One call: a client's stream, an endpoint's stream, and what waits between them.

use std::{rc::Rc, time::Duration};

use strife_policy::Outcome;
use strife_runtime::calls::AT_FAULT;
use strife_wire::{Block, BufferPool, Head};

use super::Memo;
use crate::trace::CallTrace;

/// Bytes of a request that are kept, once sent, to be sent again elsewhere.
pub(super) const MAX_REPLAY_BYTES: usize = 64 * 1024;
/// The same for all calls of a thread: beyond it requests are passed on and not kept.
pub(super) const MAX_ALL_REPLAY_BYTES: usize = 4 << 20;

/// gRPC status codes that are the server's fault: UNKNOWN, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE
/// and DATA_LOSS, unless the server says that it is the caller's. Every other is an answer.
const SERVER_ERRORS: [u32; 5] = [2, 8, 13, 14, 15];

/// The gRPC status of a call whose deadline passed.
const DEADLINE_EXCEEDED: u32 = 4;

/// A stream on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) link: usize,
    pub(super) stream: u32,
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It arrived with the bytes being read; where it goes is decided when they are all read.
    Fresh,
    /// No endpoint is ready, or all have as many calls as they may.
    Parked,
    /// To be sent again, at a time that an endpoint asked for.
    Paused,
    /// For a connection to its endpoint, or a stream on one.
    Waiting,
    /// Its request is at the endpoint, or on its way there.
    Sent,
    /// The head of its answer has gone to the client.
    Answered,
}

/// One direction of a call.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Bytes that wait; in the request also bytes that were sent and may be sent again.
    pub(super) buffer: Vec<u8>,
    /// Of the buffer, how many were sent.
    pub(super) sent: usize,
    /// Of the buffer, how many were given back to their sender: once, however often they are sent.
    given_back: usize,
    /// The sender said END_STREAM: nothing is added any more.
    pub(super) ended: bool,
    /// Sent behind the last byte.
    pub(super) trailers: Option<Rc<Block<Memo>>>,
    /// END_STREAM was passed on.
    pub(super) done: bool,
    /// It stands in the queue of its link.
    pub(super) queued: bool,
    /// All bytes that ever arrived.
    pub(super) bytes: u64,
    /// When bytes that wait were last seen to move.
    pub(super) moved_at: Duration,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    /// Tells it from an earlier call of the same number.
    pub(super) serial: u32,
    pub(super) stage: Stage,
    pub(super) down: Leg,
    pub(super) up: Option<Leg>,
    pub(super) pool: Option<usize>,
    pub(super) endpoint: Option<usize>,
    pub(super) head: Option<Rc<Block<Memo>>>,
    /// If it is traced.
    pub(super) trace: Option<Box<CallTrace>>,
    /// Bytes its head is counted with among those that are held.
    pub(super) head_bytes: usize,
    /// Endpoints it cannot have run on.
    pub(super) tried: Vec<usize>,
    pub(super) request: Half,
    /// The request can be sent again from its first byte.
    pub(super) replayable: bool,
    /// It may run twice: its route says so.
    pub(super) is_idempotent: bool,
    /// How often it was sent again though it may have run.
    pub(super) retries: u8,
    /// When to send it again.
    pub(super) resumes_at: Option<Duration>,
    /// It waits for endpoints that have as many calls as they may.
    pub(super) found_all_full: bool,
    /// An informational answer was passed on.
    pub(super) was_informed: bool,
    pub(super) response: Half,
    pub(super) started: Duration,
    pub(super) deadline: Option<Duration>,
    /// When it was last given to an endpoint, and when that began to answer.
    pub(super) assigned_at: Duration,
    pub(super) answered_at: Option<Duration>,
    /// How often its request was sent.
    pub(super) sends: u8,
    /// When it first found no stream, since it was last sent.
    pub(super) waits_since: Option<Duration>,
    /// Endpoints it was given to.
    pub(super) attempts: u8,
    /// When it stops to wait for an endpoint.
    pub(super) patience: Option<Duration>,
    /// Where the request's first byte stands in all that its link to the endpoint was to send.
    pub(super) position: u64,
    pub(super) http_status: u16,
    pub(super) grpc_status: Option<u32>,
    /// The server says that the status is due to what was asked.
    is_callers_fault: bool,
    /// The answer says that it is gRPC.
    pub(super) answer_is_grpc: bool,
}

impl Half {
    /// Bytes that wait.
    pub(super) fn pending(&self) -> &[u8] {
        &self.buffer[self.sent..]
    }

    /// Appends bytes; the buffer comes from the pool.
    pub(super) fn push(&mut self, bytes: &[u8], now: Duration, buffers: &BufferPool) {
        if self.buffer.capacity() == 0 {
            self.buffer = buffers.take();
        }
        if self.pending().is_empty() {
            self.moved_at = now;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes sent for the first time since this was last asked: their sender may send as many more.
    pub(super) fn newly_sent(&mut self) -> usize {
        let bytes = self.sent.saturating_sub(self.given_back);
        self.given_back += bytes;
        bytes
    }

    /// What was sent is to be sent again, elsewhere.
    pub(super) fn rewind(&mut self, now: Duration) {
        (self.sent, self.done, self.queued, self.moved_at) = (0, false, false, now);
    }

    /// Forgets what was sent; returns how many bytes that were.
    pub(super) fn forget_sent(&mut self, buffers: &BufferPool) -> usize {
        let forgotten = std::mem::take(&mut self.sent);
        self.given_back = self.given_back.saturating_sub(forgotten);
        if forgotten == self.buffer.len() {
            buffers.give(std::mem::take(&mut self.buffer));
        } else {
            self.buffer.drain(..forgotten);
        }
        forgotten
    }

    /// Forgets everything; returns how many bytes that were.
    pub(super) fn clear(&mut self, buffers: &BufferPool) -> usize {
        self.sent = self.buffer.len();
        self.forget_sent(buffers)
    }
}

impl Call {
    pub(super) fn new(serial: u32, down: Leg, now: Duration) -> Self {
        Self {
            serial,
            stage: Stage::Fresh,
            down,
            up: None,
            pool: None,
            endpoint: None,
            head: None,
            trace: None,
            head_bytes: 0,
            tried: Vec::new(),
            request: Half::default(),
            replayable: true,
            is_idempotent: false,
            retries: 0,
            resumes_at: None,
            found_all_full: false,
            was_informed: false,
            response: Half::default(),
            started: now,
            deadline: None,
            assigned_at: now,
            answered_at: None,
            sends: 0,
            waits_since: None,
            attempts: 0,
            patience: None,
            position: 0,
            http_status: 0,
            grpc_status: None,
            is_callers_fault: false,
            answer_is_grpc: false,
        }
    }

    /// Bytes held for it, both ways.
    pub(super) fn held(&self) -> usize {
        self.request.buffer.len() + self.response.buffer.len() + self.head_bytes
    }

    /// When its timer is due: at its deadline, when it stops to wait, or when it is sent again.
    pub(super) fn timer(&self) -> Option<Duration> {
        [self.deadline, self.patience, self.resumes_at].into_iter().flatten().min()
    }

    /// How long its endpoint took, so far: to the head of the answer, for how long a stream then lasts is
    /// the caller's affair.
    pub(super) fn latency(&self, now: Duration) -> Duration {
        self.answered_at.unwrap_or(now).saturating_sub(self.assigned_at)
    }

    /// Headers of the answer may say how the call ended.
    pub(super) fn take_status(&mut self, head: &Head) {
        let Some(status) = head.grpc_status() else { return };
        self.grpc_status = Some(status);
        self.is_callers_fault = SERVER_ERRORS.contains(&status)
            && head.fields().get(AT_FAULT.as_str().as_bytes()).is_some();
    }

    /// What a whole answer says of the endpoint that gave it.
    pub(super) fn outcome(&self) -> Outcome {
        let failed = match self.grpc_status {
            Some(DEADLINE_EXCEEDED) => return Outcome::TimedOut,
            Some(status) => SERVER_ERRORS.contains(&status) && !self.is_callers_fault,
            // A gRPC answer always has a status.
            None => self.answer_is_grpc || self.http_status >= 500,
        };
        if failed { Outcome::Failed } else { Outcome::Succeeded }
    }
}
