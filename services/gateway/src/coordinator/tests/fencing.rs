//! Banks that take a gateway's run to be gone: rightly, wrongly, alone and together.

use super::*;

fn refuse(banks: &TestBanks, refusing: impl IntoIterator<Item = &'static str>) {
    banks.0.refusing.send_replace(refusing.into_iter().collect());
}

/// As on an older copy of a store: the banks know of a run of this number that it is gone.
#[tokio::test]
async fn a_gateway_whose_run_the_banks_refuse_ends_and_answers_nobody() {
    let directory = TempDir::new().unwrap();
    let (store, banks) = (Embedded::open_shared(directory.path()), TestBanks::new(true));
    let one = start(&store, &banks, settings()).await;
    refuse(&banks, ["icici", "sbi"]);
    let asked = ask(&one, &order("p1", "sbi"));
    let both = ["icici", "sbi"].map(str::to_owned).to_vec();
    assert_eq!(one.fenced().await, FencedBy::Banks(both));
    assert!(!asked.is_finished(), "a gateway that is refused answers nobody");
    asked.abort();
    // Where the store says the same, it is another gateway that has taken over, whoever says it.
    let two = start(&store, &banks, settings()).await;
    assert!(store.fence(two.run().number).await.unwrap());
    refuse(&banks, ["sbi"]);
    let _asked = ask(&two, &order("p2", "sbi"));
    assert_eq!(two.fenced().await, FencedBy::Store);
    // The next run is later.
    refuse(&banks, []);
    let three = start(&store, &banks, settings()).await;
    assert_eq!(pay(&three, &order("p3", "sbi")).await.decision, Decision::Committed);
}

#[tokio::test]
async fn a_bank_that_is_alone_in_refusing_stops_its_own_payments_only() {
    let directory = TempDir::new().unwrap();
    let (store, banks) = (Embedded::open_shared(directory.path()), TestBanks::new(true));
    let one = start(&store, &banks, settings()).await;
    refuse(&banks, ["sbi"]);
    let orders = [
        between("p1", "icici", "sbi"),
        between("p2", "sbi", "icici"),
        between("p3", "hdfc", "sbi"),
    ];
    for order in orders {
        let Decision::Aborted(abort) = pay(&one, &order).await.decision else {
            panic!("{order:?} is made");
        };
        assert_eq!(abort.reason, AbortReason::GatewayRefused);
        assert!(abort.detail.contains("bank sbi") && abort.detail.contains("FENCED"), "{abort:?}");
        let between = between(&format!("{} too", order.payment_id), "icici", "hdfc");
        assert_eq!(pay(&one, &between).await.decision, Decision::Committed);
    }
    assert_eq!(one.refusing_banks(), ["sbi"]);
    refuse(&banks, []);
    assert_eq!(pay(&one, &order("p4", "sbi")).await.decision, Decision::Committed);
    assert!(one.refusing_banks().is_empty());
    assert!(one.shared.store.beat(one.run().number).await.unwrap());
}

/// Whether the bank errs is not known before another one was heard.
#[tokio::test]
async fn nobody_is_told_of_a_refusal_before_another_bank_was_heard() {
    let directory = TempDir::new().unwrap();
    let store = Embedded::open_shared(directory.path());
    let banks = TestBanks::silent("hdfc");
    let one = start(&store, &banks, settings()).await;
    refuse(&banks, ["sbi"]);
    let asked = ask(&one, &between("p1", "hdfc", "sbi"));
    until(async || one.refusing_banks() == ["sbi"]).await;
    until_begun(&store, "p1").await;
    assert!(!asked.is_finished());
    assert_eq!(pay(&one, &between("p2", "icici", "axis")).await.decision, Decision::Committed);
    let told = asked.await.unwrap().unwrap().decision;
    let Decision::Aborted(abort) = told else { panic!("{told:?}") };
    assert_eq!(abort.reason, AbortReason::GatewayRefused);
}
