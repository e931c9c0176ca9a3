//! Made-up events of a gateway: what is counted of them.

use strife_proto::gateway::v1::HistoryEntry;

use super::*;
use crate::{results::RunKey, sweep::cells::Run};

fn run() -> Run {
    let key = RunKey {
        workload: "payments".to_owned(),
        policy: "least_load".to_owned(),
        clients: 16,
        servers: 3,
        rate: 100,
        fault: "bank_away".to_owned(),
        trial: 1,
    };
    Run { key, rate: Some(100.0), fault: None, seed: 1 }
}

/// Of `(payment, kind, at_ms)`, in order.
fn counted(events: &[(&str, EventKind, i64)]) -> QueueRow {
    let mut fates = Fates::new();
    // Twice, as after an acknowledgement that was lost.
    for (index, (payment_id, kind, at_ms)) in
        events.iter().enumerate().chain(events.iter().enumerate())
    {
        let payment = HistoryEntry { payment_id: (*payment_id).to_owned(), ..Default::default() };
        fates.take(&Event {
            position: index as u64 + 1,
            kind: (*kind).into(),
            at_ms: *at_ms,
            payment: Some(payment),
            ..Event::default()
        });
    }
    fates.row(&run())
}

#[test]
fn only_what_was_in_the_queue_is_counted_and_each_payment_once() {
    use EventKind::{Aborted, Committed, Expired, Initiated, Queued};
    let row = counted(&[
        ("at once", Initiated, 1_000),
        ("made", Initiated, 1_000),
        ("at once", Committed, 1_010),
        ("refused at once", Initiated, 1_020),
        ("refused at once", Aborted, 1_030),
        ("made", Queued, 1_500),
        // Another attempt, in vain as well.
        ("made", Initiated, 2_500),
        ("made", Queued, 3_000),
        ("made", Initiated, 5_000),
        ("refused", Initiated, 1_100),
        ("refused", Queued, 1_600),
        ("late", Initiated, 1_100),
        ("late", Queued, 1_600),
        ("waits", Initiated, 1_200),
        ("waits", Queued, 1_700),
        ("made", Committed, 5_200),
        ("refused", Initiated, 6_000),
        ("refused", Aborted, 6_100),
        ("late", Expired, 7_700),
        ("under way", Initiated, 8_000),
    ]);
    let ends = [row.queued, row.committed, row.aborted, row.expired, row.waiting];
    assert_eq!(ends, [4, 1, 1, 1, 1], "{row:?}");
    // From the first time that it was taken on.
    assert!((row.wait_max_s.unwrap() - 4.2).abs() < 0.01, "{row:?}");
    assert_eq!((row.wait_p50_s, row.drained_s), (None, Some(2.5)), "{row:?}");
}

#[test]
fn a_wait_of_hours_is_not_cut_short() {
    let day_ms = 24 * 3_600 * 1_000;
    let row = counted(&[
        ("slow", EventKind::Initiated, 0),
        ("slow", EventKind::Queued, 0),
        ("slow", EventKind::Committed, day_ms),
    ]);
    let wait_s = row.wait_max_s.unwrap();
    assert!((wait_s / 86_400.0 - 1.0).abs() < 0.002, "{wait_s}");
}
