//! Malformed responses (RFC 9113, sections 8.1 to 8.3 and 8.6): an error of their stream towards
//! the server, a failure towards the client. That nothing malformed is forwarded is judged at the
//! client, in every row.

use super::{answers, asked, errs};
use crate::{
    case::{
        Case, Want, answered, case, fields, has, request, sees, sends, server_sees, server_sends,
    },
    frames::{END_HEADERS, END_STREAM, NONE, PROTOCOL_ERROR, WHOLE, data, headers},
    hpack::{
        STATUS_200, first_block, literal, literal_bytes, ok, ok_with, request as request_block,
    },
};

pub(super) fn table() -> Vec<Case> {
    [statuses(), names_and_values(), connection_fields(), exchanges(), lengths(), interim()]
        .into_iter()
        .flatten()
        .collect()
}

fn malformed(section: &'static str, name: &str, frames: &[Vec<u8>]) -> Case {
    errs(section, name, frames, &[PROTOCOL_ERROR])
}

fn head(section: &'static str, name: &str, block: &[u8]) -> Case {
    malformed(section, name, &[headers(1, WHOLE, block)])
}

/// The same fields in trailers.
fn trailers(section: &'static str, name: &str, block: &[u8]) -> Case {
    let frames =
        [headers(1, END_HEADERS, &ok()), data(1, NONE, b"content"), headers(1, WHOLE, block)];
    malformed(section, &format!("{name}, in trailers"), &frames)
}

fn statuses() -> Vec<Case> {
    let status = |value: &str| first_block(&[(":status", value)]);
    let mut table = vec![
        head("8.3.2", "no status", &first_block(&[("x-test", "ok")])),
        head("8.3.2", "no field at all", &first_block(&[])),
        head("8.3.2", "two statuses", &[ok(), vec![STATUS_200]].concat()),
        head(
            "8.3",
            "a status after another field",
            &[first_block(&[("x-test", "ok")]), vec![STATUS_200]].concat(),
        ),
        head("8.3", "an unknown pseudo-field", &ok_with(":test", "ok")),
        head("8.3", "a pseudo-field of requests", &ok_with(":path", "/")),
        trailers("8.3", "a status", &ok()),
        trailers("8.3", "an unknown pseudo-field", &literal(":test", "ok")),
        trailers("8.3", "a pseudo-field of requests", &literal(":path", "/")),
    ];
    for value in ["", "20", "2000", "abc", "2 0", "+20", "099"] {
        let name = format!("the status `{value}`");
        table.push(head("8.3.2", &name, &status(value)));
    }
    table
}

fn names_and_values() -> Vec<Case> {
    let mut table = Vec::new();
    let mut both = |name: &str, field: Vec<u8>| {
        table.push(head("8.2.1", name, &[ok(), field.clone()].concat()));
        table.push(trailers("8.2.1", name, &field));
    };
    both("a name in upper case", literal("X-Test", "ok"));
    both("a name with a space", literal("x test", "ok"));
    both("a name with a colon", literal("x:test", "ok"));
    both("a name that is empty", literal("", "ok"));
    both("a name with NUL", literal("x\0test", "ok"));
    both("a name with LF", literal("x\ntest", "ok"));
    both("a name past 0x7f", literal_bytes(b"x-\xfftest", b"ok"));
    both("a value with NUL", literal("x-test", "a\0b"));
    both("a value with LF", literal("x-test", "a\nb"));
    both("a value with CR", literal("x-test", "a\rb"));
    both("a value with CR and LF at its end", literal("x-test", "a\r\n"));
    both("a value after a space", literal("x-test", " a"));
    both("a value before a tab", literal("x-test", "a\t"));
    table.push(answers(
        "8.2.1",
        "a value with octets past 0x7f",
        &[headers(1, WHOLE, &[ok(), literal_bytes(b"x-test", b"\xc3\xa9 \xff")].concat())],
    ));
    table
}

fn connection_fields() -> Vec<Case> {
    let mut table = Vec::new();
    for (name, value) in [
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
    ] {
        table.push(head("8.2.2", name, &ok_with(name, value)));
        table.push(trailers("8.2.2", name, &literal(name, value)));
    }
    table
}

fn exchanges() -> Vec<Case> {
    let open = || headers(1, END_HEADERS, &ok());
    vec![
        malformed("8.1", "DATA before the head", &[data(1, END_STREAM, b"x")]),
        malformed(
            "8.1",
            "trailers that do not end the stream",
            &[open(), data(1, NONE, b"x"), headers(1, END_HEADERS, &literal("x-a", "1"))],
        ),
        malformed("8.1", "a second head", &[open(), headers(1, END_HEADERS, &ok())]),
        malformed(
            "8.1",
            "an interim head after the final one",
            &[open(), headers(1, END_HEADERS, &first_block(&[(":status", "100")]))],
        ),
        answers(
            "8.1",
            "content without a length",
            &[open(), data(1, NONE, b"a"), data(1, END_STREAM, b"b")],
        ),
        answers("8.1", "a head alone", &[headers(1, WHOLE, &ok())]),
    ]
}

fn lengths() -> Vec<Case> {
    let sized = |length: &str| headers(1, END_HEADERS, &ok_with("content-length", length));
    let to = |name: &str, method: &str, answer: Vec<u8>| {
        let steps = vec![
            sends(&[headers(1, WHOLE, &request_block(method, "/"))]),
            server_sees(request(1)),
            server_sends(&[answer]),
            sees(fields(1, "the length", |fields| has(fields, "content-length", "5"))),
            sees(Want::Alive),
            server_sees(Want::Alive),
        ];
        case("8.1.1", name, steps)
    };
    let not_modified = first_block(&[(":status", "304"), ("content-length", "5")]);
    vec![
        malformed(
            "8.1.1",
            "less content than its length",
            &[sized("5"), data(1, END_STREAM, b"test")],
        ),
        malformed(
            "8.1.1",
            "more content than its length",
            &[sized("3"), data(1, END_STREAM, b"test")],
        ),
        malformed(
            "8.1.1",
            "more content than its length, in two frames",
            &[sized("5"), data(1, NONE, b"test"), data(1, END_STREAM, b"test")],
        ),
        malformed(
            "8.1.1",
            "less content than its length, before trailers",
            &[sized("5"), data(1, NONE, b"test"), headers(1, WHOLE, &literal("x-a", "1"))],
        ),
        malformed(
            "8.1.1",
            "a length and no content",
            &[headers(1, WHOLE, &ok_with("content-length", "5"))],
        ),
        malformed(
            "8.1.1",
            "a length that is no number",
            &[sized("many"), data(1, END_STREAM, b"test")],
        ),
        malformed(
            "8.1.1",
            "lengths that differ",
            &[
                headers(
                    1,
                    END_HEADERS,
                    &[ok_with("content-length", "4"), literal("content-length", "5")].concat(),
                ),
                data(1, END_STREAM, b"test"),
            ],
        ),
        answers(
            "8.1.1",
            "as much content as its length",
            &[sized("4"), data(1, END_STREAM, b"test")],
        ),
        answers(
            "8.1.1",
            "as much content as its length, and trailers",
            &[sized("4"), data(1, NONE, b"test"), headers(1, WHOLE, &literal("x-a", "1"))],
        ),
        to(
            "a length in answer to HEAD",
            "HEAD",
            headers(1, WHOLE, &ok_with("content-length", "5")),
        ),
        to("a length with status 304", "GET", headers(1, WHOLE, &not_modified)),
    ]
}

fn interim() -> Vec<Case> {
    let status = |value: &str| first_block(&[(":status", value)]);
    let mut steps = asked();
    steps.extend([
        server_sends(&[headers(1, END_HEADERS, &status("103"))]),
        server_sends(&[headers(1, END_HEADERS, &status("103")), headers(1, WHOLE, &ok())]),
        sees(answered(1)),
        server_sees(Want::Alive),
    ]);
    vec![
        head("8.1", "an interim head that ends the stream", &status("103")),
        malformed(
            "8.1",
            "content after an interim head",
            &[headers(1, END_HEADERS, &status("103")), data(1, END_STREAM, b"x")],
        ),
        malformed("8.6", "status 101", &[headers(1, END_HEADERS, &status("101"))]),
        case("8.1", "interim heads go before the final one", steps),
        malformed(
            "8.2.1",
            "a malformed interim head",
            &[
                headers(1, END_HEADERS, &[status("103"), literal("X-A", "1")].concat()),
                headers(1, WHOLE, &ok()),
            ],
        ),
    ]
}
