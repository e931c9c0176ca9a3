//! Requests, as the server gets them (RFC 9113, sections 8.1 to 8.3; RFC 7541, section 7.1.3).

use crate::{
    case::{
        Act, Case, Step, Want, answered, case, fields, frame_of, has, no_frame, recorded, request,
        sees, sends, server_sees, server_sends,
    },
    frames::{
        CANCEL, END_HEADERS, END_STREAM, Frame, NONE, PADDED, PRIORITY, PROTOCOL_ERROR, RST_STREAM,
        WHOLE, data, frame, headers, ping, priority, rst_stream,
    },
    hpack::{
        block, get, get_with, index, indexed_literal, literal, literal_bytes, never_indexed, ok,
        post, request as request_of,
    },
    server::Request,
};

pub(super) fn table() -> Vec<Case> {
    [pseudo_fields(), regular_fields(), sensitive(), content(), hop_by_hop(), endings()]
        .into_iter()
        .flatten()
        .collect()
}

/// A request of these frames, of which this holds at the server.
fn row(
    section: &'static str,
    name: &str,
    frames: &[Vec<u8>],
    test: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Case {
    let arrives =
        recorded(0, "the request as it was", move |request| request.is_complete && test(request));
    case(section, name, vec![sends(frames), sees(answered(1)), arrives])
}

fn whole(block: &[u8]) -> [Vec<u8>; 1] {
    [headers(1, WHOLE, block)]
}

/// All values of this name, in order.
fn values(request: &Request, name: &str) -> Vec<Vec<u8>> {
    let named = request.fields.iter().filter(|field| field.name == name.as_bytes());
    named.map(|field| field.value.clone()).collect()
}

fn pseudo_fields() -> Vec<Case> {
    let is = |name: &'static str, value: &'static str| {
        move |request: &Request| values(request, name) == [value.as_bytes()]
    };
    let host_only = |scheme: &str| {
        block(&[(":method", "GET"), (":scheme", scheme), (":path", "/"), ("host", "one.example")])
    };
    let to = |authority: &str| {
        let pseudo =
            [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", authority)];
        whole(&block(&pseudo))
    };
    vec![
        row("8.3.1", "the method", &whole(&request_of("PATCH", "/")), is(":method", "PATCH")),
        row(
            "8.3.1",
            "a method nobody knows",
            &whole(&request_of("FROB", "/")),
            is(":method", "FROB"),
        ),
        row(
            "8.3.1",
            "path and query",
            &whole(&get("/a/b%20c?d=e&f;g")),
            is(":path", "/a/b%20c?d=e&f;g"),
        ),
        row(
            "8.3.1",
            "dots and doubled slashes in a path",
            &whole(&get("//a/../b/./")),
            is(":path", "//a/../b/./"),
        ),
        row(
            "8.3.1",
            "OPTIONS of an asterisk",
            &whole(&request_of("OPTIONS", "*")),
            is(":path", "*"),
        ),
        row(
            "8.3.1",
            "the authority",
            &to("one.example:8080"),
            is(":authority", "one.example:8080"),
        ),
        row(
            "8.3.1",
            "the authority is made of host where there is none",
            &whole(&host_only("http")),
            is(":authority", "one.example"),
        ),
        row(
            "8.3.1",
            "one authority where there is a host too",
            &whole(&get_with("host", "localhost")),
            is(":authority", "localhost"),
        ),
    ]
}

fn regular_fields() -> Vec<Case> {
    let crumbs = block(&[("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")]);
    let many = block(&[("x-one", "1"), ("x-two", "2"), ("x-one", "3")]);
    let timeout = block(&[("grpc-timeout", "1H"), ("te", "trailers")]);
    let metadata = block(&[("x-text", "plain"), ("x-data-bin", "AAEC/w==")]);
    let with = |fields: &[u8]| whole(&[get("/"), fields.to_vec()].concat());
    vec![
        row("8.2", "fields of one name keep their order", &with(&many), |request| {
            values(request, "x-one") == [b"1", b"3"] && values(request, "x-two") == [b"2"]
        }),
        row("8.2.3", "cookies, in crumbs or whole", &with(&crumbs), |request| {
            values(request, "cookie").join(&b"; "[..]) == b"a=b; c=d; e=f"
        }),
        row("8.2.2", "te: trailers", &with(&timeout), |request| {
            values(request, "te") == [b"trailers"]
        }),
        row("8.2", "gRPC metadata, text and binary", &with(&metadata), |request| {
            request.field("x-text") == Some("plain")
                && request.field("x-data-bin") == Some("AAEC/w==")
        }),
        row(
            "8.2.1",
            "octets past 0x7f",
            &with(&literal_bytes(b"x-test", b"\xc3\xa9\xff")),
            |request| values(request, "x-test") == [b"\xc3\xa9\xff"],
        ),
        row("8.2.1", "an empty value", &with(&literal("x-test", "")), |request| {
            request.field("x-test") == Some("")
        }),
        row("8.2", "a large field", &with(&literal("x-test", &"v".repeat(7_000))), |request| {
            values(request, "x-test") == ["v".repeat(7_000).into_bytes()]
        }),
    ]
}

/// RFC 7541, sections 6.2.3 and 7.1.3: such a literal is encoded as such by everybody on its way.
fn sensitive() -> Vec<Case> {
    let is_kept = |name: &'static str| {
        move |request: &Request| {
            let field = request.fields.iter().find(|field| field.name == name.as_bytes());
            field.is_some_and(|field| field.is_never_indexed)
        }
    };
    let with = |field: Vec<u8>| whole(&[get("/"), field].concat());
    let authorization = never_indexed("authorization", "Bearer secret");
    let mut again = vec![
        sends(&with(authorization.clone())),
        sees(answered(1)),
        sends(&[headers(3, WHOLE, &[get("/"), authorization.clone()].concat())]),
        sees(answered(3)),
    ];
    again.extend([
        recorded(0, "it is never indexed", is_kept("authorization")),
        recorded(1, "it is never indexed", is_kept("authorization")),
    ]);
    let trailers = [
        headers(1, END_HEADERS, &post("/")),
        data(1, NONE, b"x"),
        headers(1, WHOLE, &never_indexed("x-secret", "value")),
    ];
    vec![
        row(
            "7.1.3",
            "a literal never indexed stays one",
            &with(never_indexed("x-test", "secret")),
            is_kept("x-test"),
        ),
        row(
            "7.1.3",
            "a known field never indexed stays one",
            &with(authorization),
            is_kept("authorization"),
        ),
        case("7.1.3", "a field never indexed is so in every request", again),
        row("7.1.3", "trailers never indexed stay so", &trailers, |request| {
            request.trailers.iter().any(|field| field.is_never_indexed)
        }),
    ]
}

fn content() -> Vec<Case> {
    let open = || headers(1, END_HEADERS, &post("/"));
    let sized = || headers(1, END_HEADERS, &[post("/"), literal("content-length", "5")].concat());
    vec![
        row("8.1", "no content", &whole(&get("/")), |request| request.content.is_empty()),
        row("8.1", "content in one frame", &[open(), data(1, END_STREAM, b"hello")], |request| {
            request.content == b"hello"
        }),
        row(
            "8.1",
            "content in many frames, some of them empty",
            &[
                open(),
                data(1, NONE, b"he"),
                data(1, NONE, &[]),
                data(1, NONE, b"llo"),
                data(1, END_STREAM, &[]),
            ],
            |request| request.content == b"hello",
        ),
        row(
            "6.1",
            "content without its padding",
            &[open(), data(1, PADDED, b"\x03hel\0\0\0"), data(1, END_STREAM, b"lo")],
            |request| request.content == b"hello",
        ),
        row(
            "8.1.1",
            "a content-length that is right",
            &[sized(), data(1, END_STREAM, b"hello")],
            |request| request.content == b"hello" && request.field("content-length") == Some("5"),
        ),
        row(
            "8.1",
            "trailers",
            &[
                open(),
                data(1, NONE, b"hello"),
                headers(1, WHOLE, &block(&[("x-a", "1"), ("x-b", "2")])),
            ],
            |request| {
                request.content == b"hello"
                    && has(&request.trailers, "x-a", "1")
                    && has(&request.trailers, "x-b", "2")
            },
        ),
        row(
            "8.1",
            "trailers without content",
            &[open(), headers(1, WHOLE, &literal("x-a", "1"))],
            |request| request.content.is_empty() && has(&request.trailers, "x-a", "1"),
        ),
        row(
            "8.1",
            "trailers that are indexed",
            &[
                headers(1, END_HEADERS, &[post("/"), indexed_literal("x-a", "1")].concat()),
                data(1, NONE, b"x"),
                headers(1, WHOLE, &index(62)),
            ],
            |request| has(&request.trailers, "x-a", "1"),
        ),
        case(
            "8.1",
            "the head arrives before there is content",
            vec![
                sends(&[open()]),
                recorded(0, "the head", |request| !request.is_complete),
                sends(&[data(1, NONE, b"first")]),
                recorded(0, "content", |request| request.content == b"first"),
                sends(&[data(1, END_STREAM, b"last")]),
                sees(answered(1)),
            ],
        ),
    ]
}

/// What is a connection's own does not reach the other one.
fn hop_by_hop() -> Vec<Case> {
    let never = |what, kind: u8| {
        let is_it = move |frame: &Frame| frame.kind == kind && frame.payload != b"probe me";
        server_sees(no_frame(what, is_it))
    };
    let asks = |frames: &[Vec<u8>], more: Step| {
        let open = headers(1, END_HEADERS, &post("/"));
        let end = data(1, END_STREAM, b"x");
        vec![
            sends(&[open]),
            server_sees(request(1)),
            sends(frames),
            sees(Want::Alive),
            more,
            sends(&[end]),
            server_sees(frame_of("the end", Frame::ends_stream)),
            server_sends(&[headers(1, WHOLE, &ok())]),
            sees(answered(1)),
        ]
    };
    vec![
        case("5.3", "PRIORITY", asks(&[priority(1, 0)], never("PRIORITY", PRIORITY))),
        case("5.5", "an extension", asks(&[frame(0x16, NONE, 1, b"x")], never("extension", 0x16))),
        case("6.7", "PING", asks(&[ping(NONE, b"a client")], Step::Server(no_ping()))),
        case(
            "5.1.1",
            "identifiers of streams are each connection's own",
            vec![
                sends(&[headers(101, WHOLE, &get("/"))]),
                server_sees(request(1)),
                server_sends(&[headers(1, WHOLE, &ok())]),
                sees(answered(101)),
            ],
        ),
    ]
}

fn no_ping() -> Act {
    let is_it = |frame: &Frame| frame.payload == b"a client";
    Act::See(no_frame("PING of the client's", is_it))
}

fn endings() -> Vec<Case> {
    let open = || sends(&[headers(1, END_HEADERS, &post("/")), data(1, NONE, b"part")]);
    let malformed = |name: &str, frames: Vec<u8>| {
        case(
            "8.1.1",
            name,
            vec![
                open(),
                server_sees(request(1)),
                server_sees(Want::Content(1, 4)),
                sends(&[frames]),
                server_sees(frame_of("RST_STREAM", |frame| frame.kind == RST_STREAM)),
            ],
        )
    };
    vec![
        case(
            "5.4.2",
            "a reset keeps its code",
            vec![
                open(),
                server_sees(request(1)),
                sends(&[rst_stream(1, CANCEL)]),
                server_sees(frame_of("CANCEL", |frame| {
                    frame.kind == RST_STREAM && frame.error_code() == CANCEL
                })),
            ],
        ),
        malformed(
            "a request that turns out malformed does not seem whole: trailers",
            headers(1, WHOLE, &literal("X-Upper", "1")),
        ),
        malformed(
            "a request that turns out malformed does not seem whole: pseudo-field",
            headers(1, WHOLE, &literal(":path", "/")),
        ),
        case(
            "8.1.1",
            "a request that is shorter than its length does not seem whole",
            vec![
                sends(&[headers(
                    1,
                    END_HEADERS,
                    &[post("/"), literal("content-length", "9")].concat(),
                )]),
                sends(&[data(1, NONE, b"part")]),
                server_sees(request(1)),
                server_sees(Want::Content(1, 4)),
                sends(&[data(1, END_STREAM, b"more")]),
                server_sees(frame_of("RST_STREAM", |frame| frame.kind == RST_STREAM)),
                sees(Want::StreamError(1, vec![PROTOCOL_ERROR])),
            ],
        ),
        case(
            "8.1",
            "an answer may come before the request is complete",
            vec![
                open(),
                server_sees(request(1)),
                server_sends(&[headers(1, END_HEADERS, &ok()), data(1, NONE, b"so far")]),
                sees(Want::Content(1, 6)),
                sends(&[data(1, END_STREAM, b"rest")]),
                server_sees(frame_of("the end", Frame::ends_stream)),
                server_sends(&[headers(1, WHOLE, &literal("x-done", "yes"))]),
                sees(fields(1, "trailers", |fields| has(fields, "x-done", "yes"))),
            ],
        ),
    ]
}
