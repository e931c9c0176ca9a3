//! `strife load` against a bank in this process.

use std::{fs, time::Duration};

use clap::Parser;

use super::{
    args::{Format, config},
    *,
};
use crate::{
    results::{ResultDir, RunRow, SummaryRow, TimelineRow, read_rows},
    run::{
        Pace,
        service::{HANGING, Stub},
    },
    schedule::Arrivals,
};

mod reflection;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    load: LoadArgs,
}

const VALIDATE: &str = "strife.bank.v1.BankService/ValidateAccount";

fn parsed(flags: &[&str]) -> LoadArgs {
    Cli::parse_from([&["load"], flags].concat()).load
}

/// Runs a hundred calls a client could type.
fn load(target: &str, flags: &[&str]) -> Result<(), Failure> {
    run(parsed(&[&[target, "-c", "8", "-n", "100", "--plaintext"], flags].concat()))
}

fn failed(outcome: Result<(), Failure>, expected: &str) -> String {
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains(expected) && !message.contains('\n'), "{message}");
    message
}

#[test]
fn a_call_by_reflection_and_its_files() {
    let stub = Stub::start("127.0.0.1:0", Some("s1"));
    let out = tempfile::tempdir().unwrap();
    let out_flag = out.path().to_str().unwrap();
    // At a gentle rate, so that the measurement is valid on a busy machine too.
    let outcome = load(
        &stub.target(),
        &["--call", VALIDATE, "-d", r#"{"account_id":"a"}"#, "-r", "200", "--out", out_flag],
    );
    // A machine that stalls makes the run invalid, which is told after the files are written.
    assert!(outcome.is_ok() || outcome.unwrap_err().to_string().contains("not valid"));
    let dir = ResultDir::new(out.path());
    let rows: Vec<SummaryRow> = read_rows(&dir.summary()).unwrap();
    assert_eq!((rows[0].sent, rows[0].errors, rows[0].offered_rps), (100, 0, 200.0));
    let timeline: Vec<TimelineRow> = read_rows(&dir.timeline()).unwrap();
    assert_eq!(timeline.iter().map(|row| row.calls).sum::<u64>(), 100);
    let hgrm = fs::read_to_string(dir.histogram(&rows[0].key(), "response")).unwrap();
    assert!(hgrm.contains("Total count    =          100"), "{hgrm}");
}

#[test]
fn what_reflection_does_not_know_is_named_with_what_it_does() {
    let stub = Stub::new();
    let target = stub.target();
    let no_service = failed(load(&target, &["--call", "a.B/Get"]), "has no service `a.B`");
    assert!(no_service.contains("strife.bank.v1.BankService"), "{no_service}");
    failed(
        load(&target, &["--call", "strife.bank.v1.BankService/Get"]),
        "has no method `Get`; it has ValidateAccount, ProcessTransaction, GetAccountBalance",
    );
    failed(load(&target, &["--call", "strife.bank.v1.BankStore/Apply"]), "only unary methods");
    failed(load(&target, &["--call", "nonsense"]), "write --call pkg.Service/Method");
}

#[test]
fn a_request_that_does_not_fit_is_refused() {
    let stub = Stub::new();
    let check = |json: &str, expected: &str| {
        let message = failed(load(&stub.target(), &["--call", VALIDATE, "-d", json]), expected);
        assert!(message.contains("its fields are account_id"), "{message}");
    };
    check(r#"{"acount_id":"a"}"#, "acount_id");
    check(r#"{"account_id":7}"#, "--data is not a strife.bank.v1.AccountRequest");
    check("{", "EOF");
    check("{} x", "trailing characters");
    failed(load(&stub.target(), &["--call", VALIDATE, "-m", "[]"]), "--metadata");
    failed(
        load(&stub.target(), &["--call", VALIDATE, "-m", r#"{"a b":"c"}"#]),
        "cannot be a header",
    );
    failed(
        load(&stub.target(), &["--call", VALIDATE, "-D", "no/such.json"]),
        "correct --data-file",
    );
}

#[test]
fn an_unreachable_target_is_named() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = closed.to_string();
    failed(load(&target, &["--call", VALIDATE]), "start it or correct the address");
}

#[test]
fn a_call_by_proto_file() {
    let stub = Stub::new();
    let dir = tempfile::tempdir().unwrap();
    let proto = dir.path().join("bank.proto");
    let text = "syntax = \"proto3\"; package strife.bank.v1; message AccountRequest { string account_id = 1; }\n\
                service BankService { rpc ValidateAccount(AccountRequest) returns (AccountRequest); }";
    fs::write(&proto, text).unwrap();
    let file = proto.to_str().unwrap();
    let described = |call: &str| {
        let method = MethodName::parse(call).unwrap();
        describe::from_file(&method, &proto, &[])
    };
    let method = described(VALIDATE).unwrap();
    assert_eq!(describe::encode(&method, r#"{"accountId":"a"}"#).unwrap(), [0x0a, 1, b'a']);
    assert!(
        described("a.B/Get").unwrap_err().to_string().contains("it has strife.bank.v1.BankService")
    );
    // The answer hangs, so every call times out and none succeeds: told, and in no time.
    let json = format!(r#"{{"account_id":"{HANGING}"}}"#);
    let flags = ["--call", VALIDATE, "--proto", file, "-d", &json, "-t", "50ms"];
    failed(load(&stub.target(), &flags), "no call succeeded (timeout=100)");
    fs::write(&proto, "syntax = proto9;").unwrap();
    failed(load(&stub.target(), &["--call", VALIDATE, "--proto", file]), "correct the file");
}

#[test]
fn a_workload_needs_its_accounts() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = dir.path().to_str().unwrap();
    let flags = ["--workload", "payments", "--accounts", accounts];
    failed(load("127.0.0.1:1", &flags), "strife accounts generate");
    let wrong = Cli::try_parse_from(["load", "h:1", "--workload", "bank"]).err().unwrap();
    assert!(wrong.to_string().contains("--accounts"));
}

#[test]
fn flags_become_a_run() {
    let of = |flags: &[&str]| {
        let args = parsed(&[&["h:1", "--call", "a.B/C"], flags].concat());
        config(&args, &Security::Plaintext).unwrap()
    };
    let open = of(&["-r", "5000", "-z", "30s", "-c", "12", "-t", "1s", "-m", r#"{"k":"v"}"#]);
    assert_eq!(open.pace, Pace::Open { rate: 5_000.0, arrivals: Arrivals::Poisson });
    assert_eq!(open.length, Length::For(Duration::from_secs(30)));
    assert_eq!((open.clients, open.connections, open.timeout.as_secs()), (12, 12, 1));
    assert_eq!(open.metadata[0].0, "k");
    let closed = of(&["-n", "7", "--concurrency", "3"]);
    assert_eq!((closed.pace, closed.length, closed.clients), (Pace::Closed, Length::Calls(7), 3));
    assert!(
        Cli::try_parse_from(["load", "h:1", "--call", "a.B/C", "-n", "1", "-z", "1s"]).is_err()
    );
}

#[test]
fn the_table_says_everything_once() {
    let stub = Stub::start("127.0.0.1:0", Some("s1"));
    let args = parsed(&[&stub.target(), "--call", VALIDATE, "-n", "50", "-c", "2"]);
    let config = config(&args, &Security::Plaintext).unwrap();
    let workload = FixedWorkload::new(MethodName::parse(VALIDATE).unwrap(), "bank", b"");
    let make = |_| Box::new(workload.clone()) as Box<dyn Workload>;
    let samples = run::run(&config, &make, &Progress::default(), &Shutdown::manual()).unwrap();
    let summary = summary::summarize(&samples, config.offered_rps(), &[]);
    let report = report::Report {
        what: VALIDATE.into(),
        config: &config,
        samples: &samples,
        summary: &summary,
    };
    let text = report.printed(Format::Text).unwrap();
    for part in [
        VALIDATE,
        "offered      closed loop",
        "no warm-up",
        "ok                    50",
        "p99.9",
        "s1",
        "100.0%",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&report.printed(Format::Json).unwrap()).unwrap();
    assert_eq!((&json["summary"]["sent"], &json["loop"]), (&50.into(), &"closed".into()));
    assert_eq!(json["servers"][0]["server"], "s1");
    let csv = report.printed(Format::Csv).unwrap();
    assert!(
        csv.starts_with("workload,policy,clients,servers,trial,offered_rps")
            && csv.lines().count() == 2
    );
}
