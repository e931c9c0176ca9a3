//! Sends much content: within windows, or past them.

use crate::{
    connection::{Connection, Event},
    frames::{
        CANCEL, DATA, DEFAULT_FRAME_SIZE, END_HEADERS, NONE, PADDED, data, frame, headers,
        rst_stream,
    },
};

/// Beyond the connection's window, in [`waste`].
const EXCESS: i64 = 100_000;
/// Of a frame that is half padding.
const PADDED_FRAME: usize = 256;

/// One octet more than the stream's window has room for.
pub(super) async fn overrun(connection: &mut Connection, stream: u32) {
    let room = usize::try_from(connection.window(stream)).unwrap_or(0);
    let content = vec![b'x'; room + 1];
    for chunk in content.chunks(DEFAULT_FRAME_SIZE) {
        connection.send(&data(stream, NONE, chunk)).await;
    }
}

/// So many octets, padding included, when there is room for them.
pub(super) async fn upload(
    connection: &mut Connection,
    stream: u32,
    octets: usize,
    is_padded: bool,
) -> Result<(), String> {
    let mut left = octets;
    let largest = if is_padded { PADDED_FRAME } else { DEFAULT_FRAME_SIZE };
    while left > 0 {
        let room = room(connection, stream);
        if room < largest.min(left) {
            await_room(connection).await?;
            continue;
        }
        let length = largest.min(left);
        connection.send(&content(stream, length, is_padded)).await;
        left -= length;
    }
    Ok(())
}

fn content(stream: u32, length: usize, is_padded: bool) -> Vec<u8> {
    if !is_padded {
        return data(stream, NONE, &vec![b'x'; length]);
    }
    let padding = length / 2;
    let mut payload = vec![0; length];
    payload[0] = u8::try_from(padding).expect("half of a small frame");
    frame(DATA, PADDED, stream, &payload)
}

/// See [`crate::case::Act::Waste`].
pub(super) async fn waste(
    connection: &mut Connection,
    head: &[u8],
    is_reset: bool,
) -> Result<(), String> {
    let mut left = connection.connection_window() + EXCESS;
    let mut stream = 3;
    while left > 0 {
        let room = room(connection, stream);
        if room == 0 {
            await_room(connection).await?;
            continue;
        }
        let mut bytes = headers(stream, END_HEADERS, head);
        for chunk in vec![b'x'; room].chunks(DEFAULT_FRAME_SIZE) {
            bytes.extend(data(stream, NONE, chunk));
        }
        if is_reset {
            bytes.extend(rst_stream(stream, CANCEL));
        }
        connection.send(&bytes).await;
        left -= i64::try_from(room).expect("a window");
        stream += 2;
    }
    Ok(())
}

fn room(connection: &Connection, stream: u32) -> usize {
    let room = connection.window(stream).min(connection.connection_window());
    usize::try_from(room).unwrap_or(0)
}

async fn await_room(connection: &mut Connection) -> Result<(), String> {
    match connection.next().await {
        Event::Frame(..) => Ok(()),
        other => Err(format!("no room for more content: {other:?}")),
    }
}
