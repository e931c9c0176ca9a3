//! Payments in the queue of gateways that stand still, share a store, or stop.

use super::*;
use crate::{
    queue::Queued,
    store::{Begun, Record},
};

fn quick(settings: Settings) -> Settings {
    let queue_interval = Duration::from_millis(5);
    Settings { queue_interval, queue_backoff: settings.backoff, ..settings }
}

/// Writes down the `number`th of many payments, which waits and is due.
async fn queued(store: &Embedded, run: Run, number: u64, banks: [&str; 2]) -> Order {
    // Beyond those that the gateway uses.
    let id = run.transaction(run.first_sequence() + 100_000 + number);
    let mut waits = (*record(id, &format!("p{number}"), banks[1])).clone();
    waits.order.from.bank = banks[0].to_owned();
    waits.order.queue_for_s = 3_600;
    waits.initiated_at_ms = crate::clock::now_ms();
    waits.state = State::Decided(Decision::Aborted(Abort::new(AbortReason::Timeout, "away")));
    waits.queued = Some(Queued { attempts: 1, due_ms: 0 });
    let order = waits.order.clone();
    assert_eq!(store.begin(Arc::new(waits)).await.unwrap(), Begun::Done);
    order
}

async fn known(store: &Embedded, payment_id: &str) -> Record {
    store.find(payment_id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_gateway_that_stood_still_does_not_say_queued_of_what_another_has_made() {
    let directory = TempDir::new().unwrap();
    let store = Embedded::open_shared(directory.path());
    let one = start(&store, &TestBanks::new(false), quick(settings())).await;
    let order = queued(&store, one.run(), 0, ["icici", "sbi"]).await;
    until(async || known(&store, "p0").await.state == State::Initiated).await;
    assert!(one.payment("p0").await.unwrap().unwrap().is_queued());
    assert!(store.fence(one.run().number).await.unwrap());
    let two = start(&store, &TestBanks::new(true), quick(soon())).await;
    let committed = State::Decided(Decision::Committed);
    until(async || known(&store, "p0").await.state == committed).await;
    let made = pay(&two, &order).await;
    assert_eq!(one.payment("p0").await.unwrap().unwrap().state, committed);
    assert_eq!(pay(&one, &order).await, made);
}

/// More than are looked at together wait for one bank, whose places are taken.
#[tokio::test]
async fn a_bank_that_does_not_answer_hides_nobody_else() {
    let directory = TempDir::new().unwrap();
    let store = Embedded::open_shared(directory.path());
    let banks = TestBanks::silent("hdfc");
    let settings = Settings { queue_attempts_max: 4, ..quick(soon()) };
    let one = start(&store, &banks, settings).await;
    join_all((0..1_000).map(|number| queued(&store, one.run(), number, ["axis", "hdfc"]))).await;
    queued(&store, one.run(), 1_000, ["icici", "sbi"]).await;
    let made = async || known(&store, "p1000").await.state == State::Decided(Decision::Committed);
    until(made).await;
}

#[tokio::test]
async fn a_gateway_that_stops_begins_no_further_attempts() {
    let directory = TempDir::new().unwrap();
    let store = Embedded::open_shared(directory.path());
    let banks = TestBanks::new(false);
    let settings = Settings { queue_attempts_max: 8, ..quick(soon()) };
    let one = start(&store, &banks, settings).await;
    for number in 0..50 {
        queued(&store, one.run(), number, ["icici", "sbi"]).await;
    }
    // Two at a bank at once.
    until(async || store.queued().await.unwrap() == 48).await;
    one.stop_queue();
    banks.open();
    tokio::time::timeout(NEVER, one.idle()).await.expect("it goes on and on");
    for number in 0..50 {
        let order = order(&format!("new {number}"), "icici");
        assert_eq!(pay(&one, &order).await.decision, Decision::Committed);
    }
    assert_eq!(store.queued().await.unwrap(), 48);
}

/// Longer than an attempt may take.
#[tokio::test]
async fn the_time_of_an_attempt_begins_when_the_one_before_is_released() {
    let directory = TempDir::new().unwrap();
    let store = Embedded::open_shared(directory.path());
    let payment_timeout = Duration::from_millis(500);
    let banks = TestBanks::slow_to_end(2 * payment_timeout);
    let one = start(&store, &banks, Settings { payment_timeout, ..quick(soon()) }).await;
    queued(&store, one.run(), 0, ["icici", "sbi"]).await;
    let made = async || known(&store, "p0").await.state == State::Decided(Decision::Committed);
    until(made).await;
}

/// Who finds the call wrong has not said that nothing is held.
#[tokio::test]
async fn no_attempt_is_begun_where_the_release_of_the_one_before_is_found_wrong() {
    let directory = TempDir::new().unwrap();
    let (store, banks) = (Embedded::open_shared(directory.path()), TestBanks::new(true));
    banks.0.finding_ends_wrong.send_replace(true);
    let one = start(&store, &banks, quick(settings())).await;
    queued(&store, one.run(), 0, ["icici", "sbi"]).await;
    let put_off = async || known(&store, "p0").await.queued.is_some_and(|place| place.attempts > 3);
    until(put_off).await;
    assert!(banks.0.prepared.lock().unwrap().is_empty());
    banks.0.finding_ends_wrong.send_replace(false);
    let made = async || known(&store, "p0").await.state == State::Decided(Decision::Committed);
    until(made).await;
}

async fn check_does_not_hold_up_its_partner(banks: TestBanks) {
    let directory = TempDir::new().unwrap();
    let store = Embedded::open_shared(directory.path());
    let settings = Settings { queue_attempts_max: 8, ..quick(settings()) };
    let one = start(&store, &banks, settings).await;
    for number in 0..50 {
        queued(&store, one.run(), number, ["axis", "hdfc"]).await;
    }
    queued(&store, one.run(), 50, ["axis", "icici"]).await;
    let made = async || known(&store, "p50").await.state == State::Decided(Decision::Committed);
    until(made).await;
}

#[tokio::test]
async fn a_bank_that_does_not_vote_does_not_hold_up_those_it_deals_with() {
    check_does_not_hold_up_its_partner(TestBanks::silent("hdfc")).await;
}

#[tokio::test]
async fn a_bank_that_does_not_release_does_not_hold_up_those_it_deals_with() {
    check_does_not_hold_up_its_partner(TestBanks::silent_to_ends("hdfc")).await;
}

/// It is looked for what is due but once.
#[tokio::test]
async fn the_queue_is_worked_as_fast_as_banks_answer() {
    let directory = TempDir::new().unwrap();
    let (store, banks) = (Embedded::open_shared(directory.path()), TestBanks::new(true));
    let one = start(&store, &banks, settings()).await;
    one.stop_queue();
    let all = (0..200).map(|number| queued(&store, one.run(), number, ["icici", "sbi"]));
    join_all(all).await;
    let settings = Settings { queue_interval: 10 * NEVER, queue_attempts_max: 8, ..soon() };
    let _two = start(&store, &banks, settings).await;
    until(async || store.queued().await.unwrap() == 0).await;
}
