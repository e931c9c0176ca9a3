//! What stands on the line of a call, as a machine reads it.

use std::{
    convert::Infallible,
    future::{pending, ready},
    io::{self, Write},
    sync::{Arc, Mutex},
};

use futures_util::FutureExt;
use http::Request;
use serde_json::Value;
use tower::{Layer, Service, service_fn};

use super::*;
use crate::{
    Role, Rule,
    access::AccessTable,
    calls::{CallLayer, Peer},
    load::LoadTracker,
    telemetry::{self, LogArgs, LogFormat},
};

const TABLE: AccessTable = &[Rule { path: "/a.S/", roles: &[Role::Client] }];
const JOHN: &str = "spiffe://strife/client/john_doe";

/// Where a test's log goes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn json(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What a handler does with a call.
enum Handling {
    Answer(&'static str),
    Refuse(Status),
    Hang,
}

/// Makes one call, polled once; the line it leaves.
fn check(subject: &str, handling: Handling) -> Value {
    let lines = Lines::default();
    let writer = lines.clone();
    let args = LogArgs { log: LogFormat::Json, log_level: "info".to_owned() };
    let log = telemetry::subscriber(&args, move || writer.clone(), false).unwrap();
    let tracker = LoadTracker::new(0);
    let layer = CallLayer {
        table: TABLE,
        tracked: Some((&["/a.S/"], tracker.clone())),
        piggyback: None,
        logged: &["/a.S/"],
    };
    let (subject, handling) = (subject.to_owned(), Arc::new(handling));
    let handler = service_fn(move |request: Request<Body>| {
        let caller = request.extensions().get::<Caller>().unwrap();
        caller.note(|| subject.clone());
        match &*handling {
            Handling::Answer(outcome) => {
                caller.outcome(|| (*outcome).to_owned());
                ready(Ok::<_, Infallible>(Response::new(Body::empty()))).boxed()
            }
            Handling::Refuse(status) => ready(Ok(status.clone().into_http())).boxed(),
            Handling::Hang => pending().boxed(),
        }
    });
    let mut request = Request::builder().uri("http://gateway/a.S/Pay").body(Body::empty()).unwrap();
    let (identity, address) = (JOHN.parse().ok(), "10.0.0.9:4711".parse().unwrap());
    request.extensions_mut().insert(Peer { identity, address });
    tracing::dispatcher::with_default(&log, || {
        // Whoever does not wait for the answer drops the call, as an expired deadline does.
        let _ = layer.layer(handler).call(request).now_or_never();
    });
    assert_eq!((tracker.in_flight(), tracker.ended()), (0, (1, 0)), "the call is counted");
    let mut written = lines.json();
    assert_eq!(written.len(), 1, "{written:?}");
    let line = written.remove(0);
    assert_eq!(line["method"], "/a.S/Pay");
    assert_eq!(line["client"], JOHN);
    assert_eq!(line["address"], "10.0.0.9:4711");
    assert!(line["latency_us"].is_u64(), "{line}");
    line
}

#[test]
fn an_answered_call() {
    let line = check("700 INR", Handling::Answer("refused: no funds"));
    assert_eq!(line["message"], "call");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["subject"], "700 INR: refused: no funds");
    assert_eq!(line["result"], "Ok");
}

#[test]
fn a_failed_call_says_why() {
    let line = check("-1 INR", Handling::Refuse(Status::invalid_argument("not positive")));
    assert_eq!(line["message"], "call failed");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["subject"], "-1 INR");
    assert_eq!(line["result"], "InvalidArgument");
    assert_eq!(line["error"], "not positive");
}

#[test]
fn a_call_that_is_cut_off_leaves_a_line() {
    let line = check("700 INR", Handling::Hang);
    assert_eq!(line["message"], "call cut off");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["subject"], "700 INR");
    assert_eq!(line["result"], "Cancelled");
}

#[test]
fn what_a_caller_wrote_is_one_line_of_bounded_length() {
    let line = check(&format!("a\nb{}", "€".repeat(1_000)), Handling::Answer(""));
    let subject = line["subject"].as_str().unwrap();
    assert!(subject.starts_with("a\nb€") && subject.len() < 300, "{subject}");
}
