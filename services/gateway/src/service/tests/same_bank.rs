//! Payments within one bank: the bank decides, and is asked until it says what.

use super::{
    fake_bank::{Batches, Fault, Method, State},
    system::{System, to_himself},
};
use strife_proto::gateway::v1::{AbortReason, Decision, PaymentState};

async fn check_moved_once(system: &System, amount: i64) {
    let answer = system.pay(to_himself("p1", amount)).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Committed);
    system.idle().await;
    let balances = (system.icici.balance("J1"), system.icici.balance("J2"));
    assert_eq!(balances, (1_000 - amount, amount));
}

#[tokio::test]
async fn one_call_moves_the_money() {
    let system = System::start().await;
    check_moved_once(&system, 300).await;
    assert_eq!(system.icici.read(|state| state.calls[&Method::Transfer]), 1);
    assert!(system.icici.read(|state| state.legs.is_empty()), "no two-phase commit");
    check_moved_once(&system, 300).await;
    assert_eq!(system.icici.read(|state| state.calls[&Method::Transfer]), 1);
}

#[tokio::test]
async fn a_refusal_is_the_answer() {
    let system = System::start().await;
    let answer = system.pay(to_himself("p1", 2_000)).await.unwrap();
    assert_eq!(answer.abort_reason(), AbortReason::InsufficientFunds);
    assert_eq!(answer.detail, "bank icici: too little");
    assert_eq!(system.pay(to_himself("p1", 2_000)).await.unwrap(), answer);
}

#[tokio::test]
async fn lost_answers_are_asked_for_again() {
    let system = System::start().await;
    system.icici.set(Method::Transfer, Fault::LoseAnswer(3));
    check_moved_once(&system, 300).await;
    assert_eq!(system.icici.read(|state| state.calls[&Method::Transfer]), 4);
}

#[tokio::test]
async fn who_was_turned_away_at_first_is_refused() {
    let system = System::start().await;
    system.icici.set(Method::Transfer, Fault::Deny);
    let answer = system.pay(to_himself("p1", 10)).await.unwrap();
    assert_eq!(answer.abort_reason(), AbortReason::Refused);
}

async fn check_not_guessed_about(later: Fault, batches: Batches) {
    let system = System::start().await;
    system.icici.take_batches(batches);
    system.icici.set(Method::Transfer, Fault::LoseAnswer(1));
    let mut client = system.client();
    let asked = tokio::spawn(async move { client.process_payment(to_himself("p1", 300)).await });
    system.icici.until(|state| state.balances["J2"] == 300).await;
    system.icici.set(Method::Transfer, later);
    let calls = system.icici.read(|state| state.calls[&Method::Transfer]);
    system.icici.until(|state| state.calls[&Method::Transfer] > calls + 2).await;
    system.icici.heal(Method::Transfer);
    let answer = asked.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.state(), PaymentState::Committed);
    check_moved_once(&system, 300).await;
}

#[tokio::test]
async fn who_is_turned_away_after_a_lost_answer_is_not_guessed_about() {
    check_not_guessed_about(Fault::Deny, Batches::Taken).await;
}

#[tokio::test]
async fn what_is_found_wrong_after_a_lost_answer_is_not_guessed_about() {
    check_not_guessed_about(Fault::Invalid, Batches::Unknown).await;
}

/// A hurried client, a silent bank, then a crash: the payment stays open until the bank speaks.
#[tokio::test]
async fn nothing_is_decided_until_the_bank_says_so() {
    let mut system = System::start().await;
    system.icici.set(Method::Transfer, Fault::Silent);
    let transaction_id = system.hurry(to_himself("p1", 300)).await;
    assert_eq!(system.decision(&transaction_id).await.unwrap(), Decision::StillActive);
    system.restart().await;
    assert_eq!(system.until_initiated("p1").await, transaction_id);
    assert_eq!(system.decision(&transaction_id).await.unwrap(), Decision::StillActive);
    let calls = |state: &State| state.calls.get(&Method::Transfer).copied().unwrap_or(0);
    let before = system.icici.read(calls);
    system.icici.until(|state| calls(state) > before).await;
    system.icici.heal(Method::Transfer);
    check_moved_once(&system, 300).await;
}

#[tokio::test]
async fn a_crash_after_the_bank_moved_the_money() {
    let mut system = System::start().await;
    system.icici.set(Method::Transfer, Fault::LoseAnswer(u32::MAX));
    let mut client = system.client();
    let asked = tokio::spawn(async move { client.process_payment(to_himself("p1", 300)).await });
    system.icici.until(|state| state.balances["J2"] == 300).await;
    system.crash();
    asked.await.unwrap().unwrap_err();
    // What an unknown past forbids to guess from.
    system.icici.set(Method::Transfer, Fault::Deny);
    system.boot_again().await;
    let calls = system.icici.read(|state| state.calls[&Method::Transfer]);
    system.icici.until(|state| state.calls[&Method::Transfer] > calls + 1).await;
    system.icici.heal(Method::Transfer);
    check_moved_once(&system, 300).await;
}
