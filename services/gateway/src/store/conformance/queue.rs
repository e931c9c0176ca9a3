//! What every store must do with payments that wait in the queue.

use std::slice::from_ref;

use super::{events::read, *};

const PLACE: Queued = Queued { attempts: 1, due_ms: 1_000 };

/// Every test, in turn.
pub(super) async fn check<S: Store>(mut fresh: impl AsyncFnMut() -> S) {
    an_attempt_takes_the_place_of_the_one_before(fresh().await).await;
    of_many_attempts_at_once_one_is_made(fresh().await).await;
    a_payment_moves_in_the_queue_and_out_of_it(fresh().await).await;
    a_payment_may_begin_in_the_queue(fresh().await).await;
    what_a_fenced_run_left_undecided_is_queued(fresh().await).await;
    who_is_due_is_listed_in_order(fresh().await).await;
    a_history_has_every_payment_once_where_it_was_taken_on(fresh().await).await;
    a_history_stays_in_order_while_payments_are_tried_again(fresh().await).await;
}

/// A payment that may be queued.
fn patient(run: Run, number: u64, payment_id: &str) -> Record {
    let mut patient = (*record(id(run, number), payment_id, "sbi")).clone();
    patient.order.queue_for_s = 60;
    patient
}

fn id(run: Run, number: u64) -> TransactionId {
    run.transaction(run.first_sequence() + number)
}

/// The next attempt.
fn again(last: &Record, run: Run, number: u64) -> Arc<Record> {
    let earlier = Some(Earlier { attempts: 1, first: last.first() });
    let (state, queued) = (State::Initiated, None);
    Arc::new(Record { id: id(run, number), state, earlier, queued, ..last.clone() })
}

fn at(record: &Record, place: Queued) -> Record {
    Record { queued: Some(place), ..decided(record, aborted()) }
}

fn to(record: &Record, seen: Queued, to: Moved) -> Vec<Move> {
    vec![Move { sequence: record.id.sequence, seen, to, at_ms: 19 }]
}

/// Begun, and queued.
async fn queued<S: Store>(
    store: &S,
    run: Run,
    number: u64,
    payment_id: &str,
    place: Queued,
) -> Record {
    let begun = patient(run, number, payment_id);
    assert_eq!(store.begin(Arc::new(begun.clone())).await.unwrap(), Begun::Done);
    let verdict = Verdict { queued: Some(place), ..verdict(&begun, aborted()) };
    for _ in 0..2 {
        assert_eq!(store.decide(run.number, verdict.clone()).await.unwrap(), Decided::Done);
    }
    at(&begun, place)
}

/// What happened, in order, as it was written along with it.
async fn check_events<S: Store>(store: &S, expected: &[EventKind]) {
    let events = read(store, 0, 99, expected.len()).await;
    assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), expected);
}

/// What is due at any time.
async fn due<S: Store>(store: &S) -> Vec<Record> {
    store.due(1, i64::MAX, i64::MAX, None, 99).await.unwrap()
}

async fn an_attempt_takes_the_place_of_the_one_before<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let first = queued(&store, one, 0, "p1", PLACE).await;
    assert_eq!(store.queued().await.unwrap(), 1);
    assert_eq!(due(&store).await, from_ref(&first));
    assert_eq!(store.find("p1").await.unwrap(), Some(first.clone()));
    assert_eq!(store.history("jane", None, 9).await.unwrap(), from_ref(&first));
    let second = again(&first, two, 0);
    for _ in 0..2 {
        let retried = store.retry(second.clone(), first.id.sequence, 18).await;
        assert_eq!(retried.unwrap(), Begun::Done, "and again");
    }
    let late = again(&first, one, 1);
    assert_eq!(store.retry(late.clone(), first.id.sequence, 18).await.unwrap(), Begun::Exists);
    assert_eq!(store.get(late.id.sequence).await.unwrap().record, None);
    assert_eq!((store.queued().await.unwrap(), due(&store).await), (0, vec![]));
    assert_eq!(store.find("p1").await.unwrap().as_ref(), Some(&*second));
    let before = decided(&first, aborted());
    let before = Record { queued: None, ..before };
    assert_eq!(store.get(first.id.sequence).await.unwrap().record, Some(before.clone()));
    for user in ["john", "jane"] {
        assert_eq!(store.history(user, None, 9).await.unwrap(), [(*second).clone()]);
    }
    let commit = verdict(&second, Decision::Committed);
    assert_eq!(store.decide(two.number, commit).await.unwrap(), Decided::Done);
    let made = decided(&second, Decision::Committed);
    assert_eq!(store.unfinished(two.number, None, 9).await.unwrap(), from_ref(&made));
    assert_eq!(store.find("p1").await.unwrap(), Some(made.clone()));
    assert_eq!(store.payments(None, 9).await.unwrap(), [before, made]);
    use EventKind::{Committed, Initiated, Queued};
    check_events(&store, &[Initiated, Queued, Initiated, Committed]).await;
    let other = record(id(one, 2), "p1", "sbi");
    assert_eq!(store.begin(other).await.unwrap(), Begun::Exists, "the id stays taken");
}

async fn of_many_attempts_at_once_one_is_made<S: Store>(store: S) {
    let runs = [store.start("one").await.unwrap(), store.start("two").await.unwrap()];
    let first = queued(&store, runs[0], 0, "p1", PLACE).await;
    let asked = (1..30).map(|number| {
        let attempt = again(&first, runs[number as usize % 2], number);
        let (store, after) = (store.clone(), first.id.sequence);
        tokio::spawn(async move { store.retry(attempt, after, 18).await.unwrap() })
    });
    let asked: Vec<_> = asked.collect();
    let mut made = 0;
    for retried in asked {
        match retried.await.unwrap() {
            Begun::Done => made += 1,
            other => assert_eq!(other, Begun::Exists),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(store.payments(None, 99).await.unwrap().len(), 2);
}

async fn a_payment_moves_in_the_queue_and_out_of_it<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let waits = queued(&store, one, 0, "p1", PLACE).await;
    let later = Queued { attempts: 2, due_ms: 9_000 };
    let postpone = to(&waits, PLACE, Moved::Later(later));
    for _ in 0..2 {
        let moved = store.move_queued(two.number, postpone.clone()).await.unwrap();
        assert_eq!(moved, [Decided::Done], "and again");
    }
    assert_eq!(due(&store).await, [at(&waits, later)]);
    assert_eq!(store.due(one.number, 8_999, 8_999, None, 9).await.unwrap(), []);
    let expired = Abort::new(AbortReason::Expired, "too late");
    let end = |seen| to(&waits, seen, Moved::Ended(expired.clone()));
    let stale = store.move_queued(one.number, end(PLACE)).await.unwrap();
    assert_eq!(stale, [Decided::Contradicted], "it has moved since");
    assert_eq!(store.move_queued(one.number, end(later)).await.unwrap(), [Decided::Done]);
    let over = decided(&waits, Decision::Aborted(expired.clone()));
    let over = Record { queued: None, ..over };
    assert_eq!(store.find("p1").await.unwrap(), Some(over.clone()));
    assert_eq!(store.history("john", None, 9).await.unwrap(), [over]);
    assert_eq!((store.queued().await.unwrap(), due(&store).await), (0, vec![]));
    let attempt = again(&waits, one, 1);
    assert_eq!(store.retry(attempt, waits.id.sequence, 18).await.unwrap(), Begun::Exists);
    let gone = store.move_queued(one.number, postpone).await.unwrap();
    assert_eq!(gone, [Decided::Contradicted]);
    // The gateway that queued it was not told so, and writes it once more.
    let once_more = Verdict { queued: Some(PLACE), ..verdict(&waits, aborted()) };
    assert_eq!(store.decide(one.number, once_more).await.unwrap(), Decided::Done);
    assert_eq!(store.queued().await.unwrap(), 0);
    check_events(&store, &[EventKind::Initiated, EventKind::Queued, EventKind::Expired]).await;

    let waits = queued(&store, two, 0, "p2", PLACE).await;
    store.fence(one.number).await.unwrap();
    let attempt = again(&waits, one, 2);
    assert_eq!(store.retry(attempt, waits.id.sequence, 18).await.unwrap(), Begun::Fenced);
    let moves = to(&waits, PLACE, Moved::Later(later));
    assert_eq!(store.move_queued(one.number, moves).await.unwrap(), [Decided::Fenced]);
    assert_eq!(due(&store).await, [waits]);
}

async fn a_payment_may_begin_in_the_queue<S: Store>(store: S) {
    let run = store.start("one").await.unwrap();
    let waits = at(&patient(run, 0, "p1"), PLACE);
    for _ in 0..2 {
        assert_eq!(store.begin(Arc::new(waits.clone())).await.unwrap(), Begun::Done, "and again");
    }
    assert_eq!(store.find("p1").await.unwrap(), Some(waits.clone()));
    assert_eq!(store.history("jane", None, 9).await.unwrap(), from_ref(&waits));
    assert_eq!(due(&store).await, from_ref(&waits));
    check_events(&store, &[EventKind::Initiated, EventKind::Queued]).await;
    let attempt = again(&waits, run, 1);
    assert_eq!(store.retry(attempt.clone(), waits.id.sequence, 18).await.unwrap(), Begun::Done);
    assert_eq!(store.find("p1").await.unwrap().as_ref(), Some(&*attempt));
    store.fence(run.number).await.unwrap();
    assert_eq!(store.orphans(None, 9).await.unwrap(), [(*attempt).clone()]);
}

async fn what_a_fenced_run_left_undecided_is_queued<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let waits = queued(&store, one, 0, "p1", PLACE).await;
    let attempt = again(&waits, one, 1);
    assert_eq!(store.retry(attempt.clone(), waits.id.sequence, 18).await.unwrap(), Begun::Done);
    store.fence(one.number).await.unwrap();
    let place = |due_ms| Queued { attempts: 2, due_ms };
    let read = |due_ms| Record { queued: Some(place(due_ms)), ..decided(&attempt, presumed()) };
    assert_eq!(store.find("p1").await.unwrap(), Some(read(0)), "nothing is written yet");
    assert_eq!(store.history("jane", None, 9).await.unwrap(), [read(0)]);
    assert_eq!(due(&store).await, []);
    let orphans = store.orphans(None, 9).await.unwrap();
    assert_eq!(orphans, [(*attempt).clone()], "as it stands");
    let verdict = Verdict { queued: Some(place(7)), ..verdict(&attempt, presumed()) };
    let written = store.decide_all(two.number, vec![verdict]).await.unwrap();
    assert_eq!(written, [Decided::Done]);
    assert_eq!(store.find("p1").await.unwrap(), Some(read(7)));
    assert_eq!(due(&store).await, [read(7)]);
    let third = again(&read(7), two, 0);
    assert_eq!(store.retry(third, attempt.id.sequence, 18).await.unwrap(), Begun::Done);
}

async fn who_is_due_is_listed_in_order<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let mut waits = Vec::new();
    for (number, due_ms) in [(0, 50), (1, 10), (2, 40), (3, 20), (4, 30)] {
        let place = Queued { attempts: 1, due_ms };
        let run = if number % 2 == 0 { one } else { two };
        waits.push(queued(&store, run, number, &format!("p{number}"), place).await);
    }
    let check = async |own: Run, now_ms, others_ms, limit, expected: &[i64]| {
        let due = store.due(own.number, now_ms, others_ms, None, limit).await.unwrap();
        let due: Vec<_> = due.iter().filter_map(|due| Some(due.queued?.due_ms)).collect();
        assert_eq!(due, expected, "{own:?} {now_ms} {others_ms} {limit}");
    };
    check(one, 40, 40, 9, &[10, 20, 30, 40]).await;
    check(one, 50, 50, 2, &[10, 20]).await;
    check(one, 50, 15, 9, &[10, 30, 40, 50]).await;
    check(two, 50, 15, 9, &[10, 20]).await;
    check(two, 9, 9, 9, &[]).await;
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = store.due(one.number, 50, 50, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.queued.unwrap().due_ms, last.id.sequence));
        found.extend(page.iter().map(|due| due.queued.unwrap().due_ms));
    }
    assert_eq!(found, [10, 20, 30, 40, 50], "in pages");
    assert_eq!(store.due(one.number, 5, 5, after, 2).await.unwrap(), [], "as a clock goes back");
    assert_eq!(store.queued().await.unwrap(), 5);
}

async fn a_history_has_every_payment_once_where_it_was_taken_on<S: Store>(store: S) {
    let run = store.start("one").await.unwrap();
    let mut expected = Vec::new();
    for number in 0..6 {
        let (payment_id, place) = (format!("p{number}"), PLACE);
        let mut payment = patient(run, number, &payment_id);
        payment.initiated_at_ms = 10 + number as i64;
        payment = at(&payment, place);
        assert_eq!(store.begin(Arc::new(payment.clone())).await.unwrap(), Begun::Done);
        expected.push(payment);
    }
    for (number, place) in [(1, 100), (4, 101), (2, 102)] {
        let after = expected[number].id.sequence;
        let attempt = again(&expected[number], run, place);
        assert_eq!(store.retry(attempt.clone(), after, 18).await.unwrap(), Begun::Done);
        expected[number] = (*attempt).clone();
    }
    expected.reverse();
    for limit in 1..4 {
        let (mut before, mut found) = (None, Vec::new());
        loop {
            let page = store.history("john", before, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.id.sequence);
            found.extend(page);
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
}

/// All are taken on within a millisecond, by two gateways, and each is tried again, by the other one, after
/// every page: what the next page has goes neither by the newest attempts nor by where the page before
/// seemed to end.
async fn a_history_stays_in_order_while_payments_are_tried_again<S: Store>(store: S) {
    let runs = [store.start("one").await.unwrap(), store.start("two").await.unwrap()];
    let mut newest = Vec::new();
    for number in 0..6 {
        let run = runs[number as usize % 2];
        newest.push(queued(&store, run, number, &format!("p{number}"), PLACE).await);
    }
    let mut expected: Vec<_> = newest.iter().map(Record::first).collect();
    expected.sort_unstable_by(|one, next| next.cmp(one));
    let mut number = 100;
    for limit in 1..4 {
        let (mut before, mut found) = (None, Vec::new());
        loop {
            let page = store.history("jane", before, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.id.sequence);
            found.extend(page.iter().map(Record::first));
            for last in &mut newest {
                number += 1;
                *last = tried_again(&store, last, runs[number as usize % 2], number).await;
            }
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
}

/// In vain.
async fn tried_again<S: Store>(store: &S, last: &Record, run: Run, number: u64) -> Record {
    let attempt = again(last, run, number);
    let retried = store.retry(attempt.clone(), last.id.sequence, 18).await.unwrap();
    assert_eq!(retried, Begun::Done);
    let verdict = Verdict { queued: Some(PLACE), ..verdict(&attempt, aborted()) };
    assert_eq!(store.decide(run.number, verdict).await.unwrap(), Decided::Done);
    at(&attempt, PLACE)
}
