//! Frames out of shape (RFC 9113, sections 4.1, 4.2, 5.5 and 6).

use crate::{
    case::{Case, Want, answered, case, connection_error, frame_of, sees, sends},
    frames::{
        ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, GOAWAY,
        HEADERS, NONE, PADDED, PING, PRIORITIZED, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE,
        RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, data, frame, headers, ping, priority,
    },
    hpack::{get, literal, post},
};

/// The bit that must be ignored.
const RESERVED: u32 = 0x8000_0000;

pub(super) fn table() -> Vec<Case> {
    [ignored(), taken(), lengths(), places()].into_iter().flatten().collect()
}

fn open() -> Vec<u8> {
    headers(1, END_HEADERS, &post("/"))
}

fn ignored() -> Vec<Case> {
    let ignored = |section, name: &str, bytes: &[Vec<u8>]| {
        let request = headers(1, WHOLE, &get("/"));
        let steps = vec![sends(bytes), sees(Want::Alive), sends(&[request]), sees(answered(1))];
        case(section, name, steps)
    };
    let is_pong =
        || sees(frame_of("PING ACK", |one| one.kind == PING && one.payload == b"reserved"));
    vec![
        ignored("4.1", "a frame of an unknown type", &[frame(0x16, NONE, 0, b"unknown")]),
        ignored(
            "5.5",
            "an extension on a stream that is idle",
            &[frame(0xff, 0xff, 7, b"unknown")],
        ),
        ignored("5.5", "an empty extension", &[frame(0x20, NONE, 0, &[])]),
        ignored("4.1", "flags without a meaning on PING", &[frame(PING, 0xfe, 0, b"flagging")]),
        ignored("4.1", "flags without a meaning on SETTINGS", &[frame(SETTINGS, 0xfe, 0, &[])]),
        ignored(
            "4.1",
            "flags without a meaning on WINDOW_UPDATE",
            &[frame(WINDOW_UPDATE, 0xff, 0, &[0, 0, 0, 1])],
        ),
        ignored(
            "4.1",
            "flags without a meaning on PRIORITY",
            &[frame(PRIORITY, 0xff, 1, &[0, 0, 0, 0, 15])],
        ),
        ignored("4.1", "the reserved bit of SETTINGS", &[frame(SETTINGS, NONE, RESERVED, &[])]),
        ignored(
            "6.9",
            "the reserved bit of an increment",
            &[frame(WINDOW_UPDATE, NONE, 0, &[0x80, 0, 0, 1])],
        ),
        case(
            "4.1",
            "the reserved bit of PING",
            vec![sends(&[frame(PING, NONE, RESERVED, b"reserved")]), is_pong()],
        ),
        case(
            "4.1",
            "the reserved bit of HEADERS",
            vec![sends(&[headers(1 | RESERVED, WHOLE, &get("/"))]), sees(answered(1))],
        ),
        case(
            "4.1",
            "flags without a meaning on HEADERS and DATA",
            vec![
                sends(&[
                    headers(1, END_HEADERS | 0x50, &post("/")),
                    data(1, END_STREAM | 0xf6, b"x"),
                ]),
                sees(answered(1)),
            ],
        ),
        case(
            "5.5",
            "extensions between the frames of a request",
            vec![
                sends(&[
                    open(),
                    frame(0x16, 1, 1, b"x"),
                    data(1, NONE, b"x"),
                    frame(0x17, 1, 1, b"x"),
                ]),
                sends(&[data(1, END_STREAM, b"y")]),
                sees(answered(1)),
            ],
        ),
        case(
            "5.5",
            "an extension inside a header block",
            vec![
                sends(&[headers(1, END_STREAM, &get("/")), frame(0x16, NONE, 0, b"x")]),
                sends(&[frame(CONTINUATION, END_HEADERS, 1, &[])]),
                sees(connection_error(PROTOCOL_ERROR)),
            ],
        ),
    ]
}

fn taken() -> Vec<Case> {
    let answers = |section, name: &str, bytes: &[Vec<u8>]| {
        case(section, name, vec![sends(bytes), sees(answered(1))])
    };
    let padded =
        |padding: u8, content: &[u8]| [&[padding], content, &vec![0; padding.into()]].concat();
    let prioritized = |depends_on: u32| [&depends_on.to_be_bytes()[..], &[255], &get("/")].concat();
    vec![
        answers("4.2", "DATA of 2^14 octets", &[open(), data(1, END_STREAM, &[0; 16_384])]),
        answers("4.2", "HEADERS of 2^14 octets", &[headers(1, WHOLE, &filled(16_384))]),
        answers(
            "6.1",
            "several DATA frames",
            &[open(), data(1, NONE, b"a"), data(1, NONE, &[]), data(1, END_STREAM, b"b")],
        ),
        answers("6.1", "DATA that ends a stream with nothing", &[open(), data(1, END_STREAM, &[])]),
        answers(
            "6.1",
            "DATA with padding",
            &[open(), frame(DATA, END_STREAM | PADDED, 1, &padded(6, b"content"))],
        ),
        answers(
            "6.1",
            "DATA that is all padding",
            &[open(), frame(DATA, END_STREAM | PADDED, 1, &padded(255, b""))],
        ),
        answers(
            "6.1",
            "DATA with padding of length 0",
            &[open(), frame(DATA, END_STREAM | PADDED, 1, &padded(0, b"content"))],
        ),
        answers(
            "6.2",
            "HEADERS with padding",
            &[frame(HEADERS, WHOLE | PADDED, 1, &padded(6, &get("/")))],
        ),
        answers(
            "6.2",
            "HEADERS with a priority",
            &[frame(HEADERS, WHOLE | PRIORITIZED, 1, &prioritized(0))],
        ),
        answers(
            "6.2",
            "HEADERS with an exclusive priority",
            &[frame(HEADERS, WHOLE | PRIORITIZED, 1, &prioritized(RESERVED | 9))],
        ),
        answers(
            "6.2",
            "HEADERS with padding and a priority",
            &[frame(HEADERS, WHOLE | PADDED | PRIORITIZED, 1, &padded(200, &prioritized(0)))],
        ),
    ]
}

/// A request whose block is this long.
fn filled(length: usize) -> Vec<u8> {
    let mut block = get("/");
    while length - block.len() > 4_200 {
        block.extend(literal("x-fill", &"f".repeat(4_000)));
    }
    // A literal's octets beside its value: 1 + 1 + 6 + 3.
    let rest = length - block.len() - 11;
    block.extend(literal("x-fill", &"f".repeat(rest)));
    assert_eq!(block.len(), length);
    block
}

/// An error about this stream; the whole connection may pay for it.
fn errs(section: &'static str, name: &str, bytes: &[Vec<u8>], code: u32) -> Case {
    case(section, name, vec![sends(bytes), sees(Want::StreamError(1, vec![code]))])
}

fn breaks(section: &'static str, name: &str, bytes: &[Vec<u8>], code: u32) -> Case {
    case(section, name, vec![sends(bytes), sees(connection_error(code))])
}

fn lengths() -> Vec<Case> {
    let long = vec![0; 16_385];
    let wrong = |section, name: &str, kind, stream, length: usize| {
        breaks(
            section,
            name,
            &[open(), frame(kind, NONE, stream, &vec![0; length])],
            FRAME_SIZE_ERROR,
        )
    };
    let mut table = vec![
        errs(
            "4.2",
            "DATA longer than MAX_FRAME_SIZE",
            &[open(), data(1, END_STREAM, &long)],
            FRAME_SIZE_ERROR,
        ),
        breaks(
            "4.2",
            "HEADERS longer than MAX_FRAME_SIZE",
            &[headers(1, WHOLE, &filled(16_385))],
            FRAME_SIZE_ERROR,
        ),
        breaks(
            "4.2",
            "CONTINUATION longer than MAX_FRAME_SIZE",
            &[headers(1, END_STREAM, &get("/")), frame(CONTINUATION, END_HEADERS, 1, &long)],
            FRAME_SIZE_ERROR,
        ),
        breaks(
            "4.2",
            "SETTINGS longer than MAX_FRAME_SIZE",
            &[frame(SETTINGS, NONE, 0, &vec![0; 16_386])],
            FRAME_SIZE_ERROR,
        ),
        case(
            "4.2",
            "an extension longer than MAX_FRAME_SIZE",
            vec![sends(&[frame(0x16, NONE, 0, &long)]), sees(connection_error(FRAME_SIZE_ERROR))],
        ),
        errs(
            "6.3",
            "PRIORITY of 4 octets",
            &[open(), frame(PRIORITY, NONE, 1, &[0; 4])],
            FRAME_SIZE_ERROR,
        ),
        errs(
            "6.3",
            "PRIORITY of 6 octets",
            &[open(), frame(PRIORITY, NONE, 1, &[0; 6])],
            FRAME_SIZE_ERROR,
        ),
        breaks(
            "6.1",
            "more padding than DATA",
            &[open(), frame(DATA, PADDED, 1, b"\x06hello")],
            PROTOCOL_ERROR,
        ),
        breaks(
            "6.1",
            "as much padding as DATA",
            &[open(), frame(DATA, END_STREAM | PADDED, 1, b"\x05pads")],
            PROTOCOL_ERROR,
        ),
        breaks(
            "6.2",
            "more padding than HEADERS",
            &[frame(HEADERS, WHOLE | PADDED, 1, &[&[200], &get("/")[..]].concat())],
            PROTOCOL_ERROR,
        ),
        breaks(
            "6.2",
            "padding that eats the priority",
            &[frame(HEADERS, WHOLE | PADDED | PRIORITIZED, 1, &[3, 0, 0, 0, 0, 15, 0, 0])],
            PROTOCOL_ERROR,
        ),
    ];
    table.push(case(
        "6.1",
        "padded DATA without a padding length",
        vec![
            sends(&[open(), frame(DATA, PADDED, 1, &[])]),
            sees(Want::ConnectionError(vec![FRAME_SIZE_ERROR, PROTOCOL_ERROR])),
        ],
    ));
    table.push(case(
        "6.2",
        "HEADERS too short for its priority",
        vec![
            sends(&[frame(HEADERS, WHOLE | PRIORITIZED, 1, &[0; 4])]),
            sees(Want::ConnectionError(vec![FRAME_SIZE_ERROR, PROTOCOL_ERROR])),
        ],
    ));
    for (section, name, kind, stream) in [
        ("6.4", "RST_STREAM", RST_STREAM, 1),
        ("6.9", "WINDOW_UPDATE on a stream", WINDOW_UPDATE, 1),
        ("6.9", "WINDOW_UPDATE", WINDOW_UPDATE, 0),
    ] {
        table.push(wrong(section, &format!("{name} of 3 octets"), kind, stream, 3));
        table.push(wrong(section, &format!("{name} of 5 octets"), kind, stream, 5));
    }
    for length in [0, 6, 7, 9] {
        table.push(wrong("6.7", &format!("PING of {length} octets"), PING, 0, length));
    }
    table.push(wrong("6.8", "GOAWAY of 7 octets", GOAWAY, 0, 7));
    table.push(breaks(
        "6.7",
        "an answer to PING of 6 octets",
        &[frame(PING, ACK, 0, &[0; 6])],
        FRAME_SIZE_ERROR,
    ));
    table
}

fn places() -> Vec<Case> {
    let wrong = |section, name: &str, bytes: &[Vec<u8>]| -> Case {
        breaks(section, name, bytes, PROTOCOL_ERROR)
    };
    let promise = || [&[0, 0, 0, 2][..], &get("/")].concat();
    vec![
        wrong("6.1", "DATA on stream 0", &[data(0, END_STREAM, b"test")]),
        wrong("6.2", "HEADERS on stream 0", &[headers(0, WHOLE, &get("/"))]),
        wrong("6.3", "PRIORITY on stream 0", &[priority(0, 1)]),
        wrong(
            "6.4",
            "RST_STREAM on stream 0",
            &[frame(RST_STREAM, NONE, 0, &CANCEL.to_be_bytes())],
        ),
        wrong("6.7", "PING on a stream", &[open(), frame(PING, NONE, 1, b"streamed")]),
        wrong("6.7", "an answer to PING on a stream", &[open(), frame(PING, ACK, 1, b"streamed")]),
        wrong("6.8", "GOAWAY on a stream", &[open(), frame(GOAWAY, NONE, 1, &[0; 8])]),
        wrong(
            "6.10",
            "CONTINUATION on stream 0",
            &[headers(1, END_STREAM, &get("/")), frame(CONTINUATION, END_HEADERS, 0, &[])],
        ),
        wrong(
            "8.4",
            "a client that pushes",
            &[open(), frame(PUSH_PROMISE, END_HEADERS, 1, &promise())],
        ),
        wrong(
            "8.4",
            "a client that pushes on an idle stream",
            &[frame(PUSH_PROMISE, END_HEADERS, 1, &promise())],
        ),
        case(
            "5.4.1",
            "a connection error ends the connection",
            vec![
                sends(&[frame(PING, NONE, 0, b"short"), ping(NONE, b"too late")]),
                sees(connection_error(FRAME_SIZE_ERROR)),
            ],
        ),
    ]
}
