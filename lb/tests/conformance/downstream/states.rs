//! Frames that a stream's state does not allow (RFC 9113, section 5.1).

use crate::{
    case::{Case, Step, Want, answered, case, connection_error, sees, sends},
    frames::{
        CANCEL, END_HEADERS, END_STREAM, NO_ERROR, NONE, PROTOCOL_ERROR, STREAM_CLOSED, WHOLE,
        continuation, data, headers, priority, rst_stream, window_update,
    },
    hpack::{get, literal, post},
};

pub(super) fn table() -> Vec<Case> {
    [idle(), half_closed(), closed_by_reset(), closed_by_the_end(), allowed()]
        .into_iter()
        .flatten()
        .collect()
}

fn row(name: &str, steps: Vec<Step>) -> Case {
    case("5.1", name, steps)
}

fn open() -> Vec<u8> {
    headers(1, END_HEADERS, &post("/"))
}

fn whole() -> Vec<u8> {
    headers(1, WHOLE, &get("/"))
}

/// A request that is complete and that nobody answers.
fn unanswered() -> Vec<u8> {
    headers(1, WHOLE, &get("/hang"))
}

fn more() -> Vec<u8> {
    literal("x-dummy", "dummy")
}

fn idle() -> Vec<Case> {
    let breaks = |name: &str, bytes: Vec<u8>| {
        row(name, vec![sends(&[bytes]), sees(connection_error(PROTOCOL_ERROR))])
    };
    vec![
        row(
            "idle: DATA",
            vec![
                sends(&[data(1, END_STREAM, b"test")]),
                sees(Want::ConnectionError(vec![PROTOCOL_ERROR, STREAM_CLOSED])),
            ],
        ),
        breaks("idle: RST_STREAM", rst_stream(1, CANCEL)),
        breaks("idle: WINDOW_UPDATE", window_update(1, 100)),
        breaks("idle: CONTINUATION", continuation(1, END_HEADERS, &get("/"))),
        breaks("idle, even: DATA", data(2, END_STREAM, b"test")),
        breaks("idle, even: RST_STREAM", rst_stream(2, CANCEL)),
        breaks("idle, even: WINDOW_UPDATE", window_update(2, 100)),
        breaks("idle, behind an open one: WINDOW_UPDATE", [open(), window_update(3, 100)].concat()),
        breaks("idle, behind an open one: RST_STREAM", [open(), rst_stream(9, CANCEL)].concat()),
    ]
}

fn half_closed() -> Vec<Case> {
    let errs = |name: &str, bytes: Vec<u8>, codes: &[u32]| {
        let want = Want::StreamError(1, codes.to_vec());
        row(
            &format!("half-closed (remote): {name}"),
            vec![sends(&[unanswered(), bytes]), sees(want)],
        )
    };
    vec![
        errs("DATA", data(1, END_STREAM, b"test"), &[STREAM_CLOSED]),
        errs("empty DATA", data(1, NONE, &[]), &[STREAM_CLOSED]),
        errs("HEADERS", headers(1, WHOLE, &more()), &[STREAM_CLOSED]),
        errs("a second request", headers(1, WHOLE, &get("/")), &[STREAM_CLOSED]),
        row(
            "half-closed (remote): CONTINUATION",
            vec![
                sends(&[unanswered(), continuation(1, END_HEADERS, &more())]),
                sees(Want::ConnectionError(vec![STREAM_CLOSED, PROTOCOL_ERROR])),
            ],
        ),
        row(
            "half-closed (remote) after trailers: DATA",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/hang")), data(1, NONE, b"x")]),
                sends(&[headers(1, WHOLE, &more()), data(1, NONE, b"x")]),
                sees(Want::StreamError(1, vec![STREAM_CLOSED])),
            ],
        ),
    ]
}

fn closed_by_reset() -> Vec<Case> {
    let errs = |name: &str, bytes: Vec<u8>, codes: &[u32]| {
        let want = Want::StreamError(1, codes.to_vec());
        let first = [headers(1, END_HEADERS, &post("/hang")), rst_stream(1, CANCEL)].concat();
        row(&format!("closed by RST_STREAM: {name}"), vec![sends(&[first, bytes]), sees(want)])
    };
    vec![
        errs("DATA", data(1, END_STREAM, b"test"), &[STREAM_CLOSED]),
        errs("HEADERS", headers(1, WHOLE, &more()), &[STREAM_CLOSED]),
        errs(
            "CONTINUATION",
            continuation(1, END_HEADERS, &more()),
            &[STREAM_CLOSED, PROTOCOL_ERROR],
        ),
    ]
}

fn closed_by_the_end() -> Vec<Case> {
    let after = |name: &str, bytes: Vec<u8>, want: Want| {
        let name = format!("closed by END_STREAM both ways: {name}");
        row(&name, vec![sends(&[whole()]), sees(answered(1)), sends(&[bytes]), sees(want)])
    };
    vec![
        after("DATA", data(1, END_STREAM, b"test"), Want::StreamError(1, vec![STREAM_CLOSED])),
        after("HEADERS", whole(), connection_error(STREAM_CLOSED)),
        after("trailers", headers(1, WHOLE, &more()), connection_error(STREAM_CLOSED)),
        after(
            "CONTINUATION",
            continuation(1, END_HEADERS, &more()),
            Want::ConnectionError(vec![STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
    ]
}

fn allowed() -> Vec<Case> {
    let after = |name: &str, bytes: &[Vec<u8>]| {
        row(
            &format!("closed: {name} is let pass"),
            vec![
                sends(&[whole()]),
                sees(answered(1)),
                sends(bytes),
                sees(Want::Alive),
                sends(&[headers(3, WHOLE, &get("/"))]),
                sees(answered(3)),
            ],
        )
    };
    let half_closed = |name: &str, bytes: Vec<u8>| {
        row(
            &format!("half-closed (remote): {name} is let pass"),
            vec![sends(&[whole(), bytes]), sees(answered(1)), sees(Want::Alive)],
        )
    };
    vec![
        row(
            "idle: PRIORITY is let pass",
            vec![sends(&[priority(1, 0), priority(9, 3)]), sends(&[whole()]), sees(answered(1))],
        ),
        half_closed("WINDOW_UPDATE", window_update(1, 100)),
        half_closed("PRIORITY", priority(1, 0)),
        row(
            "half-closed (remote): RST_STREAM ends it",
            vec![
                sends(&[unanswered(), rst_stream(1, CANCEL)]),
                sees(Want::Alive),
                sends(&[headers(3, WHOLE, &get("/"))]),
                sees(answered(3)),
            ],
        ),
        after("PRIORITY", &[priority(1, 0)]),
        after("WINDOW_UPDATE", &[window_update(1, 100)]),
        after("RST_STREAM", &[rst_stream(1, CANCEL)]),
        after("RST_STREAM with NO_ERROR", &[rst_stream(1, NO_ERROR)]),
        row(
            "closed by RST_STREAM: WINDOW_UPDATE, RST_STREAM and PRIORITY are let pass",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/hang")), rst_stream(1, CANCEL)]),
                sends(&[window_update(1, 1), rst_stream(1, CANCEL), priority(1, 0)]),
                sees(Want::Alive),
            ],
        ),
        row(
            "frames that cross the balancer's own reset are let pass",
            vec![
                sends(&[headers(
                    1,
                    END_HEADERS,
                    &[post("/"), literal("connection", "close")].concat(),
                )]),
                sends(&[
                    data(1, NONE, b"crossing"),
                    window_update(1, 5),
                    data(1, END_STREAM, b"it"),
                ]),
                sees(Want::StreamError(1, vec![PROTOCOL_ERROR])),
                sends(&[headers(3, WHOLE, &get("/"))]),
                sees(answered(3)),
            ],
        ),
    ]
}
