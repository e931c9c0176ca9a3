//! Header blocks of a server (RFC 7541; RFC 9113, section 4.3), in heads and in trailers.

use super::{answers, asked, breaks};
use crate::{
    case::{
        Case, Step, Want, answered, case, fields, frame_of, has, request, sees, sends, server_sees,
        server_sends,
    },
    frames::{
        CANCEL, COMPRESSION_ERROR, END_HEADERS, END_STREAM, NONE, RST_STREAM, WHOLE, continuation,
        data, headers, rst_stream,
    },
    hpack::{
        coded, coded_literal, coded_string, get, index, indexed_literal, integer, literal,
        never_indexed, ok, string, table_size,
    },
};

/// The newest entry of the dynamic table.
const NEWEST: u64 = 62;

pub(super) fn table() -> Vec<Case> {
    [decoded(), broken(), too_large(), in_step()].into_iter().flatten().collect()
}

fn with(representations: &[Vec<u8>]) -> Vec<u8> {
    [ok(), representations.concat()].concat()
}

/// The field reaches the client, in a head and in trailers.
fn reaches(section: &'static str, name: &str, block: &[u8], value: &'static str) -> [Case; 2] {
    let seen = || sees(fields(1, "the field", move |fields| has(fields, "x-test", value)));
    let mut head = asked();
    head.extend([server_sends(&[headers(1, WHOLE, &with(&[block.to_vec()]))]), seen()]);
    let mut trailers = asked();
    trailers.extend([
        server_sends(&[headers(1, END_HEADERS, &ok()), data(1, NONE, b"x")]),
        server_sends(&[headers(1, WHOLE, block)]),
        seen(),
    ]);
    [case(section, name, head), case(section, format!("{name}, in trailers"), trailers)]
}

fn decoded() -> Vec<Case> {
    let coded_name = |first: u8| [vec![first], coded("x-test"), coded("value")].concat();
    let rows = [
        reaches("6.2.1", "a literal with indexing", &indexed_literal("x-test", "value"), "value"),
        reaches("6.2.1", "a literal with indexing, Huffman", &coded_name(0x40), "value"),
        reaches("6.2.2", "a literal without indexing", &literal("x-test", "value"), "value"),
        reaches(
            "6.2.2",
            "a literal without indexing, Huffman",
            &coded_literal("x-test", "value"),
            "value",
        ),
        reaches("6.2.3", "a literal never indexed", &never_indexed("x-test", "value"), "value"),
        reaches("6.2.3", "a literal never indexed, Huffman", &coded_name(0x10), "value"),
        reaches("5.2", "an empty value", &literal("x-test", ""), ""),
    ];
    let mut table: Vec<Case> = rows.into_iter().flatten().collect();
    table.extend([
        answers(
            "4.2",
            "a size update before the head",
            &[headers(1, WHOLE, &[table_size(0), ok()].concat())],
        ),
        answers(
            "4.2",
            "two size updates before the head",
            &[headers(1, WHOLE, &[table_size(0), table_size(0), ok()].concat())],
        ),
        answers(
            "4.2",
            "a size update before trailers",
            &[
                headers(1, END_HEADERS, &ok()),
                headers(1, WHOLE, &[table_size(0), literal("x-a", "1")].concat()),
            ],
        ),
        answers("6.1", "an indexed field", &[headers(1, WHOLE, &with(&[index(16)]))]),
    ]);
    table
}

fn broken() -> Vec<Case> {
    let value = |code: &[u8]| with(&[vec![0x00], string(b"x-test"), coded_string(code)]);
    let mut table = Vec::new();
    for (section, name, block) in [
        ("6.1", "index 0", with(&[vec![0x80]])),
        ("2.3.3", "an index past both tables", with(&[index(NEWEST)])),
        ("2.3.3", "an index far past both tables", with(&[index(1 << 20)])),
        ("2.3.3", "a name past both tables", with(&[integer(0x00, 4, 70), string(b"v")])),
        ("4.2", "a size update at the end", with(&[literal("x-a", "1"), table_size(0)])),
        ("6.3", "a size update past the limit", [table_size(1 << 20), ok()].concat()),
        ("5.1", "an integer without an end", with(&[[vec![0xff], vec![0x80; 40]].concat()])),
        ("5.1", "an integer past 64 bits", with(&[[vec![0xff], vec![0xff; 12], vec![1]].concat()])),
        ("4.3", "a block that ends inside a field", with(&[vec![0x00, 0x05, b'x']])),
        ("5.2", "a value longer than its block", with(&[vec![0x00, 0x01, b'x', 0x7e, b'v']])),
        ("5.2", "Huffman padding of more than 7 bits", value(&[0x1f, 0xff])),
        ("5.2", "Huffman padding of zeros", value(&[0x18])),
        ("5.2", "the EOS symbol", value(&[0xff, 0xff, 0xff, 0xff])),
    ] {
        let head = [headers(1, WHOLE, &block)];
        table.push(breaks(section, name, &head, &[COMPRESSION_ERROR]));
        // The same without `:status`, which only a head has.
        let block: Vec<u8> = block.iter().copied().filter(|octet| *octet != 0x88).collect();
        let trailers = [headers(1, END_HEADERS, &ok()), headers(1, WHOLE, &block)];
        let name = format!("{name}, in trailers");
        table.push(breaks(section, &name, &trailers, &[COMPRESSION_ERROR]));
    }
    table
}

/// More fields than the balancer says that it takes.
fn too_large() -> Vec<Case> {
    let fields = literal("x-fill", &"f".repeat(4_000)).repeat(40);
    let frames = |flags: u8, start: Vec<u8>| {
        let mut frames = vec![headers(1, flags, &start)];
        frames.extend(fields.chunks(16_000).map(|chunk| continuation(1, NONE, chunk)));
        frames.push(continuation(1, END_HEADERS, &[]));
        frames.concat()
    };
    let fails = |name: &str, sent: Vec<u8>| {
        let mut steps = asked();
        steps.extend([server_sends(&[sent]), sees(Want::Failed(1)), sees(Want::Alive)]);
        case("10.5.1", name, steps)
    };
    let open = headers(1, END_HEADERS, &ok());
    vec![
        fails("an answer whose fields are too large", frames(END_STREAM, ok())),
        fails("trailers that are too large", [open, frames(END_STREAM, Vec::new())].concat()),
    ]
}

/// What becomes of one answer does not change what others mean.
fn in_step() -> Vec<Case> {
    let second = |block: Vec<u8>| -> Vec<Step> {
        vec![
            sends(&[headers(3, WHOLE, &get("/"))]),
            server_sees(request(3)),
            server_sends(&[headers(3, WHOLE, &block)]),
        ]
    };
    let seen = || sees(fields(3, "the field", |fields| has(fields, "x-kept", "in step")));
    let add = || indexed_literal("x-kept", "in step");
    let mut dropped = asked();
    dropped.extend([
        sends(&[rst_stream(1, CANCEL)]),
        server_sees(frame_of("the reset", |frame| frame.kind == RST_STREAM)),
        server_sends(&[headers(1, WHOLE, &with(&[literal("x-late", "1")]))]),
        server_sees(Want::Alive),
    ]);
    dropped.extend(second(with(&[add()])));
    dropped.push(seen());
    let mut two = asked();
    two.extend([server_sends(&[headers(1, WHOLE, &with(&[add()]))]), sees(answered(1))]);
    two.extend(second(with(&[add(), literal("x-other", "1")])));
    two.push(seen());
    vec![
        case("4.3", "an answer to a call that was reset is decoded all the same", dropped),
        case("4.3", "two answers that say the same", two),
    ]
}
