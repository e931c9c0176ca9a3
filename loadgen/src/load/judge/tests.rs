//! Exit codes and the words that go with them.

use std::time::Duration;

use super::*;
use crate::samples::{ErrorKind, Layout, Recorder};

const BUSY: &str = "the machine is busy: load average 5.7 on 2 cores; quiet it or lower -r";

/// A run of which so many calls were answered, not connected and timed out.
fn samples(ok: u64, not_connected: u64, timeouts: u64) -> Samples {
    let sent = ok + not_connected + timeouts;
    let errors = [(ErrorKind::NotConnected, not_connected)].into();
    let counters = Counters { due: sent, sent, ok, timeouts, errors, ..Counters::default() };
    let layout = Layout {
        methods: vec!["a.S/Get".to_owned()],
        target: "a:1".to_owned(),
        from: Duration::ZERO,
        until: Some(Duration::from_secs(1)),
        slice: Duration::from_secs(1),
    };
    Samples { counters, ..Recorder::new(layout).samples() }
}

fn ends(samples: &Samples, invalid: &[&str], busy: Option<&str>) -> Option<String> {
    let invalid = invalid.iter().map(|why| (*why).to_owned()).collect();
    let verdict = Verdict { invalid, ..Verdict::default() };
    judge(samples, &verdict, busy)
        .err()
        .map(|failure| format!("{:?}: {failure}", failure.exit_code()))
}

fn code(code: u8) -> String {
    format!("{:?}: ", std::process::ExitCode::from(code))
}

#[test]
fn failures_are_told_from_one_in_a_hundred_on() {
    assert_eq!(failed_calls(&samples(99, 1, 0)), None);
    assert_eq!(
        failed_calls(&samples(225, 600, 18)).as_deref(),
        Some("FAILED 73.3% of calls (618 of 843): not connected=600, timeout=18")
    );
}

#[test]
fn a_run_fails_when_more_than_half_of_its_calls_do() {
    assert_eq!(ends(&samples(50, 50, 0), &[], None), None);
    let check = |samples: Samples, expected: &str| {
        let end = ends(&samples, &["late"], None).unwrap();
        assert!(end.starts_with(&code(Failure::FAILED)) && end.contains(expected), "{end}");
    };
    check(samples(49, 51, 0), "51 of 100 calls failed (not connected=51); check the target");
    check(samples(49, 0, 51), "(timeout=51); lower the rate");
    check(samples(0, 100, 0), "no call succeeded (not connected=100)");
}

#[test]
fn an_invalid_measurement_names_the_busy_machine() {
    let end = |busy| ends(&samples(100, 0, 0), &["sent late"], busy).unwrap();
    let prefix = code(Failure::INVALID_MEASUREMENT) + "the measurement is not valid: sent late; ";
    assert_eq!(end(Some(BUSY)), prefix.clone() + BUSY);
    assert_eq!(end(None), prefix + "lower the rate, add --threads, or free the machine");
}

#[test]
fn a_machine_is_busy_beyond_its_cores() {
    assert_eq!(busy("5.70 4.31 2.00 3/94 32308\n", 2, "-r").as_deref(), Some(BUSY));
    assert_eq!(busy("2.00 9.00 9.00 3/94 32308\n", 2, "-r"), None);
    assert_eq!(busy("", 2, "-r"), None);
}
