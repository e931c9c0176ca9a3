//! The queue of payments that failed for a reason that passes: which reasons these are, when such a
//! payment is tried again, and when no more.
//!
//! Pure. Every attempt is a transaction of its own, with a name of its own, and is begun only after the
//! one before it was durably aborted. So what banks still know of an earlier attempt can never become a
//! second transfer, whenever it reaches them.

use crate::{
    order::Order,
    payment::{Abort, AbortReason, Decision},
    retry::Backoff,
};

#[cfg(test)]
mod tests;

/// The longest time that a payment may be kept for, seconds: a week.
pub const QUEUE_FOR_MAX_S: u32 = 7 * 24 * 3_600;

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queued {
    /// How often the payment was tried in vain, or put off.
    pub attempts: u32,
    /// When it is due, milliseconds since the Unix epoch.
    pub due_ms: i64,
}

/// Whether a payment that was aborted for this reason may be made another time. What a bank has
/// refused, it has refused.
pub fn is_passing(reason: AbortReason) -> bool {
    matches!(reason, AbortReason::Timeout | AbortReason::Restart | AbortReason::GatewayRefused)
}

/// Whether the order asks to be kept in the queue if it ends so.
pub fn is_wanted(order: &Order, decision: &Decision) -> bool {
    let passing = matches!(decision, Decision::Aborted(abort) if is_passing(abort.reason));
    order.may_queue() && passing
}

/// When a payment that was taken on at `taken_on_ms` is given up; milliseconds since the Unix epoch.
pub fn expires_at_ms(order: &Order, taken_on_ms: i64) -> i64 {
    taken_on_ms.saturating_add(i64::from(order.queue_for_s) * 1_000)
}

/// The place of a payment that was tried or put off `attempts` times, the last time at `now_ms`:
/// exponential backoff, but due no later than `expires_at_ms`, so that its end can be seen. `jitter` is
/// 0 to 1.
pub fn place(
    attempts: u32,
    now_ms: i64,
    expires_at_ms: i64,
    backoff: &Backoff,
    jitter: f64,
) -> Queued {
    let wait = backoff.delay(attempts.saturating_sub(1), jitter).as_millis();
    let due_ms = now_ms.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX));
    Queued { attempts, due_ms: due_ms.min(expires_at_ms.max(now_ms)) }
}

/// The end of a payment that was in the queue for as long as was asked for, and tried or put off `attempts`
/// times. `last` is how its last attempt ended: for whoever asks why, it stands there as well.
pub fn expired(order: &Order, attempts: u32, last: &Decision) -> Abort {
    let seconds = order.queue_for_s;
    let times = if attempts == 1 { "attempt" } else { "attempts" };
    let why = match last {
        Decision::Aborted(abort) => format!("; the last: {}, {}", abort.reason, abort.detail),
        Decision::Committed => String::new(),
    };
    let detail = format!("not made within {seconds} s, in {attempts} {times}{why}");
    Abort::new(AbortReason::Expired, detail)
}
