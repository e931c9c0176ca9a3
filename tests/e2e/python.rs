//! A client nobody here wrote: Python's grpcio, from PyPI, in an environment of its own.

use std::path::Path;

use strife_fleet::BankSpec;

use crate::{
    foreign::python::python,
    support::{Booted, PATIENCE, boot},
};

/// Runs a script against a fleet's balancer by its host name, as certificates are checked by name.
async fn run(python: &Path, booted: &Booted, script: &str, more: &[&str]) -> String {
    let (_, port) = booted.fleet.balancer().rsplit_once(':').unwrap();
    let output = tokio::process::Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .arg(format!("localhost:{port}"))
        .arg(booted.fleet.spec().certs())
        .args(more)
        .output()
        .await
        .unwrap();
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    said.into_owned()
}

#[tokio::test]
async fn a_user_pays_with_nothing_but_grpcio() {
    let Some(python) = python() else { return };
    let booted = boot(|spec| spec.users = vec!["john_doe".to_owned()]).await;
    let before = booted.fleet.totals().await.unwrap();
    let said = run(&python, &booted, "docs/examples/pay.py", &["john_doe", "250"]).await;
    assert!(said.contains("PAYMENT_STATE_COMMITTED"), "{said}");
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
}

#[tokio::test]
async fn grpcio_calls_through_the_balancer_unchanged() {
    let Some(python) = python() else { return };
    let booted = boot(|spec| {
        spec.banks = vec![BankSpec::new("icici", 2)];
        spec.gateway = false;
        spec.policy = "round_robin".to_owned();
    })
    .await;
    let account = booted.account("icici", 0).account.clone();
    let said = run(&python, &booted, "tests/python/client.py", &[&account]).await;
    assert!(said.starts_with("ok"), "{said}");
}
