//! What is computed of a run, and when it is not trusted.

use hdrhistogram::Histogram;

use super::*;
use crate::bench::{
    plan::{Plan, Shape},
    proxies::Proxy,
    traffic::Pace,
};

fn due() -> Due {
    let shape = Shape { connections: 16, streams: 8 };
    let cell = Cell { tls: false, shape, message_bytes: 100 };
    Due { round: 1, cell, proxy: Proxy::Strife }
}

fn timing(phase: Phase) -> Timing {
    let second = Duration::from_secs(1);
    let pace = Pace { per_second: 1000.0, seed: Plan::full(1).seed };
    Timing { phase, warmup: second, time: second, pace: (phase == Phase::Paced).then_some(pace) }
}

/// Two seconds in which 1,000 calls took 40 µs each of the proxy.
fn measured() -> Measured {
    let at = Instant::now();
    let mark = |at, cpu_ms, calls| Mark {
        at,
        proxy: Duration::from_millis(cpu_ms),
        proxy_waited: Duration::ZERO,
        load: Duration::from_millis(cpu_ms * 2),
        calls,
    };
    let times = || {
        let mut times = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        times.record_n(50_000, 1000).unwrap();
        times
    };
    Measured {
        first: mark(at, 100, 500),
        last: mark(at + Duration::from_secs(2), 140, 1500),
        times: Times { latency: times(), send_lag: times(), unfinished: 0 },
        seen: Seen { errors: 0, first_error: String::new(), memory_kib: 700 },
    }
}

fn of(phase: Phase, change: impl FnOnce(&mut Measured)) -> PeerRunRow {
    let mut measured = measured();
    change(&mut measured);
    row(due(), timing(phase), 300, Ok(measured))
}

#[test]
fn cpu_is_counted_per_call() {
    let row = of(Phase::Saturated, |_| {});
    assert_eq!(row.cpu_us_per_call, Some(40.0));
    assert_eq!((row.calls_per_s, row.proxy_busy, row.load_busy), (500.0, 0.02, 0.04));
    assert!(row.p99_us.is_some_and(|us| (us - 50.0).abs() < 0.5), "{:?}", row.p99_us);
    assert_eq!(row.p999_us, None, "one call lies beyond it");
    assert_eq!((row.memory_kib_before, row.memory_kib_after), (300, 700));
    assert!(row.valid && row.why.is_empty());
}

#[test]
fn an_error_makes_a_run_invalid() {
    let row = of(Phase::Saturated, |measured| {
        measured.seen.errors = 2;
        "reset".clone_into(&mut measured.seen.first_error);
    });
    assert!(!row.valid && row.why.contains("reset"), "{}", row.why);
    let row = of(Phase::Idle, |measured| measured.last.calls = measured.first.calls);
    assert!(!row.valid && row.cpu_us_per_call.is_none());
    let row = super::row(due(), timing(Phase::Idle), 0, Err("gone".to_owned()));
    assert!(!row.valid && row.errors == 1 && row.why == "gone");
}

#[test]
fn what_limits_a_run_is_said() {
    let busy = |measured: &mut Measured| measured.last.load = Duration::from_secs(4);
    let row = of(Phase::Saturated, busy);
    assert!(row.valid && row.why.contains("load and servers were the limit"), "{}", row.why);
    let shared = |measured: &mut Measured| measured.last.proxy_waited = Duration::from_secs(1);
    assert!(!of(Phase::Paced, shared).valid, "latency is the scheduler's");
    let row = of(Phase::Saturated, shared);
    assert!(row.valid && row.why.contains("50%"), "{}", row.why);
    let row = of(Phase::Paced, |measured| measured.times.unfinished = 100);
    assert!(row.valid && row.why.starts_with("SATURATED"), "{}", row.why);
    let row =
        of(Phase::Paced, |measured| measured.times.send_lag.record_n(5_000_000, 500).unwrap());
    assert!(!row.valid && row.why.contains("too late"), "{}", row.why);
}
