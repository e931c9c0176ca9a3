//! Payments that are made: once, whatever gets lost on the way.

use strife_proto::gateway::v1::{Decision, PaymentState};
use tonic::Code;

use super::{
    fake_bank::{Fault, LegState, Method, NEVER},
    system::{System, payment, to_jane},
};
use crate::payment::Leg;

#[tokio::test]
async fn money_moves_between_two_banks() {
    let system = System::start().await;
    let answer = system.pay(to_jane("p1", 300)).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Committed);
    assert_eq!(system.decision(&answer.transaction_id).await.unwrap(), Decision::Commit);
    system.idle().await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (700, 800));
    assert_eq!(system.pay(to_jane("p1", 300)).await.unwrap(), answer, "asked again");
    system.idle().await;
    assert_eq!(system.icici.balance("J1"), 700);
}

#[tokio::test]
async fn fifty_at_once_with_one_id_move_money_once() {
    let system = System::start().await;
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::Silent);
    let client = system.client();
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.process_payment(to_jane("p1", 10)).await })
        })
        .collect();
    system.icici.until_all(Leg::Debit, LegState::Prepared, 1).await;
    let changed = system.pay(to_jane("p1", 11)).await.unwrap_err();
    assert_eq!(changed.code(), Code::AlreadyExists, "while it is under way");
    system.sbi.heal(Method::Prepare(Leg::Credit));
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap().unwrap().into_inner());
    }
    assert_eq!(answers[0].state(), PaymentState::Committed);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    system.idle().await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (990, 510));
    assert_eq!(system.history("john", 0, "").await.unwrap().payments.len(), 1);
}

#[tokio::test]
async fn an_id_is_for_one_payment_only() {
    let system = System::start().await;
    system.pay(to_jane("p1", 10)).await.unwrap();
    for other in [
        to_jane("p1", 11),
        payment("p1", "john", ("icici", "J1"), ("sbi", "J3"), 10),
        payment("p1", "john", ("icici", "J2"), ("sbi", "A1"), 10),
        payment("p1", "jane", ("icici", "A2"), ("sbi", "A1"), 10),
    ] {
        let refused = system.pay(other).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    }
}

#[tokio::test]
async fn votes_are_asked_for_until_they_come() {
    let system = System::start().await;
    system.icici.set(Method::Prepare(Leg::Debit), Fault::Unavailable(3));
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::LoseAnswer(3));
    let answer = system.pay(to_jane("p1", 300)).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Committed);
    let asked = |bank: &super::fake_bank::FakeBank, leg| {
        bank.read(|state| state.calls[&Method::Prepare(leg)])
    };
    assert_eq!(asked(&system.icici, Leg::Debit), 4);
    assert_eq!(asked(&system.sbi, Leg::Credit), 4);
    system.idle().await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (700, 800));
}

#[tokio::test]
async fn banks_are_told_to_commit_until_they_do() {
    let system = System::start().await;
    system.icici.set(Method::Commit(Leg::Debit), Fault::LoseAnswer(7));
    system.sbi.set(Method::Commit(Leg::Credit), Fault::Unavailable(20));
    let answer = system.pay(to_jane("p1", 300)).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Committed, "answered before the banks know");
    system.sbi.until_all(Leg::Credit, LegState::Committed, 1).await;
    system.icici.until_all(Leg::Debit, LegState::Committed, 1).await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (700, 800));
}

#[tokio::test]
async fn a_client_that_leaves_changes_nothing() {
    let system = System::start().await;
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::Silent);
    let mut client = system.client();
    let asked = tokio::spawn(async move { client.process_payment(to_jane("p1", 10)).await });
    system.until_initiated("p1").await;
    asked.abort();
    system.sbi.heal(Method::Prepare(Leg::Credit));
    system.sbi.until_all(Leg::Credit, LegState::Committed, 1).await;
    let answer = system.pay(to_jane("p1", 10)).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Committed);
}

#[tokio::test]
async fn a_client_in_a_hurry_is_told_to_ask_again() {
    let system = System::start().await;
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::Silent);
    let mut request = tonic::Request::new(to_jane("p1", 10));
    request.metadata_mut().insert("grpc-timeout", "100m".parse().unwrap());
    let hurried = system.client().process_payment(request).await.unwrap_err();
    assert!(matches!(hurried.code(), Code::DeadlineExceeded | Code::Cancelled), "{hurried}");
    system.sbi.heal(Method::Prepare(Leg::Credit));
    let answer = system.pay(to_jane("p1", 10)).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Committed);
}

#[tokio::test]
async fn no_more_payments_than_may_be_are_under_way() {
    let settings = crate::coordinator::Settings { payments_max: 1, ..super::system::quick() };
    let plaintext = strife_runtime::Security::Plaintext;
    let banks = [plaintext.clone(), plaintext.clone()];
    let system = System::start_with(settings, plaintext, banks).await;
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::Silent);
    let mut client = system.client();
    let first = tokio::spawn(async move { client.process_payment(to_jane("p1", 10)).await });
    system.until_initiated("p1").await;
    let refused = system.pay(to_jane("p2", 10)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    system.sbi.heal(Method::Prepare(Leg::Credit));
    tokio::time::timeout(NEVER, first).await.unwrap().unwrap().unwrap();
    assert_eq!(system.pay(to_jane("p2", 10)).await.unwrap().state(), PaymentState::Committed);
}
