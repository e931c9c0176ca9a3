//! What gateways that are gone left undecided, where banks do not answer.

use super::*;

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
    assert_eq!(store.runs().await.unwrap().len(), 3, "no bank knows that two of them are gone");
}
