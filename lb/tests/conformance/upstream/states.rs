//! Frames of a server that a stream's state does not allow (RFC 9113, sections 5.1, 5.1.1, 6.4).

use super::{asked, breaks, passes};
use crate::{
    case::{
        Case, Step, Want, answered, case, fields, frame_of, no_frame, request, sees, sends,
        server_sees, server_sends,
    },
    frames::{
        CANCEL, END_HEADERS, END_STREAM, NO_ERROR, NONE, PROTOCOL_ERROR, REFUSED_STREAM,
        RST_STREAM, STREAM_CLOSED, WHOLE, continuation, data, headers, priority, rst_stream,
        window_update,
    },
    hpack::{get, literal, ok, post},
};

pub(super) fn table() -> Vec<Case> {
    [idle(), closed(), resets()].into_iter().flatten().collect()
}

fn idle() -> Vec<Case> {
    let wrong = |name: &str, frame: Vec<u8>| {
        breaks("5.1", &format!("idle: {name}"), &[frame], &[PROTOCOL_ERROR])
    };
    vec![
        wrong("HEADERS", headers(3, WHOLE, &ok())),
        wrong("DATA", data(3, END_STREAM, b"x")),
        wrong("RST_STREAM", rst_stream(3, CANCEL)),
        wrong("WINDOW_UPDATE", window_update(3, 1)),
        wrong("HEADERS on a stream of the server's", headers(2, WHOLE, &ok())),
        wrong("DATA on a stream of the server's", data(2, END_STREAM, b"x")),
        wrong("RST_STREAM on a stream of the server's", rst_stream(2, CANCEL)),
        passes("5.1", "idle: PRIORITY is let pass", &[priority(3, 0), priority(2, 0)]),
    ]
}

/// After a whole answer.
fn closed() -> Vec<Case> {
    let after = |name: &str, frames: &[Vec<u8>], want: Want| {
        let mut steps = asked();
        steps.extend([
            server_sends(&[headers(1, WHOLE, &ok())]),
            sees(answered(1)),
            server_sends(frames),
            server_sees(want),
        ]);
        case("5.1", format!("closed by END_STREAM: {name}"), steps)
    };
    let wrong = || Want::StreamError(1, vec![STREAM_CLOSED, PROTOCOL_ERROR]);
    let open = |name: &str, frame: Vec<u8>| {
        let mut steps = vec![
            sends(&[headers(1, END_HEADERS, &post("/"))]),
            server_sees(request(1)),
            server_sends(&[headers(1, WHOLE, &ok()), frame]),
        ];
        // The answer is whole, so the balancer may have reset the rest of the request.
        steps.push(server_sees(Want::StreamError(1, vec![STREAM_CLOSED, PROTOCOL_ERROR, CANCEL])));
        case("5.1", format!("half-closed by the server: {name}"), steps)
    };
    vec![
        after("DATA", &[data(1, NONE, b"x")], wrong()),
        after("HEADERS", &[headers(1, WHOLE, &ok())], wrong()),
        after("trailers", &[headers(1, WHOLE, &literal("x-a", "1"))], wrong()),
        after(
            "CONTINUATION",
            &[continuation(1, END_HEADERS, &ok())],
            Want::ConnectionError(vec![STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        after("RST_STREAM is let pass", &[rst_stream(1, NO_ERROR)], Want::Alive),
        after("WINDOW_UPDATE is let pass", &[window_update(1, 1)], Want::Alive),
        after("PRIORITY is let pass", &[priority(1, 0)], Want::Alive),
        open("DATA", data(1, NONE, b"x")),
        open("HEADERS", headers(1, WHOLE, &literal("x-a", "1"))),
    ]
}

fn resets() -> Vec<Case> {
    let is_reset = |code: u32| {
        frame_of("the reset", move |frame| frame.kind == RST_STREAM && frame.error_code() == code)
    };
    let cancelled = |frames: &[Vec<u8>]| {
        let mut steps = asked();
        steps.extend([
            sends(&[rst_stream(1, CANCEL)]),
            server_sees(is_reset(CANCEL)),
            server_sends(frames),
            server_sees(Want::Alive),
            sees(Want::Alive),
        ]);
        steps
    };
    let after_reset = |frame: Vec<u8>| {
        let mut steps = asked();
        steps.extend([
            server_sends(&[headers(1, END_HEADERS, &ok()), rst_stream(1, CANCEL), frame]),
            server_sees(Want::StreamError(1, vec![STREAM_CLOSED, PROTOCOL_ERROR])),
        ]);
        steps
    };
    let mut table = vec![
        case(
            "5.1",
            "an answer that crosses the reset is dropped",
            cancelled(&[headers(1, END_HEADERS, &ok()), data(1, END_STREAM, b"late")]),
        ),
        case(
            "5.1",
            "a reset that crosses the reset is dropped",
            cancelled(&[rst_stream(1, CANCEL)]),
        ),
        case("5.1", "trailers that cross the reset are dropped", {
            let mut steps = asked();
            steps.extend([
                server_sends(&[headers(1, END_HEADERS, &ok())]),
                sees(fields(1, "a head", |_| true)),
                sends(&[rst_stream(1, CANCEL)]),
                server_sees(is_reset(CANCEL)),
                server_sends(&[data(1, NONE, b"x"), headers(1, WHOLE, &literal("x-a", "1"))]),
                server_sees(Want::Alive),
                sees(Want::Alive),
            ]);
            steps
        }),
        case("5.1", "closed by RST_STREAM: DATA", after_reset(data(1, NONE, b"x"))),
        case(
            "5.1",
            "closed by RST_STREAM: HEADERS",
            after_reset(headers(1, WHOLE, &literal("x-a", "1"))),
        ),
        reset_reaches_the_client(),
        answer_before_the_request_ends(),
    ];
    table.push(case("6.4", "RST_STREAM is not answered with RST_STREAM", {
        let mut steps = asked();
        steps.extend([
            server_sends(&[headers(1, END_HEADERS, &ok()), rst_stream(1, 0xff)]),
            server_sees(no_frame("RST_STREAM", |frame| frame.kind == RST_STREAM)),
            sees(Want::Failed(1)),
            sees(Want::Alive),
        ]);
        steps
    }));
    table
}

fn reset_reaches_the_client() -> Case {
    let mut steps = asked();
    steps.extend([
        server_sends(&[headers(1, END_HEADERS, &ok()), data(1, NONE, b"some")]),
        sees(Want::Content(1, 4)),
        server_sends(&[rst_stream(1, REFUSED_STREAM)]),
        sees(Want::Failed(1)),
    ]);
    case("8.1", "an answer that is cut off does not seem whole", steps)
}

/// RFC 9113, section 8.1: such an answer must not be thrown away.
fn answer_before_the_request_ends() -> Case {
    let steps: Vec<Step> = vec![
        sends(&[headers(1, END_HEADERS, &post("/")), data(1, NONE, b"half")]),
        server_sees(request(1)),
        server_sends(&[headers(1, END_HEADERS, &ok()), data(1, END_STREAM, b"enough")]),
        server_sends(&[rst_stream(1, NO_ERROR)]),
        sees(answered(1)),
        sees(Want::Alive),
        sends(&[headers(3, WHOLE, &get("/"))]),
        server_sees(request(3)),
        server_sends(&[headers(3, WHOLE, &ok())]),
        sees(answered(3)),
    ];
    case("8.1", "an early answer, then RST_STREAM with NO_ERROR", steps)
}
