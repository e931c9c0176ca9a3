//! How a server's connection begins, and its settings (RFC 9113, sections 3.4 and 6.5).

use super::{asked, breaks, passes};
use crate::{
    case::{
        Case, Step, Want, answered, case, connection_error, frame_of, request, sees, sends,
        server_sees, server_sends,
    },
    frames::{
        ACK, ENABLE_PUSH, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, Frame, HEADER_TABLE_SIZE,
        INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, NONE, PROTOCOL_ERROR,
        SETTINGS, WHOLE, continuation, data, headers, ping, settings, settings_ack, window_update,
    },
    hpack::{get, literal, ok, post},
};

pub(super) fn table() -> Vec<Case> {
    [begins(), values(), obeyed()].into_iter().flatten().collect()
}

fn is_settings() -> Step {
    server_sees(frame_of("SETTINGS", |frame| frame.kind == SETTINGS && !frame.has(ACK)))
}

fn is_ack() -> Step {
    server_sees(frame_of("SETTINGS ACK", |frame| frame.kind == SETTINGS && frame.has(ACK)))
}

fn begins() -> Vec<Case> {
    let begins = |name: &str, bytes: Vec<u8>, want: Want| {
        let steps = vec![
            sends(&[headers(1, WHOLE, &get("/"))]),
            is_settings(),
            server_sends(&[bytes]),
            server_sees(want),
        ];
        case("3.4", name, steps).without_server_preface()
    };
    let wrong = || connection_error(PROTOCOL_ERROR);
    let pushes_nothing =
        |frame: &Frame| frame.settings().any(|setting| setting == (ENABLE_PUSH, 0));
    vec![
        begins("HEADERS before SETTINGS", headers(1, WHOLE, &ok()), wrong()),
        begins("PING before SETTINGS", ping(NONE, b"too soon"), wrong()),
        begins("an acknowledgement before SETTINGS", settings_ack(), wrong()),
        begins("HTTP/1.1", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Want::Closed),
        case(
            "8.4",
            "the balancer takes no pushes and says so",
            vec![
                sends(&[headers(1, WHOLE, &get("/"))]),
                server_sees(frame_of("ENABLE_PUSH 0", pushes_nothing)),
            ],
        ),
        case(
            "6.5.3",
            "a server's SETTINGS are acknowledged",
            vec![sends(&[headers(1, WHOLE, &get("/"))]), is_ack()],
        ),
    ]
}

fn values() -> Vec<Case> {
    let wrong =
        |name: &str, id, value, code| breaks("6.5.2", name, &[settings(&[(id, value)])], &[code]);
    vec![
        wrong("INITIAL_WINDOW_SIZE 2^31", INITIAL_WINDOW_SIZE, 1 << 31, FLOW_CONTROL_ERROR),
        wrong("MAX_FRAME_SIZE below 2^14", MAX_FRAME_SIZE, 16_383, PROTOCOL_ERROR),
        wrong("MAX_FRAME_SIZE 2^24", MAX_FRAME_SIZE, 1 << 24, PROTOCOL_ERROR),
        wrong("ENABLE_PUSH 1 of a server", ENABLE_PUSH, 1, PROTOCOL_ERROR),
        wrong("ENABLE_PUSH 2", ENABLE_PUSH, 2, PROTOCOL_ERROR),
        passes("6.5.2", "ENABLE_PUSH 0 of a server", &[settings(&[(ENABLE_PUSH, 0)])]),
        passes("6.5.2", "unknown settings", &[settings(&[(0xff, 9), (0xffff, u32::MAX)])]),
        passes(
            "6.5.2",
            "no table, then a large one",
            &[settings(&[(HEADER_TABLE_SIZE, 0)]), settings(&[(HEADER_TABLE_SIZE, 1 << 20)])],
        ),
    ]
}

/// What they say is judged at the server.
fn obeyed() -> Vec<Case> {
    let answered_in_turn = |settings_between: &[(u16, u32)]| {
        let mut steps = asked();
        steps.extend([
            server_sends(&[settings(settings_between), headers(1, WHOLE, &ok())]),
            is_ack(),
            sees(answered(1)),
            sends(&[headers(3, WHOLE, &[get("/"), literal("x-test", "a value")].concat())]),
            server_sees(request(3)),
            server_sends(&[headers(3, WHOLE, &ok())]),
            sees(answered(3)),
        ]);
        steps
    };
    vec![
        case(
            "4.3.1",
            "a table that becomes smaller between requests",
            answered_in_turn(&[(HEADER_TABLE_SIZE, 64)]),
        ),
        case(
            "4.3.1",
            "a table that becomes nothing between requests",
            answered_in_turn(&[(HEADER_TABLE_SIZE, 0)]),
        ),
        case("4.3.1", "a table of nothing from the start", answered_in_turn(&[]))
            .with_server_settings(&[(HEADER_TABLE_SIZE, 0)]),
        case(
            "4.2",
            "a client's large frame is cut where the server takes none so large",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/"))]),
                sends(&[data(1, END_STREAM, &[b'x'; 16_384])]),
                server_sees(request(1)),
                server_sees(Want::Content(1, 16_384)),
            ],
        )
        .with_server_settings(&[(MAX_FRAME_SIZE, 16_384)]),
        case("4.2", "a server's large fields reach a client that takes frames of 2^14 octets", {
            let mut steps = asked();
            let fields = literal("x-fill", &"f".repeat(9_000)).repeat(2);
            steps.extend([
                server_sends(&[headers(1, END_STREAM, &[ok(), fields[..9_000].to_vec()].concat())]),
                server_sends(&[continuation(1, END_HEADERS, &fields[9_000..])]),
                sees(answered(1)),
            ]);
            steps
        }),
        case(
            "5.1.2",
            "no more streams than the server allows",
            vec![
                sends(&[headers(1, WHOLE, &get("/")), headers(3, WHOLE, &get("/"))]),
                server_sees(request(1)),
                server_sees(Want::Alive),
                server_sends(&[headers(1, WHOLE, &ok())]),
                sees(answered(1)),
            ],
        )
        .with_server_settings(&[(MAX_CONCURRENT_STREAMS, 1)]),
        case(
            "6.9.2",
            "a request's content within the server's first window",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/"))]),
                sends(&[data(1, END_STREAM, b"0123456789")]),
                server_sees(request(1)),
                server_sees(Want::Content(1, 3)),
                server_sends(&[window_update(1, 7)]),
                server_sees(frame_of("the end", |frame| frame.ends_stream())),
                server_sends(&[headers(1, WHOLE, &ok())]),
                sees(answered(1)),
            ],
        )
        .with_server_settings(&[(INITIAL_WINDOW_SIZE, 3)]),
    ]
}
