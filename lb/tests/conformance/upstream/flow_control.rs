//! Windows, a server's side (RFC 9113, sections 5.2, 6.9, 6.9.1, 6.9.2). That the balancer keeps to
//! the server's windows is judged at the server.

use super::{asked, breaks, errs};
use crate::{
    case::{
        Act, Case, Step, Want, answered, case, frame_of, no_frame, request, sees, sends,
        server_sees, server_sends,
    },
    frames::{
        ACK, CANCEL, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, Frame, INITIAL_WINDOW_SIZE,
        NONE, PADDED, PROTOCOL_ERROR, RST_STREAM, SETTINGS, WHOLE, data, frame, headers,
        rst_stream, settings, window_update,
    },
    hpack::{get, literal, ok, post},
};

const MOST: u32 = 0x7fff_ffff;
/// Small ones, all of them within the first window.
const FRAMES: usize = 6_000;

pub(super) fn table() -> Vec<Case> {
    [increments(), requests(), responses()].into_iter().flatten().collect()
}

fn increments() -> Vec<Case> {
    vec![
        breaks("6.9", "an increment of 0", &[window_update(0, 0)], &[PROTOCOL_ERROR]),
        errs("6.9", "an increment of 0 on a stream", &[window_update(1, 0)], &[PROTOCOL_ERROR]),
        breaks("6.9.1", "a window past 2^31-1", &[window_update(0, MOST)], &[FLOW_CONTROL_ERROR]),
        upload_breaks("6.9.1", "a stream's window past 2^31-1", window_update(1, MOST)),
        upload_breaks(
            "6.9.2",
            "a stream's window past 2^31-1 by SETTINGS",
            [window_update(1, MOST - 65_535), settings(&[(INITIAL_WINDOW_SIZE, 65_536)])].concat(),
        ),
    ]
}

/// Of a call whose content is under way.
fn upload_breaks(section: &'static str, name: &str, frames: Vec<u8>) -> Case {
    let mut steps = uploaded(0);
    steps.extend([
        server_sends(&[frames]),
        server_sees(Want::StreamError(1, vec![FLOW_CONTROL_ERROR])),
        sees(Want::Failed(1)),
    ]);
    case(section, name, steps)
}

fn is_data(frame: &Frame) -> bool {
    frame.kind == DATA && !frame.payload.is_empty()
}

/// A call that sends this much content at once, and the server that reads none of it.
fn uploaded(octets: usize) -> Vec<Step> {
    vec![
        sends(&[headers(1, END_HEADERS, &post("/")), data(1, NONE, &vec![b'x'; octets])]),
        server_sees(request(1)),
    ]
}

fn requests() -> Vec<Case> {
    let is_ack = || server_sees(frame_of("an ACK", |one| one.kind == SETTINGS && one.has(ACK)));
    let row = |section, name: &str, mut steps: Vec<Step>, more: Vec<Step>| {
        steps.extend(more);
        case(section, name, steps)
    };
    vec![
        row(
            "6.9.1",
            "content waits for the stream's window",
            uploaded(100),
            vec![
                server_sees(no_frame("DATA", is_data)),
                server_sends(&[window_update(1, 40)]),
                server_sees(Want::Content(1, 40)),
                server_sees(no_frame("DATA", is_data)),
                server_sends(&[window_update(1, 60)]),
                server_sees(Want::Content(1, 60)),
            ],
        )
        .with_server_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        row(
            "6.9.2",
            "a window that SETTINGS open",
            uploaded(100),
            vec![
                server_sends(&[settings(&[(INITIAL_WINDOW_SIZE, 30)])]),
                server_sees(Want::Content(1, 30)),
                server_sees(no_frame("DATA", is_data)),
            ],
        )
        .with_server_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        row(
            "6.9.2",
            "a window below zero",
            uploaded(100),
            vec![
                server_sends(&[window_update(1, 50)]),
                server_sees(Want::Content(1, 50)),
                server_sends(&[settings(&[(INITIAL_WINDOW_SIZE, 0)])]),
                is_ack(),
                server_sends(&[window_update(1, 10)]),
                server_sees(Want::Content(1, 10)),
                server_sees(no_frame("DATA", is_data)),
                server_sends(&[window_update(1, 40)]),
                server_sees(Want::Content(1, 40)),
            ],
        )
        .with_server_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        row(
            "6.9.1",
            "an end without content needs no window",
            uploaded(0),
            vec![
                sends(&[data(1, END_STREAM, &[])]),
                server_sees(frame_of("the end", Frame::ends_stream)),
            ],
        )
        .with_server_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        row(
            "6.9.1",
            "the connection's window bounds all calls",
            uploaded(16_000),
            vec![
                sends(&[data(1, NONE, &[b'x'; 16_000]), data(1, NONE, &[b'x'; 16_000])]),
                sends(&[data(1, NONE, &[b'x'; 16_000])]),
                server_sees(Want::Content(1, 64_000)),
                sends(&[headers(3, END_HEADERS, &post("/")), data(3, NONE, &[b'x'; 16_000])]),
                server_sees(Want::Content(3, 1_535)),
                server_sees(no_frame("DATA", is_data)),
                server_sends(&[window_update(0, 100_000)]),
                server_sees(Want::Content(3, 14_465)),
            ],
        ),
        row(
            "6.9.1",
            "trailers wait for the content before them",
            uploaded(10),
            vec![
                sends(&[headers(1, WHOLE, &literal("x-a", "1"))]),
                server_sees(Want::Content(1, 4)),
                server_sees(no_frame("the end", Frame::ends_stream)),
                server_sends(&[window_update(1, 6)]),
                server_sees(Want::Content(1, 6)),
                server_sees(frame_of("the end", Frame::ends_stream)),
            ],
        )
        .with_server_settings(&[(INITIAL_WINDOW_SIZE, 4)]),
        row(
            "6.9",
            "room that the server gives back late, frame by frame",
            uploaded(0),
            vec![
                sends(&[data(1, NONE, b"ten octets").repeat(FRAMES)]),
                server_sees(Want::Content(1, 10 * FRAMES)),
                Step::Server(Act::GiveBack),
                server_sees(Want::Alive),
                server_sends(&[headers(1, WHOLE, &ok())]),
                sees(answered(1)),
            ],
        ),
        row(
            "5.2",
            "a call that is not read holds up no other",
            uploaded(10_000),
            vec![
                sends(&[headers(3, WHOLE, &get("/"))]),
                server_sees(request(3)),
                server_sends(&[headers(3, WHOLE, &ok())]),
                sees(answered(3)),
            ],
        )
        .with_server_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        row(
            "6.9",
            "a call that is reset while its content waits",
            uploaded(10_000),
            vec![
                sends(&[rst_stream(1, CANCEL)]),
                server_sees(frame_of("the reset", |frame| frame.kind == RST_STREAM)),
                server_sends(&[window_update(1, 100)]),
                server_sees(no_frame("DATA", is_data)),
            ],
        )
        .with_server_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
    ]
}

fn responses() -> Vec<Case> {
    let upload = |octets, is_padded| Step::Server(Act::Upload { stream: 1, octets, is_padded });
    let reading = |more: Vec<Step>| {
        let mut steps = asked();
        steps.push(server_sends(&[headers(1, END_HEADERS, &ok())]));
        steps.extend(more);
        steps
    };
    let end = || server_sends(&[data(1, END_STREAM, &[])]);
    vec![
        case(
            "6.9.1",
            "DATA past the stream's window",
            reading(vec![
                Step::Server(Act::Overrun(1)),
                server_sees(Want::StreamError(1, vec![FLOW_CONTROL_ERROR])),
                sees(Want::Failed(1)),
            ]),
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        case(
            "6.9",
            "content that the client reads makes room again",
            reading(vec![
                sends(&[window_update(0, 1 << 24)]),
                upload(1 << 18, false),
                end(),
                sees(frame_of("the end", Frame::ends_stream)),
            ]),
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 1 << 24)]),
        case(
            "6.1",
            "padding that is thrown away makes room again",
            reading(vec![
                sends(&[window_update(0, 1 << 24)]),
                upload(1 << 18, true),
                end(),
                sees(frame_of("the end", Frame::ends_stream)),
            ]),
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 1 << 24)]),
        case(
            "6.9",
            "room that the client gives back late, frame by frame",
            reading(vec![
                server_sends(&[data(1, NONE, b"ten octets").repeat(FRAMES)]),
                sees(Want::Content(1, 10 * FRAMES)),
                Step::Client(Act::GiveBack),
                sees(Want::Alive),
                end(),
                sees(frame_of("the end", Frame::ends_stream)),
            ]),
        ),
        case(
            "6.9",
            "an answer is held up by its own client only",
            reading(vec![
                server_sends(&[data(1, NONE, &[b'x'; 10_000])]),
                sends(&[headers(3, WHOLE, &get("/")), window_update(3, 100)]),
                server_sees(request(3)),
                server_sends(&[headers(3, END_HEADERS, &ok()), data(3, END_STREAM, b"hello")]),
                sees(answered(3)),
                sends(&[window_update(1, 10_000)]),
                sees(Want::Content(1, 10_000)),
            ]),
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 0)]),
        case(
            "6.9",
            "padding is not the client's to wait for",
            reading(vec![
                server_sends(&[frame(DATA, PADDED | END_STREAM, 1, &padded_hello())]),
                sees(Want::Content(1, 5)),
            ]),
        )
        .with_client_settings(&[(INITIAL_WINDOW_SIZE, 5)]),
    ]
}

fn padded_hello() -> Vec<u8> {
    [&[200], &b"hello"[..], &[0; 200]].concat()
}
