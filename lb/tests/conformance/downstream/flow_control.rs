//! Windows, a client's side (RFC 9113, sections 5.2, 6.9, 6.9.1 and 6.9.2). That the balancer never
//! sends past a window is judged in every row.

use crate::{
    case::{
        Act, Case, Step, Want, answered, case, frame_of, no_frame, request, sees, sends,
        server_sees, stream_error,
    },
    frames::{
        ACK, CANCEL, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, Frame, HEADERS,
        INITIAL_WINDOW_SIZE, PROTOCOL_ERROR, SETTINGS, WHOLE, data, headers, rst_stream, settings,
        window_update,
    },
    hpack::{get, literal, post},
};

pub(super) fn table() -> Vec<Case> {
    [increments(), sending(), receiving()].into_iter().flatten().collect()
}

fn open() -> Vec<u8> {
    headers(1, END_HEADERS, &post("/hang"))
}

fn increments() -> Vec<Case> {
    const MOST: u32 = 0x7fff_ffff;
    let breaks = |section, name: &str, bytes: &[Vec<u8>], code| {
        case(section, name, vec![sends(bytes), sees(Want::ConnectionError(vec![code]))])
    };
    let errs = |section, name: &str, bytes: &[Vec<u8>], code| {
        case(section, name, vec![sends(bytes), sees(stream_error(1, code))])
    };
    vec![
        breaks("6.9", "an increment of 0", &[window_update(0, 0)], PROTOCOL_ERROR),
        errs(
            "6.9",
            "an increment of 0 on a stream",
            &[open(), window_update(1, 0)],
            PROTOCOL_ERROR,
        ),
        breaks(
            "6.9.1",
            "a window past 2^31-1 at once",
            &[window_update(0, MOST)],
            FLOW_CONTROL_ERROR,
        ),
        breaks(
            "6.9.1",
            "a window past 2^31-1 in two steps",
            &[window_update(0, MOST - 65_535), window_update(0, 1)],
            FLOW_CONTROL_ERROR,
        ),
        errs(
            "6.9.1",
            "a stream's window past 2^31-1",
            &[open(), window_update(1, MOST), window_update(1, MOST)],
            FLOW_CONTROL_ERROR,
        ),
        errs(
            "6.9.1",
            "a stream's window past 2^31-1 by one",
            &[open(), window_update(1, MOST - 65_535), window_update(1, 1)],
            FLOW_CONTROL_ERROR,
        ),
        breaks(
            "6.9.2",
            "a stream's window past 2^31-1 by SETTINGS",
            &[open(), window_update(1, MOST - 65_535), settings(&[(INITIAL_WINDOW_SIZE, 65_536)])],
            FLOW_CONTROL_ERROR,
        ),
        case(
            "6.9.1",
            "the largest windows",
            vec![
                sends(&[window_update(0, MOST - 65_535), open(), window_update(1, MOST - 65_535)]),
                sees(Want::Alive),
                sends(&[headers(3, WHOLE, &get("/bytes/100000"))]),
                sees(part(3)),
                sends(&[window_update(3, 100_000)]),
                sees(answered_in_part(3)),
            ],
        ),
    ]
}

/// DATA of this stream.
fn part(stream: u32) -> Want {
    frame_of("DATA", move |frame| frame.kind == DATA && frame.stream == stream)
}

/// The end of an answer that has begun.
fn answered_in_part(stream: u32) -> Want {
    frame_of("the end", move |frame| frame.stream == stream && frame.ends_stream())
}

fn is_data(frame: &Frame) -> bool {
    frame.kind == DATA && !frame.payload.is_empty()
}

/// Exactly so much content comes on stream 1.
fn sized(length: usize) -> Step {
    sees(Want::Content(1, length))
}

fn sending() -> Vec<Case> {
    let ask = |path: &str| sends(&[headers(1, WHOLE, &get(path))]);
    let none = || sees(no_frame("DATA", is_data));
    let is_ack = || sees(frame_of("SETTINGS ACK", |one| one.kind == SETTINGS && one.has(ACK)));
    let window = |size| sends(&[settings(&[(INITIAL_WINDOW_SIZE, size)])]);
    let head = || sees(frame_of("a head", |frame| frame.kind == HEADERS));
    let end = || sees(answered_in_part(1));
    vec![
        case(
            "6.9.1",
            "a window of 1",
            vec![ask("/"), sized(1), none(), sends(&[window_update(1, 4)]), end()],
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 1)]),
        case(
            "6.9.2",
            "a window of 0 grows by SETTINGS",
            vec![
                ask("/"),
                head(),
                none(),
                window(3),
                is_ack(),
                sized(3),
                sends(&[window_update(1, 2)]),
                end(),
            ],
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        case(
            "6.9.2",
            "a window below zero",
            vec![
                ask("/bytes/10"),
                sized(3),
                window(2),
                is_ack(),
                // The window is 2 - 3 = -1 now.
                sends(&[window_update(1, 1)]),
                none(),
                sends(&[window_update(1, 1)]),
                sized(1),
                none(),
                sends(&[window_update(1, 100)]),
                end(),
            ],
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 3)]),
        case(
            "6.9.1",
            "HEADERS and an end without content need no window",
            vec![sends(&[headers(1, WHOLE, &get("/bytes/0"))]), sees(answered(1))],
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        case(
            "6.9.1",
            "the connection's window bounds all streams",
            vec![
                sends(&[headers(1, WHOLE, &get("/bytes/65535"))]),
                end(),
                sends(&[headers(3, WHOLE, &get("/"))]),
                sees(frame_of("a head", |frame| frame.stream == 3)),
                none(),
                sends(&[window_update(0, 5)]),
                sees(answered_in_part(3)),
            ],
        ),
        case(
            "5.2",
            "a stalled stream holds up no other",
            vec![
                ask("/bytes/300000"),
                sized(10),
                sends(&[headers(3, WHOLE, &get("/")), window_update(3, 100)]),
                sees(answered(3)),
                sends(&[rst_stream(1, CANCEL)]),
                sees(Want::Alive),
            ],
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 10)]),
        case(
            "6.9.1",
            "trailers wait for the content before them",
            vec![
                ask("/trailers"),
                sized(2),
                sees(no_frame("the end", Frame::ends_stream)),
                sends(&[window_update(1, 3)]),
                sized(3),
                end(),
            ],
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 2)]),
        case(
            "6.9",
            "a large answer in small steps",
            vec![
                ask("/bytes/70000"),
                sized(1000),
                sends(&[window_update(0, 100_000), window_update(1, 1000)]),
                sized(1000),
                sends(&[window_update(1, 68_000)]),
                end(),
            ],
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 1000)]),
    ]
}

fn receiving() -> Vec<Case> {
    let upload = |octets, is_padded| Step::Client(Act::Upload { stream: 1, octets, is_padded });
    let waste = |head, is_reset| Step::Client(Act::Waste { head, is_reset });
    let last = |stream| headers(stream, WHOLE, &get("/"));
    let finish = || sends(&[data(1, END_STREAM, &[])]);
    let refused = [post("/hang"), literal("connection", "close")].concat();
    vec![
        case(
            "6.9.1",
            "DATA past the stream's window",
            vec![
                sends(&[open()]),
                // Nothing goes on to the server, so no room is made.
                server_sees(request(1)),
                server_sees(Want::Alive),
                Step::Client(Act::Overrun(1)),
                sees(stream_error(1, FLOW_CONTROL_ERROR)),
            ],
        )
        .with_server_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        case(
            "6.1",
            "padding that is thrown away makes room again",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/"))]),
                upload(1 << 18, true),
                finish(),
                sees(answered(1)),
            ],
        ),
        case(
            "6.9",
            "content that is read makes room again",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/"))]),
                upload(1 << 18, false),
                finish(),
                sees(answered(1)),
            ],
        ),
        case(
            "5.1",
            "content of calls that the client resets makes room again",
            vec![
                waste(post("/hang"), true),
                sees(Want::Alive),
                sends(&[last(0x7fff_ffff)]),
                sees(answered(0x7fff_ffff)),
            ],
        ),
        case(
            "5.1",
            "content of calls that the balancer resets makes room again",
            vec![
                waste(refused, false),
                sees(Want::Alive),
                sends(&[last(0x7fff_ffff)]),
                sees(answered(0x7fff_ffff)),
            ],
        ),
    ]
}
