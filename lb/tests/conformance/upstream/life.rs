//! How a server's connections end, and what becomes of calls then (RFC 9113, sections 5.4.1, 6.4,
//! 6.8 and 8.7).

use super::asked;
use crate::{
    case::{
        Act, Case, Step, Want, answered, case, frame_of, request, sees, sends, server_sees,
        server_sends,
    },
    frames::{
        ACK, END_HEADERS, END_STREAM, INTERNAL_ERROR, MAX_CONCURRENT_STREAMS, NO_ERROR, NONE, PING,
        REFUSED_STREAM, SETTINGS, WHOLE, data, goaway, headers, ping, rst_stream, settings,
    },
    hpack::{get, literal, ok, post},
};

const LARGEST_STREAM: u32 = 0x7fff_ffff;

pub(super) fn table() -> Vec<Case> {
    [goodbyes(), unprocessed(), ends()].into_iter().flatten().collect()
}

fn row(section: &'static str, name: &str, more: Vec<Step>) -> Case {
    let mut steps = asked();
    steps.extend(more);
    case(section, name, steps)
}

fn reconnects() -> Step {
    Step::Server(Act::Reconnect)
}

fn goodbyes() -> Vec<Case> {
    let second = || sends(&[headers(3, WHOLE, &get("/"))]);
    let answer = |stream| server_sends(&[headers(stream, WHOLE, &ok())]);
    vec![
        row(
            "6.8",
            "a call under way goes on after GOAWAY",
            vec![
                server_sends(&[headers(1, END_HEADERS, &ok()), goaway(1, NO_ERROR)]),
                server_sends(&[data(1, NONE, b"more"), data(1, END_STREAM, b"last")]),
                sees(answered(1)),
            ],
        ),
        row(
            "6.8",
            "a call after GOAWAY goes to another connection",
            vec![
                server_sends(&[goaway(1, NO_ERROR)]),
                server_sees(Want::Alive),
                second(),
                reconnects(),
                server_sees(request(1)),
                answer(1),
                sees(answered(3)),
            ],
        ),
        row(
            "6.8",
            "a call after the first of two GOAWAYs goes to another connection",
            vec![
                server_sends(&[goaway(LARGEST_STREAM, NO_ERROR)]),
                server_sees(Want::Alive),
                second(),
                reconnects(),
                server_sees(request(1)),
                answer(1),
                sees(answered(3)),
            ],
        ),
        row(
            "6.8",
            "a call that GOAWAY says was not processed is sent again",
            vec![
                server_sends(&[goaway(0, NO_ERROR)]),
                reconnects(),
                server_sees(request(1)),
                answer(1),
                sees(answered(1)),
            ],
        ),
        row(
            "6.8",
            "the processed call ends, the other is sent again",
            vec![
                second(),
                server_sees(request(3)),
                server_sends(&[goaway(1, NO_ERROR), headers(1, WHOLE, &ok())]),
                sees(answered(1)),
                reconnects(),
                server_sees(request(1)),
                answer(1),
                sees(answered(3)),
            ],
        ),
        row(
            "6.8",
            "GOAWAY with an error, then the end: the call fails",
            vec![
                server_sends(&[goaway(1, INTERNAL_ERROR)]),
                Step::Server(Act::Close),
                sees(Want::Failed(1)),
                sees(Want::Alive),
            ],
        ),
        row(
            "7",
            "GOAWAY with an unknown code",
            vec![server_sends(&[goaway(1, 0xff)]), Step::Server(Act::Close), sees(Want::Failed(1))],
        ),
        row(
            "5.1.2",
            "a server that allows no more streams gets none",
            vec![
                server_sends(&[headers(1, WHOLE, &ok()), settings(&[(MAX_CONCURRENT_STREAMS, 0)])]),
                sees(answered(1)),
                server_sees(frame_of("its ACK", |frame| frame.kind == SETTINGS && frame.has(ACK))),
                server_sees(Want::Alive),
                second(),
                reconnects(),
                server_sees(request(1)),
                answer(1),
                sees(answered(3)),
            ],
        ),
        row(
            "6.7",
            "PING is answered with what it said",
            vec![
                server_sends(&[ping(NONE, b"h2 ping!")]),
                server_sees(frame_of("its answer", |frame| {
                    frame.kind == PING && frame.payload == b"h2 ping!"
                })),
            ],
        ),
    ]
}

/// What was not processed may be sent again, but whole.
fn unprocessed() -> Vec<Case> {
    let sized = || [post("/"), literal("content-length", "9")].concat();
    let begun = || {
        vec![
            sends(&[headers(1, END_HEADERS, &sized()), data(1, NONE, b"first")]),
            server_sees(request(1)),
            server_sees(Want::Content(1, 5)),
        ]
    };
    let with = |more: Vec<Step>| begun().into_iter().chain(more).collect::<Vec<_>>();
    let whole = |stream| {
        vec![
            server_sees(request(stream)),
            sends(&[data(1, END_STREAM, b"last")]),
            server_sees(Want::Content(stream, 9)),
            server_sends(&[headers(stream, WHOLE, &ok())]),
            sees(answered(1)),
        ]
    };
    let mut refused = with(vec![server_sends(&[rst_stream(1, REFUSED_STREAM)])]);
    refused.extend(whole(3));
    let mut gone = with(vec![server_sends(&[goaway(0, NO_ERROR)]), reconnects()]);
    gone.extend(whole(1));
    vec![
        case("8.7", "a refused call whose content has begun", refused),
        case("6.8", "a call before GOAWAY whose content has begun", gone),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        row(
            "5.4",
            "a server that vanishes before an answer",
            vec![Step::Server(Act::Close), sees(Want::Failed(1)), sees(Want::Alive)],
        ),
        row(
            "8.1",
            "a server that vanishes inside an answer",
            vec![
                server_sends(&[headers(1, END_HEADERS, &ok()), data(1, NONE, b"some")]),
                sees(Want::Content(1, 4)),
                Step::Server(Act::Close),
                sees(Want::Failed(1)),
                sees(Want::Alive),
            ],
        ),
        row(
            "4.1",
            "a server that vanishes inside a frame",
            vec![
                server_sends(&[
                    headers(1, END_HEADERS, &ok()),
                    data(1, END_STREAM, b"cut off")[..12].to_vec(),
                ]),
                Step::Server(Act::Close),
                sees(Want::Failed(1)),
                sees(Want::Alive),
            ],
        ),
        row(
            "6.10",
            "a server that vanishes inside a header block",
            vec![
                server_sends(&[headers(1, END_STREAM, &ok())]),
                Step::Server(Act::Close),
                sees(Want::Failed(1)),
                sees(Want::Alive),
            ],
        ),
    ]
}
