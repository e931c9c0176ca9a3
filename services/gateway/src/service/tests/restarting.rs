//! A crash at every step between two banks.

use strife_proto::gateway::v1::{AbortReason, Decision, PaymentState};

use super::{
    fake_bank::{Fault, LegState, Method},
    system::{System, to_jane},
};
use crate::payment::Leg;

/// Pays p1 in the background, forgetting whatever the client is told.
fn pay_p1(system: &System) {
    let mut client = system.client();
    tokio::spawn(async move { client.process_payment(to_jane("p1", 300)).await });
}

async fn check_aborted_by_restart(system: &System, transaction_id: &str) {
    assert_eq!(system.decision(transaction_id).await.unwrap(), Decision::Abort);
    let answer = system.pay(to_jane("p1", 300)).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Aborted);
    assert_eq!(answer.abort_reason(), AbortReason::Restart);
    assert_eq!(answer.transaction_id, transaction_id);
    system.idle().await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (1_000, 500));
}

async fn check_committed(system: &System) {
    system.icici.until_all(Leg::Debit, LegState::Committed, 1).await;
    system.sbi.until_all(Leg::Credit, LegState::Committed, 1).await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (700, 800));
}

#[tokio::test]
async fn before_any_vote() {
    let mut system = System::start().await;
    system.icici.set(Method::Prepare(Leg::Debit), Fault::Unavailable(u32::MAX));
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::Unavailable(u32::MAX));
    pay_p1(&system);
    let transaction_id = system.until_initiated("p1").await;
    system.restart().await;
    check_aborted_by_restart(&system, &transaction_id).await;
}

#[tokio::test]
async fn after_one_vote() {
    let mut system = System::start().await;
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::Unavailable(u32::MAX));
    pay_p1(&system);
    let transaction_id = system.until_initiated("p1").await;
    assert_eq!(system.decision(&transaction_id).await.unwrap(), Decision::StillActive);
    system.icici.until_all(Leg::Debit, LegState::Prepared, 1).await;
    system.restart().await;
    system.icici.until_all(Leg::Debit, LegState::Aborted, 1).await;
    system.sbi.until_all(Leg::Credit, LegState::Aborted, 1).await;
    check_aborted_by_restart(&system, &transaction_id).await;
}

#[tokio::test]
async fn after_both_prepared_but_one_vote_never_came() {
    let mut system = System::start().await;
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::LoseAnswer(u32::MAX));
    pay_p1(&system);
    let transaction_id = system.until_initiated("p1").await;
    system.icici.until_all(Leg::Debit, LegState::Prepared, 1).await;
    system.sbi.until_all(Leg::Credit, LegState::Prepared, 1).await;
    system.restart().await;
    check_aborted_by_restart(&system, &transaction_id).await;
}

#[tokio::test]
async fn after_the_decision_with_no_bank_told() {
    let mut system = System::start().await;
    system.icici.set(Method::Commit(Leg::Debit), Fault::Unavailable(u32::MAX));
    system.sbi.set(Method::Commit(Leg::Credit), Fault::Unavailable(u32::MAX));
    let answer = system.pay(to_jane("p1", 300)).await.unwrap();
    system.restart().await;
    assert_eq!(system.decision(&answer.transaction_id).await.unwrap(), Decision::Commit);
    system.icici.heal(Method::Commit(Leg::Debit));
    system.sbi.heal(Method::Commit(Leg::Credit));
    check_committed(&system).await;
    assert_eq!(system.pay(to_jane("p1", 300)).await.unwrap(), answer);
}

#[tokio::test]
async fn after_one_bank_committed() {
    let mut system = System::start().await;
    system.sbi.set(Method::Commit(Leg::Credit), Fault::Unavailable(u32::MAX));
    let answer = system.pay(to_jane("p1", 300)).await.unwrap();
    system.icici.until_all(Leg::Debit, LegState::Committed, 1).await;
    system.restart().await;
    system.sbi.heal(Method::Commit(Leg::Credit));
    check_committed(&system).await;
    assert_eq!(system.pay(to_jane("p1", 300)).await.unwrap(), answer);
}

#[tokio::test]
async fn after_all_is_done_every_answer_stays() {
    let mut system = System::start().await;
    let committed = system.pay(to_jane("p1", 300)).await.unwrap();
    let aborted = system.pay(to_jane("p2", 5_000)).await.unwrap();
    system.idle().await;
    for _ in 0..2 {
        system.restart().await;
        assert_eq!(system.pay(to_jane("p1", 300)).await.unwrap(), committed);
        assert_eq!(system.pay(to_jane("p2", 5_000)).await.unwrap(), aborted);
    }
    check_committed(&system).await;
    let names = system.history("john", 0, "").await.unwrap().payments.into_iter();
    assert_eq!(names.map(|payment| payment.payment_id).collect::<Vec<_>>(), ["p2", "p1"]);
}

/// The run before had asked for the money, and there was no row of it yet.
#[tokio::test]
async fn what_the_bank_holds_for_the_attempt_before_is_no_reason_to_refuse() {
    let mut system = System::start().await;
    system.crash();
    system.icici.hold("before", "J1", 1_000);
    system.boot_again().await;
    let mut client = system.client();
    let asked = tokio::spawn(async move { client.process_payment(to_jane("p1", 1_000)).await });
    let prepare = Method::Prepare(Leg::Debit);
    system.icici.until(|state| state.calls.get(&prepare).is_some_and(|calls| *calls > 1)).await;
    // Whoever could not pay even with what is held is told so.
    let refused = system.pay(to_jane("p2", 1_001)).await.unwrap();
    assert_eq!(refused.abort_reason(), AbortReason::InsufficientFunds);
    assert!(!asked.is_finished());
    system.icici.abort_by_itself(Leg::Debit, "before");
    let answer = asked.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.state(), PaymentState::Committed);
    system.settled().await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (0, 1_500));
    assert_eq!(system.pay(to_jane("p1", 1_000)).await.unwrap(), answer);
}
