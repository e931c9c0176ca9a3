//! Payments that are kept while a bank is away: answered QUEUED, made once when it is back, or expired.

use std::time::Duration;

use futures_util::future::join_all;
use strife_proto::gateway::v1::{
    AbortReason, Decision, PaymentRequest, PaymentResponse, PaymentState,
};
use strife_runtime::Security;
use tonic::Code;

use super::{
    fake_bank::{Fault, LegState, Method, NEVER},
    system::{System, payment, quick, to_himself, to_jane},
};
use crate::{coordinator::Settings, payment::Leg, retry::Backoff};

/// Soon, and long enough for a bank that is there to vote, also on a busy machine.
const SOON: Duration = Duration::from_secs(1);

/// A gateway that gives up on banks soon.
async fn system() -> System {
    start(Settings { payment_timeout: SOON, ..quick() }).await
}

async fn start(settings: Settings) -> System {
    let plain = || Security::Plaintext;
    System::start_with(settings, plain(), [plain(), plain()]).await
}

/// Credits are not promised at sbi.
fn take_sbi_away(system: &System) {
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::Unavailable(u32::MAX));
}

fn return_sbi(system: &System) {
    system.sbi.heal(Method::Prepare(Leg::Credit));
}

/// To be kept for as long as any test takes.
fn patient(request: PaymentRequest) -> PaymentRequest {
    kept_for(600, request)
}

fn kept_for(queue_for_s: u32, request: PaymentRequest) -> PaymentRequest {
    PaymentRequest { queue_for_s, ..request }
}

async fn check_queued(system: &System, request: PaymentRequest) -> PaymentResponse {
    let answer = system.pay(request).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Queued, "{answer:?}");
    assert!(answer.attempts > 0 && answer.expires_at_ms > answer.next_attempt_at_ms, "{answer:?}");
    answer
}

/// Waits until the payment is over.
async fn end(system: &System, request: &PaymentRequest) -> PaymentResponse {
    let ended = async {
        loop {
            let known = system.known(&request.payment_id, &request.user).await.unwrap();
            if known.state() != PaymentState::Queued {
                return known;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let known = tokio::time::timeout(NEVER, ended).await.expect("it stays in the queue");
    assert_eq!(system.pay(request.clone()).await.unwrap(), known, "the same answer");
    known
}

/// As a bank does that was not told of an abort, because the gateway was gone: it asks.
async fn release_aborted(system: &System) {
    let prepared = system.icici.read(|state| {
        let prepared = state.legs.iter().filter(|(_, state)| **state == LegState::Prepared);
        prepared.map(|((id, leg), _)| (id.clone(), *leg)).collect::<Vec<_>>()
    });
    for (id, leg) in prepared {
        assert_eq!(system.decision(&id).await.unwrap(), Decision::Abort);
        system.icici.abort_by_itself(leg, &id);
    }
}

#[tokio::test]
async fn a_payment_waits_for_its_bank_and_is_made_once() {
    let system = system().await;
    let total = system.total();
    take_sbi_away(&system);
    let request = patient(to_jane("p1", 300));
    let queued = check_queued(&system, request.clone()).await;
    for other in [to_jane("p1", 300), patient(to_jane("p1", 301)), kept_for(9, to_jane("p1", 300))]
    {
        let refused = system.pay(other).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    }
    let asked = join_all((0..20).map(|_| check_queued(&system, request.clone()))).await;
    assert!(asked.iter().all(|answer| answer.expires_at_ms == queued.expires_at_ms));
    assert_eq!(system.known("p1", "john").await.unwrap().state(), PaymentState::Queued);
    for user in ["john", "jane"] {
        let payments = system.history(user, 0, "").await.unwrap().payments;
        let shown: Vec<_> =
            payments.iter().map(|entry| (entry.state(), entry.attempts > 0)).collect();
        assert_eq!(shown, [(PaymentState::Queued, true)], "once");
    }
    return_sbi(&system);
    assert_eq!(end(&system, &request).await.state(), PaymentState::Committed);
    assert_eq!(system.queued().await, 0);
    system.settled().await;
    system.idle().await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (700, 800));
    assert_eq!(system.total(), total);
    let history = system.history("jane", 0, "").await.unwrap().payments;
    assert_eq!(history.len(), 1);
    let committed = |state: &&LegState| **state == LegState::Committed;
    assert_eq!(system.sbi.read(|state| state.legs.values().filter(committed).count()), 1);
}

/// All that a bank is asked for a credit.
const OF_CREDITS: [Method; 3] =
    [Method::Prepare(Leg::Credit), Method::Commit(Leg::Credit), Method::Abort(Leg::Credit)];

/// Payments wait for sbi, which is known to be away. By themselves they are not tried again while the test lasts.
async fn system_with_a_queue() -> (System, Vec<PaymentRequest>) {
    // Longer than anything takes once the bank is back, and than it takes to be away.
    let payment_timeout = Duration::from_secs(3);
    let queue_backoff = Backoff { first: 5 * NEVER, most: 5 * NEVER };
    let system = start(Settings { payment_timeout, queue_backoff, ..quick() }).await;
    let healthy = system.pay(to_jane("before", 1)).await.unwrap();
    assert_eq!(healthy.state(), PaymentState::Committed);
    for method in OF_CREDITS {
        system.sbi.set(method, Fault::Unavailable(u32::MAX));
    }
    let requests: Vec<_> = (0..20).map(|n| patient(to_jane(&format!("p{n}"), 1))).collect();
    for request in &requests {
        check_queued(&system, request.clone()).await;
    }
    assert!(system.is_away("sbi"));
    (system, requests)
}

async fn check_all_made(system: &System, requests: &[PaymentRequest]) {
    for request in requests {
        assert_eq!(end(system, request).await.state(), PaymentState::Committed);
    }
}

#[tokio::test]
async fn what_waits_for_a_bank_goes_on_when_it_is_back_though_it_is_not_due() {
    let (system, requests) = system_with_a_queue().await;
    OF_CREDITS.into_iter().for_each(|method| system.sbi.heal(method));
    check_all_made(&system, &requests).await;
}

/// It does not know which bank was away: whatever is the first to be answered there says that it is back.
#[tokio::test]
async fn what_waited_for_a_bank_goes_on_after_a_restart_once_the_bank_answers() {
    let (mut system, requests) = system_with_a_queue().await;
    system.crash();
    OF_CREDITS.into_iter().for_each(|method| system.sbi.heal(method));
    system.boot_again().await;
    let other = system.pay(to_jane("another", 1)).await.unwrap();
    assert_eq!(other.state(), PaymentState::Committed);
    check_all_made(&system, &requests).await;
}

#[tokio::test]
async fn what_is_queued_outlives_the_gateway() {
    let mut system = system().await;
    let total = system.total();
    take_sbi_away(&system);
    let requests: Vec<_> =
        (0..20).map(|number| patient(to_jane(&format!("p{number}"), 10))).collect();
    join_all(requests.iter().map(|request| check_queued(&system, request.clone()))).await;
    for _ in 0..2 {
        system.restart().await;
        for request in &requests {
            check_queued(&system, request.clone()).await;
        }
    }
    return_sbi(&system);
    for request in &requests {
        assert_eq!(end(&system, request).await.state(), PaymentState::Committed);
    }
    system.settled().await;
    system.idle().await;
    release_aborted(&system).await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (800, 700));
    assert_eq!(system.total(), total);
}

#[tokio::test]
async fn what_was_under_way_when_the_gateway_stopped_is_queued() {
    let mut system = start(quick()).await;
    take_sbi_away(&system);
    let request = patient(to_jane("p1", 300));
    let (mut client, asked) = (system.client(), request.clone());
    tokio::spawn(async move { client.process_payment(asked).await });
    let first = system.until_initiated("p1").await;
    system.restart().await;
    let answer = system.pay(request.clone()).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Queued, "{answer:?}");
    return_sbi(&system);
    let made = end(&system, &request).await;
    assert_eq!(made.state(), PaymentState::Committed);
    assert_ne!(made.transaction_id, first, "another attempt");
    system.settled().await;
    system.icici.until_all(Leg::Debit, LegState::Committed, 1).await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (700, 800));
}

#[tokio::test]
async fn a_payment_that_cannot_be_made_in_time_expires_for_good() {
    let mut system = system().await;
    take_sbi_away(&system);
    let request = kept_for(5, to_jane("p1", 300));
    check_queued(&system, request.clone()).await;
    let expired = end(&system, &request).await;
    assert_eq!(expired.state(), PaymentState::Aborted);
    assert_eq!(expired.abort_reason(), AbortReason::Expired);
    let parts = ["within 5 s, in ", "; the last: TIMEOUT, the receiving bank gave no vote in time"];
    assert!(parts.iter().all(|part| expired.detail.contains(part)), "{expired:?}");
    return_sbi(&system);
    system.restart().await;
    assert_eq!(system.pay(request).await.unwrap(), expired);
    assert_eq!(system.queued().await, 0);
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (1_000, 500));
}

#[tokio::test]
async fn what_a_bank_refuses_is_answered_at_once_and_after_waiting() {
    let system = system().await;
    let refused = system.pay(patient(to_jane("p1", 5_000))).await.unwrap();
    assert_eq!(refused.abort_reason(), AbortReason::InsufficientFunds);
    let nobody = payment("p2", "john", ("icici", "J1"), ("sbi", "nobody"), 1);
    let refused = system.pay(patient(nobody)).await.unwrap();
    assert_eq!(refused.abort_reason(), AbortReason::UnknownAccount);

    system.icici.set(Method::Prepare(Leg::Debit), Fault::Unavailable(u32::MAX));
    let request = patient(to_jane("p3", 900));
    check_queued(&system, request.clone()).await;
    let spent = system.pay(to_himself("p4", 500)).await.unwrap();
    assert_eq!(spent.state(), PaymentState::Committed);
    system.icici.heal(Method::Prepare(Leg::Debit));
    let refused = end(&system, &request).await;
    assert_eq!(refused.state(), PaymentState::Aborted);
    assert_eq!(refused.abort_reason(), AbortReason::InsufficientFunds);
    let plain = system.pay(to_jane("p5", 5)).await.unwrap();
    assert_eq!(plain.state(), PaymentState::Committed);
}

/// All of John's money is held by an attempt whose vote was lost, and of whose abort the bank hears late.
#[tokio::test]
async fn a_payment_does_not_stand_in_its_own_way() {
    let system = system().await;
    let (prepare, abort) = (Method::Prepare(Leg::Debit), Method::Abort(Leg::Debit));
    system.icici.set(prepare, Fault::LoseAnswer(u32::MAX));
    system.icici.set(abort, Fault::Unavailable(u32::MAX));
    let request = patient(to_jane("p1", 1_000));
    check_queued(&system, request.clone()).await;
    let told = system.icici.read(|state| state.calls.get(&abort).copied().unwrap_or_default());
    system.icici.heal(prepare);
    let often = told + 2 * system.settings.phase_two_attempts;
    system.icici.until(|state| state.calls.get(&abort) > Some(&often)).await;
    check_queued(&system, request.clone()).await;
    assert_eq!(system.icici.read(|state| state.legs.len()), 1, "a hold beside a hold");
    system.icici.heal(abort);
    let made = end(&system, &request).await;
    assert_eq!(made.state(), PaymentState::Committed, "{made:?}");
    system.settled().await;
    system.idle().await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (0, 1_500));
}

/// Within a bank, too, it can be taken back and tried again.
#[tokio::test]
async fn a_payment_within_one_bank_waits_for_it() {
    let system = system().await;
    let made = system.pay(patient(to_himself("p0", 1))).await.unwrap();
    assert_eq!(made.state(), PaymentState::Committed);
    for leg in Leg::BOTH {
        system.icici.set(Method::Prepare(leg), Fault::LoseAnswer(u32::MAX));
    }
    let request = patient(to_himself("p1", 300));
    check_queued(&system, request.clone()).await;
    for leg in Leg::BOTH {
        system.icici.heal(Method::Prepare(leg));
    }
    assert_eq!(end(&system, &request).await.state(), PaymentState::Committed);
    system.settled().await;
    system.idle().await;
    assert_eq!((system.icici.balance("J1"), system.icici.balance("J2")), (699, 301));
}

#[tokio::test]
async fn who_finds_no_place_in_the_queue_is_answered_as_if_he_had_not_asked_for_one() {
    let system = start(Settings { payment_timeout: SOON, queue_max: 1, ..quick() }).await;
    take_sbi_away(&system);
    check_queued(&system, patient(to_jane("p1", 1))).await;
    let aborted = system.pay(patient(to_jane("p2", 1))).await.unwrap();
    assert_eq!(aborted.abort_reason(), AbortReason::Timeout, "{aborted:?}");
    assert_eq!(aborted.state(), PaymentState::Aborted);
    return_sbi(&system);
    assert_eq!(end(&system, &patient(to_jane("p1", 1))).await.state(), PaymentState::Committed);
    assert_eq!(system.pay(patient(to_jane("p2", 1))).await.unwrap(), aborted);
}

/// No attempt here would end before the test does.
#[tokio::test]
async fn what_is_known_to_be_away_or_full_is_not_waited_for() {
    let system = start(Settings { payments_per_bank_max: 2, ..quick() }).await;
    take_sbi_away(&system);
    for id in ["p1", "p2"] {
        let (mut client, request) = (system.client(), to_jane(id, 1));
        tokio::spawn(async move { client.process_payment(request).await });
        system.until_initiated(id).await;
    }
    let refused = system.pay(to_jane("p3", 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    check_queued(&system, patient(to_jane("p3", 1))).await;
    system.until_away("sbi").await;
    let queued = check_queued(&system, patient(to_jane("p4", 1))).await;
    assert!(queued.detail.contains("sbi"), "{queued:?}");
    return_sbi(&system);
    for id in ["p3", "p4"] {
        let made = end(&system, &patient(to_jane(id, 1))).await;
        assert_eq!(made.state(), PaymentState::Committed);
    }
}

#[tokio::test]
async fn nothing_is_kept_for_longer_than_a_week() {
    let system = system().await;
    let refused = system.pay(kept_for(604_801, to_jane("p1", 1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("604800"), "{refused}");
}
