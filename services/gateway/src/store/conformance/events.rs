//! Of the outbox: it says of every payment what its record says, in order and once, and keeps what
//! somebody waits for.

use std::future::poll_fn;

use super::*;

pub(super) async fn check<S: Store>(fresh: &mut impl AsyncFnMut() -> S) {
    what_happened_is_told_in_order(fresh().await).await;
    what_changes_nothing_is_not_told(fresh().await).await;
    what_is_decided_for_others_is_told(fresh().await).await;
    events_of_many_at_once_are_told_once(fresh().await).await;
    a_page_is_full_as_long_as_there_are_more(fresh().await).await;
    what_no_follower_waits_for_is_removed(fresh().await).await;
    without_followers_the_newest_are_kept(fresh().await).await;
    followers_are_remembered_and_forgotten(fresh().await).await;
    who_waits_for_events_is_woken(fresh().await).await;
}

/// All events there are, in pages of `limit`. Other transactions of the server may hide the newest for
/// a while: they are read until there are `expected`.
pub(crate) async fn read<S: Store>(
    store: &S,
    after: Position,
    limit: usize,
    expected: usize,
) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let reading = async {
        loop {
            let written = store.written();
            let from = events.last().map_or(after, |last| last.position);
            let page = store.events(from, limit).await.unwrap();
            assert!(page.events.len() <= limit);
            if page.events.is_empty() {
                if events.len() >= expected {
                    return;
                }
                written.await;
            }
            events.extend(page.events);
        }
    };
    let read = tokio::time::timeout(std::time::Duration::from_secs(60), reading).await;
    assert!(read.is_ok(), "{} events of {expected}", events.len());
    assert!(events.is_sorted_by(|one, next| one.position < next.position), "{events:?}");
    assert!(events.first().is_none_or(|first| first.position > after));
    events
}

/// The kinds that are told of this payment, in order.
fn kinds_of(events: &[Event], record: &Record) -> Vec<EventKind> {
    events.iter().filter(|event| event.record.id == record.id).map(|event| event.kind).collect()
}

/// Whether the outbox says of these payments what their records say, and nothing else.
pub(super) async fn agree<'r, S: Store>(store: &S, records: impl Iterator<Item = &'r Record>) {
    let records: Vec<_> = records.collect();
    let told = |record: &Record| match &record.state {
        State::Initiated => vec![EventKind::Initiated],
        State::Decided(decision) => vec![EventKind::Initiated, EventKind::of(decision, None)],
    };
    let expected: usize = records.iter().map(|record| told(record).len()).sum();
    let events = read(store, 0, 5, expected).await;
    assert_eq!(events.len(), expected);
    for record in records {
        assert_eq!(kinds_of(&events, record), told(record), "{record:?}");
    }
}

async fn decide<S: Store>(store: &S, run: Run, record: &Record, decision: Decision) {
    let decided = store.decide(run.number, verdict(record, decision)).await.unwrap();
    assert_eq!(decided, Decided::Done);
}

async fn what_happened_is_told_in_order<S: Store>(store: S) {
    assert_eq!(store.events(0, 9).await.unwrap(), Page::default());
    let run = store.start("one").await.unwrap();
    let one = begun(&store, run, 0, "p1", "sbi").await;
    let two = begun(&store, run, 1, "p2", "icici").await;
    decide(&store, run, &two, Decision::Committed).await;
    decide(&store, run, &one, aborted()).await;
    for limit in [1, 3, 9] {
        let events = read(&store, 0, limit, 4).await;
        let told: Vec<_> =
            events.iter().map(|event| (event.kind, event.at_ms, event.record.clone())).collect();
        let expected = [
            (EventKind::Initiated, 17, (*one).clone()),
            (EventKind::Initiated, 17, (*two).clone()),
            (EventKind::Committed, 18, decided(&two, Decision::Committed)),
            (EventKind::Aborted, 18, decided(&one, aborted())),
        ];
        assert_eq!(told, expected, "in pages of {limit}");
        for (number, event) in events.iter().enumerate() {
            assert_eq!(read(&store, event.position, limit, 0).await, events[number + 1..]);
        }
    }
    assert_eq!(store.events(Position::MAX, 9).await.unwrap().events, []);
}

async fn what_changes_nothing_is_not_told<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let payment = begun(&store, one, 0, "p1", "sbi").await;
    store.begin(payment.clone()).await.unwrap();
    store.begin(record(two.transaction(two.first_sequence()), "p1", "sbi")).await.unwrap();
    for decision in [Decision::Committed, Decision::Committed, aborted()] {
        store.decide(one.number, verdict(&payment, decision)).await.unwrap();
    }
    store.finish(one.number, payment.id.sequence).await.unwrap();
    store.fence(one.number).await.unwrap();
    store.begin(record(one.transaction(one.first_sequence() + 1), "p2", "sbi")).await.unwrap();
    let expected = decided(&payment, Decision::Committed);
    agree(&store, [&expected].into_iter()).await;
}

async fn what_is_decided_for_others_is_told<S: Store>(store: S) {
    let (one, two) = (store.start("one").await.unwrap(), store.start("two").await.unwrap());
    let payment = begun(&store, one, 0, "p1", "sbi").await;
    store.fence(one.number).await.unwrap();
    assert_eq!(store.find("p1").await.unwrap(), Some(decided(&payment, presumed())));
    agree(&store, [&*payment].into_iter()).await;
    store.decide_all(two.number, vec![verdict(&payment, presumed())]).await.unwrap();
    agree(&store, [&decided(&payment, presumed())].into_iter()).await;
}

async fn events_of_many_at_once_are_told_once<S: Store>(store: S) {
    let run = store.start("one").await.unwrap();
    let asked = (0..300_u64).map(|number| {
        let (store, id) = (store.clone(), run.transaction(run.first_sequence() + number));
        tokio::spawn(async move {
            let record = record(id, &format!("p{number}"), "sbi");
            assert_eq!(store.begin(record.clone()).await.unwrap(), Begun::Done);
            let decision = if number % 3 == 0 { aborted() } else { Decision::Committed };
            let decided = store.decide(run.number, verdict(&record, decision.clone())).await;
            assert_eq!(decided.unwrap(), Decided::Done);
            super::decided(&record, decision)
        })
    });
    let asked: Vec<_> = asked.collect();
    // Whoever reads meanwhile misses nothing that comes later.
    let meanwhile = read(&store, 0, 7, 600).await;
    let mut records = Vec::new();
    for record in asked {
        records.push(record.await.unwrap());
    }
    agree(&store, records.iter()).await;
    assert_eq!(meanwhile, read(&store, 0, 99, 600).await);
}

/// Of few commits or of many.
async fn a_page_is_full_as_long_as_there_are_more<S: Store>(store: S) {
    let run = store.start("one").await.unwrap();
    let verdicts: Vec<_> = some(&store, run, 0..100).await;
    let verdicts = verdicts.iter().map(|event| verdict(&event.record, Decision::Committed));
    store.decide_all(run.number, verdicts.collect()).await.unwrap();
    let all = read(&store, 0, 9, 200).await;
    for (from, limit) in [(0, 99), (0, 100), (0, 150), (50, 60), (99, 100), (130, 60), (10, 190)] {
        let after = all[..from].last().map_or(0, |event| event.position);
        let page = store.events(after, limit).await.unwrap();
        assert_eq!(page.events, all[from..from + limit], "{limit} from {from}");
    }
}

/// As many payments, each begun by a commit of its own.
async fn some<S: Store>(store: &S, run: Run, payments: std::ops::Range<u64>) -> Vec<Event> {
    let expected = payments.end as usize;
    for number in payments {
        begun(store, run, number, &format!("p{number}"), "sbi").await;
    }
    let kept = store.events(0, 1).await.unwrap();
    let gone = expected.saturating_sub(store.outbox().await.unwrap().events as usize);
    read(store, kept.removed, 99, expected - gone).await
}

async fn prune<S: Store>(store: &S, most: u64) {
    while store.prune(most).await.unwrap() {}
}

async fn what_no_follower_waits_for_is_removed<S: Store>(store: S) {
    let run = store.start("one").await.unwrap();
    assert_eq!(store.follow("slow").await.unwrap(), 0);
    assert_eq!(store.follow("quick").await.unwrap(), 0);
    let events = some(&store, run, 0..6).await;
    let position = |number: usize| events[number].position;
    prune(&store, 0).await;
    assert_eq!(read(&store, 0, 9, 6).await, events, "nobody has acknowledged anything");
    let quick = store.acknowledge("quick", position(5)).await.unwrap();
    let slow = store.acknowledge("slow", position(3)).await.unwrap();
    assert_eq!((quick, slow), (Acknowledged::Done, Acknowledged::Done));
    prune(&store, 0).await;
    let page = store.events(0, 9).await.unwrap();
    assert!((position(2)..=position(3)).contains(&page.removed), "{page:?}");
    assert_eq!(read(&store, position(3), 9, 2).await, events[4..], "slow has yet to have them");
    assert_eq!(store.acknowledge("slow", position(1)).await.unwrap(), Acknowledged::Done);
    let outbox = store.outbox().await.unwrap();
    let followers = [("quick".to_owned(), position(5)), ("slow".to_owned(), position(3))];
    assert_eq!(outbox.followers, followers, "never backwards");
    assert!((2..=3).contains(&outbox.events), "{outbox:?}");
    assert!(store.forget_follower("slow").await.unwrap());
    prune(&store, 0).await;
    assert!(store.outbox().await.unwrap().events <= 1);
    let later = some(&store, run, 6..7).await;
    assert_eq!(later.last().map(|event| event.record.order.payment_id.as_str()), Some("p6"));
    assert!(later.iter().all(|event| event.position >= position(5)), "positions go on");
}

async fn without_followers_the_newest_are_kept<S: Store>(store: S) {
    let run = store.start("one").await.unwrap();
    let events = some(&store, run, 0..20).await;
    prune(&store, 20).await;
    assert_eq!(store.outbox().await.unwrap().events, 20);
    prune(&store, 4).await;
    assert_eq!(store.outbox().await.unwrap().events, 4);
    let page = store.events(0, 9).await.unwrap();
    assert_eq!((page.events.as_slice(), page.removed), (&events[16..], events[15].position));
    assert_eq!(store.follow("late").await.unwrap(), page.removed, "it gets what there is");
    prune(&store, 0).await;
    assert_eq!(store.outbox().await.unwrap().events, 4, "it waits for them");
}

async fn followers_are_remembered_and_forgotten<S: Store>(store: S) {
    let run = store.start("one").await.unwrap();
    let events = some(&store, run, 0..2).await;
    let (first, last) = (events[0].position, events[1].position);
    assert_eq!(store.acknowledge("log", first).await.unwrap(), Acknowledged::Unknown);
    assert!(!store.forget_follower("log").await.unwrap());
    assert_eq!(store.follow("log").await.unwrap(), 0);
    for beyond in [Position::MAX, Position::MAX / 2] {
        assert_eq!(store.acknowledge("log", beyond).await.unwrap(), Acknowledged::NotYet);
    }
    assert_eq!(store.acknowledge("log", last).await.unwrap(), Acknowledged::Done);
    assert_eq!(store.follow("log").await.unwrap(), last);
    assert!(store.forget_follower("log").await.unwrap());
    assert_eq!(store.outbox().await.unwrap().followers, []);
}

async fn who_waits_for_events_is_woken<S: Store>(store: S) {
    let run = store.start("one").await.unwrap();
    let mut written = std::pin::pin!(store.written());
    poll_fn(|context| {
        assert!(written.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    begun(&store, run, 0, "p1", "sbi").await;
    let woken = tokio::time::timeout(std::time::Duration::from_secs(60), written).await;
    assert!(woken.is_ok(), "nobody is told");
}
