//! What a fault did: phases, windows, and the time to recover.

use super::*;
use crate::{
    results::{Phase, PhaseRow},
    samples::Layout,
    summary::phases::{Tally, recovered},
};

const FROM: Duration = Duration::from_secs(3);
const UNTIL: Duration = Duration::from_secs(6);

/// Ten seconds of 2,000 calls a second; `ends` says what becomes of the one due at a time.
fn run(ends: impl Fn(Duration) -> (Duration, Outcome)) -> Samples {
    let mut recorder = Recorder::new(Layout {
        methods: vec!["a.S/Get".to_owned()],
        target: "a:1".to_owned(),
        from: Duration::ZERO,
        until: Some(WALL),
        slice: SLICE,
    });
    for index in 0..20_000 {
        let sent = Duration::from_micros(500) * index;
        let (takes, outcome) = ends(sent);
        recorder.sent(sent);
        let done = sent + takes;
        let server = None;
        recorder.ended(&Ended { method: 0, intended: sent, sent, done, outcome, server });
    }
    recorder.samples()
}

fn rows(samples: &Samples) -> [PhaseRow; 3] {
    let (began, lifted) = (Some(FROM + LATENCY), Some(UNTIL + LATENCY));
    let times = FaultTimes { from: FROM, until: UNTIL, began, lifted };
    let rows: Result<[PhaseRow; 3], _> = phase_rows(&key(), samples, &times).try_into();
    rows.expect("three phases")
}

/// Every eighth call due within `bad` takes six times as long.
fn slow_within(bad: std::ops::Range<u64>) -> Samples {
    run(|at| {
        let within = bad.contains(&(at.as_millis() as u64)) && at.as_micros().is_multiple_of(4_000);
        (if within { LATENCY * 6 } else { LATENCY }, Outcome::Accepted)
    })
}

#[test]
fn a_fault_that_nobody_feels_is_over_at_once() {
    let [before, during, after] = rows(&slow_within(0..0));
    let phases = [before.phase, during.phase, after.phase];
    assert_eq!(phases, [Phase::Before, Phase::During, Phase::After]);
    assert_eq!((before.recovered_s, before.happened_s), (None, None));
    assert_eq!((during.recovered_s, during.happened_s), (Some(0.0), Some(3.005)));
    assert_eq!((after.recovered_s, after.happened_s), (Some(0.0), Some(6.005)));
    assert_eq!((during.from_s, during.until_s), (3.0, 6.0));
    assert_eq!([before.calls, during.calls, after.calls], [6_000, 6_000, 8_000]);
    assert_eq!(during.key(), key());
}

#[test]
fn a_fault_that_is_worked_around_has_a_time_to_recover() {
    let [before, during, after] = rows(&slow_within(3_000..3_800));
    assert_eq!((during.recovered_s, after.recovered_s), (Some(0.8), Some(0.0)));
    assert!(during.p99_us.unwrap() > 3 * before.p99_us.unwrap(), "{during:?}");
    assert!(during.p50_us == before.p50_us && after.p99_us == before.p99_us);
    assert!(during.limit_us.is_some_and(|limit| limit == before.limit_us.unwrap()));
}

#[test]
fn a_fault_that_is_felt_to_its_end_and_beyond() {
    let [_, during, after] = rows(&slow_within(3_000..6_300));
    assert_eq!((during.recovered_s, after.recovered_s), (None, Some(0.3)));
    let [_, during, after] = rows(&slow_within(5_900..10_000));
    assert_eq!((during.recovered_s, after.recovered_s), (None, None));
}

#[test]
fn calls_that_fail_fast_are_not_well_served() {
    let failing = |at: Duration| {
        let fails = at >= FROM && at < FROM + SLICE * 5 && at.as_micros().is_multiple_of(4_000);
        let failed = Outcome::Failed(ErrorKind::ConnectionLost);
        if fails { (Duration::from_millis(1), failed) } else { (LATENCY, Outcome::Accepted) }
    };
    let [before, during, after] = rows(&run(failing));
    assert_eq!(during.recovered_s, Some(0.5), "their p99 alone does not show it");
    assert!(during.p99_us == before.p99_us);
    assert_eq!([before.errors, during.errors, after.errors], [0, 125, 0]);
    assert_eq!(during.calls + during.errors, 6_000);
}

#[test]
fn calls_that_time_out_are_not_well_served_however_lenient_the_limit() {
    let dead = |at: Duration| {
        let outcome = if at < FROM { Outcome::Accepted } else { Outcome::TimedOut };
        (LATENCY, outcome)
    };
    let [_, during, after] = rows(&run(dead));
    assert_eq!((during.recovered_s, after.recovered_s), (None, None));
    assert_eq!((during.calls, during.errors), (0, 6_000));
}

#[test]
fn calls_that_are_queued_are_not_well_served_and_no_errors() {
    let queued = |at: Duration| {
        let outcome = if at >= FROM && at < UNTIL { Outcome::Queued } else { Outcome::Accepted };
        (LATENCY, outcome)
    };
    let samples = run(queued);
    let [_, during, after] = rows(&samples);
    assert_eq!((during.recovered_s, after.recovered_s), (None, Some(0.0)));
    assert_eq!((during.calls, during.errors, during.queued), (0, 0, 6_000));
    let windows = window_rows(&key(), &samples);
    assert_eq!((windows[30].at_s, windows[30].queued), (3.0, 1_000));
    assert!(timeline_rows(&key(), &samples)[30].queued > 0);
}

#[test]
fn without_a_p99_of_before_nothing_is_known() {
    let few = |at: Duration| {
        let failed = Outcome::Failed(ErrorKind::ConnectionLost);
        (LATENCY, if at < FROM { failed } else { Outcome::Accepted })
    };
    let [before, during, _] = rows(&run(few));
    assert_eq!((before.p99_us, before.limit_us, during.recovered_s), (None, None, None));
    assert!(during.p99_us.is_some());
}

#[test]
fn windows_overlap_and_cover_the_run() {
    let samples = slow_within(3_000..3_800);
    let rows = window_rows(&key(), &samples);
    assert_eq!(rows.len(), 96);
    assert_eq!((rows[0].at_s, rows[0].width_s, rows[0].calls), (0.0, 0.5, 1_000));
    assert_eq!((rows[95].at_s, rows[95].calls), (9.5, 1_000));
    let felt: Vec<f64> = rows
        .iter()
        .filter(|row| row.p99_us.is_some_and(|us| us > 20_000))
        .map(|row| row.at_s)
        .collect();
    assert_eq!((felt.first(), felt.last()), (Some(&2.6), Some(&3.7)));
}

/// As [`recovered`], by its definition.
fn recovered_by_definition(slices: &[Tally], width: usize) -> Option<usize> {
    let is_well = |from: usize| {
        let window = &slices[from..from + width];
        let due: u64 = window.iter().map(|slice| slice.due).sum();
        let in_time: u64 = window.iter().map(|slice| slice.in_time).sum();
        due > 0 && in_time * 100 >= due * 99
    };
    let windows = (slices.len() + 1).saturating_sub(width);
    (0..windows).find(|first| (*first..windows).all(is_well))
}

proptest! {
    #[test]
    fn time_to_recover_is_as_defined(
        slices in prop::collection::vec((0_u64..300, 0_u64..6), 0..40), width in 1_usize..7
    ) {
        let tally = |(due, late): &(u64, u64)| Tally { due: *due, in_time: due.saturating_sub(*late) };
        let slices: Vec<Tally> = slices.iter().map(tally).collect();
        prop_assert_eq!(recovered(&slices, width), recovered_by_definition(&slices, width));
    }

    #[test]
    fn one_bad_slice_is_felt_as_long_as_a_window_holds_it(
        bad in 0_usize..40, length in 8_usize..40, width in 1_usize..7
    ) {
        let well = |index| Tally { due: 100, in_time: if index == bad { 0 } else { 100 } };
        let slices: Vec<Tally> = (0..length).map(well).collect();
        let expected = match bad {
            _ if bad >= length => Some(0),
            _ if bad + width < length => Some(bad + 1),
            _ => None,
        };
        prop_assert_eq!(recovered(&slices, width), expected);
    }
}
