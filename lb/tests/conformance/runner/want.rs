//! Reads until what is wanted is seen, or cannot be seen any more.

use crate::{
    case::{Want, has},
    connection::{Connection, Event},
    frames::{ACK, DATA, Frame, GOAWAY, HEADERS, NO_ERROR, NONE, PING, RST_STREAM, ping},
    hpack::Field,
};

/// What the PING of [`Want::Alive`] and [`Want::Never`] says.
const PROBE: [u8; 8] = *b"probe me";

pub(super) async fn see(connection: &mut Connection, want: &Want) -> Result<(), String> {
    match want {
        Want::ConnectionError(codes) => connection_error(connection, codes).await,
        Want::Closed => closed(connection).await,
        Want::StreamError(stream, codes) => stream_error(connection, *stream, codes).await,
        Want::Answered(stream, status) => answered(connection, *stream, status).await,
        Want::Failed(stream) => failed(connection, *stream).await,
        Want::Alive => alive(connection, |_, _| false).await,
        Want::EndedOrAlive => ended_or_alive(connection).await,
        Want::Content(stream, length) => content(connection, *stream, *length).await,
        Want::Never(what, test) => {
            alive(connection, test).await.map_err(|why| format!("no {what} must come: {why}"))
        }
        Want::Frame(what, test) => frame(connection, what, test).await,
    }
}

async fn connection_error(connection: &mut Connection, codes: &[u32]) -> Result<(), String> {
    let wanted = || format!("a connection error with a code of {codes:?} must come");
    loop {
        match connection.next().await {
            Event::Frame(frame, _) if frame.kind == GOAWAY && frame.error_code() != NO_ERROR => {
                if !codes.contains(&frame.error_code()) {
                    return Err(format!("{}: {}", wanted(), frame.describe()));
                }
                return closed(connection).await;
            }
            Event::Frame(..) => {}
            Event::Torn => return Ok(()),
            other => return Err(format!("{}: {other:?}", wanted())),
        }
    }
}

async fn closed(connection: &mut Connection) -> Result<(), String> {
    loop {
        match connection.next().await {
            Event::Closed | Event::Torn => return Ok(()),
            Event::Frame(..) => {}
            Event::Silence => return Err("the connection must be closed: silence".to_owned()),
        }
    }
}

async fn stream_error(
    connection: &mut Connection,
    stream: u32,
    codes: &[u32],
) -> Result<(), String> {
    let wanted = || format!("an error of stream {stream} with a code of {codes:?} must come");
    loop {
        match connection.next().await {
            Event::Frame(frame, _) if is_error_of(&frame, stream) => {
                if !codes.contains(&frame.error_code()) {
                    return Err(format!("{}: {}", wanted(), frame.describe()));
                }
                return match frame.kind {
                    GOAWAY => closed(connection).await,
                    _ => alive(connection, |_, _| false).await,
                };
            }
            Event::Frame(..) => {}
            Event::Torn => return Ok(()),
            other => return Err(format!("{}: {other:?}", wanted())),
        }
    }
}

fn is_error_of(frame: &Frame, stream: u32) -> bool {
    match frame.kind {
        RST_STREAM => frame.stream == stream,
        GOAWAY => frame.error_code() != NO_ERROR,
        _ => false,
    }
}

async fn answered(connection: &mut Connection, stream: u32, status: &str) -> Result<(), String> {
    let mut head = None;
    loop {
        match connection.next().await {
            Event::Frame(frame, _) if is_error_of(&frame, stream) => {
                return Err(format!("stream {stream} must be answered: {}", frame.describe()));
            }
            Event::Frame(frame, fields) if frame.stream == stream => {
                head = head.or_else(|| final_head(&frame, fields));
                if frame.ends_stream() {
                    let head = head.unwrap_or_default();
                    return match has(&head, ":status", status) {
                        true => Ok(()),
                        false => Err(format!("stream {stream} must be {status}: {}", text(&head))),
                    };
                }
            }
            Event::Frame(..) => {}
            other => return Err(format!("stream {stream} must be answered: {other:?}")),
        }
    }
}

/// The fields of a head that is not interim.
fn final_head(frame: &Frame, fields: Vec<Field>) -> Option<Vec<Field>> {
    let status = fields.iter().find(|field| frame.kind == HEADERS && field.name == b":status")?;
    (!status.value.starts_with(b"1")).then_some(fields)
}

fn text(fields: &[Field]) -> String {
    let line = |field: &Field| {
        let (name, value) = (&field.name, &field.value);
        format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
    };
    fields.iter().map(line).collect::<Vec<_>>().join(", ")
}

async fn failed(connection: &mut Connection, stream: u32) -> Result<(), String> {
    let mut says_so = false;
    loop {
        match connection.next().await {
            Event::Frame(frame, _) if is_error_of(&frame, stream) => return Ok(()),
            Event::Frame(frame, fields) if frame.stream == stream => {
                says_so |= fields.iter().any(says_failure);
                if frame.ends_stream() {
                    return match says_so {
                        true => Ok(()),
                        false => Err(format!("stream {stream} must fail: it ended well")),
                    };
                }
            }
            Event::Frame(..) => {}
            other => return Err(format!("stream {stream} must fail: {other:?}")),
        }
    }
}

fn says_failure(field: &Field) -> bool {
    (field.name == b":status" && matches!(field.value.first(), Some(b'4' | b'5')))
        || (field.name == b"grpc-status" && field.value != b"0")
}

/// A PING is answered before anything ends and before any frame of which this holds.
async fn alive(
    connection: &mut Connection,
    is_forbidden: impl Fn(&Frame, &[Field]) -> bool,
) -> Result<(), String> {
    connection.send(&ping(NONE, &PROBE)).await;
    loop {
        match connection.next().await {
            Event::Frame(frame, _)
                if frame.kind == PING && frame.has(ACK) && frame.payload == PROBE =>
            {
                return Ok(());
            }
            Event::Frame(frame, fields)
                if is_forbidden(&frame, &fields)
                    || frame.kind == GOAWAY && frame.error_code() != NO_ERROR =>
            {
                return Err(format!("before a PING was answered came {}", frame.describe()));
            }
            Event::Frame(..) => {}
            other => return Err(format!("a PING must be answered: {other:?}")),
        }
    }
}

async fn ended_or_alive(connection: &mut Connection) -> Result<(), String> {
    connection.send(&ping(NONE, &PROBE)).await;
    loop {
        match connection.next().await {
            Event::Closed | Event::Torn => return Ok(()),
            Event::Frame(frame, _) if frame.kind == PING && frame.has(ACK) => return Ok(()),
            Event::Frame(frame, _) if frame.kind == GOAWAY && frame.error_code() != NO_ERROR => {
                return Err(format!("nothing was wrong, but {}", frame.describe()));
            }
            Event::Frame(..) => {}
            Event::Silence => return Err("neither an answer nor an end".to_owned()),
        }
    }
}

async fn content(connection: &mut Connection, stream: u32, length: usize) -> Result<(), String> {
    let mut seen = 0;
    while seen < length {
        match connection.next().await {
            Event::Frame(frame, _) if is_error_of(&frame, stream) => {
                return Err(format!("{length} octets must come: {}", frame.describe()));
            }
            Event::Frame(frame, _) if frame.kind == DATA && frame.stream == stream => {
                seen += frame.content().map_or(0, <[u8]>::len);
            }
            Event::Frame(..) => {}
            other => return Err(format!("{length} octets must come, not {seen}: {other:?}")),
        }
    }
    if seen == length { Ok(()) } else { Err(format!("{length} octets must come, not {seen}")) }
}

async fn frame(
    connection: &mut Connection,
    what: &str,
    test: impl Fn(&Frame, &[Field]) -> bool,
) -> Result<(), String> {
    loop {
        match connection.next().await {
            Event::Frame(frame, fields) if test(&frame, &fields) => return Ok(()),
            Event::Frame(..) => {}
            other => return Err(format!("{what} must come: {other:?}")),
        }
    }
}
