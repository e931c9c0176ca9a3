//! A client nobody here wrote: Python's grpcio, from PyPI, in an environment of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use strife_fleet::BankSpec;

use crate::support::{Booted, PATIENCE, boot};

/// A Python with `tests/python/requirements.txt` installed. `None` where there is no python3, which
/// only a newcomer's machine may lack: with `CI` set it fails instead.
fn python() -> Option<PathBuf> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpcio");
    let python = environment.join("bin/python");
    let requirements = root.join("tests/python/requirements.txt");
    let installed = environment.join("installed.txt");
    let wanted = std::fs::read(&requirements).unwrap();
    if std::fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).status();
    if !made.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "python3 with venv is needed");
        return None;
    }
    let pip = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(&requirements)
        .output()
        .unwrap();
    assert!(pip.status.success(), "{}", String::from_utf8_lossy(&pip.stderr));
    std::fs::write(installed, wanted).unwrap();
    Some(python)
}

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
    let Some(python) = python() else {
        eprintln!("NOT RUN: install python3 with venv to run the grpcio test");
        return;
    };
    let booted = boot(|spec| spec.users = vec!["john_doe".to_owned()]).await;
    let before = booted.fleet.totals().await.unwrap();
    let said = run(&python, &booted, "docs/examples/pay.py", &["john_doe", "250"]).await;
    assert!(said.contains("PAYMENT_STATE_COMMITTED"), "{said}");
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
}

#[tokio::test]
async fn grpcio_calls_through_the_balancer_unchanged() {
    let Some(python) = python() else {
        eprintln!("NOT RUN: install python3 with venv to run the grpcio test");
        return;
    };
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
