//! `strife admin payments`: what an operator is shown of a gateway's payments, on a file and on PostgreSQL.

use std::time::Duration;

use serde_json::Value;
use strife_fleet::FleetSpec;
use strife_proto::gateway::v1::{PaymentRequest, PaymentState};
use strife_store::postgres::testing::Server;

use crate::{
    accounts::{admin, text},
    support::{Booted, boot, refused},
};

/// Lists with these flags; the lines, and what was said beside them.
fn list(booted: &Booted, flags: &[&str]) -> (Vec<Value>, String) {
    let address = booted.fleet.address("gateway").unwrap();
    let output = admin(booted, &[&["payments", "--gateway", address], flags].concat());
    assert!(output.status.success(), "{flags:?}: {}", text(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, String::from_utf8(output.stderr).unwrap())
}

/// The payment ids that are listed with these flags, sorted.
fn ids(booted: &Booted, flags: &[&str]) -> Vec<String> {
    let (lines, _) = list(booted, flags);
    let ids = lines.iter().map(|line| line["payment_id"].as_str().unwrap().to_owned());
    let mut ids: Vec<String> = ids.collect();
    ids.sort_unstable();
    ids
}

async fn check_listing(change: impl FnOnce(&mut FleetSpec)) {
    let mut booted = boot(|spec| {
        // Banks have time to vote on a busy machine, and what waits for one that is away is soon told so.
        spec.payment_timeout = Duration::from_secs(10);
        change(spec);
    })
    .await;
    let (icici, other) = (booted.account("icici", 0).clone(), booted.account("icici", 1).clone());
    let sbi = booted.account("sbi", 0).clone();
    for (id, from, to) in [("out", &icici, &sbi), ("back", &sbi, &icici), ("in", &icici, &other)] {
        let answer = booted.pay(booted.payment(id, from, to)).await;
        assert_eq!(answer.state(), PaymentState::Committed, "{answer:?}");
    }
    let mut too_much = booted.payment("too much", &sbi, &icici);
    too_much.amount.as_mut().unwrap().minor_units = i64::MAX / 4;
    assert_eq!(booted.pay(too_much).await.state(), PaymentState::Aborted);
    booted.fleet.kill_bank("sbi").await.unwrap();
    let waits = PaymentRequest { queue_for_s: 3_600, ..booted.payment("waits", &icici, &sbi) };
    assert_eq!(booted.pay(waits).await.state(), PaymentState::Queued);

    // A payment in the queue may have earlier attempts, each in a line of its own.
    let (all, said) = list(&booted, &[]);
    let of = |id: &str| all.iter().rfind(|line| line["payment_id"] == id).unwrap();
    assert!(said.is_empty() && all.len() >= 5, "{said}{all:?}");
    let out = of("out");
    assert_eq!(out["state"], "COMMITTED");
    assert_eq!(out["from"]["account_id"], icici.account.as_str());
    assert_eq!((&out["to"]["bank"], &out["payer"]), (&"sbi".into(), &icici.user.as_str().into()));
    assert_eq!(of("too much")["reason"], "INSUFFICIENT_FUNDS");
    assert!(of("waits")["expires_at_ms"].as_i64() > out["initiated_at_ms"].as_i64());

    assert_eq!(ids(&booted, &["--status", "queued"]), ["waits"]);
    assert_eq!(ids(&booted, &["--status", "committed"]), ["back", "in", "out"]);
    assert_eq!(ids(&booted, &["--status", "initiated"]), Vec::<String>::new());
    let ended = ["--status", "committed", "--status", "queued"];
    let sbi_only = [&ended[..], &["--bank", "SBI"]].concat();
    assert_eq!(ids(&booted, &sbi_only), ["back", "out", "waits"]);
    let account = ["--status", "committed", "--bank", "icici", "--account", &other.account];
    assert_eq!(ids(&booted, &account), ["in"]);
    assert!(!ids(&booted, &["--since", "1h"]).is_empty());
    assert_eq!(ids(&booted, &["--since", "1us"]), Vec::<String>::new());
    let mut users = ids(&booted, &["--user", &sbi.user]);
    users.retain(|id| ["back", "out", "too much", "waits"].contains(&id.as_str()));
    assert_eq!(users, ["back", "out", "too much", "waits"], "each once");
    assert_eq!(ids(&booted, &["--user", "nobody"]), Vec::<String>::new());

    let (first, said) = list(&booted, &["--limit", "2"]);
    let last = first[1]["transaction_id"].as_str().unwrap();
    assert!(first.len() == 2 && said.contains(&format!("--after {last}")), "{said}");
    let (rest, _) = list(&booted, &["--after", last, "--limit", "0"]);
    assert_eq!(rest.len() + 2, list(&booted, &["--limit", "0"]).0.len());
    assert!(rest.iter().all(|line| !first.contains(line)));

    let address = booted.fleet.address("gateway").unwrap().to_owned();
    let wrong = admin(&booted, &["payments", "--gateway", &address, "--after", "rent-7"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong));
    assert!(text(&wrong).contains("--after: transaction `rent-7`"), "{}", text(&wrong));
}

#[tokio::test]
async fn an_operator_lists_the_payments_of_a_file() {
    check_listing(|_| {}).await;
}

#[tokio::test]
async fn an_operator_lists_the_payments_of_a_database() {
    let url = Server::shared().create_database().await;
    check_listing(|spec| spec.database = Some(url)).await;
}

#[test]
fn a_gateway_that_is_not_there_is_named() {
    let nowhere = ["admin", "payments", "--gateway", "127.0.0.1:1", "--plaintext"];
    refused(&nowhere, 1, &["no gateway answers at 127.0.0.1:1", "--plaintext"]);
}
