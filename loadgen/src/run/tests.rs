//! Runs against targets that answer, stall, fail and die.

use std::{io::Read, net::TcpListener};

use strife_runtime::Security;

use super::{
    service::{HANGING, MISSING, Stub},
    *,
};
use crate::{
    samples::{Counters, ErrorKind},
    schedule::Arrivals,
    workload::{
        BankWorkload, Call, FixedWorkload, MethodName, Verdict,
        accounts::{Account, BankAccounts},
    },
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn config(target: impl Into<String>) -> RunConfig {
    RunConfig {
        clients: 8,
        connections: 2,
        warmup: Duration::ZERO,
        length: Length::For(ms(500)),
        // A busy machine loses no call.
        timeout: MAX_TIMEOUT,
        ..RunConfig::new(target, Security::Plaintext)
    }
}

fn constant(rate: f64) -> Pace {
    Pace::Open { rate, arrivals: Arrivals::Constant }
}

/// `ValidateAccount` of one account.
fn account(id: &str) -> FixedWorkload {
    let method = MethodName::parse("strife.bank.v1.BankService/ValidateAccount").unwrap();
    // Field 1, a string.
    let message: Vec<u8> = [0x0a, id.len() as u8].into_iter().chain(id.bytes()).collect();
    FixedWorkload::new(method, "bank.icici", &message)
}

fn run_account(config: &RunConfig, id: &str) -> Samples {
    run_watched(config, id, |_, _| {}).unwrap()
}

/// Runs with `watch` beside it, which sees the progress and may stop the run.
fn run_watched(
    config: &RunConfig,
    id: &str,
    watch: impl FnOnce(&Progress, &Shutdown) + Send,
) -> Result<Samples, RunError> {
    let (progress, stop) = (Progress::default(), Shutdown::manual());
    let workload = account(id);
    thread::scope(|scope| {
        scope.spawn(|| watch(&progress, &stop));
        run(config, &|_| Box::new(workload.clone()), &progress, &stop)
    })
}

fn wait_for(condition: impl Fn() -> bool) {
    while !condition() {
        thread::sleep(ms(1));
    }
}

fn adds_up(samples: &Samples) -> &Counters {
    let counters = &samples.counters;
    assert_eq!(counters.due, counters.sent + counters.shed + counters.unsent);
    let ended = counters.ok + counters.refused + counters.timeouts + counters.failed();
    assert_eq!(counters.sent, ended);
    assert_eq!(samples.service().len(), counters.ok + counters.refused);
    assert_eq!(samples.response().len(), counters.ok + counters.refused + counters.timeouts);
    assert_eq!(samples.send_lag().len(), counters.sent);
    counters
}

#[test]
fn an_open_loop_sends_every_call_that_is_due() {
    let stub = Stub::new();
    let samples = run_account(&RunConfig { pace: constant(400.0), ..config(stub.target()) }, "a");
    let counters = adds_up(&samples);
    assert_eq!((counters.due, counters.ok), (200, 200));
    assert_eq!(samples.wall, ms(500));
    assert_eq!(samples.servers.len(), 1);
    assert_eq!(
        (samples.servers[0].name.as_str(), samples.servers[0].calls),
        (&*stub.target(), 200)
    );
    assert!(!samples.in_flight.is_empty());
}

#[test]
fn threads_share_the_calls_of_one_schedule() {
    let stub = Stub::new();
    for threads in [1, 2] {
        let pace = Pace::Open { rate: 600.0, arrivals: Arrivals::Poisson };
        let samples = run_account(&RunConfig { pace, threads, ..config(stub.target()) }, "a");
        let due = crate::schedule::schedule(Arrivals::Poisson, 600.0, 8, 1)
            .take_while(|arrival| arrival.at < ms(500));
        assert_eq!(adds_up(&samples).ok, due.count() as u64);
    }
}

#[test]
fn warm_up_is_not_recorded() {
    let stub = Stub::new();
    let config = RunConfig { pace: constant(200.0), warmup: ms(300), ..config(stub.target()) };
    let (progress, stop) = (Progress::default(), Shutdown::manual());
    let samples = run(&config, &|_| Box::new(account("a")), &progress, &stop).unwrap();
    assert_eq!(adds_up(&samples).due, 100);
    assert_eq!((progress.sent(), progress.in_flight()), (160, 0));
}

#[test]
fn a_stall_of_the_target_is_seen_by_every_call_that_was_due() {
    let stub = Stub::new();
    stub.bank.stall();
    let config = RunConfig {
        pace: constant(200.0),
        length: Length::For(ms(1_000)),
        ..config(stub.target())
    };
    let samples = run_watched(&config, "a", |progress, _| {
        wait_for(|| progress.sent() >= 100);
        stub.bank.resume();
    });
    let samples = samples.unwrap();
    assert_eq!(adds_up(&samples).ok, 200);
    // Call k was due at 5k ms and the stall ended no sooner than call 99 was sent.
    let response = samples.response();
    assert!(response.count_between(240_000, crate::samples::MAX_TIME_US) >= 50);
}

#[test]
fn a_closed_loop_hides_the_same_stall() {
    let stub = Stub::new();
    stub.bank.stall();
    let config = config(stub.target());
    let samples = run_watched(&config, "a", |progress, _| {
        wait_for(|| stub.bank.most_in_flight() == 8);
        assert_eq!(progress.sent(), 8);
        stub.bank.resume();
    });
    let samples = samples.unwrap();
    assert!(adds_up(&samples).ok >= 8);
    assert_eq!(stub.bank.most_in_flight(), 8);
}

/// Holds up its thread while it makes one of its calls.
struct SlowOnce {
    calls: FixedWorkload,
    left: u32,
}

impl Workload for SlowOnce {
    fn methods(&self) -> &[MethodName] {
        self.calls.methods()
    }

    fn authorities(&self) -> &[String] {
        self.calls.authorities()
    }

    fn next(&mut self, client: u32) -> Call {
        self.left = self.left.wrapping_sub(1);
        if self.left == 0 {
            let busy = Instant::now();
            wait_for(|| busy.elapsed() > ms(200));
        }
        self.calls.next(client)
    }
}

#[test]
fn a_stall_of_the_generator_is_in_response_and_send_lag_but_not_hidden() {
    let stub = Stub::new();
    let config = RunConfig { pace: constant(200.0), ..config(stub.target()) };
    let slow = |_| Box::new(SlowOnce { calls: account("a"), left: 20 }) as Box<dyn Workload>;
    let samples = run(&config, &slow, &Progress::default(), &Shutdown::manual()).unwrap();
    assert_eq!(adds_up(&samples).ok, 100);
    // The calls due in the first half of the 200 ms were sent at least 100 ms late.
    for late in [samples.response(), samples.send_lag()] {
        assert!(late.count_between(99_000, crate::samples::MAX_TIME_US) >= 20);
    }
    let summary = crate::summary::summarize(&samples, config.offered_rps(), &[]);
    assert!(!summary.verdict.is_valid());
}

#[test]
fn calls_without_an_answer_time_out_at_their_deadline() {
    let stub = Stub::new();
    let config = RunConfig { pace: constant(100.0), timeout: ms(100), ..config(stub.target()) };
    let samples = run_account(&config, HANGING);
    let counters = adds_up(&samples);
    assert_eq!((counters.due, counters.timeouts), (50, 50));
    assert!(samples.response().min() >= 99_900);
    assert!(samples.servers.is_empty());
    let summary = crate::summary::summarize(&samples, config.offered_rps(), &[]);
    assert!(summary.verdict.is_saturated());
}

#[test]
fn calls_beyond_the_limit_are_shed() {
    let stub = Stub::new();
    let config = RunConfig {
        pace: constant(100.0),
        in_flight_limit: 4,
        timeout: ms(5_000),
        ..config(stub.target())
    };
    let samples = run_account(&config, HANGING);
    let counters = adds_up(&samples);
    assert_eq!((counters.due, counters.sent, counters.shed), (50, 4, 46));
    assert_eq!(counters.all_errors(), 50);
}

#[test]
fn a_closed_loop_makes_as_many_calls_as_it_was_asked_for() {
    let stub = Stub::new();
    let config = RunConfig { length: Length::Calls(100), threads: 2, ..config(stub.target()) };
    let samples = run_account(&config, "a");
    assert_eq!(adds_up(&samples).ok, 100);
    assert!(stub.bank.most_in_flight() <= 8);
}

#[test]
fn an_open_loop_makes_as_many_calls_as_it_was_asked_for() {
    let stub = Stub::new();
    let pace = Pace::Open { rate: 1_000.0, arrivals: Arrivals::Poisson };
    let config =
        RunConfig { pace, length: Length::Calls(100), threads: 2, ..config(stub.target()) };
    assert_eq!(adds_up(&run_account(&config, "a")).ok, 100);
}

#[test]
fn failures_are_counted_by_code_and_apart() {
    let stub = Stub::new();
    let samples =
        run_account(&RunConfig { pace: constant(100.0), ..config(stub.target()) }, MISSING);
    assert_eq!(adds_up(&samples).errors[&ErrorKind::Status(5)], 50);
    assert!(samples.response().is_empty());
}

#[test]
fn an_answer_is_the_endpoints_that_the_response_names() {
    let stub = Stub::start("127.0.0.1:0", Some("10.0.0.1:9101"));
    let samples = run_account(&RunConfig { pace: constant(100.0), ..config(stub.target()) }, "a");
    assert_eq!((samples.servers[0].name.as_str(), samples.servers[0].calls), ("10.0.0.1:9101", 50));
}

#[test]
fn a_bank_workload_is_judged_by_what_the_bank_says() {
    let stub = Stub::new();
    let account = |id: &str| Account { id: id.to_owned(), currency: "INR".to_owned() };
    let banks =
        vec![BankAccounts { bank: "icici".to_owned(), accounts: vec![account("a"), account("b")] }];
    let config =
        RunConfig { pace: constant(400.0), length: Length::Calls(300), ..config(stub.target()) };
    let workload = |seed| Box::new(BankWorkload::new(banks.clone(), seed, 1)) as Box<dyn Workload>;
    let samples = run(&config, &workload, &Progress::default(), &Shutdown::manual()).unwrap();
    let counters = adds_up(&samples);
    let of = |method: usize| samples.methods[method].response.len();
    // The stub refuses every transfer.
    assert_eq!((counters.ok, counters.refused), (of(0) + of(1), of(2)));
    assert!(counters.refused > 0);
}

#[test]
fn a_killed_server_gives_errors_and_the_run_ends() {
    let stub = Stub::new();
    let config = RunConfig {
        pace: constant(400.0),
        length: Length::For(ms(3_000)),
        timeout: ms(300),
        ..config(stub.target())
    };
    let samples = run_watched(&config, "a", move |progress, _| {
        wait_for(|| progress.done() >= 50);
        drop(stub);
    });
    let samples = samples.unwrap();
    let counters = adds_up(&samples);
    assert_eq!(counters.due, 1_200);
    assert!(counters.ok >= 50 && counters.all_errors() > 0, "{counters:?}");
}

#[test]
fn connections_are_made_again_when_the_server_is_back() {
    for pace in [constant(200.0), Pace::Closed] {
        let stub = Stub::new();
        let target = stub.target();
        let config = RunConfig {
            pace,
            length: Length::For(Duration::from_secs(60)),
            // Of those that were under way.
            timeout: ms(1_000),
            ..config(&target)
        };
        let samples = run_watched(&config, "a", move |progress, stop| {
            wait_for(|| progress.done() >= 20);
            drop(stub);
            wait_for(|| progress.errors() > 0);
            let _again = Stub::start(&target, None);
            let ok = || progress.done() - progress.errors().min(progress.done());
            let before = ok();
            wait_for(|| ok() > before + 50);
            stop.request();
            wait_for(|| progress.in_flight() == 0);
        });
        let samples = samples.unwrap();
        assert!(adds_up(&samples).ok > 50);
        assert!(samples.stopped_early && samples.wall < Duration::from_secs(60));
    }
}

#[test]
fn a_run_stopped_before_it_began_has_measured_nothing() {
    let stub = Stub::new();
    let stop = Shutdown::manual();
    stop.request();
    let workload = |_| Box::new(account("a")) as Box<dyn Workload>;
    let samples = run(&config(stub.target()), &workload, &Progress::default(), &stop).unwrap();
    assert_eq!((samples.counters.due, samples.stopped_early), (0, true));
}

fn refused(config: &RunConfig, expected: &str) {
    let error = run_watched(config, "a", |_, _| {}).unwrap_err().to_string();
    assert!(error.contains(expected) && !error.contains('\n'), "{error}");
}

#[test]
fn an_unreachable_target_is_an_error_at_the_start() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(&config(closed.to_string()), "nobody listens there; start the server");
    refused(&config("127.0.0.1"), "write host:port");
}

#[test]
fn a_target_that_does_not_speak_http2_is_an_error_at_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0_u8; 64]);
    });
    refused(&RunConfig { connections: 1, ..config(target) }, "if the server wants TLS");
    server.join().unwrap();
}

#[test]
fn what_cannot_be_run_is_refused() {
    let check = |change: fn(&mut RunConfig), expected: &str| {
        let mut config = config("127.0.0.1:1");
        change(&mut config);
        refused(&config, expected);
    };
    check(|config| config.pace = constant(0.0), "above 0 calls a second");
    check(|config| config.pace = constant(f64::NAN), "above 0 calls a second");
    check(|config| config.clients = 0, "at least one client");
    check(|config| config.timeout = ms(61_000), "at most 60s");
    check(|config| config.length = Length::Calls(0), "longer than nothing");
    check(|config| config.in_flight_limit = 7, "one call per client");
}

#[test]
fn a_malformed_answer_is_an_error() {
    struct Distrustful(FixedWorkload);
    impl Workload for Distrustful {
        fn methods(&self) -> &[MethodName] {
            self.0.methods()
        }
        fn authorities(&self) -> &[String] {
            self.0.authorities()
        }
        fn next(&mut self, client: u32) -> Call {
            self.0.next(client)
        }
        fn judge(&self, _method: usize, _response: &[u8]) -> Verdict {
            Verdict::Malformed
        }
    }
    let stub = Stub::new();
    let config = RunConfig { length: Length::Calls(10), ..config(stub.target()) };
    let workload = |_| Box::new(Distrustful(account("a"))) as Box<dyn Workload>;
    let samples = run(&config, &workload, &Progress::default(), &Shutdown::manual()).unwrap();
    assert_eq!(adds_up(&samples).errors[&ErrorKind::Malformed], 10);
}
