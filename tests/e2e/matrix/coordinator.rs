//! Rows in which the coordinator fails.

use std::time::Duration;

use strife_proto::gateway::v1::{
    AbortReason, PaymentRequest, PaymentState, payment_gateway_client::PaymentGatewayClient,
};
use strife_runtime::{Role, connect, tls::Expected};
use tokio::time::timeout;

use super::{
    on_every_store,
    scene::{Scene, Store, until},
};
use crate::support::{PATIENCE, may_ask_again};

on_every_store!(
    coordinator_before_initiated_is_durable,
    coordinator_after_one_prepare_without_a_decision,
    coordinator_after_all_votes_without_a_decision,
    coordinator_after_commit_is_durable_before_the_reply,
    coordinator_after_commit_reached_one_bank_only,
);

const GATEWAY: &str = "gateway";
/// How long to wait before one asks for another payment.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Arms the gateway, pays until it dies of that, and starts it again.
async fn dies_at(scene: &mut Scene, failpoints: &str) {
    scene.arm(GATEWAY, failpoints).await;
    let asked = scene.ask_once();
    scene.until_dead(GATEWAY).await;
    let answer = asked.await.unwrap();
    assert!(answer.is_err_and(|status| may_ask_again(&status)), "it died before it answered");
    scene.disarm(GATEWAY).await;
}

/// Both banks hold their legs, and of the payment nothing is known: the first is given back, and the id
/// is free. Whoever asks again begins a new transaction.
async fn coordinator_before_initiated_is_durable(store: Store) {
    let mut scene = Scene::on(store).await;
    // Beside others on a database the row comes first, so that nothing can be held without it.
    let failpoints = match store {
        Store::Embedded => "gateway.begin.before=return(stall);gateway.voted=1*off->return",
        Store::Postgres => "gateway.begin.before=return",
    };
    dies_at(&mut scene, failpoints).await;
    scene.ends(PaymentState::Committed).await;
}

/// What is held for the payment is all that the payer has: whoever asks again is not refused for that.
#[tokio::test]
async fn coordinator_before_initiated_is_durable_where_the_payer_has_no_more() {
    let mut scene = Scene::on(Store::Embedded).await;
    scene.leave_enough_for_the_payment_only().await;
    let failpoints = "gateway.begin.before=return(stall);gateway.voted=1*off->return";
    dies_at(&mut scene, failpoints).await;
    scene.ends(PaymentState::Committed).await;
}

async fn coordinator_after_one_prepare_without_a_decision(store: Store) {
    let mut scene = Scene::on(store).await;
    let silent = scene.writer("sbi");
    scene.booted.fleet.freeze(&silent).unwrap();
    let asked = scene.ask_once();
    scene.until_in_doubt("icici", 1).await;
    scene.until_initiated().await;
    scene.booted.fleet.kill(GATEWAY).await.unwrap();
    assert!(asked.await.unwrap().is_err_and(|status| may_ask_again(&status)));
    scene.booted.fleet.thaw(&silent).unwrap();
    scene.disarm(GATEWAY).await;
    let answer = scene.ends(PaymentState::Aborted).await;
    assert_eq!(answer.abort_reason(), AbortReason::Restart);
}

async fn coordinator_after_all_votes_without_a_decision(store: Store) {
    let mut scene = Scene::on(store).await;
    dies_at(&mut scene, "gateway.decide.before=return").await;
    let answer = scene.ends(PaymentState::Aborted).await;
    assert_eq!(answer.abort_reason(), AbortReason::Restart);
}

async fn coordinator_after_commit_is_durable_before_the_reply(store: Store) {
    let mut scene = Scene::on(store).await;
    dies_at(&mut scene, "gateway.decide.after=return").await;
    scene.ends(PaymentState::Committed).await;
}

async fn coordinator_after_commit_reached_one_bank_only(store: Store) {
    let mut scene = Scene::on(store).await;
    scene.arm(GATEWAY, "gateway.tell.credit=return(stall);gateway.told=return").await;
    let asked = scene.ask_once();
    scene.until_dead(GATEWAY).await;
    // It was decided, so that the answer may have come through before the end.
    if let Ok(answer) = asked.await.unwrap() {
        assert_eq!(answer.state(), PaymentState::Committed);
    }
    scene.until_in_doubt("icici", 0).await;
    scene.until_in_doubt("sbi", 1).await;
    scene.disarm(GATEWAY).await;
    scene.ends(PaymentState::Committed).await;
}

/// Nobody says what was decided: the bank keeps the hold, whatever its clock says, and calls for help.
#[tokio::test]
async fn coordinator_down_for_long() {
    let mut scene = Scene::on(Store::Embedded).await;
    scene.booted.fleet.kill("icici").await.unwrap();
    let flags = [("--max-in-doubt-age", "100ms"), ("--in-doubt-alarm", "1s")];
    scene.booted.fleet.restart_with("icici", &flags, &[]).await.unwrap();
    scene.arm(GATEWAY, "gateway.decide.before=return").await;
    let asked = scene.ask_once();
    scene.until_dead(GATEWAY).await;
    assert!(asked.await.unwrap().is_err());
    scene.until_said("icici", "legs are in doubt for long and their money is held").await;
    scene.until_in_doubt("icici", 1).await;
    scene.disarm(GATEWAY).await;
    scene.ends(PaymentState::Aborted).await;
}

/// Gateway 1, alone so far, has asked no bank and written no row yet when it is suspended. Gateway 2 comes and
/// takes over; it knows nothing of the payment, but tells the banks whose holds to refuse. When the first wakes
/// up it asks for them in vain.
#[tokio::test]
async fn coordinator_of_an_old_run_wakes_and_is_refused_its_holds() {
    let mut scene = Scene::with(Store::Postgres, |spec| {
        spec.gateways = 2;
        spec.log.log_level = "info".to_owned();
    })
    .await;
    for member in ["gateway-2", GATEWAY] {
        scene.booted.fleet.drain(member).await.unwrap();
    }
    // Once it is awake it goes on even though it is fenced.
    let failpoints = "gateway.begin.before=return(stall);gateway.prepare.before=1*return(suspend);\
        gateway.fenced=return(stall)";
    let armed = [("FAILPOINTS", failpoints)];
    scene.booted.fleet.restart_with(GATEWAY, &[], &armed).await.unwrap();
    let security = scene.booted.security(Role::Loadgen, "1");
    let address = scene.booted.fleet.address(GATEWAY).unwrap();
    let channel = connect::direct(address, Expected::GATEWAY, &security).unwrap();
    let (gateway, request) = (PaymentGatewayClient::new(channel), scene.payment());
    // As long as it does not know that it is alone a payment waits for its row, and asks for no hold.
    let mut asked = Vec::new();
    until("the gateway stands still", async || {
        let payment_id = format!("asked-for-{}", asked.len());
        let request = PaymentRequest { payment_id, ..request.clone() };
        let mut client = gateway.clone();
        asked.push(tokio::spawn(async move { client.process_payment(request).await }));
        let stands_still = scene.until_said(GATEWAY, "stands still at gateway.prepare.before");
        timeout(ASK_AGAIN, stands_still).await.is_ok()
    })
    .await;
    scene.booted.fleet.freeze(GATEWAY).unwrap();
    scene.booted.fleet.restart("gateway-2").await.unwrap();
    for bank in ["icici-1", "sbi-1"] {
        // Each gateway has had a run before.
        scene.until_said(bank, "fence run 3 of store").await;
    }
    scene.booted.fleet.thaw(GATEWAY).unwrap();
    for bank in ["icici-1", "sbi-1"] {
        scene.until_said(bank, "another gateway has taken over from the one that asks").await;
    }
    for bank in ["icici", "sbi"] {
        scene.until_in_doubt(bank, 0).await;
    }
    scene.disarm(GATEWAY).await;
    for asked in asked {
        assert!(asked.await.unwrap().is_err(), "nobody is answered by a gateway that is fenced");
    }
    scene.booted.fleet.until_ready(PATIENCE).await.unwrap();
    scene.ends(PaymentState::Committed).await;
}

/// Gateway 1 has all votes when it is suspended. Gateway 2 takes over; when the first wakes up its COMMIT is
/// refused, and it ends without answering.
#[tokio::test]
async fn coordinator_of_an_old_run_wakes() {
    let mut scene = Scene::with(Store::Postgres, |spec| spec.gateways = 2).await;
    scene.arm(GATEWAY, "gateway.decide.before=1*return(stall)").await;
    let security = scene.booted.security(Role::Loadgen, "1");
    let address = scene.booted.fleet.address(GATEWAY).unwrap();
    let channel = connect::direct(address, Expected::GATEWAY, &security).unwrap();
    let (mut gateway, request) = (PaymentGatewayClient::new(channel), scene.payment());
    let asked = tokio::spawn(async move { gateway.process_payment(request).await });
    scene.until_in_doubt("icici", 1).await;
    scene.until_in_doubt("sbi", 1).await;
    scene.booted.fleet.freeze(GATEWAY).unwrap();
    let answer = scene.ends(PaymentState::Aborted).await;
    assert_eq!(answer.abort_reason(), AbortReason::Restart);
    scene.booted.fleet.thaw(GATEWAY).unwrap();
    scene.until_said(GATEWAY, "another gateway has taken over").await;
    assert!(asked.await.unwrap().is_err(), "nobody is answered by a gateway that is fenced");
    scene.until_dead(GATEWAY).await;
    scene.booted.fleet.restart(GATEWAY).await.unwrap();
    scene.ends(PaymentState::Aborted).await;
}
