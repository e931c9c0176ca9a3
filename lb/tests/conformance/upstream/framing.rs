//! Frames of a server that are out of shape or out of place (RFC 9113, sections 4 to 6 and 8.4).

use super::{answers, breaks, errs, passes};
use crate::{
    case::Case,
    frames::{
        ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, GOAWAY,
        HEADERS, NONE, PADDED, PING, PRIORITIZED, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE,
        RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, continuation, data, frame, headers, ping,
        priority, rst_stream, settings, window_update,
    },
    hpack::{get, literal, ok, ok_with},
};

/// The bit that must be ignored.
const RESERVED: u32 = 0x8000_0000;

pub(super) fn table() -> Vec<Case> {
    [ignored(), taken(), lengths(), places(), interruptions()].into_iter().flatten().collect()
}

fn open() -> Vec<u8> {
    headers(1, END_HEADERS, &ok())
}

fn ignored() -> Vec<Case> {
    vec![
        passes("4.1", "a frame of an unknown type", &[frame(0x16, NONE, 0, b"unknown")]),
        passes("5.5", "an extension on the call's stream", &[frame(0x20, 0xff, 1, b"unknown")]),
        passes("5.5", "an extension on an idle stream", &[frame(0xff, 0xff, 77, b"unknown")]),
        passes("4.1", "flags without a meaning on PING", &[frame(PING, 0xfe, 0, b"flagging")]),
        passes("4.1", "flags without a meaning on SETTINGS", &[frame(SETTINGS, 0xfe, 0, &[])]),
        passes(
            "4.1",
            "flags without a meaning on WINDOW_UPDATE",
            &[frame(WINDOW_UPDATE, 0xff, 1, &[0, 0, 0, 1])],
        ),
        passes("4.1", "the reserved bit", &[frame(PING, NONE, RESERVED, b"reserved")]),
        passes(
            "6.9",
            "the reserved bit of an increment",
            &[frame(WINDOW_UPDATE, NONE, 0, &[0x80, 0, 0, 1])],
        ),
        passes("6.3", "PRIORITY", &[priority(1, 0), priority(9, 0)]),
        passes("6.5.3", "SETTINGS in the middle", &[settings(&[(0xf0, 1)])]),
        passes("6.7", "an answer to a PING that was not sent", &[ping(ACK, b"invalid!")]),
        passes("6.7", "PING in the middle", &[ping(NONE, b"midways!")]),
        passes("6.9", "WINDOW_UPDATE in the middle", &[window_update(0, 1), window_update(1, 1)]),
    ]
}

fn taken() -> Vec<Case> {
    let padded = |content: &[u8]| [&[6], content, &[0; 6][..]].concat();
    let pieces = || literal("x-long", &"long".repeat(50));
    vec![
        answers(
            "4.1",
            "the reserved bit and flags without a meaning on HEADERS and DATA",
            &[
                headers(1 | RESERVED, END_HEADERS | 0x50, &ok()),
                data(1 | RESERVED, END_STREAM | 0xf6, b"x"),
            ],
        ),
        answers("4.2", "DATA of 2^14 octets", &[open(), data(1, END_STREAM, &[b'x'; 16_384])]),
        answers(
            "6.1",
            "DATA with padding",
            &[open(), frame(DATA, END_STREAM | PADDED, 1, &padded(b"content"))],
        ),
        answers(
            "6.1",
            "DATA that is all padding",
            &[open(), frame(DATA, END_STREAM | PADDED, 1, &padded(b""))],
        ),
        answers(
            "6.2",
            "HEADERS with padding",
            &[frame(HEADERS, WHOLE | PADDED, 1, &padded(&ok()))],
        ),
        answers(
            "6.2",
            "HEADERS with a priority",
            &[frame(HEADERS, WHOLE | PRIORITIZED, 1, &[&[0, 0, 0, 0, 15], &ok()[..]].concat())],
        ),
        answers(
            "6.10",
            "a block in pieces",
            &[
                headers(1, END_STREAM, &ok()),
                continuation(1, NONE, &pieces()[..100]),
                continuation(1, END_HEADERS, &pieces()[100..]),
            ],
        ),
        answers(
            "6.10",
            "HEADERS without a fragment",
            &[headers(1, END_STREAM, &[]), continuation(1, END_HEADERS, &ok())],
        ),
        answers(
            "6.10",
            "trailers in pieces",
            &[
                open(),
                headers(1, END_STREAM, &pieces()[..100]),
                continuation(1, END_HEADERS, &pieces()[100..]),
            ],
        ),
        answers(
            "8.1",
            "an answer of head, content and trailers",
            &[open(), data(1, NONE, b"x"), headers(1, WHOLE, &literal("x-test", "ok"))],
        ),
        answers("8.1", "trailers without a field", &[open(), headers(1, WHOLE, &[])]),
    ]
}

fn lengths() -> Vec<Case> {
    let long = vec![b'x'; 16_385];
    let size = [FRAME_SIZE_ERROR];
    let mut table = vec![
        errs(
            "4.2",
            "DATA longer than MAX_FRAME_SIZE",
            &[open(), data(1, END_STREAM, &long)],
            &size,
        ),
        breaks(
            "4.2",
            "HEADERS longer than MAX_FRAME_SIZE",
            &[headers(1, WHOLE, &ok_with("x-fill", &"f".repeat(16_400)))],
            &size,
        ),
        errs("6.3", "PRIORITY of 4 octets", &[frame(PRIORITY, NONE, 1, &[0; 4])], &size),
        breaks("6.4", "RST_STREAM of 3 octets", &[frame(RST_STREAM, NONE, 1, &[0; 3])], &size),
        breaks("6.4", "RST_STREAM of 5 octets", &[frame(RST_STREAM, NONE, 1, &[0; 5])], &size),
        breaks("6.5", "SETTINGS of 5 octets", &[frame(SETTINGS, NONE, 0, &[0; 5])], &size),
        breaks(
            "6.5",
            "an acknowledgement with settings",
            &[frame(SETTINGS, ACK, 0, &[0, 1, 0, 0, 0, 0])],
            &size,
        ),
        breaks("6.7", "PING of 7 octets", &[frame(PING, NONE, 0, &[0; 7])], &size),
        breaks("6.7", "PING of 9 octets", &[frame(PING, NONE, 0, &[0; 9])], &size),
        breaks("6.8", "GOAWAY of 7 octets", &[frame(GOAWAY, NONE, 0, &[0; 7])], &size),
        breaks(
            "6.9",
            "WINDOW_UPDATE of 3 octets",
            &[frame(WINDOW_UPDATE, NONE, 0, &[0; 3])],
            &size,
        ),
        breaks(
            "6.9",
            "WINDOW_UPDATE of 5 octets on a stream",
            &[frame(WINDOW_UPDATE, NONE, 1, &[0; 5])],
            &size,
        ),
    ];
    for (section, name, frames) in [
        ("6.1", "more padding than DATA", vec![open(), frame(DATA, PADDED, 1, b"\x06hello")]),
        ("6.1", "padded DATA without a padding length", vec![open(), frame(DATA, PADDED, 1, &[])]),
        ("6.2", "more padding than HEADERS", vec![frame(HEADERS, WHOLE | PADDED, 1, &[9, 0x88])]),
    ] {
        table.push(breaks(section, name, &frames, &[PROTOCOL_ERROR, FRAME_SIZE_ERROR]));
    }
    table
}

fn places() -> Vec<Case> {
    let wrong =
        |section, name: &str, bytes: Vec<u8>| breaks(section, name, &[bytes], &[PROTOCOL_ERROR]);
    let promise = |stream: u32, promised: u32| {
        let payload = [&promised.to_be_bytes()[..], &get("/pushed")].concat();
        frame(PUSH_PROMISE, END_HEADERS, stream, &payload)
    };
    vec![
        wrong("6.1", "DATA on stream 0", data(0, END_STREAM, b"x")),
        wrong("6.2", "HEADERS on stream 0", headers(0, WHOLE, &ok())),
        wrong("6.3", "PRIORITY on stream 0", priority(0, 1)),
        wrong("6.4", "RST_STREAM on stream 0", rst_stream(0, CANCEL)),
        wrong("6.5", "SETTINGS on a stream", frame(SETTINGS, NONE, 1, &[])),
        wrong("6.7", "PING on a stream", frame(PING, NONE, 1, b"streamed")),
        wrong("6.8", "GOAWAY on a stream", frame(GOAWAY, NONE, 1, &[0; 8])),
        wrong("6.10", "CONTINUATION without HEADERS", continuation(1, END_HEADERS, &ok())),
        wrong("8.4", "a push, though ENABLE_PUSH is 0", promise(1, 2)),
        wrong("8.4", "a push on an idle stream", promise(3, 2)),
        wrong("8.4", "a push of an odd stream", promise(1, 3)),
    ]
}

fn interruptions() -> Vec<Case> {
    let more = || continuation(1, END_HEADERS, &literal("x-a", "1"));
    let wrong = |name: &str, frames: &[Vec<u8>]| breaks("6.10", name, frames, &[PROTOCOL_ERROR]);
    let mut table = vec![
        wrong("CONTINUATION after END_HEADERS", &[open(), more()]),
        wrong("CONTINUATION after DATA", &[open(), data(1, NONE, b"x"), more()]),
        wrong(
            "CONTINUATION after CONTINUATION with END_HEADERS",
            &[headers(1, NONE, &ok()), more(), more()],
        ),
        wrong(
            "CONTINUATION on stream 0",
            &[headers(1, NONE, &ok()), continuation(0, END_HEADERS, &[])],
        ),
    ];
    for (name, bytes) in [
        ("DATA", data(1, END_STREAM, b"x")),
        ("HEADERS", headers(1, WHOLE, &ok())),
        ("PING", ping(NONE, b"intruder")),
        ("SETTINGS", settings(&[])),
        ("RST_STREAM", rst_stream(1, CANCEL)),
        ("an extension", frame(0x16, NONE, 0, b"x")),
        ("CONTINUATION of another stream", frame(CONTINUATION, END_HEADERS, 3, &[])),
    ] {
        let frames = [headers(1, END_STREAM, &ok()), bytes, continuation(1, END_HEADERS, &[])];
        let name = format!("{name} inside a header block");
        table.push(breaks("6.10", &name, &frames, &[PROTOCOL_ERROR]));
    }
    table
}
