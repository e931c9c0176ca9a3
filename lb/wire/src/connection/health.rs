//! Time: handshakes, half-sent frames and stalled writes that take too long, keepalive, and the
//! orderly end of a connection.
//!
//! An end without loss takes two GOAWAYs (RFC 9113, section 6.8): the first says only that there will
//! be one, a ping sees that it has arrived, and the second names the last stream that is served.

use std::time::Duration;

use super::{Closing, Connection, Role, settings};
use crate::frame::{Code, MAX_31_BIT, kind, setting};

/// The ping behind the first GOAWAY.
pub(super) const DRAIN_PING: &[u8] = b"goodbye?";
/// The ping of a silent connection.
const KEEPALIVE_PING: &[u8] = b"anybody?";
/// How long the answer to the first is waited for.
const DRAIN_PING_TIMEOUT: Duration = Duration::from_secs(2);

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// Preface and SETTINGS, or a frame or header block once begun.
    Handshake,
    /// The answer to a ping.
    Keepalive,
    /// Reading what is to be sent.
    Stalled,
}

impl<T> Connection<T> {
    /// Looks at the clock; to be called about once a second. An expired connection is to be closed.
    pub fn check(&mut self, now: Duration) -> Result<(), Expired> {
        self.now = now;
        let over = |since: Duration, limit: Duration| now.saturating_sub(since) > limit;
        if self.output_len() > 0 && over(self.written_at, self.config.stall_timeout) {
            return Err(Expired::Stalled);
        }
        if !self.ready && over(self.opened_at, self.config.handshake_timeout) {
            return Err(Expired::Handshake);
        }
        if self.partial_since.is_some_and(|since| over(since, self.config.handshake_timeout)) {
            return Err(Expired::Handshake);
        }
        if let Closing::Announced(since) = self.closing
            && over(since, DRAIN_PING_TIMEOUT)
        {
            self.announce_final();
        }
        self.keep_alive()
    }

    fn keep_alive(&mut self) -> Result<(), Expired> {
        let (silence, patience) = self.config.keepalive;
        let over = |since: Duration, limit: Duration| self.now.saturating_sub(since) > limit;
        match self.ping_sent_at {
            // Whatever arrives shows that the peer lives.
            Some(sent) if self.received_at > sent => self.ping_sent_at = None,
            Some(sent) if over(sent, patience) => return Err(Expired::Keepalive),
            None if self.ready && over(self.received_at, silence) => {
                self.ping_sent_at = Some(self.now);
                match self.role {
                    Role::Server => self.frame(kind::PING, 0, 0, KEEPALIVE_PING),
                    Role::Client => self.probe(),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes the server answer, without a PING: gRPC's servers leave clients that ping more than once
    /// in five minutes (`too_many_pings`). SETTINGS that change nothing are acknowledged too.
    pub(super) fn probe(&mut self) {
        let payload =
            settings::encode(&[(setting::INITIAL_WINDOW_SIZE, self.config.stream_window)]);
        self.unacknowledged_settings += 1;
        self.frame(kind::SETTINGS, 0, 0, &payload);
    }

    /// Begins the end: no call is lost, those under way go on.
    pub fn go_away(&mut self, now: Duration) {
        self.now = now;
        if self.closing != Closing::Open || self.failed {
            return;
        }
        match self.role {
            Role::Server => {
                self.closing = Closing::Announced(now);
                self.write_goaway(MAX_31_BIT, Code::NO_ERROR, b"");
                self.frame(kind::PING, 0, 0, DRAIN_PING);
            }
            // Nothing a server opens could be lost.
            Role::Client => {
                self.closing = Closing::Final(0);
                self.write_goaway(0, Code::NO_ERROR, b"");
            }
        }
    }

    pub(super) fn announce_final(&mut self) {
        if let Closing::Announced(_) = self.closing {
            self.closing = Closing::Final(self.last_peer_stream);
            self.write_goaway(self.last_peer_stream, Code::NO_ERROR, b"");
        }
    }

    /// Whether the end has come: nothing is open and nothing can follow.
    pub fn is_finished(&self) -> bool {
        let no_more = matches!(self.closing, Closing::Final(_));
        let gone_away = self.role == Role::Client && self.gone_away.is_some();
        (no_more || gone_away) && self.streams.len() == 0
    }

    /// Gives memory back that an idle connection does not need; to be called with [`Connection::check`].
    pub fn shrink(&mut self) {
        self.streams.shrink();
    }
}
