//! The law of waiting: later each time, within bounds, and never beyond the end.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::order::{Account, Money};

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };

fn order(queue_for_s: u32) -> Order {
    let account = |bank: &str| Account { bank: bank.to_owned(), id: "A".to_owned() };
    Order {
        payment_id: "p1".to_owned(),
        user: "john".to_owned(),
        from: account("icici"),
        to: account("sbi"),
        amount: Money { minor_units: 1, currency: "INR".to_owned() },
        queue_for_s,
    }
}

fn late() -> Decision {
    Decision::Aborted(Abort::new(AbortReason::Timeout, "late"))
}

proptest! {
    #[test]
    fn waits_grow_within_their_bounds(
        attempts in 1..u32::MAX,
        now_ms in 0..i64::MAX / 2,
        jitter in 0.0..=1.0_f64,
    ) {
        let wait = |attempts, jitter| {
            let queued = place(attempts, now_ms, i64::MAX, &BACKOFF, jitter);
            prop_assert_eq!(queued.attempts, attempts);
            Ok(queued.due_ms - now_ms)
        };
        let waited = wait(attempts, jitter)?;
        prop_assert!((500..=60_000).contains(&waited), "{}", waited);
        prop_assert!(waited <= wait(attempts.saturating_add(1), jitter)?);
        prop_assert!(wait(attempts, 0.0)? <= waited && waited <= wait(attempts, 1.0)?);
    }

    #[test]
    fn nothing_is_due_after_its_end_but_what_is_over(
        attempts in 0..40_u32,
        now_ms in 0..1_000_000_i64,
        expires_at_ms in 0..1_000_000_i64,
        jitter in 0.0..=1.0_f64,
    ) {
        let due_ms = place(attempts, now_ms, expires_at_ms, &BACKOFF, jitter).due_ms;
        prop_assert!(due_ms >= now_ms, "nothing is due before it has failed");
        prop_assert!(due_ms <= expires_at_ms.max(now_ms));
    }
}

#[test]
fn waits_double() {
    let due = |attempts| place(attempts, 0, i64::MAX, &BACKOFF, 1.0).due_ms;
    let expected = [1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
    assert_eq!((0..9).map(due).collect::<Vec<_>>(), expected);
    assert_eq!(place(u32::MAX, i64::MAX, i64::MAX, &BACKOFF, 1.0).due_ms, i64::MAX);
}

#[test]
fn only_what_passes_is_queued_and_only_for_who_asks() {
    let refused = Decision::Aborted(Abort::new(AbortReason::InsufficientFunds, "no money"));
    for (queue_for_s, decision, wanted) in [
        (9, late(), true),
        (9, Decision::Aborted(Abort::presumed()), true),
        (9, refused, false),
        (9, Decision::Committed, false),
        (0, late(), false),
    ] {
        assert_eq!(is_wanted(&order(queue_for_s), &decision), wanted, "{queue_for_s} {decision}");
    }
}

#[test]
fn an_end_says_why() {
    assert_eq!(expires_at_ms(&order(30), 17), 30_017);
    assert_eq!(expires_at_ms(&order(QUEUE_FOR_MAX_S), i64::MAX), i64::MAX);
    let end = expired(&order(30), 7, &late());
    assert_eq!(end.reason, AbortReason::Expired);
    assert_eq!(end.detail, "not made within 30 s, in 7 attempts; the last: TIMEOUT, late");
    let end = expired(&order(1), 1, &Decision::Aborted(Abort::presumed()));
    assert!(
        end.detail.starts_with("not made within 1 s, in 1 attempt; the last: RESTART, "),
        "{end:?}"
    );
}
