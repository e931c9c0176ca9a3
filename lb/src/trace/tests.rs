//! Which calls are traced, and what becomes of spans that nobody takes.

use std::net::SocketAddr;

use rand::SeedableRng;
use strife_policy::Outcome;
use strife_wire::{head::BlockKind, hpack::Fields};

use super::*;
use crate::{access_log::Ended, switch::Peer};

const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn head(traceparent: Option<&str>) -> Head {
    let mut fields = Fields::new();
    let pseudo = [(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C")];
    for (name, value) in pseudo.into_iter().chain(traceparent.map(|text| ("traceparent", text))) {
        fields.push(name.as_bytes(), value.as_bytes(), false);
    }
    Head::parse(BlockKind::Request, fields).unwrap()
}

fn tracer(ratio: f64) -> (Tracer, mpsc::Receiver<Span>) {
    let (spans, received) = mpsc::channel(2);
    (Tracer { ratio, rng: SmallRng::seed_from_u64(1), spans, counts: Arc::default() }, received)
}

#[test]
fn the_client_decides_and_where_it_does_not_the_lot() {
    let traced = |ratio, traceparent| {
        let (mut tracer, _received) = tracer(ratio);
        (0..1000).filter(|_| tracer.begin(&head(traceparent)).is_some()).count()
    };
    assert_eq!((traced(0.0, Some(SAMPLED)), traced(1.0, Some(NOT_SAMPLED))), (1000, 0));
    assert_eq!((traced(0.0, None), traced(1.0, None)), (0, 1000));
    assert_eq!((traced(0.0, Some("00-")), traced(1.0, Some("00-"))), (0, 1000));
    let half = traced(0.5, None);
    assert!((400..600).contains(&half), "{half}");
}

#[test]
fn spans_that_find_no_room_are_counted_and_hold_up_nobody() {
    let (mut tracer, mut received) = tracer(1.0);
    let (head, peer) = (head(None), Peer::new(SocketAddr::from(([127, 0, 0, 1], 9)), None));
    for _ in 0..5 {
        let trace = tracer.begin(&head).unwrap();
        let call = CallEnd {
            head: Some(&head),
            peer: &peer,
            pool: Some(0),
            endpoint: Some(0),
            outcome: Outcome::Succeeded,
            ended: Ended::Completed,
            http_status: 200,
            grpc_status: Some(5),
            started: Duration::from_secs(1),
            assigned_at: Duration::from_secs(1),
            latency: Duration::ZERO,
            request_bytes: 7,
            response_bytes: 8,
            attempts: 1,
            trace: Some(&trace),
        };
        let names = Names { pool: Some("default"), endpoint: Some("127.0.0.1:1") };
        tracer.end(Duration::from_secs(3), &call, names);
    }
    assert_eq!(tracer.counts.dropped(), 3);
    let span = received.try_recv().unwrap();
    assert_eq!((span.name.as_str(), span.grpc_status), ("a.B/C", Some(5)));
    assert!(span.has_failed(), "NOT_FOUND is an error to whoever called");
    assert_eq!(span.ended_at.duration_since(span.began_at).unwrap(), Duration::from_secs(2));
}
