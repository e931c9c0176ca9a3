//! What gateways that are gone left undecided, where banks do not answer.

use super::*;
use crate::store::Begun;

/// Fences never get through, and one that is under way does not keep what is found later waiting.
#[tokio::test]
async fn banks_that_do_not_hear_of_fences_hold_up_nothing_that_is_taken_over() {
    let directory = TempDir::new().unwrap();
    let store = Embedded::open_shared(directory.path());
    let first = start(&store, &TestBanks::new(true), settings()).await;
    let one = start(&store, &TestBanks::new(false), settings()).await;
    let _asked = ask(&one, &order("p1", "sbi"));
    until_begun(&store, "p1").await;
    assert!(store.fence(first.run().number).await.unwrap());
    let banks = TestBanks::silent_to_fences();
    let two = start(&store, &banks, settings()).await;
    // By then it has begun to tell the banks of the first.
    assert_eq!(pay(&two, &order("p2", "sbi")).await.decision, Decision::Committed);
    assert!(store.fence(one.run().number).await.unwrap());
    two.shared.orphaned.notify_one();
    until(async || store.orphans(None, 1).await.unwrap().is_empty()).await;
    assert_eq!(pay(&two, &order("p1", "sbi")).await.decision, Decision::Aborted(Abort::presumed()));
    assert!(banks.0.fenced.lock().unwrap().is_empty(), "they have heard of it");
}

/// More payments within a bank that does not answer than it is asked about at once, or than may be under way.
#[tokio::test]
async fn what_is_taken_over_of_a_bank_that_is_away_takes_no_room_from_others() {
    const LEFT: u64 = 3_000;
    let directory = TempDir::new().unwrap();
    let store = Embedded::open_shared(directory.path());
    let gone = store.start("gone").await.unwrap();
    let id = |number| gone.transaction(gone.first_sequence() + number);
    let begun = (0..LEFT).map(|number| {
        let payment_id = format!("p{number}");
        store.begin(record(id(number), &payment_id, "icici"))
    });
    assert!(join_all(begun).await.into_iter().all(|begun| begun.unwrap() == Begun::Done));
    let mut last = (*record(id(LEFT), "last", "hdfc")).clone();
    last.order.from.bank = "hdfc".to_owned();
    assert_eq!(store.begin(Arc::new(last)).await.unwrap(), Begun::Done);
    assert!(store.fence(gone.number).await.unwrap());

    let banks = TestBanks::silent_to_transfers("icici");
    let few = Settings { payments_max: 2, ..settings() };
    let one = start(&store, &banks, few).await;
    let left = async || store.orphans(None, LEFT as usize + 1).await.unwrap().len() as u64;
    until(async || left().await == LEFT).await;
    let asked = banks.0.asked_to_move.lock().unwrap().len();
    assert_eq!(asked, 1_024 + 1, "so many at a bank, and the other bank's");
    assert_eq!(pay(&one, &between("new", "sbi", "hdfc")).await.decision, Decision::Committed);
    banks.0.silent_to_transfers.send_replace(None);
    until(async || left().await == 0).await;
    assert_eq!(banks.0.moved.lock().unwrap().len() as u64, LEFT + 1);
}
