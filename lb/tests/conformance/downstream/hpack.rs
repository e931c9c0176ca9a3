//! Header blocks of a client (RFC 7541; RFC 9113, section 4.3): what must be decoded, what must end
//! the connection, and that the tables stay in step whatever becomes of a request.

mod in_step;

use crate::{
    case::{Case, answered, case, connection_error, recorded, sees, sends},
    frames::{COMPRESSION_ERROR, END_HEADERS, END_STREAM, WHOLE, continuation, headers},
    hpack::{
        METHOD_GET, block, coded, coded_literal, coded_string, get, index, indexed_literal,
        integer, literal, post, string, table_size,
    },
};

/// The static table's index of `user-agent`.
const USER_AGENT: u64 = 58;
/// The newest entry of the dynamic table.
const NEWEST: u64 = 62;
const VALUE_OF_127: &str = concat!(
    "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv",
    "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"
);

pub(super) fn table() -> Vec<Case> {
    [literals(), others(), broken(), broken_strings(), in_step::table()]
        .into_iter()
        .flatten()
        .collect()
}

/// A GET of `/`, followed by these representations.
fn with(representations: &[Vec<u8>]) -> Vec<u8> {
    [get("/"), representations.concat()].concat()
}

/// A request with this block reaches the server with such a field.
fn row(
    section: &'static str,
    name: &str,
    block: Vec<u8>,
    field: &'static str,
    value: &'static str,
) -> Case {
    let is_it =
        recorded(0, "the field, decoded", move |request| request.field(field) == Some(value));
    case(section, name, vec![sends(&[headers(1, WHOLE, &block)]), sees(answered(1)), is_it])
}

fn literals() -> Vec<Case> {
    let kinds = [
        ("6.2.1", "incremental indexing", 0x40, 6),
        ("6.2.2", "without indexing", 0x00, 4),
        ("6.2.3", "never indexed", 0x10, 4),
    ];
    let mut table = Vec::new();
    for (section, kind, first, bits) in kinds {
        let indexed = || integer(first, bits, USER_AGENT);
        let new = |name: Vec<u8>| [vec![first], name].concat();
        for (name, field, representation) in [
            ("indexed name", "user-agent", [indexed(), string(b"agent")]),
            ("indexed name, Huffman", "user-agent", [indexed(), coded("agent")]),
            ("new name", "x-test", [new(string(b"x-test")), string(b"agent")]),
            ("new name, Huffman", "x-test", [new(coded("x-test")), coded("agent")]),
        ] {
            let name = format!("literal, {kind}, {name}");
            table.push(row(section, &name, with(&representation), field, "agent"));
        }
    }
    table
}

fn others() -> Vec<Case> {
    let rest = block(&[(":scheme", "http"), (":path", "/"), (":authority", "localhost")]);
    let large = indexed_literal("x-large", &"l".repeat(5_000));
    let wasteful = [&[0x00][..], &string(b"x-test"), &[0x7f, 0x80, 0x80, 0x00]].concat();
    vec![
        row("6.1", "an indexed field", with(&[index(16)]), "accept-encoding", "gzip, deflate"),
        row("6.1", "a method that is indexed", [vec![METHOD_GET], rest].concat(), ":method", "GET"),
        row(
            "2.3.3",
            "an entry of the same block",
            with(&[
                indexed_literal("x-one", "1"),
                indexed_literal("x-two", "2"),
                index(NEWEST + 1),
            ]),
            "x-one",
            "1",
        ),
        row(
            "2.3.2",
            "an entry that is there twice",
            with(&[indexed_literal("x-a", "1"), indexed_literal("x-a", "1"), index(NEWEST + 1)]),
            "x-a",
            "1",
        ),
        row(
            "2.3.3",
            "the name of an entry",
            with(&[
                indexed_literal("x-one", "1"),
                integer(0x00, 4, NEWEST),
                string(b"2"),
                literal("x-after", "3"),
            ]),
            "x-after",
            "3",
        ),
        row("6.3", "a size update", [table_size(0), get("/")].concat(), ":path", "/"),
        row(
            "4.2",
            "two size updates",
            [table_size(0), table_size(4096), get("/")].concat(),
            ":path",
            "/",
        ),
        row(
            "4.4",
            "an entry larger than the table empties it, and is no error",
            with(&[large, literal("x-test", "agent")]),
            "x-test",
            "agent",
        ),
        row(
            "5.1",
            "an integer of several octets",
            with(&[literal("x-long", &"v".repeat(3_000)), literal("x-test", "agent")]),
            "x-test",
            "agent",
        ),
        row(
            "5.1",
            "an integer with octets that add nothing",
            with(&[wasteful, VALUE_OF_127.as_bytes().to_vec()]),
            "x-test",
            VALUE_OF_127,
        ),
        row("5.2", "an empty value", with(&[literal("x-test", "")]), "x-test", ""),
        row(
            "5.2",
            "an empty value, Huffman",
            with(&[vec![0x00], string(b"x-test"), coded_string(&[])]),
            "x-test",
            "",
        ),
        row(
            "5.2",
            "every octet that is text, Huffman",
            with(&[coded_literal("x-test", ASCII)]),
            "x-test",
            ASCII,
        ),
    ]
}

const ASCII: &str = "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`\
                     abcdefghijklmnopqrstuvwxyz{|}~";

/// This block is an error of the whole connection.
fn breaks(section: &'static str, name: &str, block: Vec<u8>) -> Case {
    let steps =
        vec![sends(&[headers(1, WHOLE, &block)]), sees(connection_error(COMPRESSION_ERROR))];
    case(section, name, steps)
}

fn broken() -> Vec<Case> {
    let update_late = |size| with(&[table_size(size)]);
    let trailers = vec![
        sends(&[headers(1, END_HEADERS, &post("/")), headers(1, WHOLE, &index(70))]),
        sees(connection_error(COMPRESSION_ERROR)),
    ];
    vec![
        breaks("6.1", "index 0", with(&[vec![0x80]])),
        breaks("2.3.3", "an index past both tables", with(&[index(NEWEST)])),
        breaks("2.3.3", "an index far past both tables", with(&[index(100_000)])),
        breaks("2.3.3", "a name past both tables", with(&[integer(0x40, 6, 70), string(b"v")])),
        breaks(
            "2.3.3",
            "a name past both tables, without indexing",
            with(&[integer(0x00, 4, 70), string(b"v")]),
        ),
        breaks(
            "4.4",
            "an entry that was evicted",
            [
                table_size(40),
                get("/"),
                indexed_literal("x-a", "1"),
                indexed_literal("x-b", "2"),
                index(NEWEST + 1),
            ]
            .concat(),
        ),
        case(
            "4.3",
            "an entry that a size update evicted",
            vec![
                sends(&[headers(1, WHOLE, &with(&[indexed_literal("x-a", "1")]))]),
                sends(&[headers(3, WHOLE, &[table_size(0), with(&[index(NEWEST)])].concat())]),
                sees(connection_error(COMPRESSION_ERROR)),
            ],
        ),
        breaks("4.2", "a size update at the end of a block", update_late(0)),
        breaks(
            "4.2",
            "a size update between fields",
            [literal(":method", "GET"), table_size(100), get("/")[13..].to_vec()].concat(),
        ),
        breaks(
            "6.3",
            "a size update past SETTINGS_HEADER_TABLE_SIZE",
            [table_size(100_000), get("/")].concat(),
        ),
        breaks(
            "6.3",
            "a size update past 32 bits",
            [integer(0x20, 5, u64::MAX / 2), get("/")].concat(),
        ),
        breaks("4.3", "a block that ends inside a field", with(&[vec![0x40, 0x05, b'x']])),
        breaks("5.1", "a block that ends inside an integer", with(&[vec![0xff, 0x80]])),
        breaks(
            "5.1",
            "an integer past 32 bits",
            with(&[vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]]),
        ),
        breaks("5.1", "an integer without an end", with(&[[vec![0xff], vec![0x80; 40]].concat()])),
        breaks(
            "5.1",
            "a string length past 64 bits",
            with(&[vec![0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]]),
        ),
        case("4.3", "trailers that cannot be decoded", trailers),
        case(
            "4.3",
            "a block of CONTINUATIONs that cannot be decoded",
            vec![
                sends(&[
                    headers(1, END_STREAM, &get("/")),
                    continuation(1, END_HEADERS, &index(70)),
                ]),
                sees(connection_error(COMPRESSION_ERROR)),
            ],
        ),
    ]
}

fn broken_strings() -> Vec<Case> {
    let value = |code: &[u8]| with(&[vec![0x00], string(b"x-test"), coded_string(code)]);
    vec![
        breaks(
            "5.2",
            "a value longer than its block",
            with(&[vec![0x00], string(b"x-test"), vec![0x7e, b'v']]),
        ),
        breaks("5.2", "a name longer than its block", with(&[vec![0x00, 0x7e, b'n']])),
        // `a` is 00011, `&` is 11111000, EOS is 30 ones.
        breaks("5.2", "Huffman padding of more than 7 bits", value(&[0x1f, 0xff])),
        breaks("5.2", "Huffman padding of 8 bits after whole octets", value(&[0xf8, 0xff])),
        breaks("5.2", "Huffman padding of zeros", value(&[0x18])),
        breaks("5.2", "the EOS symbol", value(&[0xff, 0xff, 0xff, 0xff])),
        breaks("5.2", "the EOS symbol between others", value(&[0x1f, 0xff, 0xff, 0xff, 0xe3])),
        breaks(
            "5.2",
            "the EOS symbol in a name",
            with(&[vec![0x00], coded_string(&[0xff, 0xff, 0xff, 0xff]), string(b"v")]),
        ),
    ]
}
