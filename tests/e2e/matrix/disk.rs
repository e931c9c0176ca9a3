//! The row in which a disk is full, or fails: whoever writes to it stops, with nothing acknowledged.

use strife_proto::gateway::v1::PaymentState;

use super::scene::{Scene, Store};
use crate::support::{PATIENCE, may_ask_again};

/// As the kernel numbers them.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

async fn check(member: &str, error: i32, said: &str) {
    let mut scene = Scene::with(Store::Embedded, |spec| spec.payment_timeout = PATIENCE).await;
    // A gateway first writes its run, and forgets the one before when the banks know that it is gone.
    let spared = if member == "gateway" { "2*off->" } else { "" };
    scene.arm(member, &format!("store.commit={spared}return({error})")).await;
    if member == "gateway" {
        scene.until_committed(2).await;
    }
    let asked = scene.ask_once();
    scene.until_dead(member).await;
    scene.until_said(member, "the store failed; stopping with nothing acknowledged").await;
    scene.until_said(member, said).await;
    scene.disarm(member).await;
    if member == "gateway" {
        assert!(asked.await.unwrap().is_err_and(|status| may_ask_again(&status)));
    }
    // The bank was back before the payment timed out. The gateway knows nothing of what it could not write.
    scene.ends(PaymentState::Committed).await;
}

#[tokio::test]
async fn the_disk_of_a_bank_is_full() {
    check("icici", ENOSPC, "No space left on device").await;
}

#[tokio::test]
async fn the_disk_of_a_bank_fails() {
    check("sbi", EIO, "Input/output error").await;
}

#[tokio::test]
async fn the_disk_of_a_gateway_is_full() {
    check("gateway", ENOSPC, "No space left on device").await;
}

#[tokio::test]
async fn the_disk_of_a_gateway_fails() {
    check("gateway", EIO, "Input/output error").await;
}
