//! Payments that wait while a bank is away: real processes killed, nothing lost, everything made once.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all, stream};
use strife_fleet::FleetSpec;
use strife_proto::gateway::v1::{
    AbortReason, GetPaymentRequest, PaymentRequest, PaymentResponse, PaymentState, StatusRequest,
    gateway_admin_client::GatewayAdminClient,
};
use strife_runtime::{Role, connect, tls::Expected};
use strife_store::postgres::testing::Server;
use tonic::Code;

use crate::{
    accounts::{reconcile, text},
    money::balance,
    support::{Booted, PATIENCE, PAYMENT, boot, may_ask_again},
};

/// Longer than any test takes, seconds.
const LONG: u32 = 3_600;
/// Payments that are asked for at once.
const AT_ONCE: usize = 150;
/// Soon given up, and long enough for banks that are there to vote, also on a busy machine with a slow disk.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For how long payments wait that are to expire, seconds: longer than until they are in the queue.
const SHORT: u32 = 20;
/// How long to wait before one looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

async fn boot_impatient(change: impl FnOnce(&mut FleetSpec)) -> Booted {
    boot(|spec| {
        spec.payment_timeout = TIMEOUT;
        change(spec);
    })
    .await
}

/// The `number`th of many payments from icici to sbi.
fn payment(booted: &Booted, number: usize, queue_for_s: u32) -> PaymentRequest {
    let (from, to) = (booted.account("icici", number % 10), booted.account("sbi", number % 7));
    let request = booted.payment(&format!("queued-{number}"), from, to);
    PaymentRequest { queue_for_s, ..request }
}

/// Asks for many payments while sbi is away.
async fn queue(booted: &Booted, count: usize, queue_for_s: u32) -> Vec<PaymentRequest> {
    let requests: Vec<_> = (0..count).map(|n| payment(booted, n, queue_for_s)).collect();
    let answers = stream::iter(&requests).map(|request| booted.pay(request.clone()));
    let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
    for answer in answers {
        assert_eq!(answer.state(), PaymentState::Queued, "{answer:?}");
    }
    requests
}

/// Waits until a payment is over; it has the same answer for whoever asks again.
async fn end_one(booted: &Booted, request: &PaymentRequest) -> PaymentResponse {
    let (payment_id, user) = (request.payment_id.clone(), request.user.clone());
    let mut gateway = booted.gateway();
    let ending = async {
        loop {
            let (payment_id, user) = (payment_id.clone(), user.clone());
            match gateway.get_payment(GetPaymentRequest { payment_id, user }).await {
                Ok(known) if known.get_ref().state() == PaymentState::Queued => {}
                Ok(known) => return known.into_inner(),
                Err(status) => assert!(may_ask_again(&status), "{status}"),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let ended = tokio::time::timeout(2 * PATIENCE, ending).await;
    let ended = ended.unwrap_or_else(|_| panic!("{payment_id} stays queued"));
    assert_eq!(booted.pay(request.clone()).await, ended);
    ended
}

async fn end(booted: &Booted, requests: &[PaymentRequest]) -> Vec<PaymentResponse> {
    let ends = stream::iter(requests).map(|request| end_one(booted, request));
    ends.buffered(AT_ONCE).collect().await
}

async fn check_all_made_once(booted: &Booted, requests: &[PaymentRequest], opening: i64) {
    for made in end(booted, requests).await {
        assert_eq!(made.state(), PaymentState::Committed, "{made:?}");
    }
    let from = booted.account("icici", 0);
    let paid = requests.iter().filter(|r| r.from.as_ref().unwrap().account_id == from.account);
    let expected = opening - paid.count() as i64 * PAYMENT;
    booted.fleet.settled_totals(PATIENCE).await.unwrap();
    assert_eq!(balance(booted, &from.user, &from.account).await, expected);
}

async fn opening(booted: &Booted) -> i64 {
    let from = booted.account("icici", 0);
    balance(booted, &from.user, &from.account).await
}

/// As the gateway itself tells it.
async fn queued(booted: &Booted) -> u64 {
    let (address, security) =
        (booted.fleet.address("gateway").unwrap(), booted.security(Role::Loadgen, "1"));
    let channel = connect::direct(address, Expected::GATEWAY, &security).unwrap();
    let status = GatewayAdminClient::new(channel).get_status(StatusRequest {}).await;
    status.unwrap().into_inner().queued
}

/// The books agree, and no attempt of any payment stands out.
fn check_reconciled(booted: &Booted) {
    let reconciled = reconcile(booted);
    assert!(reconciled.status.success(), "{}", text(&reconciled));
}

#[tokio::test]
async fn what_is_queued_while_a_bank_is_dead_is_made_once_when_it_is_back() {
    let mut booted = boot_impatient(|_| {}).await;
    let before = booted.fleet.totals().await.unwrap();
    let opening = opening(&booted).await;
    let mut too_much = payment(&booted, 0, LONG);
    too_much.payment_id = "too much".to_owned();
    too_much.amount.as_mut().unwrap().minor_units = i64::MAX / 4;
    let refused = booted.pay(too_much).await;
    assert_eq!(refused.abort_reason(), AbortReason::InsufficientFunds, "at once: {refused:?}");

    booted.fleet.kill("sbi").await.unwrap();
    let requests = queue(&booted, 200, LONG).await;
    let asked = join_all((0..20).map(|_| booted.pay(requests[7].clone()))).await;
    assert!(asked.iter().all(|answer| answer.state() == PaymentState::Queued), "{asked:?}");
    let other = PaymentRequest { queue_for_s: 0, ..requests[7].clone() };
    let status = booted.gateway().process_payment(other).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists, "{status}");
    let plain = PaymentRequest { payment_id: "plain".to_owned(), ..payment(&booted, 0, 0) };
    let plain = booted.pay(plain).await;
    assert_eq!(plain.abort_reason(), AbortReason::Timeout, "not asked to wait: {plain:?}");

    booted.fleet.restart("sbi").await.unwrap();
    check_all_made_once(&booted, &requests, opening).await;
    assert_eq!(queued(&booted).await, 0);
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
    check_reconciled(&booted);
}

/// Prints how long the payments of a bank wait once it is back.
#[tokio::test]
async fn what_is_queued_goes_on_when_its_bank_is_back() {
    const PAYMENTS: usize = 200;
    let mut booted = boot_impatient(|_| {}).await;
    booted.fleet.kill("sbi").await.unwrap();
    let requests = queue(&booted, PAYMENTS, LONG).await;
    // By then they are tried seldom.
    let tried = async {
        for request in &requests {
            while booted.pay(request.clone()).await.attempts < 4 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    };
    tokio::time::timeout(2 * PATIENCE, tried).await.expect("they are tried again and again");
    booted.fleet.restart("sbi").await.unwrap();
    let (back, mut first) = (Instant::now(), None);
    let working = async {
        loop {
            let left = queued(&booted).await;
            if left < PAYMENTS as u64 {
                first.get_or_insert_with(|| back.elapsed());
            }
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(2 * PATIENCE, working).await.expect("they stay queued");
    let (first, last) = (first.expect("one was the first"), back.elapsed());
    println!(
        "the bank is back: the first payment left the queue after {first:?}, the last {last:?}"
    );
    for made in end(&booted, &requests).await {
        assert_eq!(made.state(), PaymentState::Committed, "{made:?}");
    }
}

#[tokio::test]
async fn what_is_queued_outlives_kill_9_of_the_gateway() {
    let mut booted = boot_impatient(|_| {}).await;
    let before = booted.fleet.totals().await.unwrap();
    let opening = opening(&booted).await;
    booted.fleet.kill("sbi").await.unwrap();
    let requests = queue(&booted, 300, LONG).await;
    for _ in 0..2 {
        booted.fleet.kill("gateway").await.unwrap();
        booted.fleet.restart("gateway").await.unwrap();
        let answer = booted.pay(requests[299].clone()).await;
        assert_eq!(answer.state(), PaymentState::Queued, "{answer:?}");
    }
    booted.fleet.restart("sbi").await.unwrap();
    booted.fleet.kill("gateway").await.unwrap();
    booted.fleet.restart("gateway").await.unwrap();
    check_all_made_once(&booted, &requests, opening).await;
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
    check_reconciled(&booted);
}

#[tokio::test]
async fn what_cannot_be_made_in_time_expires_for_good() {
    let mut booted = boot_impatient(|_| {}).await;
    let before = booted.fleet.totals().await.unwrap();
    booted.fleet.kill("sbi").await.unwrap();
    let requests = queue(&booted, 20, SHORT).await;
    let ends = end(&booted, &requests).await;
    for ended in &ends {
        assert_eq!(ended.state(), PaymentState::Aborted, "{ended:?}");
        assert_eq!(ended.abort_reason(), AbortReason::Expired, "{ended:?}");
    }
    booted.fleet.restart("sbi").await.unwrap();
    booted.fleet.kill("gateway").await.unwrap();
    booted.fleet.restart("gateway").await.unwrap();
    assert_eq!(end(&booted, &requests).await, ends, "for good");
    let after = booted.fleet.settled_totals(PATIENCE).await.unwrap();
    after.check_against(&before).unwrap();
    check_reconciled(&booted);
}

#[tokio::test]
async fn the_queue_of_a_gateway_that_is_gone_is_worked_by_another() {
    let url = Server::shared().create_database().await;
    let mut booted = boot_impatient(|spec| {
        spec.database = Some(url);
        spec.gateways = 2;
    })
    .await;
    let before = booted.fleet.totals().await.unwrap();
    let opening = opening(&booted).await;
    let sbi = ["sbi", "sbi-1", "sbi-2"];
    for server in sbi {
        booted.fleet.kill(server).await.unwrap();
    }
    let requests = queue(&booted, 100, LONG).await;
    booted.fleet.kill("gateway-2").await.unwrap();
    for server in sbi {
        booted.fleet.restart(server).await.unwrap();
    }
    check_all_made_once(&booted, &requests, opening).await;
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
    assert_eq!(queued(&booted).await, 0);
}

/// Prints how many payments a second are made out of the queue, once the bank is back and all are due.
#[tokio::test]
#[ignore = "measures: run it alone, on a build with --release"]
async fn how_fast_the_queue_is_worked() {
    let count = std::env::var("STRIFE_QUEUE_PAYMENTS").ok().and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(5_000);
    let mut booted = boot_impatient(|spec| spec.accounts_per_bank = 1_000).await;
    let often = [("--queue-backoff-max", "1s")];
    booted.fleet.kill("gateway").await.unwrap();
    booted.fleet.restart_with("gateway", &often, &[]).await.unwrap();
    booted.fleet.kill("sbi").await.unwrap();
    let requests = queue(&booted, count, LONG).await;
    booted.fleet.restart("sbi").await.unwrap();
    let (mut began, mut last) = (None, count as u64);
    let (most, least) = (count as u64 * 9 / 10, count as u64 / 10);
    let working = async {
        while last > least {
            last = queued(&booted).await;
            if last <= most {
                began.get_or_insert((Instant::now(), last));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(20 * PATIENCE, working).await.expect("the queue is not worked");
    let (began, first) = began.expect("less than all");
    let made = first - last;
    println!("{:.0} payments a second", made as f64 / began.elapsed().as_secs_f64());
    for made in end(&booted, &requests[..100]).await {
        assert_eq!(made.state(), PaymentState::Committed, "{made:?}");
    }
}
