//! Responses, as the client gets them (RFC 9113, sections 8.1 and 8.3.2; RFC 9110, section 15.2).

use crate::{
    case::{
        Case, Step, Want, answered, case, fields, frame_of, has, no_frame, request, sees, sends,
        server_sees, server_sends,
    },
    frames::{
        CANCEL, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, INTERNAL_ERROR, NO_ERROR, NONE,
        PADDED, PING, PRIORITY, RST_STREAM, WHOLE, data, frame, goaway, headers, ping, priority,
        rst_stream,
    },
    hpack::{
        Field, block, first_block, get, index, literal, literal_bytes, never_indexed, ok, ok_with,
        request as request_of,
    },
};

pub(super) fn table() -> Vec<Case> {
    [heads(), contents(), interim(), resets(), hop_by_hop()].into_iter().flatten().collect()
}

fn row(section: &'static str, name: &str, more: Vec<Step>) -> Case {
    let mut steps = vec![sends(&[headers(1, WHOLE, &get("/"))]), server_sees(request(1))];
    steps.extend(more);
    case(section, name, steps)
}

/// A head alone, of which this holds at the client.
fn head(
    section: &'static str,
    name: &str,
    block: &[u8],
    test: impl Fn(&[Field]) -> bool + Send + Sync + 'static,
) -> Case {
    let test = move |frame: &Frame, fields: &[Field]| {
        frame.kind == HEADERS && frame.ends_stream() && test(fields)
    };
    let seen = sees(Want::Frame("the head as it was, and the end", Box::new(test)));
    row(section, name, vec![server_sends(&[headers(1, WHOLE, block)]), seen])
}

fn heads() -> Vec<Case> {
    let mut table = vec![
        head(
            "8.2",
            "fields of one name keep their order",
            &[ok(), block(&[("set-cookie", "a=b"), ("x-one", "1"), ("set-cookie", "c=d")])]
                .concat(),
            |fields| {
                let cookies = fields.iter().filter(|field| field.name == b"set-cookie");
                cookies.map(|field| &field.value[..]).eq([&b"a=b"[..], b"c=d"])
            },
        ),
        head(
            "8.1",
            "trailers only, as gRPC calls it",
            &[
                ok(),
                block(&[
                    ("content-type", "application/grpc"),
                    ("grpc-status", "5"),
                    ("grpc-message", "no such thing"),
                ]),
            ]
            .concat(),
            |fields| {
                has(fields, "grpc-status", "5") && has(fields, "grpc-message", "no such thing")
            },
        ),
        head(
            "8.2.1",
            "octets past 0x7f",
            &[ok(), literal_bytes(b"x-test", b"\xc3\xa9\xff")].concat(),
            |fields| fields.iter().any(|field| field.value == b"\xc3\xa9\xff"),
        ),
        head("8.2.1", "an empty value", &ok_with("x-test", ""), |fields| has(fields, "x-test", "")),
        head("6.1", "an indexed field", &[ok(), index(16)].concat(), |fields| {
            has(fields, "accept-encoding", "gzip, deflate")
        }),
        head(
            "8.2",
            "large fields",
            &[ok(), literal("x-a", &"a".repeat(5_000)), literal("x-b", &"b".repeat(5_000))]
                .concat(),
            |fields| {
                has(fields, "x-a", &"a".repeat(5_000)) && has(fields, "x-b", &"b".repeat(5_000))
            },
        ),
        head(
            "7.1.3",
            "a literal never indexed stays one",
            &[ok(), never_indexed("x-secret", "value")].concat(),
            |fields| fields.iter().any(|field| field.name == b"x-secret" && field.is_never_indexed),
        ),
    ];
    for status in ["200", "204", "302", "404", "429", "503", "599"] {
        let block = first_block(&[(":status", status)]);
        table.push(head("8.3.2", &format!("status {status}"), &block, move |fields| {
            has(fields, ":status", status)
        }));
    }
    table
}

fn contents() -> Vec<Case> {
    let open = || headers(1, END_HEADERS, &ok());
    let end = || sees(frame_of("the end", Frame::ends_stream));
    let trailers = || sees(fields(1, "trailers", |fields| has(fields, "x-a", "1")));
    vec![
        row(
            "8.1",
            "content in many frames, some of them empty",
            vec![
                server_sends(&[
                    open(),
                    data(1, NONE, b"he"),
                    data(1, NONE, &[]),
                    data(1, NONE, b"llo"),
                ]),
                sees(Want::Content(1, 5)),
                server_sends(&[data(1, END_STREAM, &[])]),
                end(),
            ],
        ),
        row(
            "6.1",
            "content without its padding",
            vec![
                server_sends(&[
                    open(),
                    data(1, PADDED, b"\x03hel\0\0\0"),
                    data(1, END_STREAM, b"lo"),
                ]),
                sees(Want::Content(1, 5)),
            ],
        ),
        row(
            "8.1",
            "the head arrives before there is content",
            vec![
                server_sends(&[open()]),
                sees(fields(1, "a head", |fields| has(fields, ":status", "200"))),
                server_sends(&[data(1, NONE, b"first")]),
                sees(Want::Content(1, 5)),
                server_sends(&[data(1, END_STREAM, b"last")]),
                end(),
            ],
        ),
        row(
            "8.1",
            "trailers after content",
            vec![
                server_sends(&[open(), data(1, NONE, b"hello")]),
                server_sends(&[headers(1, WHOLE, &literal("x-a", "1"))]),
                sees(Want::Content(1, 5)),
                trailers(),
            ],
        ),
        row(
            "8.1",
            "trailers without content",
            vec![server_sends(&[open(), headers(1, WHOLE, &literal("x-a", "1"))]), trailers()],
        ),
        row(
            "7.1.3",
            "trailers never indexed stay so",
            vec![
                server_sends(&[open(), headers(1, WHOLE, &never_indexed("x-a", "1"))]),
                sees(fields(1, "the trailers as they were", |fields| {
                    fields.iter().any(|field| field.name == b"x-a" && field.is_never_indexed)
                })),
            ],
        ),
        case(
            "8.1",
            "an answer to HEAD",
            vec![
                sends(&[headers(1, WHOLE, &request_of("HEAD", "/"))]),
                server_sees(request(1)),
                server_sends(&[headers(1, WHOLE, &ok_with("content-length", "1000"))]),
                sees(fields(1, "its length", |fields| has(fields, "content-length", "1000"))),
                sees(Want::Alive),
            ],
        ),
        case(
            "5.1",
            "two answers do not mix",
            vec![
                sends(&[headers(1, WHOLE, &get("/")), headers(3, WHOLE, &get("/"))]),
                server_sees(request(3)),
                server_sends(&[headers(3, END_HEADERS, &ok()), headers(1, END_HEADERS, &ok())]),
                server_sends(&[
                    data(1, NONE, b"one"),
                    data(3, NONE, b"three"),
                    data(1, NONE, b"one"),
                ]),
                server_sends(&[data(1, END_STREAM, &[])]),
                sees(answered(1)),
                server_sends(&[data(3, END_STREAM, b"!")]),
                sees(frame_of("the end", |frame| frame.stream == 3 && frame.ends_stream())),
            ],
        ),
    ]
}

/// RFC 9110, section 15.2: a proxy must forward these.
fn interim() -> Vec<Case> {
    let interim = |status: &str| {
        headers(1, END_HEADERS, &first_block(&[(":status", status), ("x-early", "yes")]))
    };
    let arrives = |status: &'static str| {
        sees(fields(1, "the interim head", move |fields| {
            has(fields, ":status", status) && has(fields, "x-early", "yes")
        }))
    };
    vec![
        row(
            "8.1",
            "103, then the answer",
            vec![
                server_sends(&[interim("103")]),
                arrives("103"),
                server_sends(&[headers(1, WHOLE, &ok())]),
                sees(answered(1)),
            ],
        ),
        row(
            "8.1",
            "several interim heads, content and trailers",
            vec![
                server_sends(&[interim("102"), interim("103"), headers(1, END_HEADERS, &ok())]),
                arrives("102"),
                arrives("103"),
                server_sends(&[data(1, NONE, b"x"), headers(1, WHOLE, &literal("x-a", "1"))]),
                sees(frame_of("the end", Frame::ends_stream)),
            ],
        ),
    ]
}

fn resets() -> Vec<Case> {
    let mut table = Vec::new();
    for (name, code) in
        [("CANCEL", CANCEL), ("INTERNAL_ERROR", INTERNAL_ERROR), ("a code that nobody knows", 0xff)]
    {
        table.push(row(
            "5.4.2",
            &format!("a reset inside an answer: {name}"),
            vec![
                server_sends(&[headers(1, END_HEADERS, &ok()), data(1, NONE, b"some")]),
                sees(Want::Content(1, 4)),
                server_sends(&[rst_stream(1, code)]),
                sees(frame_of("RST_STREAM", |frame| frame.kind == RST_STREAM)),
                sees(Want::Alive),
            ],
        ));
    }
    table.push(row(
        "8.1",
        "a reset with NO_ERROR inside an answer does not seem its end",
        vec![
            server_sends(&[headers(1, END_HEADERS, &ok()), data(1, NONE, b"some")]),
            sees(Want::Content(1, 4)),
            server_sends(&[rst_stream(1, NO_ERROR)]),
            sees(Want::Failed(1)),
        ],
    ));
    table
}

fn hop_by_hop() -> Vec<Case> {
    let never = |what, frames: &[Vec<u8>], test: fn(&Frame) -> bool| {
        let seen = no_frame(what, test);
        let steps = vec![
            server_sends(frames),
            server_sees(Want::Alive),
            sees(seen),
            server_sends(&[headers(1, WHOLE, &ok())]),
            sees(answered(1)),
        ];
        row("5.5", &format!("{what} of the server's stays there"), steps)
    };
    vec![
        never("PRIORITY", &[priority(1, 0)], |frame| frame.kind == PRIORITY),
        never("an extension", &[frame(0x16, NONE, 1, b"x")], |frame| frame.kind == 0x16),
        never("PING", &[ping(NONE, b"a server")], |frame| {
            frame.kind == PING && frame.payload == b"a server"
        }),
        never("GOAWAY", &[goaway(1, NO_ERROR)], |frame| frame.kind == GOAWAY),
    ]
}
