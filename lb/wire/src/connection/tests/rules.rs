//! Frames that break a rule, one by one, and what comes of it: an error of the connection, one of the
//! stream, or nothing (RFC 9113, sections 4 to 6).

use super::{Core, block, pair, request};
use crate::{
    connection::Event,
    frame::{Code, FrameHeader, HEADER_LEN, MAX_PAYLOAD, flag, kind, setting},
};

/// Type, flags, stream, payload.
type Frame<'a> = (u8, u8, u32, &'a [u8]);

/// What comes of frames.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    ConnectionError(Code),
    StreamError(Code),
    Fine,
}

use Fate::{ConnectionError, Fine, StreamError};

fn fate(core: &mut Core, frames: &[Frame<'_>]) -> Fate {
    let mut bytes = Vec::new();
    for &(kind, flags, stream, payload) in frames {
        FrameHeader { length: payload.len(), kind, flags, stream }.write(&mut bytes);
        bytes.extend_from_slice(payload);
    }
    let now = core.now;
    let mut input = &bytes[..];
    loop {
        match core.receive(now, &mut input) {
            Ok(Some(Event::Reset { code, by_us: true, .. })) => return StreamError(code),
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                assert_eq!(sent(core, kind::GOAWAY), Some(error.code), "the peer is told");
                return ConnectionError(error.code);
            }
        }
    }
    sent(core, kind::RST_STREAM).map_or(Fine, StreamError)
}

/// The code in the last frame of this type among the output.
fn sent(core: &Core, kind: u8) -> Option<Code> {
    let (mut rest, mut code) = (core.output(), None);
    while let Some(header) = FrameHeader::parse(rest) {
        if header.kind == kind {
            let at = HEADER_LEN + header.length.min(8) - 4;
            code = Some(Code(u32::from_be_bytes(rest[at..at + 4].try_into().unwrap())));
        }
        rest = &rest[HEADER_LEN + header.length..];
    }
    code
}

/// A server with stream 1 open, on which the client has more to say.
fn check_server(frames: &[Frame<'_>], expected: Fate) {
    let mut pair = pair();
    pair.client.open(0, &request(), false, false).unwrap();
    pair.settle();
    assert_eq!(fate(&mut pair.server, frames), expected, "{frames:?}");
}

/// A client that waits for the answer on stream 1.
fn check_client(frames: &[Frame<'_>], expected: Fate) {
    let mut pair = pair();
    pair.client.open(0, &request(), true, false).unwrap();
    pair.settle();
    assert_eq!(fate(&mut pair.client, frames), expected, "{frames:?}");
}

fn set(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

#[test]
fn frames_have_sizes() {
    let large = vec![0; MAX_PAYLOAD + 1];
    for frame in [
        (kind::DATA, 0, 1, &large[..]),
        (kind::RST_STREAM, 0, 1, &[0; 3]),
        (kind::SETTINGS, 0, 0, &[0; 5]),
        (kind::SETTINGS, flag::ACK, 0, &[0; 6]),
        (kind::PING, 0, 0, &[0; 7]),
        (kind::GOAWAY, 0, 0, &[0; 7]),
        (kind::WINDOW_UPDATE, 0, 1, &[0; 5]),
    ] {
        check_server(&[frame], ConnectionError(Code::FRAME_SIZE_ERROR));
    }
    check_server(&[(kind::PRIORITY, 0, 1, &[0; 4])], StreamError(Code::FRAME_SIZE_ERROR));
}

#[test]
fn frames_belong_to_streams_or_to_the_connection() {
    let head = request();
    for frame in [
        (kind::DATA, 0, 0, &b"x"[..]),
        (kind::HEADERS, flag::END_HEADERS, 0, &head),
        (kind::PRIORITY, 0, 0, &[0; 5]),
        (kind::RST_STREAM, 0, 0, &[0; 4]),
        (kind::SETTINGS, 0, 1, &[]),
        (kind::PING, 0, 1, &[0; 8]),
        (kind::GOAWAY, 0, 1, &[0; 8]),
        (kind::PUSH_PROMISE, flag::END_HEADERS, 1, &[0; 8]),
    ] {
        check_server(&[frame], ConnectionError(Code::PROTOCOL_ERROR));
    }
    check_server(&[(0xbe, 0xff, 1, b"unknown")], Fine);
}

#[test]
fn idle_streams_hear_nothing_but_a_request() {
    let head = request();
    for frame in [
        (kind::DATA, 0, 5, &b"x"[..]),
        (kind::RST_STREAM, 0, 5, &[0; 4]),
        (kind::WINDOW_UPDATE, 0, 5, &[0, 0, 0, 1]),
        (kind::HEADERS, flag::END_HEADERS, 2, &head),
    ] {
        check_server(&[frame], ConnectionError(Code::PROTOCOL_ERROR));
    }
    check_client(
        &[(kind::HEADERS, flag::END_HEADERS, 3, &head)],
        ConnectionError(Code::PROTOCOL_ERROR),
    );
    check_server(&[(kind::HEADERS, flag::END_HEADERS, 5, &head)], Fine);
}

#[test]
fn a_header_block_is_not_interrupted() {
    let head = request();
    let begun = (kind::HEADERS, 0, 3, &head[..4]);
    for next in [
        (kind::DATA, 0, 1, &b"x"[..]),
        (kind::CONTINUATION, flag::END_HEADERS, 1, &head[4..]),
        (kind::PING, 0, 0, &[0; 8]),
    ] {
        check_server(&[begun, next], ConnectionError(Code::PROTOCOL_ERROR));
    }
    let rest = (kind::CONTINUATION, flag::END_HEADERS, 3, &head[4..]);
    check_server(&[rest], ConnectionError(Code::PROTOCOL_ERROR));
    check_server(&[begun, rest], Fine);
    let endless = vec![(kind::CONTINUATION, 0, 3, &[][..]); 17];
    check_server(&[&[begun][..], &endless].concat(), ConnectionError(Code::ENHANCE_YOUR_CALM));
}

#[test]
fn settings_have_ranges() {
    for (id, value, code) in [
        (setting::ENABLE_PUSH, 2, Code::PROTOCOL_ERROR),
        (setting::INITIAL_WINDOW_SIZE, 1 << 31, Code::FLOW_CONTROL_ERROR),
        (setting::MAX_FRAME_SIZE, 16_383, Code::PROTOCOL_ERROR),
        (setting::MAX_FRAME_SIZE, 1 << 24, Code::PROTOCOL_ERROR),
    ] {
        check_server(&[(kind::SETTINGS, 0, 0, &set(id, value))], ConnectionError(code));
    }
    let push = set(setting::ENABLE_PUSH, 1);
    check_client(&[(kind::SETTINGS, 0, 0, &push)], ConnectionError(Code::PROTOCOL_ERROR));
    check_server(&[(kind::SETTINGS, 0, 0, &set(0xff, 7))], Fine);
}

#[test]
fn windows_have_a_top_and_do_not_grow_by_nothing() {
    let (none, most) = ([0; 4], (u32::MAX >> 1).to_be_bytes());
    let update = |stream, by| (kind::WINDOW_UPDATE, 0, stream, by);
    check_server(&[update(1, &none[..])], StreamError(Code::PROTOCOL_ERROR));
    check_server(&[update(0, &none[..])], ConnectionError(Code::PROTOCOL_ERROR));
    check_server(&[update(1, &most[..])], StreamError(Code::FLOW_CONTROL_ERROR));
    check_server(&[update(0, &most[..])], ConnectionError(Code::FLOW_CONTROL_ERROR));
}

#[test]
fn what_is_said_after_the_end_is_an_error() {
    let (head, end) = (request(), flag::END_STREAM);
    let ended = (kind::DATA, end, 1, &b"x"[..]);
    check_server(&[ended, (kind::DATA, 0, 1, b"y")], StreamError(Code::STREAM_CLOSED));
    let again = (kind::HEADERS, flag::END_HEADERS | end, 1, &head[..]);
    check_server(&[ended, again], StreamError(Code::STREAM_CLOSED));
    let reset = (kind::RST_STREAM, 0, 1, &[0; 4][..]);
    check_server(&[reset, (kind::DATA, 0, 1, b"y")], StreamError(Code::STREAM_CLOSED));
    check_server(&[reset, again], ConnectionError(Code::STREAM_CLOSED));
    check_server(&[reset, (kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])], Fine);
}

#[test]
fn content_has_the_length_that_was_said() {
    let mut head = request();
    head.extend(block(&[("content-length", "3")]));
    let begun = (kind::HEADERS, flag::END_HEADERS, 3, &head[..]);
    let data = |payload: &'static [u8]| (kind::DATA, flag::END_STREAM, 3, payload);
    check_server(&[begun, data(b"abc")], Fine);
    check_server(&[begun, data(b"ab")], StreamError(Code::PROTOCOL_ERROR));
    check_server(&[begun, data(b"abcd")], StreamError(Code::PROTOCOL_ERROR));
    let flags = flag::END_HEADERS | flag::END_STREAM;
    check_server(&[(kind::HEADERS, flags, 3, &head)], StreamError(Code::PROTOCOL_ERROR));
}

#[test]
fn an_answer_has_an_order() {
    let (hint, head) = (block(&[(":status", "103")]), block(&[(":status", "200")]));
    let (whole, end) = (flag::END_HEADERS, flag::END_STREAM);
    let answer = (kind::HEADERS, whole, 1, &head[..]);
    check_client(&[(kind::DATA, 0, 1, b"x")], StreamError(Code::PROTOCOL_ERROR));
    check_client(&[(kind::HEADERS, whole | end, 1, &hint)], StreamError(Code::PROTOCOL_ERROR));
    check_client(&[(kind::HEADERS, whole, 1, &hint), answer], Fine);
    let hints = vec![(kind::HEADERS, whole, 1, &hint[..]); 17];
    check_client(&hints, StreamError(Code::ENHANCE_YOUR_CALM));
    // Trailers end the stream.
    let trailers = block(&[("grpc-status", "0")]);
    check_client(
        &[answer, (kind::HEADERS, whole, 1, &trailers)],
        StreamError(Code::PROTOCOL_ERROR),
    );
    check_client(&[answer, (kind::HEADERS, whole | end, 1, &trailers)], Fine);
}
