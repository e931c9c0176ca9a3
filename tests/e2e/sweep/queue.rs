//! A sweep whose payments wait for a bank that is away: queued payments are accepted and not made, until they are.

use std::fs;

use super::{Sweep, assert_carried_out};

const PLAN: &str = r#"
name = "waiting"
seed = 3
trials = 1
policies = ["least_load"]
clients = [20]
duration = "7s"
warmup = "200ms"
timeout = "30s"

[[workloads]]
kind = "payments"
rates = [60]
banks = 2
servers = [0]
accounts = 50
cross_bank = 100
queue_for = "2m"
payment_timeout = "2s"

[[workloads.faults]]
kind = "bank_away"
at = "2s"
for = "4s"
"#;

#[test]
fn payments_queued_while_a_bank_is_away_are_counted_apart_and_then_made() {
    let sweep = Sweep::new(PLAN);
    let output = sweep.run();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert_carried_out(&output);
    assert!(said.contains("as before; nothing in doubt"), "the money was counted: {said}");

    let number = |row: &std::collections::BTreeMap<String, String>, column: &str| -> u64 {
        row[column].parse().unwrap_or_else(|_| panic!("{column}: {row:?}"))
    };
    let summary = sweep.rows("summary.csv");
    let [run] = summary.as_slice() else { panic!("{summary:?}") };
    let queued = number(run, "queued");
    assert!(queued > 0, "{run:?}");
    assert!(!run["errors_by_code"].contains("malformed"), "{run:?}");
    let achieved: f64 = run["achieved_rps"].parse().unwrap();
    let most = (number(run, "due") - queued) as f64 / run["duration_s"].parse::<f64>().unwrap();
    assert!(achieved <= most * 1.05, "what is queued is not achieved: {achieved} of {most}");
    let phases = sweep.rows("phases.csv");
    assert!(phases.iter().map(|row| number(row, "queued")).sum::<u64>() <= queued);
    assert!(number(&phases[1], "queued") > 0 && number(&phases[0], "errors") == 0, "{phases:?}");

    let waited = sweep.rows("queue.csv");
    let [waited] = waited.as_slice() else { panic!("{waited:?}") };
    assert!(number(waited, "queued") >= queued, "all of the warm-up too: {waited:?}");
    let [committed, waiting] = ["committed", "waiting"].map(|column| number(waited, column));
    assert_eq!((committed, waiting), (number(waited, "queued"), 0), "{waited:?}");
    assert!(said.contains(&format!("payments in the queue {committed} committed")), "{said}");
    let report = fs::read_to_string(sweep.out().join("report.html")).unwrap();
    assert!(report.contains("1 of 2 banks killed") && report.contains("Calls that were queued"));
}
