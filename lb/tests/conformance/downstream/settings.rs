//! SETTINGS from a client (RFC 9113, sections 6.5 and 7).

use crate::{
    case::{Case, Want, answered, case, connection_error, frame_of, sees, sends},
    frames::{
        ACK, ENABLE_PUSH, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, HEADER_TABLE_SIZE,
        INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, NONE, PROTOCOL_ERROR,
        SETTINGS, WHOLE, frame, headers, settings, settings_payload,
    },
    hpack::get,
};

pub(super) fn table() -> Vec<Case> {
    let one = || settings_payload(&[(MAX_CONCURRENT_STREAMS, 100)]);
    let refused = |section, name: &str, bytes, code| {
        case(section, name, vec![sends(&[bytes]), sees(connection_error(code))])
    };
    let setting =
        |name: &str, id, value, code| refused("6.5.2", name, settings(&[(id, value)]), code);
    let mut table = vec![
        refused(
            "6.5",
            "an acknowledgement with settings",
            frame(SETTINGS, ACK, 0, &one()),
            FRAME_SIZE_ERROR,
        ),
        refused(
            "6.5",
            "an acknowledgement with one octet",
            frame(SETTINGS, ACK, 0, b"x"),
            FRAME_SIZE_ERROR,
        ),
        refused("6.5", "SETTINGS on a stream", frame(SETTINGS, NONE, 1, &one()), PROTOCOL_ERROR),
        refused(
            "6.5",
            "an acknowledgement on a stream",
            frame(SETTINGS, ACK, 1, &[]),
            PROTOCOL_ERROR,
        ),
        refused(
            "6.5",
            "three octets of SETTINGS",
            frame(SETTINGS, NONE, 0, &one()[..3]),
            FRAME_SIZE_ERROR,
        ),
        refused(
            "6.5",
            "seven octets of SETTINGS",
            frame(SETTINGS, NONE, 0, &[one(), vec![0]].concat()),
            FRAME_SIZE_ERROR,
        ),
        setting("ENABLE_PUSH 2", ENABLE_PUSH, 2, PROTOCOL_ERROR),
        setting("ENABLE_PUSH 2^32-1", ENABLE_PUSH, u32::MAX, PROTOCOL_ERROR),
        setting("INITIAL_WINDOW_SIZE 2^31", INITIAL_WINDOW_SIZE, 1 << 31, FLOW_CONTROL_ERROR),
        setting("INITIAL_WINDOW_SIZE 2^32-1", INITIAL_WINDOW_SIZE, u32::MAX, FLOW_CONTROL_ERROR),
        setting("MAX_FRAME_SIZE below 2^14", MAX_FRAME_SIZE, 16_383, PROTOCOL_ERROR),
        setting("MAX_FRAME_SIZE 0", MAX_FRAME_SIZE, 0, PROTOCOL_ERROR),
        setting("MAX_FRAME_SIZE 2^24", MAX_FRAME_SIZE, 1 << 24, PROTOCOL_ERROR),
        refused(
            "6.5.2",
            "a bad value among good ones",
            settings(&[(MAX_FRAME_SIZE, 16_384), (ENABLE_PUSH, 7), (INITIAL_WINDOW_SIZE, 1)]),
            PROTOCOL_ERROR,
        ),
    ];
    table.extend(taken());
    table
}

fn taken() -> Vec<Case> {
    let is_ack = || sees(frame_of("SETTINGS ACK", |one| one.kind == SETTINGS && one.has(ACK)));
    let works = |section, name: &str, values: &[(u16, u32)]| {
        let steps = vec![
            sends(&[settings(values)]),
            is_ack(),
            sends(&[headers(1, WHOLE, &get("/"))]),
            sees(answered(1)),
        ];
        case(section, name, steps)
    };
    vec![
        works("6.5.3", "SETTINGS are acknowledged", &[(MAX_CONCURRENT_STREAMS, 100)]),
        works("6.5", "empty SETTINGS are acknowledged", &[]),
        works("6.5.2", "an unknown setting is ignored", &[(0xff, 1), (0xffff, u32::MAX)]),
        works("6.5.2", "ENABLE_PUSH 0 and 1", &[(ENABLE_PUSH, 0), (ENABLE_PUSH, 1)]),
        works(
            "6.5.2",
            "the smallest and largest MAX_FRAME_SIZE",
            &[(MAX_FRAME_SIZE, 16_384), (MAX_FRAME_SIZE, 0x00ff_ffff)],
        ),
        works("6.5.2", "the largest INITIAL_WINDOW_SIZE", &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]),
        works("6.5.2", "no streams of the server's", &[(MAX_CONCURRENT_STREAMS, 0)]),
        works("6.5.2", "no table for answers", &[(HEADER_TABLE_SIZE, 0)]),
        works("6.5.2", "a huge table for answers", &[(HEADER_TABLE_SIZE, u32::MAX)]),
        works(
            "6.5.3",
            "the last of several values counts",
            &[(INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 100)],
        ),
        case(
            "6.5.3",
            "each of three SETTINGS is acknowledged",
            vec![
                sends(&[settings(&[(0xf0, 1)]), settings(&[]), settings(&[(0xf0, 2)])]),
                is_ack(),
                is_ack(),
                is_ack(),
                sees(Want::Alive),
            ],
        ),
        case(
            "4.3.1",
            "a table that shrinks between answers",
            vec![
                sends(&[headers(1, WHOLE, &get("/"))]),
                sees(answered(1)),
                sends(&[settings(&[(HEADER_TABLE_SIZE, 0)])]),
                is_ack(),
                sends(&[headers(3, WHOLE, &get("/"))]),
                sees(answered(3)),
                sends(&[settings(&[(HEADER_TABLE_SIZE, 4096)])]),
                is_ack(),
                sends(&[headers(5, WHOLE, &get("/"))]),
                sees(answered(5)),
                sends(&[
                    settings(&[(HEADER_TABLE_SIZE, 10)]),
                    settings(&[(HEADER_TABLE_SIZE, 4096)]),
                ]),
                is_ack(),
                is_ack(),
                sends(&[headers(7, WHOLE, &get("/"))]),
                sees(answered(7)),
            ],
        ),
        case(
            "6.5.2",
            "answers before and after a table of nothing from the start",
            vec![
                sends(&[headers(1, WHOLE, &get("/")), headers(3, WHOLE, &get("/"))]),
                sees(answered(1)),
                sees(Want::Alive),
            ],
        )
        .with_client_settings(&[(HEADER_TABLE_SIZE, 0)]),
    ]
}
