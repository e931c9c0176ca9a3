//! Every call is counted once, in the histograms it belongs to.

use proptest::prelude::*;

use super::*;

const S1: Option<&[u8]> = Some(b"s1");
const S2: Option<&[u8]> = Some(b"s2");

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One method, measured from 1 s to 3 s, slices of half a second.
fn recorder() -> Recorder {
    Recorder::new(Layout {
        methods: vec!["a.S/Get".to_owned()],
        target: "target:1".to_owned(),
        from: ms(1_000),
        until: Some(ms(3_000)),
        slice: ms(500),
    })
}

fn ended(intended: u64, lag: u64, took: u64, outcome: Outcome) -> Ended<'static> {
    let (intended, sent) = (ms(intended), ms(intended + lag));
    Ended { method: 0, intended, sent, done: sent + ms(took), outcome, server: None }
}

fn send(recorder: &mut Recorder, call: &Ended<'_>) {
    recorder.sent(call.intended);
    recorder.ended(call);
}

#[test]
fn three_times_of_a_call() {
    let mut recorder = recorder();
    send(&mut recorder, &ended(1_500, 30, 200, Outcome::Accepted));
    let samples = recorder.samples();
    let close = |histogram: Histogram<u64>, ms: u64| {
        assert!(histogram.equivalent(histogram.max(), ms * 1_000) && histogram.len() == 1, "{ms}");
    };
    close(samples.response(), 230);
    close(samples.service(), 200);
    close(samples.send_lag(), 30);
    assert_eq!(samples.occupancy, ms(200));
    assert_eq!(samples.wall, ms(2_000));
}

#[test]
fn a_timeout_is_a_response_at_its_deadline_and_an_error_is_none() {
    let mut recorder = recorder();
    send(&mut recorder, &ended(1_000, 0, 2_000, Outcome::TimedOut));
    send(&mut recorder, &ended(1_000, 0, 1, Outcome::Failed(ErrorKind::Status(14))));
    let samples = recorder.samples();
    assert_eq!((samples.response().len(), samples.service().len()), (1, 0));
    assert!(samples.response().max() >= 2_000_000);
    assert_eq!(samples.send_lag().len(), 2);
    assert_eq!(samples.counters.timeouts, 1);
    assert_eq!(samples.counters.errors[&ErrorKind::Status(14)], 1);
    assert_eq!((samples.slices[0].calls, samples.slices[0].errors), (0, 2));
    assert!(samples.servers.is_empty());
}

/// A queued payment is accepted and not made: no throughput, no response time, no error.
#[test]
fn what_is_queued_is_neither_done_nor_an_error() {
    let mut recorder = recorder();
    send(&mut recorder, &Ended { server: S1, ..ended(1_000, 0, 5, Outcome::Queued) });
    send(&mut recorder, &ended(1_000, 0, 5, Outcome::Accepted));
    let samples = recorder.samples();
    let Counters { sent, ok, queued, answered_in_time, .. } = samples.counters;
    assert_eq!((sent, ok, queued, answered_in_time), (2, 1, 1, 1));
    assert_eq!(samples.counters.all_errors(), 0);
    let slice = &samples.slices[0];
    assert_eq!((slice.calls, slice.queued, slice.errors), (1, 1, 0));
    assert_eq!((samples.response().len(), samples.service().len()), (1, 1));
    assert_eq!(samples.servers[0].calls, 1, "a server answered it");
    assert!(samples.servers[0].response.is_empty());

    let mut both = samples.clone();
    both.merge(samples);
    assert_eq!((both.counters.queued, both.slices[0].queued), (2, 2));
}

#[test]
fn what_is_due_outside_the_measured_time_is_not_recorded() {
    let mut recorder = recorder();
    for intended in [0, 999, 3_000, 4_000] {
        send(&mut recorder, &ended(intended, 0, 1, Outcome::Accepted));
        recorder.shed(ms(intended));
        recorder.unsent(ms(intended));
    }
    let samples = recorder.samples();
    // The call due at 999 ms was answered in the measured time: throughput counts it.
    assert_eq!(samples.counters, Counters { answered_in_time: 1, ..Counters::default() });
    assert!(samples.response().is_empty() && samples.slices.is_empty());
}

#[test]
fn occupancy_is_cut_at_both_ends_of_the_measured_time() {
    let mut recorder = recorder();
    send(&mut recorder, &ended(900, 0, 200, Outcome::Accepted));
    send(&mut recorder, &ended(2_900, 0, 500, Outcome::Accepted));
    send(&mut recorder, &ended(0, 0, 10, Outcome::Accepted));
    assert_eq!(recorder.samples().occupancy, ms(100 + 100));
}

#[test]
fn answers_are_attributed() {
    let mut recorder = recorder();
    let status = Outcome::Failed(ErrorKind::Status(5));
    for (server, outcome) in [
        (S1, Outcome::Accepted),
        (S2, Outcome::Refused),
        (S2, status),
        (None, Outcome::Accepted),
        (None, status),
    ] {
        send(&mut recorder, &Ended { server, ..ended(2_100, 0, 5, outcome) });
    }
    let samples = recorder.samples();
    let calls: Vec<_> =
        samples.servers.iter().map(|it| (it.name.as_str(), it.calls, it.response.len())).collect();
    assert_eq!(calls, [("s1", 1, 1), ("s2", 2, 1), ("target:1", 1, 1)]);
    assert_eq!(samples.slices[2].by_server, [1, 2, 1]);
}

#[test]
fn servers_beyond_the_limit_are_counted_together() {
    let mut recorder = recorder();
    for number in 0..MAX_SERVERS as u32 + 10 {
        let name = number.to_string();
        let server = Some(name.as_bytes());
        send(&mut recorder, &Ended { server, ..ended(2_000, 0, 5, Outcome::Accepted) });
    }
    let samples = recorder.samples();
    assert_eq!(samples.servers.len(), MAX_SERVERS + 1);
    assert_eq!(samples.servers[MAX_SERVERS].calls, 10);
}

#[test]
fn a_run_that_is_stopped_keeps_what_it_measured() {
    let mut recorder = recorder();
    send(&mut recorder, &ended(1_200, 0, 1, Outcome::Accepted));
    recorder.stop(ms(1_700));
    send(&mut recorder, &ended(1_800, 0, 1, Outcome::Accepted));
    let samples = recorder.samples();
    assert!(samples.stopped_early);
    assert_eq!((samples.wall, samples.counters.ok), (ms(700), 1));
}

#[test]
fn a_run_counted_in_calls_ends_with_the_last() {
    let mut recorder = Recorder::new(Layout {
        methods: vec!["a.S/Get".to_owned()],
        target: "t".to_owned(),
        from: Duration::ZERO,
        until: None,
        slice: ms(500),
    });
    send(&mut recorder, &ended(0, 0, 40, Outcome::Accepted));
    send(&mut recorder, &ended(10, 0, 20, Outcome::Accepted));
    assert_eq!(recorder.samples().wall, ms(40));
}

#[test]
fn a_long_run_has_longer_slices() {
    let layout = Layout {
        methods: Vec::new(),
        target: String::new(),
        from: Duration::ZERO,
        until: Some(Duration::from_secs(36_000)),
        slice: ms(250),
    };
    let slice = Recorder::new(layout).samples().slice;
    assert!(slice * MAX_SLICES >= Duration::from_secs(36_000), "{slice:?}");
}

#[test]
fn errors_have_names() {
    let check = |kind: ErrorKind, name: &str| assert_eq!(kind.to_string(), name);
    check(ErrorKind::Status(14), "UNAVAILABLE");
    check(ErrorKind::Status(99), "status 99");
    check(ErrorKind::Http(503), "HTTP 503");
    check(ErrorKind::ConnectionLost, "connection lost");
}

#[derive(Debug, Clone)]
struct Drawn {
    intended: u64,
    lag: u64,
    took: u64,
    outcome: Outcome,
    server: usize,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Accepted),
        1 => Just(Outcome::Refused),
        1 => Just(Outcome::TimedOut),
        1 => (1_u8..17).prop_map(|code| Outcome::Failed(ErrorKind::Status(code))),
    ];
    (0..4_000_u64, 0..50_u64, 0..3_000_u64, outcome, 0..3_usize).prop_map(
        |(intended, lag, took, outcome, server)| Drawn { intended, lag, took, outcome, server },
    )
}

fn record_all<'a>(calls: impl Iterator<Item = &'a Drawn>) -> Samples {
    let mut recorder = recorder();
    for call in calls {
        let server = [S1, S2, None][call.server];
        send(
            &mut recorder,
            &Ended { server, ..ended(call.intended, call.lag, call.took, call.outcome) },
        );
    }
    recorder.samples()
}

proptest! {
    #[test]
    fn counts_add_up(calls in prop::collection::vec(drawn(), 0..200)) {
        let samples = record_all(calls.iter());
        let counters = &samples.counters;
        prop_assert_eq!(counters.due, counters.sent + counters.shed + counters.unsent);
        prop_assert_eq!(
            counters.sent,
            counters.ok + counters.refused + counters.timeouts + counters.failed()
        );
        let answered = counters.ok + counters.refused;
        prop_assert_eq!(samples.service().len(), answered);
        prop_assert_eq!(samples.response().len(), answered + counters.timeouts);
        prop_assert_eq!(samples.slices.iter().map(|slice| slice.calls).sum::<u64>(), answered);
        let errors: u64 = samples.slices.iter().map(|slice| slice.errors).sum();
        prop_assert_eq!(errors, counters.all_errors());
    }

    #[test]
    fn threads_together_record_what_one_would(
        calls in prop::collection::vec((drawn(), any::<bool>()), 0..200),
    ) {
        let whole = record_all(calls.iter().map(|(call, _)| call));
        let half = |of: bool| record_all(calls.iter().filter(|call| call.1 == of).map(|(call, _)| call));
        let mut merged = half(false);
        merged.merge(half(true));
        prop_assert_eq!(&merged.counters, &whole.counters);
        prop_assert_eq!(merged.response(), whole.response());
        prop_assert_eq!(merged.send_lag(), whole.send_lag());
        prop_assert_eq!(merged.occupancy, whole.occupancy);
        let by_name = |samples: &Samples| {
            let mut servers: Vec<_> =
                samples.servers.iter().map(|it| (it.name.clone(), it.calls)).collect();
            servers.sort();
            servers
        };
        prop_assert_eq!(by_name(&merged), by_name(&whole));
        for (mine, theirs) in merged.slices.iter().zip(&whole.slices) {
            prop_assert_eq!(mine.calls, theirs.calls);
            prop_assert_eq!(&mine.response, &theirs.response);
            prop_assert_eq!(mine.by_server.iter().sum::<u64>(), theirs.by_server.iter().sum::<u64>());
        }
    }
}

#[test]
fn percentile_text_is_the_reference_tools() {
    let mut histogram = histogram();
    for us in [1_000, 2_000, 2_000, 4_000] {
        histogram.record(us).unwrap();
    }
    let text = hgrm::percentile_text(&histogram);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
    assert_eq!(lines[1], "");
    assert_eq!(lines[2], "       1.000 0.000000000000          1           1.00");
    let steps: Vec<&&str> = lines[2..].iter().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(**steps.last().unwrap(), "       4.001 1.000000000000          4");
    assert_eq!(lines[lines.len() - 3], "#[Mean    =        2.250, StdDeviation   =        1.090]");
    assert_eq!(lines[lines.len() - 2], "#[Max     =        4.001, Total count    =            4]");
    assert_eq!(lines[lines.len() - 1], "#[Buckets =           16, SubBuckets     =         2048]");
}

#[test]
fn an_empty_histogram_has_a_head_and_a_foot() {
    let text = hgrm::percentile_text(&histogram());
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 2);
}
