//! A bank that is away: its payments wait, and only its own.

use strife_proto::gateway::v1::{PaymentRequest, PaymentResponse, PaymentState};
use strife_runtime::Security;
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status};

use super::{
    fake_bank::{Fault, Method, NEVER},
    system::{System, payment, quick, to_himself},
};
use crate::{coordinator::Settings, payment::Leg};

type Asked = JoinHandle<Result<Response<PaymentResponse>, Status>>;

/// A gateway where `icici` is away and two payments, no more, may wait for one bank.
async fn system() -> System {
    let settings = Settings { payments_max: 4, payments_per_bank_max: 2, ..quick() };
    let plain = || Security::Plaintext;
    let system = System::start_with(settings, plain(), [plain(), plain()]).await;
    for method in [Method::Transfer, Method::Prepare(Leg::Debit), Method::Prepare(Leg::Credit)] {
        system.icici.set(method, Fault::Silent);
    }
    system
}

fn return_icici(system: &System) {
    for method in [Method::Transfer, Method::Prepare(Leg::Debit), Method::Prepare(Leg::Credit)] {
        system.icici.heal(method);
    }
}

/// Pays in the background; returns once the payment is under way.
async fn begin(system: &System, request: PaymentRequest) -> Asked {
    let (mut client, id) = (system.client(), request.payment_id.clone());
    let asked = tokio::spawn(async move { client.process_payment(request).await });
    system.until_initiated(&id).await;
    asked
}

/// Jane pays John, at sbi alone.
fn at_sbi(payment_id: &str) -> PaymentRequest {
    payment(payment_id, "jane", ("sbi", "A1"), ("sbi", "J3"), 1)
}

/// Jane pays John, sbi to icici.
fn to_icici(payment_id: &str) -> PaymentRequest {
    payment(payment_id, "jane", ("sbi", "A1"), ("icici", "J2"), 1)
}

async fn check_refused_by_name(system: &System, request: PaymentRequest) {
    let refused = system.pay(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("`icici`"), "{refused}");
}

async fn check_committed(asked: Asked) {
    let answer = tokio::time::timeout(NEVER, asked).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.into_inner().state(), PaymentState::Committed);
}

#[tokio::test]
async fn payments_within_a_bank_that_is_away_stop_nobody_elses() {
    let system = system().await;
    let first = begin(&system, to_himself("p1", 1)).await;
    let second = begin(&system, to_himself("p2", 1)).await;
    check_refused_by_name(&system, to_himself("p3", 1)).await;
    check_refused_by_name(&system, to_icici("p3")).await;
    for number in 0..10 {
        let answer = system.pay(at_sbi(&format!("sbi-{number}"))).await.unwrap();
        assert_eq!(answer.state(), PaymentState::Committed);
    }
    return_icici(&system);
    check_committed(first).await;
    check_committed(second).await;
    assert_eq!(system.pay(to_himself("p3", 1)).await.unwrap().state(), PaymentState::Committed);
}

#[tokio::test]
async fn payments_to_a_bank_that_is_away_leave_the_other_bank_free() {
    let system = system().await;
    let first = begin(&system, to_icici("p1")).await;
    let second = begin(&system, to_icici("p2")).await;
    // Once sbi has voted nothing waits for it; until then it too has no place left.
    let free = async {
        while let Err(refused) = system.pay(at_sbi("p3")).await {
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        }
    };
    tokio::time::timeout(NEVER, free).await.expect("sbi has no place for its own payments");
    check_refused_by_name(&system, to_icici("p4")).await;
    return_icici(&system);
    check_committed(first).await;
    check_committed(second).await;
}

#[tokio::test]
async fn a_restart_keeps_the_places_of_what_it_takes_up_again() {
    let mut system = system().await;
    let asked =
        [begin(&system, to_himself("p1", 1)).await, begin(&system, to_himself("p2", 1)).await];
    asked.iter().for_each(JoinHandle::abort);
    system.restart().await;
    check_refused_by_name(&system, to_himself("p3", 1)).await;
    assert_eq!(system.pay(at_sbi("p4")).await.unwrap().state(), PaymentState::Committed);
    return_icici(&system);
    for id in ["p1", "p2"] {
        let answer = system.pay(to_himself(id, 1)).await.unwrap();
        assert_eq!(answer.state(), PaymentState::Committed);
    }
}
