//! RST_STREAM, PING, GOAWAY and codes nobody knows (RFC 9113, sections 6.4, 6.7, 6.8 and 7).

use crate::{
    case::{Act, Case, Step, Want, answered, case, frame_of, recorded, sees, sends},
    frames::{
        ACK, CANCEL, END_HEADERS, END_STREAM, GOAWAY, NO_ERROR, NONE, PING, PROTOCOL_ERROR,
        REFUSED_STREAM, RST_STREAM, WHOLE, data, goaway, headers, ping, rst_stream,
    },
    hpack::{get, post},
};

/// A code without a meaning.
const UNKNOWN_CODE: u32 = 0xff;

pub(super) fn table() -> Vec<Case> {
    let is_pong = |content: &'static [u8; 8]| {
        sees(frame_of("its answer", move |frame| {
            frame.kind == PING && frame.has(ACK) && frame.payload == content
        }))
    };
    let hanging = || headers(1, END_HEADERS, &post("/hang"));
    let next = || sends(&[headers(3, WHOLE, &get("/"))]);
    vec![
        case(
            "6.7",
            "PING is answered with what it said",
            vec![sends(&[ping(NONE, b"h2 ping!")]), is_pong(b"h2 ping!")],
        ),
        case(
            "6.7",
            "PINGs are answered in order",
            vec![
                sends(&[ping(NONE, b"number 1"), ping(NONE, b"number 2"), ping(NONE, b"number 3")]),
                is_pong(b"number 1"),
                is_pong(b"number 2"),
                is_pong(b"number 3"),
            ],
        ),
        case(
            "6.7",
            "an answer is not answered",
            vec![
                sends(&[ping(ACK, b"invalid!"), ping(NONE, b"question")]),
                sees(Want::Never(
                    "answer to an answer",
                    Box::new(|frame, _| frame.kind == PING && frame.payload == b"invalid!"),
                )),
            ],
        ),
        case(
            "6.4",
            "RST_STREAM is not answered, and reaches the server",
            vec![
                sends(&[hanging()]),
                recorded(0, "the request", |_| true),
                sends(&[rst_stream(1, CANCEL)]),
                recorded(0, "the reset", |request| request.reset == Some(CANCEL)),
                sees(Want::Never("RST_STREAM", Box::new(|frame, _| frame.kind == RST_STREAM))),
                next(),
                sees(answered(3)),
            ],
        ),
        case(
            "7",
            "RST_STREAM with an unknown code is a reset like others",
            vec![
                sends(&[hanging()]),
                recorded(0, "the request", |_| true),
                sends(&[rst_stream(1, UNKNOWN_CODE)]),
                recorded(0, "a reset", |request| request.reset.is_some()),
                sees(Want::Alive),
            ],
        ),
        case(
            "7",
            "GOAWAY with an unknown code",
            vec![
                sends(&[headers(1, WHOLE, &get("/")), goaway(0, UNKNOWN_CODE)]),
                sees(answered(1)),
            ],
        ),
        case(
            "6.8",
            "calls under way go on after a client's GOAWAY",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/")), goaway(0, NO_ERROR)]),
                sends(&[data(1, END_STREAM, b"late")]),
                sees(answered(1)),
            ],
        ),
        case(
            "6.8",
            "a client's GOAWAY is taken",
            vec![sends(&[goaway(0, NO_ERROR)]), sees(Want::EndedOrAlive)],
        ),
        case(
            "5.4.1",
            "a client's GOAWAY with an error ends its calls",
            vec![
                sends(&[hanging()]),
                recorded(0, "the request", |_| true),
                sends(&[goaway(0, PROTOCOL_ERROR)]),
                Step::Client(Act::Close),
                recorded(0, "a reset", |request| request.reset.is_some()),
            ],
        ),
        case(
            "5.4.1",
            "a client that vanishes ends its calls",
            vec![
                sends(&[hanging()]),
                recorded(0, "the request", |_| true),
                Step::Client(Act::Close),
                Step::Client(Act::Reconnect),
                sends(&[headers(1, WHOLE, &get("/"))]),
                sees(answered(1)),
            ],
        ),
        case(
            "6.8",
            "a balancer that stops says so, and calls under way end well",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/"))]),
                recorded(0, "the request", |_| true),
                Step::Shutdown,
                sees(frame_of("GOAWAY", |frame| {
                    frame.kind == GOAWAY && frame.error_code() == NO_ERROR
                })),
                sends(&[data(1, END_STREAM, b"late")]),
                sees(answered(1)),
                sees(Want::Closed),
            ],
        ),
        case(
            "6.8",
            "a call that crosses the first GOAWAY is answered, or may be made again",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/"))]),
                recorded(0, "the request", |_| true),
                Step::Shutdown,
                sees(frame_of("GOAWAY", |frame| frame.kind == GOAWAY)),
                sends(&[headers(3, WHOLE, &get("/")), data(1, END_STREAM, b"late")]),
                sees(frame_of("an answer, or what says that there is none", |frame| {
                    let is_refused =
                        frame.kind == RST_STREAM && frame.error_code() == REFUSED_STREAM;
                    let is_late = frame.kind == GOAWAY && frame.number(0) < 3;
                    frame.stream == 3 && (frame.ends_stream() || is_refused) || is_late
                })),
                sees(Want::Closed),
            ],
        ),
    ]
}
