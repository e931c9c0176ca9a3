//! Several gateways on one database: killed, suspended and woken up amid payments, and asked for one
//! payment all at once.

use std::{sync::atomic::AtomicUsize, time::Duration};

use futures_util::future::join_all;
use strife_proto::gateway::v1::{PaymentState, payment_gateway_client::PaymentGatewayClient};
use strife_runtime::{Role, connect, tls::Expected};
use strife_store::postgres::testing::{Options, Server};
use tokio::sync::RwLock;

use crate::{
    money::{balance, disturb_amid_payments},
    postgres::until_more,
    support::{Booted, PATIENCE, PAYMENT, boot, refused},
};

async fn boot_two() -> Booted {
    boot_two_on(Server::shared().create_database().await).await
}

async fn boot_two_on(url: String) -> Booted {
    boot(|spec| {
        spec.database = Some(url);
        spec.gateways = 2;
    })
    .await
}

/// Waits until `member` has said so in its log.
async fn until_said(booted: &RwLock<Booted>, member: &str, what: &str) {
    let log = booted.read().await.fleet.spec().dir.join("logs").join(format!("{member}.log"));
    let said = async {
        while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains(what)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, said).await;
    waited.unwrap_or_else(|_| panic!("{member} never says `{what}`"));
}

#[tokio::test]
async fn a_gateway_killed_amid_payments_is_taken_over_from() {
    let disturb = async |booted: &RwLock<Booted>, outcomes: &AtomicUsize| {
        until_more(outcomes).await;
        booted.write().await.fleet.kill("gateway-2").await.unwrap();
        until_said(booted, "gateway", "taking over its payments").await;
        until_more(outcomes).await;
    };
    disturb_amid_payments(boot_two().await, disturb).await;
}

#[tokio::test]
async fn a_gateway_suspended_amid_payments_wakes_up_fenced_and_ends() {
    let disturb = async |booted: &RwLock<Booted>, outcomes: &AtomicUsize| {
        until_more(outcomes).await;
        booted.write().await.fleet.freeze("gateway").unwrap();
        until_said(booted, "gateway-2", "taking over its payments").await;
        until_more(outcomes).await;
        booted.write().await.fleet.thaw("gateway").unwrap();
        until_said(booted, "gateway", "another gateway has taken over").await;
        let ended = async {
            while booted.write().await.fleet.check_alive().is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("it goes on although it is fenced");
        let restarted = booted.write().await.fleet.restart_ended().await.unwrap();
        assert_eq!(restarted, ["gateway"]);
        until_more(outcomes).await;
    };
    disturb_amid_payments(boot_two().await, disturb).await;
}

/// Neither takes the other's silence for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_crashes_ends_no_gateway() {
    let server = Server::start(&Options::default());
    let booted = boot_two_on(server.create_database().await).await;
    let disturb = async |booted: &RwLock<Booted>, outcomes: &AtomicUsize| {
        until_more(outcomes).await;
        tokio::task::block_in_place(|| {
            server.crash();
            server.restart();
        });
        until_more(outcomes).await;
        let mut booted = booted.write().await;
        if let Err(died) = booted.fleet.check_alive() {
            let logs = booted.fleet.spec().dir.join("logs");
            let said = ["gateway", "gateway-2"].map(|member| {
                let log = std::fs::read_to_string(logs.join(format!("{member}.log")));
                format!("{member}:\n{}", log.unwrap_or_default())
            });
            panic!("{died}\n{}", said.join("\n"));
        }
    };
    disturb_amid_payments(booted, disturb).await;
}

#[tokio::test]
async fn one_payment_fifty_times_at_each_gateway_moves_money_once() {
    let booted = boot_two().await;
    let before = booted.fleet.totals().await.unwrap();
    let security = booted.security(Role::Loadgen, "1");
    let gateways: Vec<_> = ["gateway", "gateway-2"]
        .map(|name| {
            let address = booted.fleet.address(name).unwrap();
            let channel = connect::direct(address, Expected::GATEWAY, &security).unwrap();
            PaymentGatewayClient::new(channel)
        })
        .into();
    let (from, to) = (booted.account("icici", 0), booted.account("sbi", 0));
    let opening = balance(&booted, &from.user, &from.account).await;
    for (payment_id, to) in [("two-banks", to), ("one-bank", booted.account("icici", 1))] {
        let request = booted.payment(payment_id, from, to);
        let asked = (0..100).map(|number| {
            let (mut gateway, request) = (gateways[number % 2].clone(), request.clone());
            async move { gateway.process_payment(request).await.unwrap().into_inner() }
        });
        let answers = join_all(asked).await;
        assert_eq!(answers[0].state(), PaymentState::Committed, "{:?}", answers[0]);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "identical answers");
    }
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
    assert_eq!(balance(&booted, &from.user, &from.account).await, opening - 2 * PAYMENT);
}

#[test]
fn a_gateway_without_its_database_says_what_to_do() {
    let check = |store: &[&str], code: i32, expected: &[&str]| {
        let users = concat!(env!("CARGO_MANIFEST_DIR"), "/services/bank/examples/users.csv");
        let gateway = ["gateway", "--port", "0", "--plaintext", "--users", users];
        let banks = ["--bank", "icici=127.0.0.1:1", "--bank", "sbi=127.0.0.1:1"];
        refused(&[&gateway[..], &banks, store].concat(), code, expected);
    };
    let away = "postgres://u@127.0.0.1:1/d";
    check(&["--store", away], 1, &["127.0.0.1:1/d", "check that it runs there"]);
    check(&["--store", "127.0.0.1:7000"], 2, &["--data DIR", "postgres://USER@HOST"]);
    check(&["--store", "postgres://u@127.0.0.1"], 2, &["names no database"]);
}
