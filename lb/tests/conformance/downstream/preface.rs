//! How a connection begins (RFC 9113, section 3.4).

use crate::{
    case::{Case, Want, answered, case, frame_of, sees, sends},
    frames::{
        ACK, PREFACE, PROTOCOL_ERROR, SETTINGS, WHOLE, data, headers, ping, settings, settings_ack,
    },
    hpack::get,
};

pub(super) fn table() -> Vec<Case> {
    let started = |steps: Vec<_>| case("3.4", "", steps).without_client_preface();
    let named = |name: &str, steps: Vec<_>| Case { name: name.to_owned(), ..started(steps) };
    let unclear = || sees(Want::ConnectionError(vec![PROTOCOL_ERROR]));
    vec![
        named(
            "a client preface is answered with SETTINGS and an acknowledgement",
            vec![
                sends(&[PREFACE.to_vec(), settings(&[])]),
                sees(frame_of("SETTINGS", |frame| frame.kind == SETTINGS && !frame.has(ACK))),
            ],
        ),
        named(
            "the settings of the preface are acknowledged",
            vec![
                sends(&[PREFACE.to_vec(), settings(&[])]),
                sees(frame_of("SETTINGS ACK", |frame| frame.kind == SETTINGS && frame.has(ACK))),
            ],
        ),
        named(
            "requests need not wait for the server's preface",
            vec![
                sends(&[PREFACE.to_vec(), settings(&[]), headers(1, WHOLE, &get("/"))]),
                sees(answered(1)),
            ],
        ),
        named(
            "a preface that comes in pieces",
            vec![
                sends(&[PREFACE[..3].to_vec()]),
                sends(&[PREFACE[3..].to_vec(), settings(&[])[..5].to_vec()]),
                sends(&[settings(&[])[5..].to_vec(), headers(1, WHOLE, &get("/"))]),
                sees(answered(1)),
            ],
        ),
        named(
            "something that is not the preface",
            vec![sends(&[b"INVALID CONNECTION PREFACE\r\n\r\n".to_vec()]), sees(Want::Closed)],
        ),
        named(
            "a preface with one octet wrong at its end",
            vec![
                sends(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r".to_vec(), settings(&[])]),
                sees(Want::Closed),
            ],
        ),
        named(
            "a request of HTTP/1.1",
            vec![
                sends(&[b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec()]),
                sees(Want::Closed),
            ],
        ),
        named(
            "no preface but frames",
            vec![sends(&[settings(&[]), headers(1, WHOLE, &get("/"))]), sees(Want::Closed)],
        ),
        named(
            "HEADERS instead of SETTINGS after the preface",
            vec![sends(&[PREFACE.to_vec(), headers(1, WHOLE, &get("/"))]), unclear()],
        ),
        named(
            "PING instead of SETTINGS after the preface",
            vec![sends(&[PREFACE.to_vec(), ping(0, b"too soon")]), unclear()],
        ),
        named(
            "DATA instead of SETTINGS after the preface",
            vec![sends(&[PREFACE.to_vec(), data(1, 0, b"x")]), unclear()],
        ),
        named(
            "an acknowledgement instead of SETTINGS after the preface",
            vec![sends(&[PREFACE.to_vec(), settings_ack()]), unclear()],
        ),
    ]
}
