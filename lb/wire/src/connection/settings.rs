//! SETTINGS of the peer: read, checked, and kept (RFC 9113, section 6.5).

use crate::{
    error::ConnectionError,
    frame::{Code, MAX_31_BIT, MAX_PAYLOAD, setting},
};

/// Every connection begins with it (section 6.9.2).
pub(super) const DEFAULT_WINDOW: u32 = 65_535;
/// Every connection begins with it (section 6.5.2).
pub(super) const DEFAULT_HEADER_TABLE: u32 = 4096;
const SETTING_LEN: usize = 6;

/// What the peer asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerSettings {
    pub(super) header_table_bytes: u32,
    pub(super) max_streams: u32,
    pub(super) stream_window: u32,
}

impl PeerSettings {
    pub(super) const fn new() -> Self {
        Self {
            header_table_bytes: DEFAULT_HEADER_TABLE,
            max_streams: u32::MAX,
            stream_window: DEFAULT_WINDOW,
        }
    }

    /// Takes the payload of a SETTINGS frame. `from_server`: only a client may allow push.
    pub(super) fn apply(
        &mut self,
        payload: &[u8],
        from_server: bool,
    ) -> Result<(), ConnectionError> {
        for entry in payload.chunks_exact(SETTING_LEN) {
            let id = u16::from_be_bytes([entry[0], entry[1]]);
            let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
            self.set(id, value, from_server)?;
        }
        Ok(())
    }

    fn set(&mut self, id: u16, value: u32, from_server: bool) -> Result<(), ConnectionError> {
        match id {
            setting::HEADER_TABLE_SIZE => self.header_table_bytes = value,
            setting::ENABLE_PUSH if value > 1 => {
                let why = "ENABLE_PUSH is neither 0 nor 1 (RFC 9113, 6.5.2)";
                return Err(ConnectionError::protocol(why));
            }
            setting::ENABLE_PUSH if value == 1 && from_server => {
                let why = "a server set ENABLE_PUSH (RFC 9113, 6.5.2)";
                return Err(ConnectionError::protocol(why));
            }
            setting::MAX_CONCURRENT_STREAMS => self.max_streams = value,
            setting::INITIAL_WINDOW_SIZE => {
                if value > MAX_31_BIT {
                    let why = "INITIAL_WINDOW_SIZE beyond 2^31-1 (RFC 9113, 6.5.2)";
                    return Err(ConnectionError::new(Code::FLOW_CONTROL_ERROR, why));
                }
                self.stream_window = value;
            }
            setting::MAX_FRAME_SIZE if !(MAX_PAYLOAD as u32..1 << 24).contains(&value) => {
                let why = "MAX_FRAME_SIZE outside 2^14 to 2^24-1 (RFC 9113, 6.5.2)";
                return Err(ConnectionError::protocol(why));
            }
            // We send no larger frames than every peer takes; unknown settings are ignored.
            _ => {}
        }
        Ok(())
    }
}

/// Appends the payload of our SETTINGS.
pub(super) fn encode(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(settings.len() * SETTING_LEN);
    for (id, value) in settings {
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    payload
}
