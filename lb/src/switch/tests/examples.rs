//! What a reader would look up: one or two plain calls for each room of the switch.

use strife_policy::Outcome;
use strife_runtime::calls::{FORWARDED_ADDRESS, FORWARDED_IDENTITY};
use strife_wire::Code;

use super::{
    director::End,
    peer::{Asked, Block, Piece},
    world::{MS, World, answer, fields, limits, request},
};
use crate::{
    access_log::Ended,
    config::Limits,
    metrics::{CloseReason, Refusal},
    switch::{ENDPOINT_HEADER, Peer as Caller, TrailerReport},
};

fn value<'a>(block: &'a Block, name: &str) -> Option<&'a str> {
    block.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
}

/// `director.rs`: what is told of a call at its end.
#[test]
fn a_call_is_accounted_for() {
    let (mut world, client, _) = World::acquainted(limits());
    world.call(client, "/account", &[], b"four");
    world.run();
    assert_eq!(world.switch.director.in_flight, [1]);
    world.answer_all(b"seven..");
    world.run();
    let expected = End {
        path: "/account".to_owned(),
        endpoint: Some(0),
        outcome: Outcome::Succeeded,
        ended: Ended::Completed,
        status: (200, Some(0)),
        bytes: (4, 7),
        attempts: 1,
    };
    assert_eq!(world.switch.director.ends.last(), Some(&expected));
    world.assert_idle();
}

/// `call.rs`: which answers count as the server's failures.
#[test]
fn a_status_that_is_the_servers_fault_is_a_failure() {
    for (status, outcome) in [
        (&[("grpc-status", "0")][..], Outcome::Succeeded),
        (&[("grpc-status", "5")], Outcome::Succeeded),
        (&[("grpc-status", "8")], Outcome::Failed),
        (&[("grpc-status", "8"), ("x-strife-at-fault", "caller")], Outcome::Succeeded),
        (&[("grpc-status", "13")], Outcome::Failed),
        (&[("grpc-status", "14")], Outcome::Failed),
        (&[("grpc-status", "word")], Outcome::Failed),
    ] {
        let (mut world, client, endpoint) = World::acquainted(limits());
        world.call(client, "/fails", &[], b"");
        world.run();
        let head = [(":status", "200"), ("content-type", "application/grpc")];
        let head = fields(&[&head[..], status].concat());
        world.peer(endpoint).plan(3, [Piece::Block(head, true)]);
        world.run();
        assert_eq!(world.switch.director.ends[1].outcome, outcome, "{status:?}");
    }
}

/// `translate.rs`: who the client is, is said by the balancer alone.
#[test]
fn a_caller_is_named_by_its_certificate() {
    let mut world = World::new(limits(), 1);
    let identity = "spiffe://strife/client/jane";
    let client = world.client_of(Caller::new(([10, 0, 0, 9], 1).into(), Some(identity.to_owned())));
    world.run();
    let forged = [(FORWARDED_IDENTITY, "URI=spiffe://strife/client/john")];
    world.call(client, "/who", &forged, b"");
    world.run();
    let endpoint = world.connections(0)[0];
    let head = &world.peer(endpoint).streams[&1].blocks[0];
    let named = head.iter().filter(|(name, _)| name == FORWARDED_IDENTITY);
    let named: Vec<_> = named.map(|(_, value)| value.as_str()).collect();
    assert_eq!(named, ["URI=spiffe://strife/client/jane"]);
    assert_eq!(value(head, FORWARDED_ADDRESS), Some("10.0.0.9"));
}

/// `translate.rs`: a request without an authority, and the answer that names its endpoint.
#[test]
fn an_authority_is_made_up_and_the_endpoint_is_named() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    let mut head = request("/none", &[]);
    head.retain(|(name, _)| name != ":authority");
    let id = world.peer(client).open([Piece::Block(head, true)]);
    world.run();
    let heard = &world.peer(endpoint).streams[&3].blocks[0];
    assert_eq!(value(heard, ":authority"), Some("default"));
    world.answer_all(b"");
    world.run();
    let head = &world.peer(client).streams[&id].blocks[0];
    assert_eq!(value(head, ENDPOINT_HEADER.as_str()), Some("endpoint-0:1"));
}

/// `answer.rs`: what is not gRPC is told in HTTP.
#[test]
fn a_refusal_is_in_the_language_of_the_caller() {
    let (mut world, client, _) = World::acquainted(limits());
    for (content_type, status) in [("application/grpc+proto", "200"), ("text/plain", "404")] {
        let head = [(":method", "POST"), (":scheme", "http"), (":authority", "nowhere")];
        let mut head = fields(&head);
        head.extend(fields(&[(":path", "/a"), ("content-type", content_type)]));
        let id = world.peer(client).open([Piece::Block(head, false)]);
        world.run();
        let stream = &world.peer(client).streams[&id];
        assert_eq!(value(&stream.blocks[0], ":status"), Some(status));
        assert_eq!(value(&stream.blocks[0], "grpc-status"), Some("12"));
        assert_eq!(value(&stream.blocks[0], "grpc-message"), Some("no pool `nowhere`"));
        // It need not send the rest of its request.
        assert_eq!((stream.ended, stream.reset), (true, Some(Code::NO_ERROR)));
    }
    assert_eq!(world.metrics.refused_calls.get(Refusal::NoPool), 2);
    world.assert_idle();
}

/// `dispatch.rs`: a server that cannot be reached is passed over.
#[test]
fn a_dial_that_fails_sends_the_call_elsewhere() {
    let mut world = World::new(limits(), 2);
    world.dials_fail.push_back(true);
    let client = world.client(Asked::default());
    world.run();
    let id = world.call(client, "/a", &[], b"");
    world.run();
    world.answer_all(b"");
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
    let end = &world.switch.director.ends[0];
    assert_eq!((end.endpoint, end.attempts), (Some(1), 2));
    assert_eq!(world.switch.director.suspected, [0]);
}

/// `downstream.rs`: a call that is cancelled before it was sent costs no endpoint anything.
#[test]
fn a_call_cancelled_in_the_same_breath_is_never_sent() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    let id = world.call(client, "/a", &[], b"");
    world.peer(client).say_reset(id, Code::CANCEL);
    world.run();
    assert_eq!(world.peer(endpoint).streams.len(), 1);
    assert_eq!(world.switch.director.ends[1].ended, Ended::CancelledByClient(Code::CANCEL));
    world.assert_idle();
}

/// `downstream.rs`: header fields beyond the limit are refused, in requests and in trailers.
#[test]
fn headers_have_a_limit() {
    let limits = Limits { max_header_list_bytes: 4096, ..limits() };
    let (mut world, client, _) = World::acquainted(limits);
    let large = fields(&[("x-large", "v".repeat(5000).as_str())]);
    let mut head = request("/large", &[]);
    head.extend(large.clone());
    let in_head = world.peer(client).open([Piece::Block(head, true)]);
    let head = Piece::Block(request("/large", &[]), false);
    let in_trailers = world.peer(client).open([head, Piece::Block(large, true)]);
    world.run();
    assert_eq!(world.status(client, in_head), Some("8"));
    assert_eq!(world.status(client, in_trailers), Some("8"));
    assert!(world.pipes[client].is_open);
    world.assert_idle();
}

/// `upstream.rs`: an answer that is whole before its request.
#[test]
fn an_answer_may_come_before_the_request_is_whole() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    let head = Piece::Block(request("/early", &[]), false);
    let id = world.peer(client).open([head, Piece::Data(b"begun".to_vec(), false)]);
    world.run();
    world.peer(endpoint).plan(3, answer(b"enough"));
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
    assert_eq!(world.peer(client).streams[&id].reset, Some(Code::NO_ERROR));
    assert_eq!(world.peer(endpoint).streams[&3].reset, Some(Code::CANCEL));
    world.assert_idle();
}

/// `upstream.rs`: an endpoint's reset reaches the client with its code.
#[test]
fn a_reset_is_passed_on() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    let id = world.call(client, "/a", &[], b"");
    world.run();
    world.peer(endpoint).say_reset(3, Code::ENHANCE_YOUR_CALM);
    world.run();
    assert_eq!(world.peer(client).streams[&id].reset, Some(Code::ENHANCE_YOUR_CALM));
    let end = &world.switch.director.ends[1];
    assert_eq!(end.ended, Ended::ResetByServer(Code::ENHANCE_YOUR_CALM));
    assert_eq!(end.outcome, Outcome::Failed);
    world.assert_idle();
}

/// `pump.rs`: one call's closed window is nobody else's.
#[test]
fn a_call_that_does_not_move_holds_up_nobody() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    world.peer(endpoint).ask(Asked { window: Some(4), max_streams: None });
    world.run();
    world.pipes[endpoint].gives_windows = false;
    let stuck = world.call(client, "/stuck", &[], b"stuck");
    world.run();
    let small = world.call(client, "/small", &[], b"tiny");
    world.run();
    assert_eq!(world.peer(endpoint).streams[&3].body, b"stuc");
    assert_eq!(world.peer(endpoint).streams[&5].body, b"tiny");
    world.peer(endpoint).plan(5, answer(b""));
    world.run();
    assert_eq!((world.status(client, stuck), world.status(client, small)), (None, Some("0")));
}

/// `life.rs`: when a client leaves, its calls are reset at the endpoints.
#[test]
fn a_client_that_leaves_takes_its_calls_along() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    world.call(client, "/a", &[], b"");
    world.run();
    world.hang_up(client);
    world.run();
    assert_eq!(world.peer(endpoint).streams[&3].reset, Some(Code::CANCEL));
    assert_eq!(world.switch.director.ends[1].ended, Ended::ConnectionLost);
    let closed = &world.metrics.downstream.connections_closed;
    assert_eq!(closed.get(CloseReason::PeerClosed), 1);
    world.assert_idle();
}

/// `time.rs`: an endpoint that an operator drains loses its connections when its calls are over.
#[test]
fn a_drained_endpoint_keeps_no_connections() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    let id = world.call(client, "/last", &[], b"");
    world.run();
    world.switch.director.is_draining[0] = true;
    world.pass(MS * 1500);
    world.run();
    assert!(world.pipes[endpoint].is_open);
    world.answer_all(b"");
    world.run();
    world.pass(MS * 1500);
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
    assert!(!world.pipes[endpoint].is_open);
    world.assert_idle();
}

#[test]
fn an_endpoint_that_is_gone_is_forgotten_when_its_calls_have_ended() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    let id = world.call(client, "/last", &[], b"");
    world.run();
    world.switch.director.is_gone[0] = true;
    world.pass(MS * 1000);
    world.run();
    assert!(world.switch.director.released.is_empty(), "its call is under way");
    world.answer_all(b"");
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
    for _ in 0..3 {
        world.pass(MS * 1000);
        world.run();
    }
    assert!(!world.pipes[endpoint].is_open);
    assert_eq!(world.switch.director.released, [0]);
}

#[test]
fn an_endpoint_is_known_until_its_last_connection_is_closed() {
    let (mut world, _, endpoint) = World::acquainted(limits());
    world.switch.director.is_gone[0] = true;
    world.pipes[endpoint].reads = false;
    for _ in 0..3 {
        world.pass(MS * 1000);
        world.run();
    }
    assert!(world.pipes[endpoint].is_open, "what asks it to go is not written yet");
    assert!(world.switch.director.released.is_empty());
    world.pipes[endpoint].reads = true;
    for _ in 0..3 {
        world.pass(MS * 1000);
        world.run();
    }
    assert!(!world.pipes[endpoint].is_open);
    assert_eq!(world.switch.director.released, [0]);
}

#[test]
fn load_reports_in_trailers_are_told_and_passed_on() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    let trailer = |value| fields(&[("grpc-status", "0"), ("endpoint-load-metrics-bin", value)]);
    let head = || fields(&[(":status", "200"), ("content-type", "application/grpc")]);
    // A cpu_utilization of 0.5, twice, and what is no report.
    for value in ["CQAAAAAAAOA/", "CQAAAAAAAOA/", "no report!"] {
        let id = world.call(client, "/report", &[], b"");
        world.run();
        let stream = world.peer(endpoint).streams.values_mut().next_back().unwrap();
        stream.plan.extend([Piece::Block(head(), false), Piece::Block(trailer(value), true)]);
        world.run();
        let received = world.peer(client).streams[&id].blocks.last().unwrap();
        assert_eq!(self::value(received, "endpoint-load-metrics-bin"), Some(value));
    }
    let reported = &world.switch.director.reported;
    let utilization = |told: &TrailerReport| Some(told.as_ref().ok()?.orca?.cpu_utilization);
    let told: Vec<_> = reported.iter().map(|(from, told)| (*from, utilization(told))).collect();
    assert_eq!(told, [(0, Some(0.5)), (0, Some(0.5)), (0, None)]);
}
