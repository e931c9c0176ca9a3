//! Percentiles, fairness and every rule of the verdict.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

mod phases;

use crate::results::RunRow;
use crate::samples::{Counters, Ended, ErrorKind, InFlight, Layout, Outcome, Recorder, histogram};

const WALL: Duration = Duration::from_secs(10);
const CALLS: u64 = 10_000;
const LATENCY: Duration = Duration::from_millis(5);

/// Ten seconds of 1,000 calls a second, each answered after five milliseconds.
fn good() -> Samples {
    let mut recorder = Recorder::new(Layout {
        methods: vec!["a.S/Get".to_owned()],
        target: "a:1".to_owned(),
        from: Duration::ZERO,
        until: Some(WALL),
        slice: Duration::from_secs(1),
    });
    for index in 0..CALLS {
        let sent = Duration::from_millis(index);
        let server = Some(if index % 2 == 0 { &b"a:1"[..] } else { b"a:2" });
        recorder.sent(sent);
        recorder.ended(&Ended {
            method: 0,
            intended: sent,
            sent,
            done: sent + LATENCY,
            outcome: Outcome::Accepted,
            server,
        });
    }
    let mut samples = recorder.samples();
    samples.in_flight = in_flight(|_| 5);
    samples
}

fn in_flight(calls: impl Fn(u64) -> u64) -> Vec<InFlight> {
    (0..1_000).map(|n| InFlight { at: Duration::from_millis(n * 10), calls: calls(n) }).collect()
}

fn check(samples: &Samples, open: bool, invalid: &str, saturated: &str) {
    let verdict = summarize(samples, open.then_some(1_000.0), &[]).verdict;
    let check = |reasons: &[String], expected: &str| match reasons {
        [] => assert_eq!(expected, "", "nothing was found"),
        [reason] => assert!(!expected.is_empty() && reason.contains(expected), "{reason}"),
        more => panic!("{more:?}"),
    };
    check(&verdict.invalid, invalid);
    check(&verdict.saturated, saturated);
}

#[test]
fn a_good_run_is_valid_and_not_saturated() {
    check(&good(), true, "", "");
    check(&good(), false, "", "");
}

#[test]
fn a_late_generator_is_invalid() {
    let mut samples = good();
    samples.methods[0].send_lag = histogram();
    samples.methods[0].send_lag.record_n(10, 980).unwrap();
    samples.methods[0].send_lag.record_n(1_500, 20).unwrap();
    check(&samples, true, "sent late", "");
    // A closed loop has no intended times to be late for.
    check(&samples, false, "", "");
    // Late by less than 5% of a slow response.
    samples.methods[0].response = histogram();
    samples.methods[0].response.record_n(40_000, 1_000).unwrap();
    check(&samples, true, "", "");
}

#[test]
fn one_late_call_of_a_short_run_is_not_a_percentile() {
    let mut samples = good();
    samples.methods[0].send_lag = histogram();
    samples.methods[0].send_lag.record_n(10, 50).unwrap();
    samples.methods[0].send_lag.record(9_000).unwrap();
    check(&samples, true, "", "");
}

#[test]
fn calls_never_sent_are_invalid_but_shed_ones_are_the_targets() {
    let mut samples = good();
    samples.counters = Counters { due: CALLS + 200, unsent: 200, ..samples.counters };
    check(&samples, true, "sent 10000 of 10200", "");
    samples.counters = Counters { unsent: 0, shed: 200, ..samples.counters };
    check(&samples, true, "", "200 be shed");
}

#[test]
fn a_starved_generator_is_invalid() {
    let samples = Samples { generator_busy: 0.97, ..good() };
    check(&samples, true, "out of CPU", "");
}

#[test]
fn records_that_contradict_littles_law_are_invalid() {
    let samples = Samples { in_flight: in_flight(|_| 7), ..good() };
    check(&samples, true, "Little's law", "");
    // Within what chance does to samples that vary this much in time.
    let samples =
        Samples { in_flight: in_flight(|n| if n / 60 % 2 == 0 { 11 } else { 0 }), ..good() };
    check(&samples, true, "", "");
}

#[test]
fn a_target_that_does_not_keep_up_is_saturated_not_invalid() {
    let mut samples = good();
    samples.counters.answered_in_time = 9_000;
    check(&samples, true, "", "900 of 1000 calls/s");
    samples.counters.queued = 1_000;
    check(&samples, true, "", "900 of 1000 calls/s, and queued 1000 calls");
    let mut samples = good();
    samples.counters.timeouts = 150;
    check(&samples, true, "", "150 calls time out");
    let grown = in_flight(|n| n / 5);
    let occupancy = WALL.mul_f64(99.5);
    let samples = Samples { in_flight: grown, occupancy, ..good() };
    check(&samples, true, "", "grew all the time");
}

#[test]
fn a_run_without_calls_is_invalid() {
    let samples = Samples { counters: Counters::default(), ..good() };
    check(&samples, true, "no call was due", "");
}

#[test]
fn a_percentile_needs_ten_samples_beyond_it() {
    let check = |count: u64, expected: [bool; 4]| {
        let mut histogram = histogram();
        histogram.record_n(100, count).unwrap();
        let of = Percentiles::of(&histogram);
        let known = [of.p50, of.p90, of.p99, of.p999].map(|percentile| percentile.is_some());
        assert_eq!(known, expected, "{count}");
        assert_eq!(of.max.is_some(), count > 0);
    };
    check(0, [false; 4]);
    check(19, [false; 4]);
    check(20, [true, false, false, false]);
    check(100, [true, true, false, false]);
    check(999, [true, true, false, false]);
    check(1_000, [true, true, true, false]);
    check(10_000, [true; 4]);
}

#[test]
fn fairness_of_known_spreads() {
    let one = Fairness::of(&[12, 0, 0]);
    assert!((one.jain - 1.0 / 3.0).abs() < 1e-12 && (one.max_over_mean - 3.0).abs() < 1e-12);
    assert_eq!(Fairness::of(&[4, 4]), Fairness { jain: 1.0, cov: 0.0, max_over_mean: 1.0 });
    assert_eq!(Fairness::of(&[]), Fairness::default());
    assert_eq!(Fairness::of(&[0, 0]), Fairness::default());
}

proptest! {
    #[test]
    fn fairness_stays_in_its_bounds(calls in prop::collection::vec(0_u64..1_000_000, 1..50)) {
        let fairness = Fairness::of(&calls);
        let n = calls.len() as f64;
        if calls.iter().any(|calls| *calls > 0) {
            prop_assert!(fairness.jain >= 1.0 / n - 1e-9 && fairness.jain <= 1.0 + 1e-9);
            prop_assert!(fairness.max_over_mean >= 1.0 - 1e-9 && fairness.max_over_mean <= n + 1e-9);
            // The two say the same: jain = 1 / (1 + cov²).
            prop_assert!((fairness.jain - 1.0 / (1.0 + fairness.cov.powi(2))).abs() < 1e-9);
        }
    }

    #[test]
    fn percentiles_rise(values in prop::collection::vec(1_u64..60_000_000, 1..2_000)) {
        let mut histogram = histogram();
        values.iter().for_each(|value| histogram.record(*value).unwrap());
        let of = Percentiles::of(&histogram);
        let known: Vec<u64> = [of.p50, of.p90, of.p99, of.p999, of.max].into_iter().flatten().collect();
        prop_assert!(known.is_sorted());
    }
}

fn key() -> RunKey {
    RunKey {
        workload: "bank".to_owned(),
        policy: "round_robin".to_owned(),
        clients: 128,
        servers: 3,
        rate: 1_000,
        fault: String::new(),
        trial: 1,
    }
}

#[test]
fn rows_hold_what_the_samples_say() {
    let samples = good();
    let servers: Vec<String> = ["a:1", "a:2", "a:3"].map(str::to_owned).into();
    let summary = summarize(&samples, Some(1_000.0), &servers);
    let row = summary_row(&key(), 7, 0.5, &samples, &summary);
    assert_eq!((row.key(), row.seed, row.sent, row.errors), (key(), 7, CALLS, 0));
    // The last five were answered after the end.
    assert_eq!((row.offered_rps, row.achieved_rps), (1_000.0, 999.5));
    assert!(row.valid && !row.saturated && row.why.is_empty());
    assert!((row.jain - 2.0 / 3.0).abs() < 1e-9, "{}", row.jain);
    let rows = server_rows(&key(), &samples, &servers);
    let calls: Vec<_> =
        rows.iter().map(|row| (row.server.as_str(), row.calls, row.share)).collect();
    assert_eq!(calls, [("a:1", 5_000, 0.5), ("a:2", 5_000, 0.5), ("a:3", 0, 0.0)]);
    assert!(rows[0].p99_us.is_some() && rows[2].p99_us.is_none());
}

#[test]
fn the_timeline_has_a_row_for_every_slice() {
    let mut samples = good();
    samples.wall = Duration::from_millis(10_400);
    let rows = timeline_rows(&key(), &samples);
    assert_eq!(rows.len(), 11);
    assert_eq!((rows[3].at_s, rows[3].width_s, rows[3].calls), (3.0, 1.0, 1_000));
    assert_eq!(rows[3].by_server, "a:1=500 a:2=500");
    assert!((rows[10].width_s - 0.4).abs() < 1e-9 && rows[10].calls == 0);
    assert_eq!(rows[10].by_server, "");
    let longest_us = samples.response().max();
    assert!(rows.iter().all(|row| row.p99_us.is_none_or(|us| us <= longest_us)), "{longest_us}");
}

#[test]
fn errors_of_every_kind_are_in_the_row() {
    let mut samples = good();
    samples.counters.errors = BTreeMap::from([(ErrorKind::ConnectionLost, 3)]);
    samples.counters.timeouts = 2;
    samples.counters.shed = 1;
    let summary = summarize(&samples, None, &[]);
    let row = summary_row(&key(), 1, 0.0, &samples, &summary);
    assert_eq!((row.errors, row.timeouts, row.due), (6, 2, CALLS));
    assert_eq!(row.errors_by_code, "connection_lost=3 timeout=2 shed=1");
    assert_eq!(row.key().rate, 0);
}
