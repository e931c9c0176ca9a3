//! The frames that move no call: PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY and WINDOW_UPDATE
//! (RFC 9113, sections 6.3 to 6.9).

use super::{Connection, Ended, Event, Role, health::DRAIN_PING, settings::DEFAULT_WINDOW};
use crate::{
    error::ConnectionError,
    frame::{Code, FrameHeader, MAX_31_BIT, flag, kind, u32_at},
};

const PRIORITY_LEN: usize = 5;
const PING_LEN: usize = 8;
const GOAWAY_LEN: usize = 8;
const SETTING_LEN: usize = 6;
/// Settings in one frame that weigh as much as a frame.
const SETTINGS_PER_TOKEN: usize = 16;
/// Streams whose windows a SETTINGS frame changes that weigh as much as a frame.
const STREAMS_PER_TOKEN: usize = 64;

type Received<'i, T> = Result<Option<Event<'i, T>>, ConnectionError>;

fn wrong_size(why: &'static str) -> ConnectionError {
    ConnectionError::new(Code::FRAME_SIZE_ERROR, why)
}

impl<T> Connection<T> {
    /// Deprecated and without effect, but still checked (RFC 9113, section 6.3).
    pub(super) fn priority<'i>(&mut self, header: FrameHeader, payload: &[u8]) -> Received<'i, T> {
        self.guard.control(self.now, 1)?;
        if header.stream == 0 {
            return Err(ConnectionError::protocol("PRIORITY on stream 0 (RFC 9113, 6.3)"));
        }
        if payload.len() != PRIORITY_LEN {
            return self.stream_error(header.stream, Code::FRAME_SIZE_ERROR);
        }
        if u32_at(payload, 0) & MAX_31_BIT == header.stream {
            return self.stream_error(header.stream, Code::PROTOCOL_ERROR);
        }
        Ok(None)
    }

    pub(super) fn rst_stream<'i>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Received<'i, T> {
        let id = header.stream;
        if payload.len() != 4 {
            return Err(wrong_size("RST_STREAM not of 4 bytes (RFC 9113, 6.4)"));
        }
        if id == 0 || self.is_idle(id) {
            return Err(ConnectionError::protocol("RST_STREAM on an idle stream (RFC 9113, 6.4)"));
        }
        match self.role {
            Role::Server => self.guard.reset(self.now)?,
            // A server can reset no more than we opened.
            Role::Client if self.streams.get(id).is_some() => {}
            Role::Client => self.guard.control(self.now, 1)?,
        }
        let ended = self.streams.end(id, Ended::ByPeer).filter(|stream| !stream.abandoned);
        let Some(stream) = ended else { return Ok(None) };
        let code = Code(u32_at(payload, 0));
        Ok(Some(Event::Reset { stream: id, tag: stream.tag, code, by_us: false }))
    }

    pub(super) fn settings<'i>(&mut self, header: FrameHeader, payload: &[u8]) -> Received<'i, T> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("SETTINGS on a stream (RFC 9113, 6.5)"));
        }
        if header.has(flag::ACK) {
            if !payload.is_empty() {
                return Err(wrong_size("SETTINGS ACK with a payload (RFC 9113, 6.5)"));
            }
            return self.settings_acknowledged().map(|()| None);
        }
        if !payload.len().is_multiple_of(SETTING_LEN) {
            return Err(wrong_size("SETTINGS not a multiple of 6 bytes (RFC 9113, 6.5)"));
        }
        let entries = payload.len() / SETTING_LEN;
        let weight = 1 + entries / SETTINGS_PER_TOKEN + self.streams.len() / STREAMS_PER_TOKEN;
        self.guard.control(self.now, weight as i64)?;
        let before = self.peer;
        self.peer.apply(payload, self.role == Role::Client)?;
        self.move_send_windows(before.stream_window)?;
        if self.peer.header_table_bytes < before.header_table_bytes {
            // We use no table; a smaller limit has to be confirmed all the same (RFC 7541, 4.2).
            self.table_update_due = true;
        }
        self.frame(kind::SETTINGS, flag::ACK, 0, &[]);
        let first = !std::mem::replace(&mut self.ready, true);
        Ok(Some(if first { Event::Ready } else { Event::Changed }))
    }

    /// A new initial window changes the window of every stream (RFC 9113, section 6.9.2).
    fn move_send_windows(&mut self, before: u32) -> Result<(), ConnectionError> {
        let change = i64::from(self.peer.stream_window) - i64::from(before);
        if change == 0 {
            return Ok(());
        }
        for stream in self.streams.values_mut() {
            stream.send_window += change;
            if stream.send_window > i64::from(MAX_31_BIT) {
                let why = "INITIAL_WINDOW_SIZE overflows a window (RFC 9113, 6.9.2)";
                return Err(ConnectionError::new(Code::FLOW_CONTROL_ERROR, why));
            }
        }
        Ok(())
    }

    /// What we asked for is in force from here on (RFC 9113, section 6.5.3).
    fn settings_acknowledged(&mut self) -> Result<(), ConnectionError> {
        if self.unacknowledged_settings == 0 {
            return Ok(self.guard.control(self.now, 1)?);
        }
        self.unacknowledged_settings -= 1;
        if std::mem::replace(&mut self.settings_applied, true) {
            self.resets_proven();
            return Ok(());
        }
        self.recv_stream_window = self.config.stream_window;
        let change = i64::from(self.config.stream_window) - i64::from(DEFAULT_WINDOW);
        for stream in self.streams.values_mut() {
            stream.recv_window += change;
        }
        if self.role == Role::Client {
            self.blocks.set_max_table(0);
        }
        Ok(())
    }

    pub(super) fn ping_received<'i>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Received<'i, T> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("PING on a stream (RFC 9113, 6.7)"));
        }
        if payload.len() != PING_LEN {
            return Err(wrong_size("PING not of 8 bytes (RFC 9113, 6.7)"));
        }
        self.guard.control(self.now, 1)?;
        if !header.has(flag::ACK) {
            self.frame(kind::PING, flag::ACK, 0, payload);
        } else if payload == DRAIN_PING {
            self.announce_final();
        }
        Ok(None)
    }

    pub(super) fn goaway<'i>(&mut self, header: FrameHeader, payload: &[u8]) -> Received<'i, T> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("GOAWAY on a stream (RFC 9113, 6.8)"));
        }
        if payload.len() < GOAWAY_LEN {
            return Err(wrong_size("GOAWAY shorter than 8 bytes (RFC 9113, 6.8)"));
        }
        self.guard.control(self.now, 1)?;
        let (last, code) = (u32_at(payload, 0) & MAX_31_BIT, Code(u32_at(payload, 4)));
        // It may only fall (section 6.8); one that rises is held to what was said before.
        let last = self.gone_away.map_or(last, |before| before.min(last));
        self.gone_away = Some(last);
        Ok(Some(Event::GoAway { last, code }))
    }

    pub(super) fn window_update<'i>(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Received<'i, T> {
        let id = header.stream;
        if payload.len() != 4 {
            return Err(wrong_size("WINDOW_UPDATE not of 4 bytes (RFC 9113, 6.9)"));
        }
        self.guard.window_update(self.now)?;
        let increment = i64::from(u32_at(payload, 0) & MAX_31_BIT);
        if id == 0 {
            return self.connection_window_update(increment);
        }
        if self.is_idle(id) {
            let why = "WINDOW_UPDATE on an idle stream (RFC 9113, 5.1)";
            return Err(ConnectionError::protocol(why));
        }
        let stream = self.streams.get_mut(id).filter(|stream| !stream.abandoned);
        let Some(stream) = stream else { return Ok(None) };
        if increment == 0 {
            return self.stream_error(id, Code::PROTOCOL_ERROR);
        }
        stream.send_window += increment;
        if stream.send_window > i64::from(MAX_31_BIT) {
            return self.stream_error(id, Code::FLOW_CONTROL_ERROR);
        }
        let tag = stream.tag;
        let waited = stream.send_window > 0 && std::mem::take(&mut stream.starved);
        Ok(waited.then_some(Event::Writable { stream: id, tag }))
    }

    fn connection_window_update<'i>(&mut self, increment: i64) -> Received<'i, T> {
        if increment == 0 {
            return Err(ConnectionError::protocol("WINDOW_UPDATE by 0 (RFC 9113, 6.9)"));
        }
        self.send_window += increment;
        if self.send_window > i64::from(MAX_31_BIT) {
            let why = "the connection's window beyond 2^31-1 (RFC 9113, 6.9.1)";
            return Err(ConnectionError::new(Code::FLOW_CONTROL_ERROR, why));
        }
        let waited = std::mem::take(&mut self.starved);
        Ok(waited.then_some(Event::ConnectionWritable))
    }
}
