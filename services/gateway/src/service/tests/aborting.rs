//! Payments that are not made, and leave nothing behind.

use std::time::Duration;

use strife_proto::gateway::v1::{AbortReason, Decision, PaymentRequest, PaymentState};

use super::{
    fake_bank::{Fault, LegState, Method},
    system::{System, payment, quick, to_jane},
};
use crate::{coordinator::Settings, payment::Leg};

/// The payment aborts for `expected`, the same way each time, and no money moves.
async fn check_aborted(system: &System, request: PaymentRequest, expected: AbortReason) -> String {
    let before = system.total();
    let answer = system.pay(request.clone()).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Aborted);
    assert_eq!(answer.abort_reason(), expected, "{}", answer.detail);
    assert_eq!(system.pay(request).await.unwrap(), answer, "asked again");
    assert_eq!(system.decision(&answer.transaction_id).await.unwrap(), Decision::Abort);
    system.idle().await;
    assert_eq!(system.total(), before);
    answer.detail
}

#[tokio::test]
async fn a_refused_debit_releases_the_credit() {
    let system = System::start().await;
    let detail = check_aborted(&system, to_jane("p1", 1_001), AbortReason::InsufficientFunds).await;
    assert_eq!(detail, "bank icici: INSUFFICIENT_FUNDS");
    system.sbi.until_all(Leg::Credit, LegState::Aborted, 1).await;
}

#[tokio::test]
async fn a_refused_credit_releases_the_hold() {
    let system = System::start().await;
    let unknown = payment("p1", "john", ("icici", "J1"), ("sbi", "nobody"), 10);
    check_aborted(&system, unknown, AbortReason::UnknownAccount).await;
    system.icici.until_all(Leg::Debit, LegState::Aborted, 1).await;
    assert_eq!(system.icici.balance("J1"), 1_000);
}

#[tokio::test]
async fn a_bank_that_turns_the_call_away_votes_no() {
    let system = System::start().await;
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::Deny);
    check_aborted(&system, to_jane("p1", 10), AbortReason::Refused).await;
}

#[tokio::test]
async fn silence_ends_in_a_timeout_and_tombstones() {
    // Long enough for the other bank to vote, also on a busy machine.
    let settings = Settings { payment_timeout: Duration::from_secs(5), ..quick() };
    let plaintext = strife_runtime::Security::Plaintext;
    let banks = [plaintext.clone(), plaintext.clone()];
    let system = System::start_with(settings, plaintext, banks).await;
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::Silent);
    let detail = check_aborted(&system, to_jane("p1", 10), AbortReason::Timeout).await;
    assert_eq!(detail, "the receiving bank gave no vote in time");
    system.icici.until_all(Leg::Debit, LegState::Aborted, 1).await;
    system.sbi.until_all(Leg::Credit, LegState::Aborted, 1).await;
    system.sbi.heal(Method::Prepare(Leg::Credit));
    system.sbi.until_all(Leg::Credit, LegState::Aborted, 1).await;
    assert_eq!(system.sbi.balance("A1"), 500);
}
