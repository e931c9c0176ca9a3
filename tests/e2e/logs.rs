//! What the processes write down: every call with who, what and how it ended, and no secret.

use std::{fs, path::Path, time::Duration};

use strife_fleet::BankSpec;
use strife_proto::{common::v1::Money, gateway::v1::PaymentState};

use crate::support::{PATIENCE, boot};

const LOADGEN: &str = "spiffe://strife/loadgen/1";

/// Fails unless some line of a member's log holds all of these, be it a little after the call.
async fn check(logs: &Path, member: &str, expected: &[&str]) {
    let log = || fs::read_to_string(logs.join(format!("{member}.log"))).unwrap();
    let is_there = |line: &str| expected.iter().all(|word| line.contains(word));
    let looking = async {
        while !log().lines().any(is_there) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    assert!(found.is_ok(), "no line with {expected:?} in:\n{}", log());
}

#[tokio::test]
async fn every_call_is_in_the_log_and_no_secret_is() {
    let booted = boot(|spec| {
        spec.log.log_level = "info".to_owned();
        spec.banks = vec![BankSpec::new("icici", 1), BankSpec::new("sbi", 1)];
    })
    .await;
    let (from, to) = (booted.account("icici", 0), booted.account("sbi", 0));
    let paid = booted.pay(booted.payment("paid", from, to)).await;
    assert_eq!(paid.state(), PaymentState::Committed);
    let mut malformed = booted.payment("malformed", from, to);
    malformed.amount = Some(Money { minor_units: -77, currency: "INR".to_owned() });
    assert!(booted.gateway().process_payment(malformed).await.is_err());
    let mut refused = booted.payment("refused", from, to);
    refused.amount = Some(Money { minor_units: i64::MAX / 2, currency: "INR".to_owned() });
    assert_eq!(booted.pay(refused).await.state(), PaymentState::Aborted);

    let logs = booted.fleet.spec().dir.join("logs");
    let pay = "method=\"/strife.gateway.v1.PaymentGateway/ProcessPayment\"";
    let by_loadgen = format!("client=\"{LOADGEN}\"");
    let common = [pay, by_loadgen.as_str(), "address=\"127.0.0.1", "latency_us="];
    let with = |more: &[&'static str]| [&common[..], more].concat();
    let accounts =
        format!(": 7 INR minor units from icici/{} to sbi/{}: COMMITTED", from.account, to.account);
    let made = [&with(&["result=\"Ok\""])[..], &[accounts.as_str()]].concat();
    check(&logs, "gateway", &made).await;
    let malformed =
        [": -77 INR minor units from", "call failed", "result=\"InvalidArgument\"", "error="];
    check(&logs, "gateway", &with(&malformed)).await;
    let refused = [": 4611686018427387903 INR minor units from", "ABORTED (", "result=\"Ok\""];
    check(&logs, "gateway", &with(&refused)).await;
    let batch = "method=\"/strife.bank.v1.BankParticipant/Apply\"";
    let by_gateway = "client=\"spiffe://strife/gateway/1\"";
    let whole = [batch, by_gateway, " commands", "result=\"Ok\"", "latency_us="];
    check(&logs, "icici-1", &whole).await;
    check(&logs, "icici-1", &["done", "prepare ", "-debit: 7 INR minor units"]).await;
    let refused = ["refused", "prepare ", "-debit: 4611686018427387903 INR minor units"];
    check(&logs, "icici-1", &refused).await;

    for entry in fs::read_dir(&logs).unwrap() {
        let path = entry.unwrap().path();
        let log = fs::read_to_string(&path).unwrap();
        assert!(!log.contains("PRIVATE KEY") && !log.contains("-----BEGIN"), "{}", path.display());
    }
}
