//! Stream identifiers, concurrency, dependencies and header blocks in pieces (RFC 9113, sections
//! 5.1.1, 5.1.2, 5.3, 6.2 and 6.10).

use crate::{
    case::{
        Case, Step, Want, answered, case, connection_error, recorded_count, sees, sends,
        stream_error,
    },
    frames::{
        CANCEL, END_HEADERS, END_STREAM, HEADERS, MAX_CONCURRENT_STREAMS, NONE, PRIORITIZED,
        PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED, WHOLE, continuation, data, frame, headers,
        ping, priority, rst_stream, settings, window_update,
    },
    hpack::{get, literal, post},
};

pub(super) fn table() -> Vec<Case> {
    [identifiers(), concurrency(), dependencies(), pieces(), interruptions()]
        .into_iter()
        .flatten()
        .collect()
}

fn breaks(section: &'static str, name: &str, bytes: &[Vec<u8>]) -> Case {
    case(section, name, vec![sends(bytes), sees(connection_error(PROTOCOL_ERROR))])
}

fn identifiers() -> Vec<Case> {
    let request = |stream| headers(stream, WHOLE, &get("/"));
    vec![
        breaks("5.1.1", "an even identifier", &[request(2)]),
        case(
            "5.1.1",
            "an identifier smaller than the last",
            vec![
                sends(&[request(5)]),
                sees(answered(5)),
                sends(&[request(3)]),
                sees(Want::ConnectionError(vec![PROTOCOL_ERROR, STREAM_CLOSED])),
            ],
        ),
        case(
            "5.1.1",
            "identifiers with gaps",
            vec![
                sends(&[request(1), request(101), request(10_001)]),
                sees(answered(10_001)),
                sees(Want::Alive),
            ],
        ),
        case(
            "5.1.1",
            "the largest identifier",
            vec![sends(&[request(0x7fff_ffff)]), sees(answered(0x7fff_ffff))],
        ),
        case(
            "5.1.1",
            "a smaller idle stream is closed by a larger one",
            vec![
                sends(&[request(7)]),
                sees(answered(7)),
                sends(&[data(5, END_STREAM, b"x")]),
                sees(Want::StreamError(5, vec![PROTOCOL_ERROR, STREAM_CLOSED])),
            ],
        ),
    ]
}

fn concurrency() -> Vec<Case> {
    let hanging = |stream| headers(stream, WHOLE, &get("/hang"));
    let refused = || sees(Want::StreamError(7, vec![REFUSED_STREAM, PROTOCOL_ERROR]));
    vec![
        case(
            "5.1.2",
            "a stream more than is allowed",
            vec![
                sends(&[hanging(1), hanging(3), hanging(5), hanging(7)]),
                refused(),
                recorded_count(3),
            ],
        )
        .with_flags("--max-streams 3"),
        case(
            "5.1.2",
            "a stream that ended makes room",
            vec![
                sends(&[hanging(1), hanging(3), hanging(5)]),
                sees(Want::Alive),
                sends(&[rst_stream(3, CANCEL), headers(7, WHOLE, &get("/"))]),
                sees(answered(7)),
            ],
        )
        .with_flags("--max-streams 3"),
        case(
            "5.1.2",
            "what the client allows the server does not count for the client",
            vec![
                sends(&[headers(1, WHOLE, &get("/")), headers(3, WHOLE, &get("/"))]),
                sees(answered(3)),
            ],
        )
        .with_client_settings(&[(MAX_CONCURRENT_STREAMS, 0)]),
    ]
}

fn dependencies() -> Vec<Case> {
    let depending = |stream: u32, on: u32| {
        let block = [&on.to_be_bytes()[..], &[15], &get("/")].concat();
        frame(HEADERS, WHOLE | PRIORITIZED, stream, &block)
    };
    let request = || headers(1, WHOLE, &get("/"));
    vec![
        case(
            "5.3",
            "PRIORITY of every kind is of no consequence",
            vec![
                sends(&[priority(1, 0), priority(1, 0x8000_0000), priority(11, 9), request()]),
                sees(answered(1)),
            ],
        ),
        case(
            "5.3",
            "PRIORITY of an idle stream, then HEADERS of a lower one",
            vec![sends(&[priority(9, 0), request()]), sees(answered(1))],
        ),
        // RFC 7540, section 5.3.1; in RFC 9113 priorities have no meaning left.
        case(
            "5.3.1",
            "HEADERS that depend on themselves",
            vec![sends(&[depending(1, 1)]), sees(stream_error(1, PROTOCOL_ERROR))],
        ),
        case(
            "5.3.1",
            "PRIORITY that depends on itself",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/hang")), priority(1, 1)]),
                sees(stream_error(1, PROTOCOL_ERROR)),
            ],
        ),
    ]
}

/// A request whose block is cut into these many fragments.
fn cut(count: usize) -> Vec<Vec<u8>> {
    let block = [get("/"), literal("x-long", &"long".repeat(50))].concat();
    let length = block.len().div_ceil(count);
    let last = block.len().div_ceil(length) - 1;
    let piece = |(number, fragment): (usize, &[u8])| match number {
        0 => headers(1, END_STREAM, fragment),
        _ => continuation(1, if number == last { END_HEADERS } else { NONE }, fragment),
    };
    block.chunks(length).enumerate().map(piece).collect()
}

fn pieces() -> Vec<Case> {
    let answers =
        |name: &str, bytes: &[Vec<u8>]| case("6.10", name, vec![sends(bytes), sees(answered(1))]);
    let in_steps = |pieces: Vec<Vec<u8>>| {
        let mut steps: Vec<Step> = pieces.into_iter().map(|piece| sends(&[piece])).collect();
        steps.push(sees(answered(1)));
        steps
    };
    vec![
        answers("one CONTINUATION", &cut(2)),
        answers("several CONTINUATIONs", &cut(5)),
        answers(
            "HEADERS without a fragment",
            &[headers(1, END_STREAM, &[]), continuation(1, END_HEADERS, &get("/"))],
        ),
        answers(
            "CONTINUATION without a fragment",
            &[headers(1, END_STREAM, &get("/")), continuation(1, END_HEADERS, &[])],
        ),
        answers(
            "END_STREAM is of HEADERS, the request goes on after CONTINUATION",
            &[
                headers(1, NONE, &post("/")),
                continuation(1, END_HEADERS, &[]),
                data(1, END_STREAM, b"x"),
            ],
        ),
        case("6.10", "pieces that arrive one by one", in_steps(cut(4))),
        case(
            "6.10",
            "trailers in pieces",
            vec![
                sends(&[headers(1, END_HEADERS, &post("/")), data(1, NONE, b"x")]),
                sends(&[headers(1, END_STREAM, &literal("x-a", "1"))]),
                sends(&[continuation(1, END_HEADERS, &literal("x-b", "2"))]),
                sees(answered(1)),
            ],
        ),
    ]
}

fn interruptions() -> Vec<Case> {
    let begun = || headers(1, END_STREAM, &get("/"));
    let open = || headers(1, END_HEADERS, &post("/"));
    let mut table = vec![
        breaks(
            "6.10",
            "CONTINUATION after END_HEADERS",
            &[open(), continuation(1, END_HEADERS, &literal("x-a", "1"))],
        ),
        breaks(
            "6.10",
            "CONTINUATION after CONTINUATION with END_HEADERS",
            &[
                headers(1, NONE, &post("/")),
                continuation(1, END_HEADERS, &[]),
                continuation(1, END_HEADERS, &literal("x-a", "1")),
            ],
        ),
        breaks(
            "6.10",
            "CONTINUATION after DATA",
            &[open(), data(1, NONE, b"x"), continuation(1, END_HEADERS, &literal("x-a", "1"))],
        ),
        breaks(
            "6.10",
            "CONTINUATION of another stream",
            &[begun(), continuation(3, END_HEADERS, &[])],
        ),
    ];
    for (name, bytes) in [
        ("HEADERS of another stream", headers(3, WHOLE, &get("/"))),
        ("HEADERS of the same stream", headers(1, WHOLE, &get("/"))),
        ("DATA", data(1, END_STREAM, b"x")),
        ("PRIORITY", priority(1, 0)),
        ("PRIORITY of another stream", priority(3, 0)),
        ("RST_STREAM", rst_stream(1, CANCEL)),
        ("SETTINGS", settings(&[])),
        ("PING", ping(NONE, b"intruder")),
        ("WINDOW_UPDATE", window_update(0, 1)),
    ] {
        let bytes = [begun(), bytes, continuation(1, END_HEADERS, &[])];
        table.push(breaks("6.2", &format!("{name} inside a header block"), &bytes));
        let [begun, intruder, last] = bytes;
        let bytes = [begun, continuation(1, NONE, &literal("x-a", "1")), intruder, last];
        table.push(breaks("6.10", &format!("{name} after CONTINUATION"), &bytes));
    }
    table
}
