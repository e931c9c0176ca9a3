//! The judge objects to what it is there for, and to nothing else.

use super::*;
use crate::{
    frames::{
        CANCEL, CONTINUATION, END_HEADERS, END_STREAM, NONE, PADDED, PROTOCOL_ERROR, WHOLE, data,
        frame, goaway, headers, ping, rst_stream, settings, settings_ack, window_update,
    },
    hpack::{block, get, get_with, literal, ok, ok_with, request},
};

fn frames(bytes: &[Vec<u8>]) -> Vec<Frame> {
    let mut bytes = bytes.concat();
    std::iter::from_fn(|| Frame::split_off(&mut bytes)).collect()
}

/// What is said of `theirs`, the balancer's, after `ours`.
fn judged(role: Role, ours: &[Vec<u8>], theirs: &[Vec<u8>]) -> Vec<String> {
    let mut judge = Judge::new(role);
    judge.has_settings = true;
    frames(ours).into_iter().for_each(|frame| judge.sent(frame));
    for frame in frames(theirs) {
        judge.framing(&frame);
        judge.received(&frame);
    }
    judge.violations().to_vec()
}

fn check(role: Role, ours: &[Vec<u8>], theirs: &[Vec<u8>], expected: Option<&str>) {
    let violations = judged(role, ours, theirs);
    match expected {
        None => assert!(violations.is_empty(), "{violations:?}"),
        Some(section) => {
            let is_it = violations.iter().any(|violation| violation.contains(section));
            assert!(is_it, "{section} expected, {violations:?}");
        }
    }
}

fn asked() -> Vec<Vec<u8>> {
    vec![headers(1, WHOLE, &get("/"))]
}

fn open() -> Vec<u8> {
    headers(1, END_HEADERS, &ok())
}

#[test]
fn answers() {
    let check = |theirs: &[Vec<u8>], expected| check(Role::Server, &asked(), theirs, expected);
    check(&[headers(1, WHOLE, &ok())], None);
    check(&[open(), data(1, NONE, b"x"), headers(1, WHOLE, &literal("x-a", "1"))], None);
    check(&[headers(3, WHOLE, &ok())], Some("5.1.1"));
    check(&[data(1, END_STREAM, b"x")], Some("8.1"));
    check(&[headers(1, WHOLE, &ok()), data(1, NONE, b"x")], Some("5.1"));
    check(&[rst_stream(1, CANCEL), open()], Some("5.1"));
    check(&[rst_stream(1, CANCEL), rst_stream(1, CANCEL)], Some("5.1"));
    check(&[rst_stream(3, CANCEL)], Some("6.4"));
    check(&[headers(1, WHOLE, &[0xff, 0x80, 0x01])], Some("4.3"));
    check(&[headers(1, WHOLE, &literal("x-a", "1"))], Some("8.3"));
    check(&[headers(1, WHOLE, &block(&[(":status", "103")]))], Some("8.1"));
    check(&[open(), headers(1, END_HEADERS, &literal("x-a", "1"))], Some("8.1"));
    check(&[open(), headers(1, WHOLE, &ok())], Some("8.3"));
    for (name, value) in [("X-A", "1"), ("x a", "1"), ("", "1"), ("x-a", "1\n"), ("x-a", " 1")] {
        check(&[headers(1, WHOLE, &ok_with(name, value))], Some("8.2.1"));
    }
    check(&[headers(1, WHOLE, &ok_with("connection", "close"))], Some("8.2.2"));
    check(&[headers(1, WHOLE, &ok_with("content-length", "1"))], Some("8.1.1"));
    let sized = || headers(1, END_HEADERS, &ok_with("content-length", "3"));
    check(&[sized(), data(1, END_STREAM, b"abc")], None);
    check(&[sized(), data(1, NONE, b"abcd")], Some("8.1.1"));
    check(&[sized(), data(1, END_STREAM, b"ab")], Some("8.1.1"));
}

#[test]
fn requests() {
    let check = |theirs: &[Vec<u8>], expected| check(Role::Client, &[], theirs, expected);
    let one = || headers(1, WHOLE, &get("/"));
    check(&[one(), headers(3, WHOLE, &request("OPTIONS", "*"))], None);
    check(&[headers(2, WHOLE, &get("/"))], Some("5.1.1"));
    check(&[headers(3, WHOLE, &get("/")), one()], Some("5.1.1"));
    check(&[headers(1, WHOLE, &get_with("te", "gzip"))], Some("8.2.2"));
    check(&[headers(1, WHOLE, &get_with(":path", "/"))], Some("8.3"));
    check(&[headers(1, WHOLE, &get("nowhere"))], Some("8.3.1"));
    check(&[headers(1, WHOLE, &block(&[(":method", "GET")]))], Some("8.3"));
    check(&[data(1, NONE, b"x")], Some("5.1"));
}

#[test]
fn streams_beyond_the_limit_or_after_a_goodbye() {
    let limit = [settings(&[(MAX_CONCURRENT_STREAMS, 1)])];
    let (one, two) = (headers(1, WHOLE, &get("/")), headers(3, WHOLE, &get("/")));
    check(Role::Client, &limit, &[one.clone(), two.clone()], None);
    check(Role::Client, &limit, &[settings_ack(), one.clone(), two.clone()], Some("5.1.2"));
    let goodbye = [goaway(1, 0), ping(NONE, b"barriers")];
    check(Role::Client, &goodbye, &[one.clone(), two.clone()], None);
    check(Role::Client, &goodbye, &[one, ping(ACK, b"barriers"), two], Some("6.8"));
}

#[test]
fn windows() {
    let sized = |window| settings(&[(INITIAL_WINDOW_SIZE, window)]);
    let small = [sized(3), asked().concat()];
    check(Role::Server, &small, &[settings_ack(), open(), data(1, NONE, b"abc")], None);
    check(Role::Server, &small, &[settings_ack(), open(), data(1, NONE, b"abcd")], Some("6.9.1"));
    // Not before it is acknowledged.
    check(Role::Server, &small, &[open(), data(1, NONE, b"abcd"), settings_ack()], None);
    let more = [small.concat(), window_update(1, 1)];
    check(Role::Server, &more, &[settings_ack(), open(), data(1, NONE, b"abcd")], None);
    let large = [sized(1 << 20), asked().concat()];
    let most = data(1, NONE, &[0; 16_384]);
    check(Role::Server, &large, &[vec![open()], vec![most.clone(); 3]].concat(), None);
    check(Role::Server, &large, &[vec![open()], vec![most; 4]].concat(), Some("6.9.1"));
    check(Role::Server, &asked(), &[window_update(0, 0x7fff_0000)], None);
    check(Role::Server, &asked(), &[window_update(0, 0x7fff_0001)], Some("6.9.1"));
    check(Role::Server, &asked(), &[window_update(1, 0)], Some("6.9"));
    check(Role::Server, &asked(), &[window_update(3, 1)], Some("5.1"));
}

#[test]
fn frames_and_settings() {
    let check = |ours: &[Vec<u8>], theirs: &[Vec<u8>], expected| {
        check(Role::Server, &[asked(), ours.to_vec()].concat(), theirs, expected);
    };
    check(&[], &[settings(&[(INITIAL_WINDOW_SIZE, 1)])], None);
    check(&[], &[settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)])], Some("6.5.2"));
    check(&[], &[settings(&[(ENABLE_PUSH, 1)])], Some("6.5.2"));
    check(&[], &[settings(&[(MAX_FRAME_SIZE, 1)])], Some("6.5.2"));
    check(&[], &[settings_ack()], Some("6.5.3"));
    check(&[ping(NONE, b"question")], &[ping(ACK, b"question")], None);
    check(&[ping(NONE, b"question")], &[ping(ACK, b"another.")], Some("6.7"));
    check(&[], &[goaway(1, PROTOCOL_ERROR)], None);
    check(&[], &[goaway(LARGEST_STREAM, 0), goaway(1, 0)], None);
    check(&[], &[goaway(3, PROTOCOL_ERROR)], Some("6.8"));
    check(&[], &[goaway(0, 0), goaway(1, 0)], Some("6.8"));
    check(&[], &[frame(SETTINGS, 0x2, 0, &[])], Some("4.1"));
    check(&[], &[frame(SETTINGS, NONE, 1, &[])], Some("6"));
    check(&[], &[frame(PING, NONE, 0, b"short")], Some("6"));
    check(&[], &[frame(0x20, NONE, 0, &[])], Some("5.5"));
    check(&[], &[frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 4])], Some("5.5"));
    check(&[], &[open(), frame(DATA, PADDED, 1, b"\x05hi")], Some("6.1"));
    check(&[], &[open(), data(1, NONE, &[0; 16_385])], Some("4.2"));
    check(&[], &[frame(CONTINUATION, END_HEADERS, 0, &[])], Some("6"));
    check(&[], &[frame(PING, NONE, 0x8000_0000, b"reserved")], Some("4.1"));
}

#[test]
fn settings_come_first() {
    let mut judge = Judge::new(Role::Server);
    let frames = frames(&[ping(NONE, b"too soon"), settings(&[])]);
    frames.iter().for_each(|frame| judge.framing(frame));
    assert_eq!(judge.violations().len(), 1, "{:?}", judge.violations());
}
