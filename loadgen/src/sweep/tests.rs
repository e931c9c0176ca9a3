//! A results directory over several sessions.

use super::{plan::Plan, session::Measured, *};
use crate::results::{RunRow, ServerRow, SummaryRow};

const PLAN: &str = r#"
name = "small"
trials = 2
policies = ["round_robin"]
[[workloads]]
kind = "bank"
rates = [100]
banks = 1
servers = [2]
"#;

/// A plausible row of one cell's trial.
pub(super) fn row(trial: u32) -> SummaryRow {
    SummaryRow {
        workload: "bank".to_owned(),
        policy: "round_robin".to_owned(),
        clients: 128,
        servers: 2,
        trial,
        offered_rps: 100.0,
        achieved_rps: 99.5,
        p50_us: Some(5000),
        p90_us: Some(6000),
        p99_us: Some(9000),
        p999_us: None,
        max_us: Some(9500),
        errors: 0,
        valid: true,
        saturated: false,
        jain: 1.0,
        cov: 0.0,
        max_over_mean: 1.0,
        duration_s: 5.0,
        seed: 1,
        sent: 500,
        timeouts: 0,
        service_p50_us: Some(4900),
        service_p99_us: Some(8900),
        send_lag_p99_us: Some(100),
        cpu: 0.2,
        why: String::new(),
        attempts: 1,
        due: 500,
        errors_by_code: String::new(),
        fault: String::new(),
        refused: 0,
        queued: 0,
        bank_fsync_p50_us: None,
        bank_fsync_p99_us: None,
        gateway_fsync_p50_us: None,
        gateway_fsync_p99_us: None,
    }
}

fn measured(trial: u32) -> Measured {
    let server = ServerRow {
        workload: "bank".to_owned(),
        policy: "round_robin".to_owned(),
        trial,
        server: "icici-1".to_owned(),
        calls: 500,
        share: 1.0,
        p50_us: Some(5000),
        p99_us: None,
        clients: 128,
        servers: 2,
        offered_rps: 100.0,
        fault: String::new(),
    };
    Measured {
        summary: row(trial),
        servers: vec![server],
        members: Vec::new(),
        endpoints: Vec::new(),
        timeline: Vec::new(),
        phases: Vec::new(),
        windows: Vec::new(),
        queue: None,
        histograms: vec![("response", "text".to_owned())],
    }
}

fn plan() -> Plan {
    Plan::parse(PLAN, "plan").unwrap()
}

#[test]
fn a_second_session_knows_what_the_first_measured() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Session::open(ResultDir::new(dir.path().join("out")), &plan(), false);
    let key = row(1).key();
    let mut first = open().unwrap();
    assert!(!first.has(&key));
    first.add(&key, measured(1)).unwrap();
    let error = open().err().unwrap().to_string();
    assert!(error.contains("another sweep"), "{error}");
    drop(first);
    let second = open().unwrap();
    assert!(second.has(&key));
    assert!(!second.has(&row(2).key()));
    assert_eq!(second.summary(), [row(1)]);
}

#[test]
fn a_run_that_was_half_written_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let out = ResultDir::new(dir.path().join("out"));
    let mut first = Session::open(out.clone(), &plan(), false).unwrap();
    first.add(&row(1).key(), measured(1)).unwrap();
    first.add(&row(2).key(), measured(2)).unwrap();
    drop(first);
    // As if the process had died between servers.csv and summary.csv.
    crate::results::write_rows(&out.summary(), &[row(1)]).unwrap();
    let mut second = Session::open(out.clone(), &plan(), false).unwrap();
    assert!(!second.has(&row(2).key()));
    second.add(&row(2).key(), measured(2)).unwrap();
    let servers: Vec<ServerRow> = crate::results::read_rows(&out.servers()).unwrap();
    assert_eq!(servers.iter().map(|row| row.trial).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn another_plan_or_a_stranger_s_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let out = || ResultDir::new(dir.path().join("out"));
    Session::open(out(), &plan(), false).unwrap();
    let mut other = plan();
    other.seed += 1;
    let error = Session::open(out(), &other, false).err().unwrap().to_string();
    assert!(error.contains("another plan"), "{error}");
    std::fs::write(dir.path().join("out/letter.txt"), "dear").unwrap();
    Session::open(out(), &other, true).unwrap();
    assert!(dir.path().join("out/letter.txt").exists(), "only a sweep's own files are removed");

    std::fs::write(dir.path().join("mine.txt"), "mine").unwrap();
    let stranger = ResultDir::new(dir.path());
    let error = Session::open(stranger, &plan(), false).err().unwrap().to_string();
    assert!(error.contains("not empty"), "{error}");
}

#[test]
fn a_csv_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let out = || ResultDir::new(dir.path().join("out"));
    Session::open(out(), &plan(), false).unwrap();
    std::fs::write(out().summary(), "workload,policy\nbank\n").unwrap();
    let error = Session::open(out(), &plan(), false).err().unwrap().to_string();
    assert!(error.contains("summary.csv") && error.contains("--fresh"), "{error}");
}
