//! The same octets again: what a header block means depends on the tables, on its place in the
//! message and on the stream, however often the same block has come before (RFC 7541, section 2.2;
//! RFC 9113, sections 4.3 and 8.1).

use crate::{
    case::{
        Act, Case, Step, Want, answered, case, fields, has, recorded, request, sees, sends,
        server_sees, server_sends, stream_error,
    },
    frames::{END_HEADERS, END_STREAM, NONE, PROTOCOL_ERROR, WHOLE, data, headers},
    hpack::{
        get, index, indexed_literal, literal, never_indexed, ok, ok_with, post, request as asking,
    },
    server::Request,
};

/// How often; whatever is remembered of blocks is remembered by then.
const TIMES: u32 = 6;
/// The newest entry of the dynamic table.
const NEWEST: u64 = 62;

pub(super) fn table() -> Vec<Case> {
    [of_clients(), of_servers()].into_iter().flatten().collect()
}

fn stream(turn: u32) -> u32 {
    2 * turn + 1
}

/// These steps for every turn, and what comes after them.
fn repeated(turn: impl Fn(u32) -> Vec<Step>, after: Vec<Step>) -> Vec<Step> {
    (0..TIMES).flat_map(turn).chain(after).collect()
}

fn is_kept(nth: u32, value: &'static str) -> Step {
    let test = move |request: &Request| request.field("x-kept") == Some(value);
    recorded(usize::try_from(nth).expect("a small number"), value, test)
}

fn with(more: Vec<u8>) -> Vec<u8> {
    [get("/"), more].concat()
}

fn of_clients() -> Vec<Case> {
    let asks = |stream: u32, block: &[u8]| {
        vec![sends(&[headers(stream, WHOLE, block)]), sees(answered(stream))]
    };
    let recall = with(index(NEWEST));
    let mut shifted = asks(1, &with(indexed_literal("x-kept", "one")));
    for turn in 1..TIMES {
        shifted.extend(asks(stream(turn), &recall));
        shifted.push(is_kept(turn, "one"));
    }
    shifted.extend(asks(101, &with(indexed_literal("x-kept", "two"))));
    shifted.extend(asks(103, &recall));
    shifted.push(is_kept(TIMES + 1, "two"));
    let adding = with([literal("x-kept", "same"), indexed_literal("x-added", "same")].concat());
    let mut added = repeated(|turn| asks(stream(turn), &adding), Vec::new());
    added.extend(asks(101, &with(indexed_literal("x-kept", "newest"))));
    let oldest = NEWEST + u64::from(TIMES);
    added.extend(asks(103, &with([index(oldest), index(NEWEST)].concat())));
    added.push(recorded(7, "the newest and the oldest entry", |request| {
        request.field("x-kept") == Some("newest") && request.field("x-added") == Some("same")
    }));
    let secret = with(never_indexed("authorization", "secret"));
    let is_secret = |turn: u32| {
        recorded(usize::try_from(turn).expect("small"), "never indexed", |request| {
            request.fields.iter().any(|field| field.is_never_indexed)
        })
    };
    let mut others = asks(1, &with(indexed_literal("x-kept", "mine")));
    others.push(Step::Client(Act::Reconnect));
    others.extend(asks(1, &with(indexed_literal("x-kept", "theirs"))));
    for turn in 1..TIMES {
        others.extend(asks(stream(turn), &recall));
        others.extend([is_kept(2 * turn, "theirs"), Step::Client(Act::Switch)]);
        others.extend(asks(stream(turn), &recall));
        others.extend([is_kept(2 * turn + 1, "mine"), Step::Client(Act::Switch)]);
    }
    vec![
        case("2.3.2", "a repeated index means another entry when the table has changed", shifted),
        case("2.3.2", "a repeated literal is added to the table every time", added),
        case("2.2", "a repeated index of two clients in turn", others),
        case(
            "7.1.3",
            "a repeated literal is never indexed every time",
            repeated(
                |turn| {
                    let mut steps = asks(stream(turn), &secret);
                    steps.push(is_secret(turn));
                    steps
                },
                Vec::new(),
            ),
        ),
        case(
            "8.1",
            "a repeated head is no trailers",
            repeated(
                |turn| asks(stream(turn), &get("/")),
                vec![
                    sends(&[headers(101, END_HEADERS, &post("/")), data(101, NONE, b"x")]),
                    sends(&[headers(101, WHOLE, &get("/"))]),
                    sees(stream_error(101, PROTOCOL_ERROR)),
                ],
            ),
        ),
        case(
            "8.1",
            "repeated trailers are no head",
            repeated(
                |turn| {
                    let stream = stream(turn);
                    let trailers = headers(stream, WHOLE, &literal("x-a", "1"));
                    vec![
                        sends(&[headers(stream, END_HEADERS, &post("/")), trailers]),
                        sees(answered(stream)),
                    ]
                },
                vec![
                    sends(&[headers(101, WHOLE, &literal("x-a", "1"))]),
                    sees(stream_error(101, PROTOCOL_ERROR)),
                ],
            ),
        ),
        case("8.1.1", "a repeated length counts on every stream", {
            let sized = [post("/"), literal("content-length", "5")].concat();
            repeated(
                |turn| {
                    let stream = stream(turn);
                    let whole = data(stream, END_STREAM, b"hello");
                    vec![
                        sends(&[headers(stream, END_HEADERS, &sized), whole]),
                        sees(answered(stream)),
                    ]
                },
                vec![
                    sends(&[headers(101, WHOLE, &sized)]),
                    sees(stream_error(101, PROTOCOL_ERROR)),
                    sends(&[headers(103, END_HEADERS, &sized), data(103, END_STREAM, b"hell")]),
                    sees(stream_error(103, PROTOCOL_ERROR)),
                ],
            )
        }),
    ]
}

/// A call that is answered so.
fn exchange(turn: u32, method: &str, answer: impl Fn(u32) -> Vec<u8>) -> Vec<Step> {
    let stream = stream(turn);
    vec![
        sends(&[headers(stream, WHOLE, &asking(method, "/"))]),
        server_sees(request(stream)),
        server_sends(&[answer(stream)]),
    ]
}

fn well(turn: u32, method: &str, answer: impl Fn(u32) -> Vec<u8>) -> Vec<Step> {
    let mut steps = exchange(turn, method, answer);
    steps.push(sees(answered(stream(turn))));
    steps
}

fn badly(method: &str, answer: impl Fn(u32) -> Vec<u8>) -> Vec<Step> {
    let mut steps = exchange(TIMES, method, answer);
    let id = stream(TIMES);
    steps.push(server_sees(Want::StreamError(id, vec![PROTOCOL_ERROR])));
    steps.push(sees(Want::Failed(id)));
    steps
}

fn of_servers() -> Vec<Case> {
    let sized = || ok_with("content-length", "5");
    let with_trailers = |stream: u32, trailers: Vec<u8>| {
        [headers(stream, END_HEADERS, &ok()), headers(stream, WHOLE, &trailers)].concat()
    };
    let tail = || literal("x-a", "1");
    vec![
        case(
            "8.1.1",
            "a repeated length, of HEAD and then of GET",
            repeated(
                |turn| well(turn, "HEAD", |stream| headers(stream, WHOLE, &sized())),
                badly("GET", |stream| headers(stream, WHOLE, &sized())),
            ),
        ),
        case(
            "8.1.1",
            "a repeated length, right and then wrong",
            repeated(
                |turn| {
                    well(turn, "GET", |stream| {
                        let content = data(stream, END_STREAM, b"hello");
                        [headers(stream, END_HEADERS, &sized()), content].concat()
                    })
                },
                badly("GET", |stream| {
                    let content = data(stream, END_STREAM, b"hello!");
                    [headers(stream, END_HEADERS, &sized()), content].concat()
                }),
            ),
        ),
        case(
            "8.1",
            "repeated trailers are no head",
            repeated(
                |turn| well(turn, "GET", |stream| with_trailers(stream, tail())),
                badly("GET", |stream| headers(stream, WHOLE, &tail())),
            ),
        ),
        case(
            "8.1",
            "a repeated head is no trailers",
            repeated(
                |turn| well(turn, "GET", |stream| headers(stream, WHOLE, &ok())),
                badly("GET", |stream| with_trailers(stream, ok())),
            ),
        ),
        case(
            "8.1",
            "a repeated head does not become trailers that end nothing",
            repeated(
                |turn| well(turn, "GET", |stream| with_trailers(stream, tail())),
                badly("GET", |stream| {
                    let open = headers(stream, END_HEADERS, &ok());
                    [open, headers(stream, END_HEADERS, &tail())].concat()
                }),
            ),
        ),
        case(
            "4.3",
            "answers that repeat reach every client whole",
            repeated(
                |turn| {
                    let mut steps = exchange(turn, "GET", |stream| {
                        headers(stream, WHOLE, &ok_with("x-kept", "same"))
                    });
                    let is_it = |fields: &[_]| has(fields, "x-kept", "same");
                    steps.push(sees(fields(stream(turn), "the field", is_it)));
                    steps
                },
                Vec::new(),
            ),
        ),
    ]
}
