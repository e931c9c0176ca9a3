//! Frames: headers come back from being written, and a connection hears the same from the same bytes
//! however they are cut.

use std::{rc::Rc, time::Duration};

use strife_wire::{
    BufferPool, Code, Config, Connection, ConnectionError, Event, Role,
    frame::{FrameHeader, HEADER_LEN, PREFACE},
};

use crate::input::Input;

const NOW: Duration = Duration::from_secs(1);
const EMPTY_SETTINGS: [u8; HEADER_LEN] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Bytes cut as the first of them say, and the same bytes whole.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let role = input.pick(&[Role::Server, Role::Client]);
    let greeted = input.flag();
    let cuts = [input.byte(), input.byte(), input.byte()].map(|cut| usize::from(cut) + 1);
    let rest = input.rest();
    headers_come_back(rest);

    let mut stream = Vec::new();
    if greeted {
        stream.extend_from_slice(if role == Role::Server { PREFACE } else { b"" });
        stream.extend_from_slice(&EMPTY_SETTINGS);
    }
    stream.extend_from_slice(rest);
    let whole = hear(role, &[&stream]);
    let mut pieces = Vec::new();
    let mut left = &stream[..];
    for cut in cuts.iter().cycle() {
        let (piece, after) = left.split_at((*cut).min(left.len()));
        pieces.push(piece);
        left = after;
        if left.is_empty() {
            break;
        }
    }
    assert_eq!(whole, hear(role, &pieces));
}

fn headers_come_back(mut bytes: &[u8]) {
    while let Some(header) = FrameHeader::parse(bytes) {
        let mut written = Vec::new();
        header.write(&mut written);
        let mut expected = bytes[..HEADER_LEN].to_vec();
        expected[5] &= 0x7f;
        assert_eq!(written, expected);
        assert_eq!(FrameHeader::parse(&written), Some(header));
        bytes = bytes.get(HEADER_LEN + header.length..).unwrap_or_default();
    }
}

/// What was heard, with pieces of DATA put together.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Data(u32, Vec<u8>, bool),
    Reset(u32, Code, bool),
    Other(String),
}

type Outcome = (Vec<Heard>, Option<ConnectionError>, Vec<u8>);

/// What a connection hears and says when these pieces arrive.
fn hear(role: Role, pieces: &[&[u8]]) -> Outcome {
    let buffers = Rc::new(BufferPool::new());
    let mut connection = Connection::<()>::new(role, Config::default(), buffers, NOW);
    if role == Role::Client {
        // Something to answer, as soon as the server has said SETTINGS.
        let mut greeting = &EMPTY_SETTINGS[..];
        assert!(matches!(connection.receive(NOW, &mut greeting), Ok(Some(Event::Ready))));
        for tag in 0..3 {
            connection.open(tag, b"\x83\x86\x84", tag == 0, false).expect("it is ready");
        }
    }
    let (mut heard, mut waiting) = (Vec::new(), Vec::new());
    for piece in pieces {
        waiting.extend_from_slice(piece);
        let mut input = &waiting[..];
        loop {
            match connection.receive(NOW, &mut input) {
                Ok(Some(event)) => note(&mut heard, event),
                Ok(None) => break,
                Err(error) => return (heard, Some(error), connection.output().to_vec()),
            }
        }
        let taken = waiting.len() - input.len();
        waiting.drain(..taken);
    }
    (heard, None, connection.output().to_vec())
}

fn note(heard: &mut Vec<Heard>, event: Event<'_, ()>) {
    match event {
        Event::Data { stream, payload, end_stream, .. } => match heard.last_mut() {
            Some(Heard::Data(before, bytes, ended)) if *before == stream && !*ended => {
                bytes.extend_from_slice(payload);
                *ended = end_stream;
            }
            _ => heard.push(Heard::Data(stream, payload.to_vec(), end_stream)),
        },
        Event::Reset { stream, code, by_us, .. } => heard.push(Heard::Reset(stream, code, by_us)),
        Event::Headers { stream, block, part, end_stream, .. } => {
            let fields = block.head.fields();
            heard.push(Heard::Other(format!("{stream} {part:?} {end_stream} {fields:?}")));
        }
        other => heard.push(Heard::Other(format!("{other:?}"))),
    }
}
