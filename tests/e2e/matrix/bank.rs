//! Rows in which a bank fails, or is told things in the wrong order.

use std::time::Duration;

use strife_fleet::BankSpec;
use strife_proto::{
    bank::v1::{
        FinishRequest, PrepareRequest, RefusalReason,
        bank_participant_client::BankParticipantClient,
    },
    common::v1::Money,
    gateway::v1::{AbortReason, PaymentState},
};
use strife_runtime::{Role, connect, tls::Expected};
use tonic::transport::Channel;

use super::{
    on_every_store,
    scene::{Scene, Store},
};
use crate::support::PAYMENT;

on_every_store!(
    bank_before_prepared_is_durable,
    bank_after_prepared_is_durable,
    bank_after_a_commit_is_applied_before_the_answer,
);

/// Short, so that a bank which stays away is a NO soon; long enough for one that is there.
const TIMEOUT: Duration = Duration::from_secs(5);

/// It comes back without the leg and never gives a vote: the payment is aborted by its timeout, and what
/// the other bank holds is released.
async fn bank_before_prepared_is_durable(store: Store) {
    let mut scene = Scene::with(store, |spec| spec.payment_timeout = TIMEOUT).await;
    let bank = scene.writer("sbi");
    scene.arm(&bank, "bank.prepare.before=return").await;
    let asked = scene.ask_once();
    scene.until_dead(&bank).await;
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(answer.abort_reason(), AbortReason::Timeout, "{answer:?}");
    scene.disarm(&bank).await;
    scene.ends(PaymentState::Aborted).await;
}

/// It comes back in doubt, with the other bank's money held, and asks.
async fn bank_after_prepared_is_durable(store: Store) {
    let mut scene = Scene::with(store, |spec| spec.payment_timeout = TIMEOUT).await;
    let bank = scene.writer("icici");
    scene.arm(&bank, "bank.prepare.after=return").await;
    let asked = scene.ask_once();
    scene.until_dead(&bank).await;
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(answer.abort_reason(), AbortReason::Timeout, "{answer:?}");
    scene.disarm(&bank).await;
    scene.ends(PaymentState::Aborted).await;
}

/// The money has moved there, and the gateway does not know: it says so again.
async fn bank_after_a_commit_is_applied_before_the_answer(store: Store) {
    let mut scene = Scene::on(store).await;
    let bank = scene.writer("sbi");
    scene.arm(&bank, "bank.commit.after=return").await;
    let asked = scene.ask_once();
    scene.until_dead(&bank).await;
    assert_eq!(asked.await.unwrap().unwrap().state(), PaymentState::Committed);
    scene.disarm(&bank).await;
    scene.ends(PaymentState::Committed).await;
}

/// Only one of a bank's servers dies, with the vote durable and the answer lost; the next one gives the
/// same vote, and the money is held once.
#[tokio::test]
async fn a_prepare_again_at_another_server() {
    let change = |spec: &mut strife_fleet::FleetSpec| {
        spec.banks = vec![BankSpec::new("icici", 2), BankSpec::new("sbi", 1)];
        // Turn about, one server would get all prepares and the other all commits.
        spec.policy = "random".to_owned();
    };
    // On a database every server writes for itself.
    let mut scene = Scene::with(Store::Postgres, change).await;
    scene.arm("icici-1", "bank.prepare.after=return").await;
    let from = scene.booted.account("icici", 1).clone();
    let to = scene.booted.account("sbi", 0).clone();
    let mut payments = 0;
    while !scene.booted.fleet.has_ended("icici-1").unwrap() {
        let request = scene.booted.payment(&format!("until-dead-{payments}"), &from, &to);
        let answer = scene.booted.pay(request).await;
        assert_eq!(answer.state(), PaymentState::Committed, "{answer:?}");
        payments += 1;
        assert!(payments < 1_000, "icici-1 is never asked");
    }
    scene.ends(PaymentState::Committed).await;
}

fn participant(scene: &Scene) -> BankParticipantClient<Channel> {
    let security = scene.booted.security(Role::Gateway, "1");
    let balancer = scene.booted.fleet.balancer();
    let channel = connect::channel(balancer, "bank.icici", Expected::LB, &security).unwrap();
    BankParticipantClient::new(channel)
}

fn prepare(scene: &Scene, transaction_id: &str, minor_units: i64) -> PrepareRequest {
    PrepareRequest {
        transaction_id: transaction_id.to_owned(),
        account_id: scene.booted.account("icici", 0).account.clone(),
        amount: Some(Money { minor_units, currency: "INR".to_owned() }),
        coordinator: "gateway".to_owned(),
        maker: None,
    }
}

/// The abort is remembered, so that a prepare which comes after it holds nothing.
#[tokio::test]
async fn abort_before_prepare() {
    let scene = Scene::on(Store::Embedded).await;
    let mut bank = participant(&scene);
    let transaction_id = "late-1".to_owned();
    bank.abort_debit(FinishRequest { transaction_id }).await.unwrap();
    for _ in 0..2 {
        let vote = bank.prepare_debit(prepare(&scene, "late-1", PAYMENT)).await.unwrap();
        let refusal = vote.into_inner().refusal.expect("a NO");
        assert_eq!(refusal.reason(), RefusalReason::Aborted);
    }
    scene.until_in_doubt("icici", 0).await;
    scene.ends(PaymentState::Committed).await;
}

/// The first body stands and the second is refused, and written down for people.
#[tokio::test]
async fn a_prepare_again_with_another_amount() {
    let scene = Scene::on(Store::Embedded).await;
    let mut bank = participant(&scene);
    let vote = bank.prepare_debit(prepare(&scene, "twice-1", PAYMENT)).await.unwrap();
    assert_eq!(vote.into_inner().refusal, None);
    let vote = bank.prepare_debit(prepare(&scene, "twice-1", PAYMENT + 1)).await.unwrap();
    let refusal = vote.into_inner().refusal.expect("a NO");
    assert_eq!(refusal.reason(), RefusalReason::Conflict);
    scene.until_said("icici-1", "asked for before with another body").await;
    let transaction_id = "twice-1".to_owned();
    bank.abort_debit(FinishRequest { transaction_id }).await.unwrap();
    scene.ends(PaymentState::Committed).await;
}
