//! The log from end to end: threads that record, a file, rotation by signal.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Instant, SystemTime},
};

use futures_util::FutureExt;
use serde_json::Value;

use super::*;
use crate::access_log::{self, CallRecord, Ended};

/// A call that went well.
pub(crate) fn call(time: SystemTime, duration: Duration) -> CallRecord<'static> {
    CallRecord {
        time,
        method: b"/grpc.testing.TestService/UnaryCall",
        authority: b"default",
        pool: Some("default"),
        endpoint: Some("127.0.0.1:9101"),
        client: ([127, 0, 0, 1], 50_000).into(),
        client_identity: None,
        http_status: 200,
        grpc_status: Some(0),
        duration,
        request_bytes: 5,
        response_bytes: 105,
        attempts: 1,
        ended: Ended::Completed,
    }
}

fn numbered(n: u64) -> CallRecord<'static> {
    CallRecord { request_bytes: n, ..call(SystemTime::UNIX_EPOCH, Duration::ZERO) }
}

fn file(dir: &Path) -> (PathBuf, LineLog) {
    let path = dir.join("access.log");
    let log = access_log::open(path.to_str().unwrap()).unwrap_or_else(|error| panic!("{error}"));
    (path, log)
}

fn numbers(path: &Path) -> Vec<u64> {
    let number = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        line["request_bytes"].as_u64().unwrap_or_else(|| panic!("{line}"))
    };
    fs::read_to_string(path).unwrap_or_default().lines().map(number).collect()
}

/// Looks until it is true; fails after a minute.
async fn until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn every_call_of_every_thread_is_in_the_log_when_it_is_closed() {
    const THREADS: u64 = 3;
    const EACH: u64 = 1000;
    let dir = tempfile::tempdir().unwrap();
    let (path, log) = file(dir.path());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let sender = log.sender();
            scope
                .spawn(move || (0..EACH).for_each(|n| sender.record(&numbered(thread * EACH + n))));
        }
    });
    let written = log.written();
    drop(log);
    let mut found = numbers(&path);
    for thread in 0..THREADS {
        let range = thread * EACH..(thread + 1) * EACH;
        assert!(found.iter().filter(|n| range.contains(n)).is_sorted(), "each thread in order");
    }
    found.sort_unstable();
    assert_eq!(found, (0..THREADS * EACH).collect::<Vec<_>>());
    assert_eq!((written.lines(), written.dropped()), (THREADS * EACH, 0));
}

#[test]
fn a_log_is_appended_to_and_written_without_being_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, log) = file(dir.path());
    log.sender().record(&numbered(1));
    drop(log);
    let (path, log) = file(dir.path());
    log.sender().record(&numbered(2));
    let started = Instant::now();
    while numbers(&path) != [1, 2] {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing was written");
        thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_hangup_opens_the_file_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (path, log) = file(dir.path());
    let sender = log.sender();
    let mut reopening = Box::pin(log.reopen_on_hangup());
    assert!((&mut reopening).now_or_never().is_none(), "it listens from now on");
    tokio::spawn(reopening);
    sender.record(&numbered(1));
    until(|| log.written().lines() == 1).await;
    let rotated = path.with_extension("log.1");
    fs::rename(&path, &rotated).unwrap();
    let me = std::process::id().to_string();
    assert!(Command::new("kill").args(["-HUP", &me]).status().unwrap().success());
    until(|| path.exists()).await;
    sender.record(&numbered(2));
    drop(log);
    assert_eq!((numbers(&rotated), numbers(&path)), (vec![1], vec![2]));
}

#[test]
fn a_log_that_cannot_be_opened_is_refused_with_its_name() {
    let error = access_log::open("/nowhere/at/all.log").err().unwrap().to_string();
    assert!(error.contains("/nowhere/at/all.log") && error.contains("--access-log"), "{error}");
}
