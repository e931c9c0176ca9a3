//! What an endpoint's load is after calls, reports and leases.

use proptest::prelude::*;

use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn endpoint() -> EndpointLoad {
    EndpointLoad::new("server:1", Ramp::default())
}

fn report(epoch: u64, sequence: u64) -> Report {
    Report { in_flight: sequence as u32, epoch, sequence, ..Report::default() }
}

#[test]
fn an_older_report_changes_nothing() {
    let load = endpoint();
    let check = |epoch, sequence, expected, known: u32| {
        assert_eq!(load.report(ms(1), &report(epoch, sequence)), Ok(expected));
        assert_eq!(load.last_report().unwrap().in_flight, known);
    };
    check(1, 5, Reported::Accepted, 5);
    check(1, 5, Reported::OutOfSequence, 5);
    check(1, 4, Reported::OutOfSequence, 5);
    check(0, 9, Reported::OutOfSequence, 5);
    check(1, 7, Reported::Accepted, 7);
    check(2, 1, Reported::Accepted, 1);
    check(1, 8, Reported::OutOfSequence, 1);
}

#[test]
fn after_a_clock_step_back_a_restarted_server_is_believed_again() {
    let load = endpoint();
    let check = |now, epoch, sequence, expected| {
        assert_eq!(load.report(now, &report(epoch, sequence)), Ok(expected));
    };
    check(ms(0), 9, 50, Reported::Accepted);
    check(ms(499), 3, 1, Reported::OutOfSequence);
    // Same start, older report: never.
    check(ms(500), 9, 49, Reported::OutOfSequence);
    check(ms(500), 3, 2, Reported::Accepted);
    check(ms(600), 3, 3, Reported::Accepted);
    check(ms(600), 2, 4, Reported::OutOfSequence);
    assert_eq!(load.last_report().unwrap().in_flight, 3);
}

#[test]
fn numbers_that_are_none_are_refused() {
    let load = endpoint();
    for cpu_utilization in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.01] {
        let invalid = Report { cpu_utilization, ..report(1, 1) };
        assert!(load.report(ms(0), &invalid).is_err(), "{cpu_utilization}");
    }
    assert_eq!(load.last_report(), None);
}

#[test]
fn the_interval_is_measured_and_lost_reports_do_not_stretch_it() {
    let load = endpoint();
    load.report(ms(0), &report(1, 1)).unwrap();
    assert_eq!(load.last_report().unwrap().interval, DEFAULT);
    load.report(ms(250), &report(1, 2)).unwrap();
    assert_eq!(load.last_report().unwrap().interval, ms(250));
    // Numbers are skipped because others, too, get reports of this server.
    load.report(ms(500), &report(1, 12)).unwrap();
    assert_eq!(load.last_report().unwrap().interval, ms(250));
    // One pause is none of its business, a new pace is.
    load.report(ms(1600), &report(1, 13)).unwrap();
    assert_eq!(load.last_report().unwrap().interval, ms(250));
    for number in 1..40 {
        load.report(ms(1600 + 1500 * number), &report(1, 13 + number)).unwrap();
    }
    let interval = load.last_report().unwrap().interval;
    assert!((ms(1490)..=ms(1500)).contains(&interval), "{interval:?}");
}

const DEFAULT: Duration = reports::DEFAULT_REPORT_INTERVAL;

#[test]
fn trust_lasts_one_interval_and_ends_after_five() {
    let load = endpoint();
    load.report(ms(0), &report(1, 1)).unwrap();
    let last = load.last_report().unwrap();
    assert_eq!(last.trust(ms(100)), 1.0);
    assert_eq!(last.trust(ms(300)), 0.5);
    assert_eq!(last.trust(ms(500)), 0.0);
    assert_eq!(last.trust(ms(5000)), 0.0);
}

#[test]
fn a_cancelled_call_is_neither_success_nor_failure() {
    let load = endpoint();
    load.sent();
    load.finished(ms(1), Outcome::Cancelled, ms(1));
    assert_eq!((load.in_flight(), load.succeeded(), load.failed()), (0, 0, 0));
    assert_eq!(load.calls(), 1);
    assert_eq!(load.failure_ratio(ms(1)), 0.0);
}

#[test]
fn failures_weigh_and_fade() {
    let load = endpoint();
    for _ in 0..5 {
        load.sent();
        load.finished(ms(1), Outcome::Failed, ms(1));
    }
    let fresh = load.failure_ratio(ms(1));
    assert!(fresh > 0.7, "{fresh}");
    let later = load.failure_ratio(ms(3001));
    assert!((later - fresh / 2.0).abs() < 1e-9, "{later}");
    assert_eq!(load.failure_ratio(ms(600_000)), 0.0);
}

#[test]
fn a_lease_counts_until_it_ends_or_a_report_shows_the_call() {
    let load = endpoint();
    load.report(ms(0), &Report { completed: 10, ..report(1, 1) }).unwrap();
    for _ in 0..3 {
        load.lease(ms(10));
    }
    assert_eq!(load.leased(ms(20)), 3);
    // Two more calls have reached the server, one of them by our own hand.
    load.sent();
    let seen = Report { completed: 12, ..report(1, 1) };
    load.report(ms(100), &Report { sequence: 2, ..seen }).unwrap();
    assert_eq!(load.leased(ms(100)), 2);
    assert_eq!(load.leased(ms(10) + leases::LEASE), 0);
}

#[test]
fn our_own_calls_on_their_way_settle_no_lease() {
    let load = endpoint();
    load.report(ms(0), &Report { in_flight: 0, ..report(1, 1) }).unwrap();
    (0..20).for_each(|_| load.lease(ms(1)));
    // Ten calls a report, of which now and then some are still on the wire.
    for number in 1..30_u64 {
        (0..10).for_each(|_| load.sent());
        let on_the_wire = if number % 2 == 0 { 0 } else { 5 };
        let completed = 10 * number - on_the_wire;
        let arrived = Report { completed, in_flight: 0, ..report(1, number + 1) };
        load.report(ms(10 * number), &arrived).unwrap();
    }
    assert_eq!(load.leased(ms(300)), 20);
}

#[test]
fn who_comes_back_is_not_held_to_what_was_before() {
    let load = endpoint();
    for _ in 0..5 {
        load.sent();
        load.finished(ms(1), Outcome::Failed, ms(900));
    }
    assert!(load.failure_ratio(ms(2)) > 0.7);
    load.joined(ms(2));
    assert_eq!((load.failure_ratio(ms(2)), load.latency(ms(2))), (0.0, None));
    assert_eq!(load.failure_cost(ms(2)), 1.0);
}

#[test]
fn who_is_held_back_stays_at_the_floor() {
    let load = endpoint();
    load.joined(ms(100));
    load.ramps_from(ms(1100));
    assert_eq!(load.ramp(ms(1099)), Ramp::default().floor);
    assert_eq!(load.ramp(ms(2100)), 1.0);
    let at_once = EndpointLoad::new("a:1", Ramp { window: Duration::ZERO, floor: 0.1 });
    at_once.ramps_from(ms(1100));
    assert_eq!(at_once.ramp(ms(100)), 1.0);
}

#[test]
fn the_first_orca_report_that_says_something_counts_from_when_it_came() {
    let load = endpoint();
    let useful = Orca { cpu_utilization: 0.5, rps: 100.0, ..Orca::default() };
    let known = || load.last_orca().map(|orca| (orca.useful_since, orca.useful_at)).unwrap();
    load.orca(ms(1), &Orca::default()).unwrap();
    assert_eq!(known(), (None, None));
    load.orca(ms(500), &useful).unwrap();
    assert_eq!(known(), (Some(ms(500)), Some(ms(500))));
    load.orca(ms(900), &Orca { cpu_utilization: 0.3, ..Orca::default() }).unwrap();
    assert_eq!(known(), (Some(ms(500)), Some(ms(500))));
}

#[test]
fn a_server_that_has_fallen_idle_has_no_calls() {
    let load = endpoint();
    let busy = Orca { cpu_utilization: 0.95, rps: 100.0, ..Orca::default() };
    load.orca(ms(1), &busy).unwrap();
    let concluded = || load.last_orca().unwrap().as_report().unwrap();
    assert_eq!((concluded().in_flight, concluded().received_at), (19, ms(1)));
    // One that says too little makes what is known no younger.
    load.orca(ms(100), &Orca { cpu_utilization: 0.9, ..Orca::default() }).unwrap();
    assert_eq!((concluded().in_flight, concluded().received_at), (19, ms(1)));
    load.orca(ms(200), &Orca::default()).unwrap();
    assert_eq!((concluded().in_flight, concluded().received_at), (0, ms(200)));
}

#[test]
fn an_endpoint_ramps_from_the_floor_to_its_full_share() {
    let load = endpoint();
    load.joined(ms(10_000));
    assert_eq!(load.ramp(ms(10_000)), Ramp::default().floor);
    assert_eq!(load.ramp(ms(10_500)), 0.5);
    assert_eq!(load.ramp(ms(11_000)), 1.0);
}

#[test]
fn one_failure_among_good_calls_costs_nothing_and_a_run_of_them_much() {
    let load = EndpointLoad::default();
    let end = |outcome| {
        load.sent();
        load.finished(ms(1), outcome, ms(1));
        load.failure_cost(ms(1))
    };
    (0..50).for_each(|_| assert_eq!(end(Outcome::Succeeded), 1.0));
    assert_eq!(end(Outcome::Failed), 1.0);
    assert!(end(Outcome::Failed) > 20.0);
    (0..8).for_each(|_| _ = end(Outcome::Failed));
    assert!(end(Outcome::Failed) > 90.0);
}

#[test]
fn a_timeout_is_half_a_failure_and_counted_apart() {
    let load = endpoint();
    for _ in 0..30 {
        load.sent();
        load.finished(ms(1), Outcome::TimedOut, ms(1000));
    }
    assert_eq!((load.failed(), load.timed_out(), load.in_flight()), (0, 30, 0));
    let ratio = load.failure_ratio(ms(1));
    assert!((ratio - 0.5).abs() < 0.01, "{ratio}");
    assert_eq!(load.latency(ms(1)), Some(ms(1000)));
}

#[test]
fn a_slow_call_is_believed_at_once_and_forgotten_slowly() {
    let load = endpoint();
    let ends = |at, latency| {
        load.sent();
        load.finished(at, Outcome::Succeeded, latency);
    };
    assert_eq!(load.latency(ms(0)), None);
    ends(ms(0), ms(10));
    ends(ms(0), ms(200));
    assert_eq!(load.latency(ms(0)), Some(ms(200)));
    ends(ms(1), ms(10));
    assert!(load.latency(ms(1)).unwrap() > ms(199));
    // A call that fails at once is no sign of speed.
    load.sent();
    load.finished(ms(60_000), Outcome::Failed, ms(1));
    let faded = load.latency(ms(1) + crate::peak_ewma::DEFAULT_DECAY).unwrap();
    assert!((72..75).contains(&faded.as_millis()), "{faded:?}");
}

#[test]
fn an_orca_report_that_is_none_is_refused_by_name() {
    let load = endpoint();
    let check = |figure, report: Orca| {
        let error = load.orca(ms(1), &report).unwrap_err();
        assert_eq!(error.figure, figure);
    };
    for value in [f64::NAN, f64::INFINITY, -1.0] {
        check("cpu_utilization", Orca { cpu_utilization: value, ..Orca::default() });
        check("mem_utilization", Orca { mem_utilization: value, ..Orca::default() });
        check(
            "application_utilization",
            Orca { application_utilization: value, ..Orca::default() },
        );
        check("rps_fractional", Orca { rps: value, ..Orca::default() });
        check("eps", Orca { eps: value, ..Orca::default() });
    }
    assert_eq!(load.last_orca(), None);
}

#[test]
fn a_weight_is_calls_at_full_utilization_and_errors_cost() {
    let load = endpoint();
    let weight = |report: Orca| {
        load.orca(ms(1), &report).unwrap();
        load.last_orca().unwrap().weight(1.0)
    };
    let report = Orca { cpu_utilization: 0.25, rps: 100.0, ..Orca::default() };
    assert_eq!(weight(report), 400.0);
    assert_eq!(weight(Orca { application_utilization: 0.5, ..report }), 200.0);
    assert_eq!(weight(Orca { eps: 25.0, ..report }), 200.0);
    // Reports that say too little leave what is known.
    assert_eq!(weight(Orca::default()), 200.0);
}

proptest! {
    /// What is written down and built anew is the same to a policy.
    #[test]
    fn a_state_is_the_same_after_a_round_trip(
        at in 0_u64..20_000,
        sent in 0_usize..20,
        failed in 0_usize..5,
        leased in 0_usize..5,
        joined: Option<u16>,
        reported: bool,
        orca: bool,
    ) {
        let load = endpoint();
        if let Some(joined) = joined {
            load.joined(ms(u64::from(joined)));
        }
        (0..sent + failed).for_each(|_| load.sent());
        (0..failed).for_each(|_| load.finished(ms(at / 2), Outcome::Failed, ms(3)));
        (0..leased).for_each(|_| load.lease(ms(at)));
        if reported {
            load.report(ms(at / 3), &report(1, 1)).unwrap();
        }
        if orca {
            let utilized = Orca { cpu_utilization: 0.1 + 0.2, rps: 1.0 / 3.0, ..Orca::default() };
            load.orca(ms(at / 3), &utilized).unwrap();
        }
        let state = load.state(ms(at));
        let read = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        prop_assert_eq!(&state, &read);
        let anew = EndpointLoad::of_state(&read, ms(at));
        prop_assert_eq!(anew.state(ms(at)), state);
        prop_assert_eq!(anew.ramp(ms(at)), load.ramp(ms(at)));
        prop_assert_eq!(anew.failure_cost(ms(at)), load.failure_cost(ms(at)));
    }

    /// Leases never count more than were granted within the lease, nor after it.
    #[test]
    fn leases_are_never_invented(grants in prop::collection::vec(0_u64..3000, 0..200), at in 0_u64..4000) {
        let load = endpoint();
        let mut grants = grants;
        grants.sort_unstable();
        for grant in grants.iter().filter(|grant| **grant <= at) {
            load.lease(ms(*grant));
        }
        let within = |lease: u64| grants.iter().filter(|g| **g <= at && *g + lease > at).count() as u64;
        let live = load.leased(ms(at));
        prop_assert!(live <= within(500), "{live} > {}", within(500));
        prop_assert!(live >= within(437), "{live} < {}", within(437));
    }

    /// Whatever order reports arrive in, the newest is what is known.
    #[test]
    fn the_newest_report_wins(order in Just((0_u64..20).collect::<Vec<_>>()).prop_shuffle()) {
        let load = endpoint();
        for number in order {
            load.report(ms(1), &report(number / 5, number % 5)).unwrap();
        }
        prop_assert_eq!(load.last_report().unwrap().in_flight, 4);
    }
}
