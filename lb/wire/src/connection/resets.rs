//! Streams reset, and how fast.
//!
//! A server may take streams that were opened and reset before it looked at them for an attack
//! (CVE-2023-44487) and leave, with everybody else's calls; twenty of them are enough for many. So a
//! client's resets of streams that have no answer yet go out a few at a time: then SETTINGS that
//! change nothing, and when those are acknowledged the server has got so far, and the next few go out.
//! One round trip apart this is still tens of thousands a second. A PING would prove the same, but
//! gRPC's servers allow a client only few of them.

use std::collections::VecDeque;

use super::{Connection, Ended, NO_TAG, Role};
use crate::frame::{Code, kind};

/// Resets of unanswered streams between two proofs.
const MAX_UNPROVEN: u32 = 16;

/// Resets on their way and waiting. Those that wait are streams still open, so their number is
/// bounded as that of streams is.
#[derive(Debug, Default)]
pub(super) struct Resets {
    unproven: u32,
    is_probed: bool,
    waiting: VecDeque<(u32, Code)>,
    /// Bytes that the peer may have sent before it hears that we reset their streams.
    on_their_way: i64,
}

impl<T> Connection<T> {
    /// Resets a stream: nothing more is heard of it. Nothing happens if it is gone.
    pub fn reset(&mut self, id: u32, code: Code) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.abandoned {
            return;
        }
        if !stream.remote_ended {
            // No more than the connection's window can be on its way at a time.
            let most = i64::from(self.config.connection_window);
            let bytes = self.resets.on_their_way + stream.recv_window.max(0);
            self.resets.on_their_way = bytes.min(most);
        }
        if self.role == Role::Server || stream.got_head {
            return self.reset_now(id, code);
        }
        if self.resets.unproven < MAX_UNPROVEN {
            self.reset_unanswered(id, code);
        } else {
            (stream.abandoned, stream.starved, stream.tag) = (true, false, NO_TAG);
            self.resets.waiting.push_back((id, code));
        }
    }

    fn reset_now(&mut self, id: u32, code: Code) {
        if self.streams.end(id, Ended::ByUs).is_some() {
            self.frame(kind::RST_STREAM, 0, id, &code.0.to_be_bytes());
        }
    }

    /// Whether `bytes` of DATA that nobody wants can have been sent in good faith.
    pub(super) fn was_on_its_way(&mut self, bytes: usize) -> bool {
        let left = self.resets.on_their_way - bytes as i64;
        let is_honest = bytes > 0 && left >= 0;
        if is_honest {
            self.resets.on_their_way = left;
        }
        is_honest
    }

    fn reset_unanswered(&mut self, id: u32, code: Code) {
        self.reset_now(id, code);
        self.resets.unproven += 1;
        if self.resets.unproven == MAX_UNPROVEN && !self.resets.is_probed {
            self.resets.is_probed = true;
            self.probe();
        }
    }

    /// The server has seen all resets that are out.
    pub(super) fn resets_proven(&mut self) {
        (self.resets.unproven, self.resets.is_probed) = (0, false);
        while self.resets.unproven < MAX_UNPROVEN
            && let Some((id, code)) = self.resets.waiting.pop_front()
        {
            // Some have ended by themselves.
            if self.streams.get(id).is_some_and(|stream| stream.abandoned) {
                self.reset_unanswered(id, code);
            }
        }
    }
}
