//! Calls that may have run, sent once more: only where their route says that they may run twice, only
//! while nothing of an answer was passed on, and only within the pool's budget.
//!
//! After gRFC A6, with two differences. There is no backoff, for a call goes to another endpoint at
//! once, if there is one; and the budget is a share of the calls ([`super::budget`]).

use std::time::Duration;

use strife_wire::{Code, Head, hpack::encode};

use super::{
    Director, Switch,
    call::{Call, Stage},
};
use crate::metrics::Retry;

/// The gRPC status that says that a call may be sent again.
const UNAVAILABLE: u32 = 14;
/// In an answer: whether, and after how many milliseconds, to send the call again.
const PUSHBACK: &[u8] = b"grpc-retry-pushback-ms";
/// In a request: how often it was sent before.
const PREVIOUS_ATTEMPTS: &[u8] = b"grpc-previous-rpc-attempts";
/// No call waits longer because an endpoint asks for it: it is told of the failure instead.
const MAX_PUSHBACK: Duration = Duration::from_secs(5);

/// What an endpoint says about sending a call again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushback {
    /// Nothing.
    None,
    /// Not at all: it said so, or something that cannot be understood.
    Never,
    After(Duration),
}

impl Pushback {
    fn of(head: &Head) -> Self {
        let Some(value) = head.fields().get(PUSHBACK) else { return Self::None };
        let text = std::str::from_utf8(value).unwrap_or_default();
        text.parse().map_or(Self::Never, |ms| Self::After(Duration::from_millis(ms)))
    }
}

impl<D: Director> Switch<D> {
    /// An endpoint answered with this head and nothing else. Whether the call is sent again instead of
    /// being told.
    pub(super) fn retry_answered(&mut self, number: usize, head: &Head) -> bool {
        if head.grpc_status() != Some(UNAVAILABLE) || !self.may_run_again(number) {
            return false;
        }
        let due = match Pushback::of(head) {
            Pushback::Never => return false,
            Pushback::None => None,
            Pushback::After(time) => Some((time, self.now + time)),
        };
        let call = &self.calls[number];
        let is_in_vain = match due {
            None => !self.has_other(number),
            Some((time, at)) => {
                time > MAX_PUSHBACK || call.deadline.is_some_and(|deadline| deadline <= at)
            }
        };
        !is_in_vain && self.send_again(number, due.map(|(_, at)| at))
    }

    /// An endpoint reset the call's stream before it answered. Whether the call is sent again.
    pub(super) fn retry_reset(&mut self, number: usize) -> bool {
        self.may_run_again(number) && self.has_other(number) && self.send_again(number, None)
    }

    /// The connection is gone that the call was sent over. Whether it is sent again.
    pub(super) fn retry_lost(&mut self, number: usize) -> bool {
        self.may_run_again(number) && self.send_again(number, None)
    }

    fn may_run_again(&self, number: usize) -> bool {
        let call = &self.calls[number];
        call.is_idempotent
            && call.stage == Stage::Sent
            && call.replayable
            && !call.was_informed
            && usize::from(call.attempts) < self.limits.max_attempts
    }

    /// Whether it could go elsewhere than where it has been.
    fn has_other(&mut self, number: usize) -> bool {
        let Call { pool: Some(pool), endpoint: Some(endpoint), tried, .. } = &self.calls[number]
        else {
            return false;
        };
        let mut tried = tried.clone();
        tried.push(*endpoint);
        self.director.has_other(*pool, &tried)
    }

    /// Takes a retry out of the budget of the call's pool.
    pub(super) fn withdraw_retry(&mut self, number: usize) -> bool {
        let Some(pool) = self.calls[number].pool else { return false };
        let (percent, least) =
            (self.limits.retry_budget_percent, self.limits.min_retries_per_second);
        let now = self.now;
        let is_within = self.budget(pool).withdraw(now, percent, least);
        if !is_within {
            self.director.retry_denied(pool);
        }
        is_within
    }

    /// `at`: not before.
    fn send_again(&mut self, number: usize, at: Option<Duration>) -> bool {
        if !self.withdraw_retry(number) {
            return false;
        }
        if let Some(up) = self.calls[number].up.take() {
            self.links[up.link].wire.reset(up.stream, Code::CANCEL);
            self.stream_freed(up.link);
        }
        self.take_back(number, Retry::Idempotent);
        let call = &mut self.calls[number];
        call.retries = call.retries.saturating_add(1);
        match at {
            None => self.dispatch(number),
            Some(at) => {
                (call.stage, call.resumes_at) = (Stage::Paused, Some(at));
                self.set_timer(number);
            }
        }
        true
    }

    /// A call that was asked to wait has waited.
    pub(super) fn resume(&mut self, number: usize) {
        let call = &mut self.calls[number];
        if call.resumes_at.is_some_and(|at| at <= self.now) {
            call.resumes_at = None;
            self.dispatch(number);
        }
        self.set_timer(number);
    }
}

/// The block of a request that was sent before, as many times as `retries`.
pub(super) fn block_again(block: &[u8], head: &Head, retries: u8) -> Vec<u8> {
    let mut again = block.to_vec();
    // Its client may have a count of its own.
    if head.fields().get(PREVIOUS_ATTEMPTS).is_none() {
        encode(&mut again, PREVIOUS_ATTEMPTS, retries.to_string().as_bytes(), false);
    }
    again
}
