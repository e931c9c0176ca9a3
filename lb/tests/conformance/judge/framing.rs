//! The shape of single frames (RFC 9113, sections 4.1, 4.2 and 6).

use crate::frames::{
    ACK, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS,
    INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, PADDED, PING, PRIORITIZED, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};

/// The bit of a stream identifier that must stay unset.
const RESERVED: u32 = 0x8000_0000;

pub(super) fn check(frame: &Frame, max_frame_size: usize) -> Result<(), String> {
    if frame.stream & RESERVED != 0 {
        return Err("4.1: the reserved bit is set".to_owned());
    }
    if frame.payload.len() > max_frame_size {
        return Err(format!("4.2: longer than {max_frame_size}"));
    }
    let Some((flags, is_of_stream, length)) = shape(frame.kind) else {
        return Err("5.5: an extension that was not agreed upon".to_owned());
    };
    if frame.flags & !flags != 0 {
        return Err("4.1: flags without a meaning are set".to_owned());
    }
    if is_of_stream.is_some_and(|expected| expected != (frame.stream != 0)) {
        return Err("6: the stream it may not have".to_owned());
    }
    if length.is_some_and(|length| length != frame.payload.len()) {
        return Err("6: a length it may not have".to_owned());
    }
    if frame.kind == SETTINGS && frame.has(ACK) && !frame.payload.is_empty() {
        return Err("6.5: an acknowledgement with settings".to_owned());
    }
    if frame.kind == SETTINGS && !frame.payload.len().is_multiple_of(6) {
        return Err("6.5: part of a setting".to_owned());
    }
    if frame.kind == GOAWAY && frame.payload.len() < 8 {
        return Err("6.8: too short".to_owned());
    }
    frame.content().map(|_| ()).map_err(|why| format!("6.1, 6.2: {why}"))
}

/// Flags with a meaning, whether it is about a stream, and the only length; if there is one.
fn shape(kind: u8) -> Option<(u8, Option<bool>, Option<usize>)> {
    Some(match kind {
        DATA => (END_STREAM | PADDED, Some(true), None),
        HEADERS => (END_STREAM | END_HEADERS | PADDED | PRIORITIZED, Some(true), None),
        PRIORITY => (0, Some(true), Some(5)),
        RST_STREAM => (0, Some(true), Some(4)),
        SETTINGS => (ACK, Some(false), None),
        PING => (ACK, Some(false), Some(8)),
        GOAWAY => (0, Some(false), None),
        WINDOW_UPDATE => (0, None, Some(4)),
        CONTINUATION => (END_HEADERS, Some(true), None),
        _ => return None,
    })
}

/// Values that must not be sent (section 6.5.2).
pub(super) fn check_settings(frame: &Frame) -> Result<(), String> {
    for (id, value) in frame.settings() {
        let is_allowed = match id {
            ENABLE_PUSH => value <= 1,
            INITIAL_WINDOW_SIZE => value <= 0x7fff_ffff,
            MAX_FRAME_SIZE => (0x4000..=0x00ff_ffff).contains(&value),
            _ => true,
        };
        if !is_allowed {
            return Err(format!("6.5.2: setting {id} cannot be {value}"));
        }
    }
    Ok(())
}
