//! What the processes write down: every call with who, what and how it ended, and no secret.

use std::{fs, path::Path};

use strife_fleet::BankSpec;
use strife_proto::{common::v1::Money, gateway::v1::PaymentState};

use crate::support::boot;

const LOADGEN: &str = "spiffe://strife/loadgen/1";

fn log_of(logs: &Path, member: &str) -> String {
    fs::read_to_string(logs.join(format!("{member}.log"))).unwrap()
}

/// Fails unless some line holds all of these.
#[track_caller]
fn check(log: &str, expected: &[&str]) {
    let found = log.lines().any(|line| expected.iter().all(|word| line.contains(word)));
    assert!(found, "no line with {expected:?} in:\n{log}");
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
    let gateway = log_of(&logs, "gateway");
    let pay = "method=\"/strife.gateway.v1.PaymentGateway/ProcessPayment\"";
    let by_loadgen = format!("client=\"{LOADGEN}\"");
    let common = [pay, by_loadgen.as_str(), "address=\"127.0.0.1", "latency_us="];
    let with = |more: &[&'static str]| [&common[..], more].concat();
    let accounts =
        format!(": 7 INR minor units from icici/{} to sbi/{}: COMMITTED", from.account, to.account);
    check(&gateway, &[&with(&["result=\"Ok\""])[..], &[accounts.as_str()]].concat());
    check(
        &gateway,
        &with(&[
            ": -77 INR minor units from",
            "call failed",
            "result=\"InvalidArgument\"",
            "error=",
        ]),
    );
    check(
        &gateway,
        &with(&[": 4611686018427387903 INR minor units from", "ABORTED (", "result=\"Ok\""]),
    );
    let bank = log_of(&logs, "icici-1");
    let batch = "method=\"/strife.bank.v1.BankParticipant/Apply\"";
    let by_gateway = "client=\"spiffe://strife/gateway/1\"";
    check(&bank, &[batch, by_gateway, " commands", "result=\"Ok\"", "latency_us="]);
    check(&bank, &["done", "prepare ", "-debit: 7 INR minor units"]);
    check(&bank, &["refused", "prepare ", "-debit: 4611686018427387903 INR minor units"]);

    for entry in fs::read_dir(&logs).unwrap() {
        let path = entry.unwrap().path();
        let log = fs::read_to_string(&path).unwrap();
        assert!(!log.contains("PRIVATE KEY") && !log.contains("-----BEGIN"), "{}", path.display());
    }
}
