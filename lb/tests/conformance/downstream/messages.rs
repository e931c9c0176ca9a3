//! Malformed requests (RFC 9113, sections 8.1 to 8.5): an error of their stream, and never seen by
//! a server. That nothing malformed is forwarded is judged at the server, in every row.

use crate::{
    case::{Case, Want, answered, case, frame_of, recorded_count, sees, sends},
    frames::{
        END_HEADERS, END_STREAM, NONE, PADDED, PROTOCOL_ERROR, RST_STREAM, WHOLE, data, headers,
    },
    hpack::{block, get, get_with, literal, literal_bytes, post, request},
};

pub(super) fn table() -> Vec<Case> {
    [names_and_values(), pseudo_fields(), connection_fields(), exchanges(), lengths(), connects()]
        .into_iter()
        .flatten()
        .collect()
}

/// Refused, however late; what the server must not have seen is a request like this, whole.
fn refused(section: &'static str, name: &str, frames: &[Vec<u8>]) -> Case {
    case(section, name, vec![sends(frames), sees(Want::StreamError(1, vec![PROTOCOL_ERROR]))])
}

/// Refused at once, and never seen by the server: it sees the next request only.
fn unseen(section: &'static str, name: &str, block: &[u8]) -> Case {
    let mut case = refused(section, name, &[headers(1, WHOLE, block)]);
    case.steps.push(recorded_count(0));
    case
}

fn taken(section: &'static str, name: &str, frames: &[Vec<u8>]) -> Case {
    case(section, name, vec![sends(frames), sees(answered(1))])
}

fn names_and_values() -> Vec<Case> {
    let with = |name: &[u8], value: &[u8]| [get("/"), literal_bytes(name, value)].concat();
    let mut table = vec![
        unseen("8.2.1", "a name in upper case", &with(b"X-TEST", b"ok")),
        unseen("8.2.1", "a name with one letter in upper case", &with(b"x-tesT", b"ok")),
        unseen("8.2.1", "a name with a colon", &with(b"x:test", b"ok")),
        unseen("8.2.1", "a name that is empty", &with(b"", b"ok")),
        taken(
            "8.2.1",
            "a name of every octet that a token may have",
            &[headers(1, WHOLE, &with(b"!#$%&'*+-.^_`|~09az", b"ok"))],
        ),
        taken(
            "8.2.1",
            "a value with white space inside, and octets past 0x7f",
            &[headers(1, WHOLE, &with(b"x-test", b"a b\tc \xc3\xa9 \xff"))],
        ),
        taken("8.2.1", "a value that is empty", &[headers(1, WHOLE, &with(b"x-test", b""))]),
    ];
    for octet in [0x00, 0x09, 0x0a, 0x0d, 0x20, 0x7f, 0x80, 0xff] {
        let name = [b"x-", &[octet][..], b"test"].concat();
        table.push(unseen("8.2.1", &format!("a name with {octet:#04x}"), &with(&name, b"ok")));
    }
    for (what, octet) in [("NUL", 0x00), ("LF", 0x0a), ("CR", 0x0d)] {
        for value in [&[octet][..], &[b'a', octet, b'b'], &[b'a', octet], &[octet, b'b']] {
            let name = format!("a value with {what}: {value:?}");
            table.push(unseen("8.2.1", &name, &with(b"x-test", value)));
        }
    }
    for value in [" a", "a ", "\ta", "a\t", " "] {
        let name = format!("a value with white space around: {value:?}");
        table.push(unseen("8.2.1", &name, &with(b"x-test", value.as_bytes())));
    }
    let smuggled = but(":path", &[(":path", "/\r\nx: y")]);
    table.push(unseen("8.2.1", "a path with CR and LF", &smuggled));
    table
}

/// The pseudo-fields of a GET but for one, or with one in place of it.
fn but(name: &str, instead: &[(&str, &str)]) -> Vec<u8> {
    let all =
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")];
    let mut fields: Vec<_> = all.into_iter().filter(|(other, _)| *other != name).collect();
    fields.extend(instead);
    block(&fields)
}

fn pseudo_fields() -> Vec<Case> {
    let mut table = vec![
        unseen("8.3", "an unknown pseudo-field", &get_with(":test", "ok")),
        unseen("8.3", "a pseudo-field of another protocol", &get_with(":protocol", "websocket")),
        unseen("8.3", "a pseudo-field of responses", &get_with(":status", "200")),
        unseen("8.3", "an empty pseudo-field name", &get_with(":", "x")),
        unseen(
            "8.3",
            "a pseudo-field after another field",
            &[
                block(&[(":method", "GET"), (":scheme", "http"), ("x-test", "ok")]),
                block(&[(":path", "/"), (":authority", "localhost")]),
            ]
            .concat(),
        ),
        unseen("8.3.1", "an empty path", &but(":path", &[(":path", "")])),
        unseen("8.3.1", "a path that is not absolute", &but(":path", &[(":path", "index.html")])),
        unseen("8.3.1", "an asterisk that is not of OPTIONS", &but(":path", &[(":path", "*")])),
        unseen("8.3.1", "an authority twice", &get_with(":authority", "localhost")),
        unseen(
            "8.3.1",
            "user information in the authority",
            &but(":authority", &[(":authority", "user:secret@localhost")]),
        ),
        unseen("8.3.1", "a method that is no token", &but(":method", &[(":method", "G T")])),
        unseen("8.3.1", "an empty method", &but(":method", &[(":method", "")])),
        unseen("8.3.1", "a host that differs from the authority", &get_with("host", "elsewhere")),
        taken(
            "8.3.1",
            "a host that is the authority",
            &[headers(1, WHOLE, &get_with("host", "localhost"))],
        ),
        taken("8.3.1", "OPTIONS of an asterisk", &[headers(1, WHOLE, &request("OPTIONS", "*"))]),
        taken(
            "8.3.1",
            "no authority but a host",
            &[headers(1, WHOLE, &but(":authority", &[("host", "localhost")]))],
        ),
        taken(
            "8.3",
            "pseudo-fields in another order",
            &[headers(
                1,
                WHOLE,
                &block(&[
                    (":authority", "localhost"),
                    (":path", "/"),
                    (":scheme", "http"),
                    (":method", "GET"),
                ]),
            )],
        ),
    ];
    for (name, value) in [(":method", "GET"), (":scheme", "http"), (":path", "/")] {
        table.push(unseen("8.3.1", &format!("no {name}"), &but(name, &[])));
        table.push(unseen("8.3.1", &format!("{name} twice"), &get_with(name, value)));
    }
    for name in [":method", ":path", ":authority", ":status", ":test"] {
        let trailers = headers(1, WHOLE, &literal(name, "200"));
        table.push(refused(
            "8.1",
            &format!("{name} in trailers"),
            &[headers(1, END_HEADERS, &post("/")), data(1, NONE, b"x"), trailers],
        ));
    }
    table
}

fn connection_fields() -> Vec<Case> {
    let mut table = vec![
        unseen("8.2.2", "te with gzip", &get_with("te", "gzip")),
        unseen("8.2.2", "te with trailers and gzip", &get_with("te", "trailers, deflate")),
        taken("8.2.2", "te with trailers", &[headers(1, WHOLE, &get_with("te", "trailers"))]),
    ];
    for (name, value) in [
        ("connection", "keep-alive"),
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "trailers"),
        ("upgrade", "websocket"),
    ] {
        table.push(unseen("8.2.2", &format!("{name}: {value}"), &get_with(name, value)));
        let trailers = headers(1, WHOLE, &literal(name, value));
        table.push(refused(
            "8.2.2",
            &format!("{name}: {value} in trailers"),
            &[headers(1, END_HEADERS, &post("/")), data(1, NONE, b"x"), trailers],
        ));
    }
    table
}

fn exchanges() -> Vec<Case> {
    let open = || headers(1, END_HEADERS, &post("/"));
    vec![
        refused(
            "8.1",
            "trailers that do not end the stream",
            &[open(), data(1, NONE, b"test"), headers(1, END_HEADERS, &literal("x-test", "ok"))],
        ),
        refused(
            "8.1",
            "a second head without an end",
            &[open(), headers(1, END_HEADERS, &post("/"))],
        ),
        refused(
            "8.2.1",
            "trailers with a name in upper case",
            &[open(), data(1, NONE, b"test"), headers(1, WHOLE, &literal("X-Test", "ok"))],
        ),
        refused(
            "8.2.1",
            "trailers with LF in a value",
            &[open(), data(1, NONE, b"test"), headers(1, WHOLE, &literal("x-test", "a\nb"))],
        ),
        taken("8.1", "GET", &[headers(1, WHOLE, &get("/"))]),
        taken("8.1", "HEAD", &[headers(1, WHOLE, &request("HEAD", "/"))]),
        taken(
            "8.1",
            "POST with content",
            &[open(), data(1, NONE, b"some "), data(1, END_STREAM, b"content")],
        ),
        taken(
            "8.1",
            "POST with trailers",
            &[open(), data(1, NONE, b"test"), headers(1, WHOLE, &literal("x-test", "ok"))],
        ),
        taken(
            "8.1",
            "trailers without content",
            &[open(), headers(1, WHOLE, &literal("x-t", "ok"))],
        ),
        taken("8.1", "trailers without a field", &[open(), headers(1, WHOLE, &[])]),
        taken(
            "8.2.3",
            "a cookie in crumbs",
            &[headers(
                1,
                WHOLE,
                &[get("/"), block(&[("cookie", "a=b"), ("cookie", "c=d")])].concat(),
            )],
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let open = |length: &str| {
        headers(1, END_HEADERS, &[post("/"), literal("content-length", length)].concat())
    };
    let whole =
        |length: &str| headers(1, WHOLE, &[post("/"), literal("content-length", length)].concat());
    let two = |one: &str, other: &str| {
        let fields = block(&[("content-length", one), ("content-length", other)]);
        headers(1, END_HEADERS, &[post("/"), fields].concat())
    };
    vec![
        refused(
            "8.1.1",
            "less content than its length",
            &[open("5"), data(1, END_STREAM, b"test")],
        ),
        refused(
            "8.1.1",
            "more content than its length",
            &[open("3"), data(1, END_STREAM, b"test")],
        ),
        refused(
            "8.1.1",
            "more content than its length, in two frames",
            &[open("5"), data(1, NONE, b"test"), data(1, END_STREAM, b"test")],
        ),
        refused(
            "8.1.1",
            "more content than its length, without an end",
            &[open("3"), data(1, NONE, b"test")],
        ),
        refused(
            "8.1.1",
            "less content than its length, before trailers",
            &[open("5"), data(1, NONE, b"test"), headers(1, WHOLE, &literal("x-test", "ok"))],
        ),
        refused("8.1.1", "a length and no content", &[whole("5")]),
        refused("8.1.1", "a length and an empty end", &[open("5"), data(1, END_STREAM, &[])]),
        refused(
            "8.1.1",
            "a length that is no number",
            &[open("four"), data(1, END_STREAM, b"test")],
        ),
        refused("8.1.1", "a length with a sign", &[open("+4"), data(1, END_STREAM, b"test")]),
        refused("8.1.1", "a negative length", &[open("-4"), data(1, END_STREAM, b"test")]),
        refused(
            "8.1.1",
            "a length past 64 bits",
            &[open("18446744073709551620"), data(1, END_STREAM, b"test")],
        ),
        refused("8.1.1", "lengths that differ", &[two("4", "5"), data(1, END_STREAM, b"test")]),
        taken(
            "8.1.1",
            "as much content as its length",
            &[open("8"), data(1, NONE, b"test"), data(1, END_STREAM, b"test")],
        ),
        taken(
            "8.1.1",
            "as much content as its length, and padding",
            &[open("4"), data(1, END_STREAM | PADDED, b"\x03test\0\0\0")],
        ),
        taken(
            "8.1.1",
            "as much content as its length, and trailers",
            &[open("4"), data(1, NONE, b"test"), headers(1, WHOLE, &literal("x-test", "ok"))],
        ),
        taken("8.1.1", "a length of 0", &[whole("0")]),
    ]
}

fn connects() -> Vec<Case> {
    let with = |more: &[(&str, &str)]| {
        [block(&[(":method", "CONNECT"), (":authority", "localhost:443")]), block(more)].concat()
    };
    vec![
        unseen("8.5", "CONNECT with a path", &with(&[(":scheme", "http"), (":path", "/")])),
        unseen("8.5", "CONNECT with a scheme", &with(&[(":scheme", "http")])),
        unseen("8.5", "CONNECT without an authority", &block(&[(":method", "CONNECT")])),
        case(
            "8.5",
            "CONNECT comes to an end, whether it is forwarded or not",
            vec![
                sends(&[headers(1, WHOLE, &with(&[]))]),
                sees(frame_of("its end", |frame| frame.ends_stream() || frame.kind == RST_STREAM)),
                sees(Want::Alive),
            ],
        ),
    ]
}
