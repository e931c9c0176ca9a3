//! The tables of both sides stay the same, whatever becomes of a request (RFC 7541, sections 2.2,
//! 2.3.2 and 4; RFC 9113, section 4.3).

use super::{NEWEST, with};
use crate::{
    case::{
        Act, Case, Step, Want, answered, case, connection_error, recorded, recorded_count, sees,
        sends,
    },
    frames::{
        CANCEL, COMPRESSION_ERROR, END_HEADERS, END_STREAM, NONE, PROTOCOL_ERROR, REFUSED_STREAM,
        WHOLE, continuation, data, headers, rst_stream,
    },
    hpack::{coded, get, index, indexed_literal, integer, literal, post, string, table_size},
    server::Record,
};

pub(super) fn table() -> Vec<Case> {
    [tables(), in_step()].into_iter().flatten().collect()
}

/// What does not show by one block alone.
fn tables() -> Vec<Case> {
    // Name, value and 32 octets beside them (RFC 7541, section 4.1).
    let sized = |size: usize| indexed_literal("x-size", &"s".repeat(size - 32 - 6));
    let then = |first: &[u8], second: &[u8], last: Vec<Step>| {
        let mut steps = vec![sends(&[headers(1, WHOLE, first)]), sees(answered(1))];
        steps.push(sends(&[headers(3, WHOLE, second)]));
        steps.extend(last);
        steps
    };
    let found = || {
        vec![
            sees(answered(3)),
            recorded(1, "the entry", |request| request.field("x-size").is_some()),
        ]
    };
    let missed = || vec![sees(connection_error(COMPRESSION_ERROR))];
    let recall = || with(&[index(NEWEST)]);
    let high: Vec<u8> = (0x80..=0xff).collect();
    let evicting = [integer(0x40, 6, NEWEST), string("e".repeat(4_000).as_bytes())].concat();
    vec![
        case(
            "4.4",
            "an entry as large as the table stays",
            then(&with(&[sized(4_096)]), &recall(), found()),
        ),
        case(
            "4.4",
            "an entry one octet larger than the table does not",
            then(&with(&[sized(4_097)]), &recall(), missed()),
        ),
        case(
            "4.4",
            "the oldest entry goes when a new one needs its room",
            then(&with(&[sized(2_000), sized(2_097)]), &with(&[index(NEWEST + 1)]), missed()),
        ),
        case(
            "4.4",
            "the oldest entry stays when there is just room",
            then(&with(&[sized(2_000), sized(2_096)]), &with(&[index(NEWEST + 1)]), found()),
        ),
        case(
            "4.4",
            "an entry whose name is of one that it evicts",
            then(&with(&[sized(4_000)]), &with(&[evicting]), found()),
        ),
        case(
            "4.2",
            "a table that was made smaller and larger is empty",
            then(
                &with(&[sized(100)]),
                &[table_size(0), table_size(4_096), recall()].concat(),
                missed(),
            ),
        ),
        case(
            "5.2",
            "octets past 0x7f, Huffman",
            vec![
                sends(&[headers(1, WHOLE, &with(&[vec![0x00], string(b"x-high"), coded(&high)]))]),
                sees(answered(1)),
                recorded(0, "every octet", move |request| {
                    request
                        .fields
                        .iter()
                        .any(|field| field.name == b"x-high" && field.value == high)
                }),
            ],
        ),
    ]
}

fn in_step() -> Vec<Case> {
    let add = || indexed_literal("x-kept", "in step");
    let recall = || sends(&[headers(9, WHOLE, &with(&[index(NEWEST)]))]);
    let after = |name: &str, bytes: &[Vec<u8>]| {
        let name = format!("the table is in step after {name}");
        case("4.3", name, vec![sends(bytes), recall(), sees(answered(9)), reaches("in step")])
    };
    let open = |more: Vec<u8>| headers(1, END_HEADERS, &[post("/hang"), more].concat());
    let block = with(&[add()]);
    vec![
        after("a request", &[headers(1, WHOLE, &block)]),
        after(
            "a malformed request",
            &[headers(1, WHOLE, &with(&[literal("connection", "close"), add()]))],
        ),
        after("a request that was reset", &[open(add()), rst_stream(1, CANCEL)]),
        after("trailers", &[headers(1, END_HEADERS, &post("/")), headers(1, WHOLE, &add())]),
        after(
            "malformed trailers",
            &[headers(1, END_HEADERS, &post("/")), headers(1, END_HEADERS, &add())],
        ),
        after(
            "trailers that cross a reset",
            &[open(literal("connection", "close")), data(1, NONE, b"x"), headers(1, WHOLE, &add())],
        ),
        after(
            "a block in pieces",
            &[
                headers(1, END_STREAM, &block[..20]),
                continuation(1, NONE, &block[20..60]),
                continuation(1, NONE, &block[60..block.len() - 1]),
                continuation(1, END_HEADERS, &block[block.len() - 1..]),
            ],
        ),
        case(
            "4.3",
            "the table is in step after a stream that was refused",
            vec![
                sends(&[open(Vec::new()), headers(3, WHOLE, &block)]),
                sees(Want::StreamError(3, vec![REFUSED_STREAM, PROTOCOL_ERROR])),
                sends(&[rst_stream(1, CANCEL)]),
                recall(),
                sees(answered(9)),
                reaches("in step"),
            ],
        )
        .with_flags("--max-streams 1"),
        case(
            "2.2",
            "every client has a table of its own",
            vec![
                sends(&[headers(1, WHOLE, &block)]),
                sees(answered(1)),
                Step::Client(Act::Reconnect),
                sends(&[headers(1, WHOLE, &with(&[indexed_literal("x-kept", "another's")]))]),
                sees(answered(1)),
                sends(&[headers(3, WHOLE, &with(&[index(NEWEST)]))]),
                sees(answered(3)),
                recorded(2, "the second's", |request| request.field("x-kept") == Some("another's")),
                Step::Client(Act::Switch),
                sends(&[headers(3, WHOLE, &with(&[index(NEWEST)]))]),
                sees(answered(3)),
                recorded(3, "the first's", |request| request.field("x-kept") == Some("in step")),
            ],
        ),
        case("10.5.1", "a request whose fields are too large on the wire", {
            let fields = literal("x-fill", &"f".repeat(4_000)).repeat(40);
            let mut frames = vec![headers(1, END_STREAM, &get("/"))];
            frames.extend(fields.chunks(16_000).map(|chunk| continuation(1, NONE, chunk)));
            frames.push(continuation(1, END_HEADERS, &[]));
            vec![sends(&frames), sees(Want::Failed(1)), recorded_count(0)]
        }),
        case(
            "10.5.1",
            "a request whose fields are too large when decoded",
            vec![
                sends(&[headers(
                    1,
                    WHOLE,
                    &with(&[
                        indexed_literal("x-fill", &"f".repeat(4_000)),
                        index(NEWEST).repeat(1_000),
                    ]),
                )]),
                sees(Want::Failed(1)),
                recorded_count(0),
            ],
        ),
    ]
}

/// The field that was added by an earlier block reaches the server with a later request.
fn reaches(value: &'static str) -> Step {
    let test = move |record: &Record| {
        let last = record.requests.last();
        last.is_some_and(|request| request.field("x-kept") == Some(value))
    };
    Step::Recorded("the entry of an earlier block", Box::new(test))
}
