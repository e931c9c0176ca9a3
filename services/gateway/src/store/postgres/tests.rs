//! The conformance suite by two processes' stores on one database, a fence amid a batch, refusals.

use std::time::Duration;

use futures_util::future::join_all;
use strife_store::postgres::testing::{Options, Server};

use super::*;
use crate::{
    payment::Decision,
    store::{
        Earlier, EventKind,
        conformance::{self, events::read, record},
        events::{Change, Packed},
        records,
    },
    transaction::TransactionId,
};

/// As another process would open it.
async fn open(url: &str) -> Postgres {
    let address = Address::parse(url).unwrap();
    Postgres::open(&address, Connections::default(), Limits::default()).await.unwrap()
}

#[tokio::test]
async fn conforms() {
    conformance::check(async || open(&Server::shared().create_database().await).await).await;
}

#[tokio::test]
async fn gateways_on_one_database_have_one_store() {
    let url = Server::shared().create_database().await;
    let (one, two) = tokio::join!(open(&url), open(&url));
    assert_eq!(one.name(), two.name());
    let (first, second) = (one.start("one").await.unwrap(), two.start("two").await.unwrap());
    assert_ne!(first.number, second.number);
    let payment = record(first.transaction(first.first_sequence()), "p1", "sbi");
    assert_eq!(one.begin(payment.clone()).await.unwrap(), Begun::Done);
    assert_eq!(two.find("p1").await.unwrap().as_ref(), Some(&*payment));
    // Of many at once one is taken, be they begun by the one or by the other.
    let asked: Vec<_> = (1..60)
        .map(|number| {
            let (store, run) = if number % 2 == 0 { (&one, first) } else { (&two, second) };
            let id = run.transaction(run.first_sequence() + number);
            let (store, record) = (store.clone(), record(id, "p2", "sbi"));
            tokio::spawn(async move { store.begin(record).await.unwrap() })
        })
        .collect();
    let mut taken = 0;
    for begun in asked {
        taken += usize::from(begun.await.unwrap() == Begun::Done);
    }
    assert_eq!(taken, 1);
    two.close().await;
    one.close().await;
}

/// Payments may use every connection; a gateway that is there is heard of all the same.
#[tokio::test]
async fn a_sign_of_life_waits_behind_no_payment() {
    let store = open(&Server::shared().create_database().await).await;
    let run = store.start("one").await.unwrap();
    let database = store.batches.database();
    let Connections { writes, reads } = database.connections();
    let all = join_all((0..writes + reads).map(|_| database.client())).await;
    assert!(all.iter().all(Result::is_ok), "every connection is in use");
    assert!(store.beat(run.number).await.unwrap());
    assert_eq!(store.runs().await.unwrap()[0].beats, 1);
}

/// A decision under way when its run is fenced: the fence waits, and comes second.
#[tokio::test]
async fn a_fence_waits_for_the_batches_that_hold_the_run() {
    let url = Server::shared().create_database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    let run = one.start("one").await.unwrap();
    let payment = record(run.transaction(run.first_sequence()), "p1", "sbi");
    one.begin(payment.clone()).await.unwrap();
    // A batch that has held its run and is not through.
    let client = one.batches.database().client().await.unwrap();
    let hold = format!("BEGIN; SELECT FROM runs WHERE number = {} FOR KEY SHARE", run.number);
    client.batch_execute(&hold).await.unwrap();
    let fence = tokio::spawn(async move { fence(&two, run.number).await });
    // It waits as soon as it is there: that can be seen from outside.
    let waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1 \
         AND datname = current_database()";
    let watch = one.batches.database().client().await.unwrap();
    let looking = async {
        while watch.query(waits, &[&"UPDATE runs SET live%"]).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking).await.expect("no wait");
    assert!(one.beat(run.number).await.unwrap(), "a beat waits for nobody");
    client.batch_execute("UPDATE payments SET code = 0; COMMIT").await.unwrap();
    assert!(fence.await.unwrap());
    let found = one.get(payment.id.sequence).await.unwrap();
    let committed = crate::payment::State::Decided(Decision::Committed);
    assert_eq!(found.record.unwrap().state, committed, "what came first stands");
    let route = payment.order.route();
    let (sequence, decision) = (payment.id.sequence, Decision::Committed);
    let late = Verdict { sequence, route, decision, at_ms: 0, queued: None };
    assert_eq!(one.decide(run.number, late).await.unwrap(), Decided::Fenced);
}

/// A database as it was made by an earlier version, with what these statements write.
async fn create_of_version(version: usize, url: &str, old: &str) -> Database {
    let (address, before) = (Address::parse(url).unwrap(), schema::of_version(version));
    let database = Database::connect(&address, &before, Connections::default()).await.unwrap();
    let begin = async |client: &Client| client.batch_execute(old).await.map_err(StoreError::from);
    database.migrate(&before, begin).await.unwrap();
    database
}

/// Attempts that were written before rows said which was the first, of one payment that was tried at
/// once and one that was tried often: runs and numbers of few bytes and of many.
#[tokio::test]
async fn later_attempts_of_before_say_which_was_the_first() {
    let url = Server::shared().create_database().await;
    let about = "INSERT INTO about (name, last_run) VALUES (7, 4000000)";
    let database = create_of_version(4, &url, about).await;
    let client = database.client().await.unwrap();
    let firsts =
        [1, 127, 128, 1 << 42, (1 << 42) + 129, (4_000_000 << 40) + 3, i64::MAX as Sequence];
    let mut expected = Vec::new();
    for (number, first) in (0..).zip(firsts) {
        for (attempts, queue_for_s) in [(None, 0), (None, 128), (Some(1), 60), (Some(128), 16_384)]
        {
            let sequence = 1_000 + expected.len() as Sequence;
            let id = TransactionId { store: 7, sequence };
            let mut payment = (*record(id, &format!("p{sequence}"), "sbi")).clone();
            payment.order.queue_for_s = queue_for_s;
            payment.initiated_at_ms = number;
            payment.earlier = attempts.map(|attempts| Earlier { attempts, first });
            let begin = "INSERT INTO payments (sequence, run, initiated_at_ms, body) \
                         VALUES ($1, 1, $2, $3)";
            let (stored, body) = (schema::sequence(sequence), records::encode(&payment));
            client.execute(begin, &[&stored, &number, &body]).await.unwrap();
            expected.push((stored, attempts.map(|_| schema::sequence(first))));
        }
    }
    let store = open(&url).await;
    let client = store.batches.database().client().await.unwrap();
    let rows = client.query("SELECT sequence, first FROM payments ORDER BY 1", &[]).await.unwrap();
    let found: Vec<(i64, Option<i64>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, expected);
}

/// A page of a long history costs as much as one of a short one.
#[tokio::test]
async fn a_history_is_read_by_its_index() {
    let store = open(&Server::shared().create_database().await).await;
    let client = store.batches.database().client().await.unwrap();
    let history = reading::HISTORY.replace("$1", "'john'").replace("$2", "7").replace("$3", "5");
    let rows = client.query(&format!("EXPLAIN {history}"), &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    for (index, user) in [("payments_made", "payer"), ("payments_received", "payee")] {
        assert!(plan.contains(&format!("Index Scan Backward using {index} on")), "{plan}");
        let bound = format!("({user} = 'john'::text) AND (ROW(initiated_at_ms, COALESCE(first, ");
        assert!(plan.contains(&bound), "{plan}");
    }
}

/// It would say of what is queued that it is over.
#[tokio::test]
async fn a_gateway_that_knows_no_queue_may_not_go_on() {
    let url = Server::shared().create_database().await;
    let old = "INSERT INTO about (name, last_run) VALUES (7, 1); \
               INSERT INTO runs (number, gateway, live) VALUES (1, 'old', true)";
    create_of_version(3, &url, old).await;
    let store = open(&url).await;
    assert!(!store.beat(1).await.unwrap(), "it hears of it when it says that it goes on");
    let run = store.start("new").await.unwrap();
    let live: Vec<_> = store.runs().await.unwrap().iter().map(|run| run.live).collect();
    assert_eq!((run.number, live), (2, vec![false, true]));
}

/// Fences, as often as it takes.
async fn fence(store: &Postgres, run: RunNumber) -> bool {
    let fencing = async {
        loop {
            match store.fence(run).await {
                Ok(fenced) => return fenced,
                Err(why) => assert!(crate::retry::is_passing(&why), "{why}"),
            }
        }
    };
    let fenced = tokio::time::timeout(Duration::from_secs(60), fencing).await;
    fenced.expect("the run is held for ever")
}

/// As after SIGSTOP amid a batch.
#[tokio::test]
async fn a_gateway_that_stands_still_amid_a_batch_does_not_keep_its_run() {
    let url = Server::shared().create_database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    let run = one.start("one").await.unwrap();
    let client = one.batches.database().client().await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    let held = client.query(batch::RUNS, &[&vec![schema::run(run.number)]]).await.unwrap();
    assert_eq!(held.len(), 1);
    assert!(fence(&two, run.number).await);
    assert!(client.batch_execute("COMMIT").await.is_err(), "its connection is gone");
}

/// A decision on a payment that is not there, behind one that may be written.
#[tokio::test]
async fn a_batch_that_fails_changes_nothing() {
    let store = open(&Server::shared().create_database().await).await;
    let run = store.start("one").await.unwrap();
    let payment = record(run.transaction(run.first_sequence()), "p1", "sbi");
    assert_eq!(store.begin(payment.clone()).await.unwrap(), Begun::Done);
    let verdict = |number: u64| {
        let (sequence, route) = (payment.id.sequence + number, payment.order.route());
        Verdict { sequence, route, decision: Decision::Committed, at_ms: 18, queued: None }
    };
    let failed = store.decide_all(run.number, vec![verdict(0), verdict(1)]).await;
    assert!(matches!(failed, Err(StoreError::DatabaseFailed { .. })), "{failed:?}");
    assert_eq!(store.find("p1").await.unwrap().as_ref(), Some(&*payment));
    assert_eq!(store.decide(run.number, verdict(0)).await.unwrap(), Decided::Done);
    assert_eq!(read(&store, 0, 9, 2).await.len(), 2, "its events as well");
}

#[tokio::test]
async fn ids_with_zero_bytes_are_ids() {
    let store = open(&Server::shared().create_database().await).await;
    let run = store.start("one").await.unwrap();
    let payment = record(run.transaction(run.first_sequence()), "p\0", "sbi");
    assert_eq!(store.begin(payment.clone()).await.unwrap(), Begun::Done);
    assert_eq!(store.find("p\0").await.unwrap().as_ref(), Some(&*payment));
    assert_eq!(store.find("p").await.unwrap(), None);
    let beyond = store.get(Sequence::MAX).await.unwrap();
    assert_eq!((beyond.record, beyond.maker), (None, crate::store::RunState::NotMade));
}

#[tokio::test]
async fn payments_of_gateways_side_by_side_are_listed_by_time() {
    let store = open(&Server::shared().create_database().await).await;
    let runs = [store.start("one").await.unwrap(), store.start("two").await.unwrap()];
    for number in 0..6_u64 {
        let run = runs[number as usize % 2];
        let id = run.transaction(run.first_sequence() + number);
        let begun = record(id, &format!("p{number}"), "sbi");
        let begun = Record { initiated_at_ms: 10 + number as i64, ..(*begun).clone() };
        assert_eq!(store.begin(Arc::new(begun)).await.unwrap(), Begun::Done);
    }
    let (mut before, mut listed) = (None, Vec::new());
    loop {
        let page = store.history("jane", before, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id.sequence);
        listed.extend(page.into_iter().map(|record| record.order.payment_id));
    }
    assert_eq!(listed, ["p5", "p4", "p3", "p2", "p1", "p0"]);
}

/// Two batches under way at once, of which the one that began first commits last.
#[tokio::test]
async fn an_event_that_is_committed_late_is_not_missed() {
    let server = Server::start(&Options::default());
    let store = open(&server.create_database().await).await;
    let run = store.start("one").await.unwrap();
    let id = |number| run.transaction(run.first_sequence() + number);
    let late = record(id(0), "late", "sbi");
    assert_eq!(store.begin(late.clone()).await.unwrap(), Begun::Done);
    let first = read(&store, 0, 9, 1).await;
    // As the batch that commits the payment would, and is not through.
    let client = store.batches.database().client().await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    let mut events = Packed::default();
    let (kind, sequence) = (EventKind::Committed, late.id.sequence);
    events.push(Change { kind, sequence, at_ms: 18 });
    outbox::append(&client, &events).await.unwrap().execute(&client).await.unwrap();
    let quick = record(id(1), "quick", "sbi");
    assert_eq!(store.begin(quick.clone()).await.unwrap(), Begun::Done);
    let page = store.events(first[0].position, 9).await.unwrap();
    assert_eq!(page.events, [], "not before what may come in between");
    client
        .batch_execute("UPDATE payments SET code = 0 WHERE payment_id = 'late'; COMMIT")
        .await
        .unwrap();
    let events = read(&store, first[0].position, 9, 2).await;
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.record.id)).collect();
    assert_eq!(told, [(EventKind::Committed, late.id), (EventKind::Initiated, quick.id)]);
    store.close().await;
}

/// Rows that bear the ids of transactions of another server, which has gone further.
#[tokio::test]
async fn a_database_from_another_server_begins_its_events_anew() {
    let server = Server::start(&Options::default());
    let url = server.create_database().await;
    let store = open(&url).await;
    let run = store.start("one").await.unwrap();
    let payment = |number: u64| {
        record(run.transaction(run.first_sequence() + number), &format!("p{number}"), "sbi")
    };
    store.begin(payment(0)).await.unwrap();
    assert_eq!(store.follow("log").await.unwrap(), 0);
    store.start("two").await.unwrap();
    assert_eq!(read(&store, 0, 9, 1).await.len(), 1, "of this server: they stay");
    let client = store.batches.database().client().await.unwrap();
    let far = [
        "INSERT INTO outbox SELECT '1000000', size, events FROM outbox LIMIT 1",
        "UPDATE about SET removed = 1000000::bigint << 12",
        "UPDATE followers SET position = 1000000::bigint << 12",
    ];
    for (number, far) in (1..).zip(far) {
        store.follow("log").await.unwrap();
        client.batch_execute(far).await.unwrap();
        let (one, two) = (open(&url).await, open(&url).await);
        tokio::try_join!(one.start("three"), two.start("four")).unwrap();
        assert_eq!(
            one.outbox().await.unwrap(),
            Outbox { events: 0, followers: Vec::new() },
            "{far}"
        );
        assert_eq!(one.follow("log").await.unwrap(), 0);
        store.begin(payment(number)).await.unwrap();
        let events = read(&one, 0, 9, 1).await;
        let told: Vec<_> = events.iter().map(|event| event.record.id).collect();
        assert_eq!(told, [payment(number).id], "{far}");
        two.start("five").await.unwrap();
        assert_eq!(read(&one, 0, 9, 1).await, events, "once only");
    }
}

/// More than is counted, or removed, at once; by two gateways.
#[tokio::test]
async fn many_events_are_removed_up_to_the_newest() {
    const ROWS: u64 = 10_000;
    let server = Server::start(&Options::default());
    let url = server.create_database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    let client = one.batches.database().client().await.unwrap();
    // Each row by a transaction of its own, as far as its id goes.
    let rows = format!(
        "DO $$ DECLARE base bigint = pg_current_xact_id()::text::bigint; BEGIN \
         FOR number IN 1..{ROWS} LOOP BEGIN \
         INSERT INTO outbox VALUES ((base + number)::text::xid8, 2, ''); \
         EXCEPTION WHEN division_by_zero THEN END; END LOOP; END $$"
    );
    client.batch_execute(&rows).await.unwrap();
    let events = async |store: &Postgres| store.outbox().await.unwrap().events;
    assert_eq!(events(&two).await, 2 * ROWS, "whoever is the first to ask");
    while two.prune(2 * ROWS).await.unwrap() {}
    assert_eq!((events(&two).await, two.census.lock().await.events()), (2 * ROWS, 2 * ROWS));
    let mut calls = 1;
    while one.prune(999).await.unwrap() {
        calls += 1;
    }
    assert!((2..20).contains(&calls), "{calls}");
    assert_eq!(events(&one).await, 1000, "whole rows");
    let kept = client.query_one("SELECT sum(size) FROM outbox", &[]).await.unwrap();
    assert_eq!(kept.get::<_, i64>(0), 1000);
    assert!(!two.prune(2 * ROWS).await.unwrap());
    assert_eq!(events(&two).await, 1000, "what another gateway has removed");
    two.follow("log").await.unwrap();
    while one.prune(0).await.unwrap() {}
    assert_eq!(events(&one).await, 1000, "somebody follows");
    assert!(two.forget_follower("log").await.unwrap());
    while two.prune(0).await.unwrap() {}
    while one.prune(0).await.unwrap() {}
    assert_eq!((events(&one).await, events(&two).await), (2, 2));
}
