//! A client nobody here wrote: Python's grpcio, from PyPI, in an environment of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use strife_fleet::BankSpec;

use crate::support::boot;

/// A Python with `tests/python/requirements.txt` installed. `None` where there is no python3, which
/// only a newcomer's machine may lack: with `CI` set it fails instead.
fn python() -> Option<PathBuf> {
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
    let (_, port) = booted.fleet.balancer().rsplit_once(':').unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/client.py");
    let output = tokio::process::Command::new(python)
        .arg(script)
        .arg(format!("localhost:{port}"))
        .arg(booted.fleet.spec().certs())
        .arg(&booted.account("icici", 0).account)
        .output()
        .await
        .unwrap();
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.starts_with("ok"), "{said}{errors}");
}
