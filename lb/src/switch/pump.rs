//! Bytes that waited, sent as far as there is room.

use super::{
    Director, Memo, Switch,
    call::{MAX_ALL_REPLAY_BYTES, MAX_REPLAY_BYTES},
    purge,
};

impl<D: Director> Switch<D> {
    /// Sends what there is of a request.
    pub(super) fn pump_request(&mut self, number: usize) {
        let Some(call) = self.calls.get_mut(number) else { return };
        let Some(up) = call.up else { return };
        let half = &mut call.request;
        if half.done {
            return;
        }
        let ends = half.ended && half.trailers.is_none();
        let wire = &mut self.links[up.link].wire;
        let taken = if half.pending().is_empty() && !ends {
            0
        } else {
            wire.send_data(up.stream, half.pending(), ends)
        };
        let is_starved = wire.is_starved();
        half.sent += taken;
        if taken > 0 {
            half.moved_at = self.now;
        }
        let is_empty = half.pending().is_empty();
        if is_empty && half.ended {
            half.done = true;
            if let Some(trailers) = &half.trailers {
                wire.send_headers(up.stream, trailers.memo(unset).block(), true);
            }
        }
        self.mark_dirty(up.link);
        let call = &mut self.calls[number];
        let (down, moved_on) = (call.down, call.request.newly_sent());
        self.links[down.link].wire.release(down.stream, moved_on);
        if self.links[down.link].wire.output_len() > 0 {
            self.mark_dirty(down.link);
        }
        let call = &mut self.calls[number];
        if call.replayable {
            self.replay_bytes += taken;
        }
        if !call.replayable
            || call.request.sent > MAX_REPLAY_BYTES
            || self.replay_bytes > MAX_ALL_REPLAY_BYTES
        {
            self.keep_no_replay(number);
        }
        let call = &mut self.calls[number];
        if !is_empty && is_starved && !call.request.queued {
            call.request.queued = true;
            let entry = (number as u32, call.serial);
            let blocked = &mut self.links[up.link].blocked;
            blocked.push_back(entry);
            purge(blocked, &self.calls);
        }
        self.let_go_if_whole(number);
    }

    /// The request will not be sent again: what was sent of it is forgotten.
    pub(super) fn keep_no_replay(&mut self, number: usize) {
        let call = &mut self.calls[number];
        if std::mem::replace(&mut call.replayable, false) {
            self.replay_bytes -= call.request.sent;
        }
        if call.request.sent > 0 {
            let forgotten = call.request.forget_sent(&self.buffers);
            self.metrics.buffered_bytes.subtract(forgotten as u64);
        }
    }

    /// Sends what waits of an answer.
    pub(super) fn pump_response(&mut self, number: usize) {
        let Some(call) = self.calls.get_mut(number) else { return };
        let (down, up) = (call.down, call.up);
        let half = &mut call.response;
        if half.pending().is_empty() {
            return;
        }
        let ends = half.ended && half.trailers.is_none();
        let wire = &mut self.links[down.link].wire;
        let taken = wire.send_data(down.stream, half.pending(), ends);
        let is_starved = wire.is_starved();
        half.sent += taken;
        if taken > 0 {
            half.moved_at = self.now;
        }
        let is_empty = half.pending().is_empty();
        let is_whole = is_empty && half.ended;
        if is_whole && let Some(trailers) = half.trailers.take() {
            wire.send_headers(down.stream, trailers.memo(unset).block(), true);
        }
        if half.sent > half.buffer.len() / 2 {
            let forgotten = half.forget_sent(&self.buffers);
            self.metrics.buffered_bytes.subtract(forgotten as u64);
        }
        self.mark_dirty(down.link);
        if let Some(up) = up {
            self.links[up.link].wire.release(up.stream, taken);
            self.mark_dirty(up.link);
        }
        if is_whole {
            self.complete(number);
        } else if !is_empty && is_starved {
            self.block_response(number);
        }
    }

    /// Queues an answer for room on its client's connection.
    pub(super) fn block_response(&mut self, number: usize) {
        let call = &mut self.calls[number];
        if !std::mem::replace(&mut call.response.queued, true) {
            let entry = (number as u32, call.serial);
            let blocked = &mut self.links[call.down.link].blocked;
            blocked.push_back(entry);
            purge(blocked, &self.calls);
        }
    }

    /// A link has room again: everybody who waited gets a turn, in order.
    pub(super) fn pump_link(&mut self, link: usize) {
        let turns = self.links[link].blocked.len();
        for _ in 0..turns {
            let Some(entry) = self.links.get_mut(link).and_then(|link| link.blocked.pop_front())
            else {
                return;
            };
            if self.live(entry).is_none() {
                continue;
            }
            let number = entry.0 as usize;
            if self.calls[number].down.link == link {
                self.calls[number].response.queued = false;
                self.pump_response(number);
            } else {
                self.calls[number].request.queued = false;
                self.pump_request(number);
            }
        }
    }

    /// The windows of all streams of a link have changed.
    pub(super) fn pump_all(&mut self, link: usize) {
        for call in self.links[link].wire.tags() {
            let number = call as usize;
            match self.calls.get(number) {
                Some(call) if call.down.link == link => self.pump_response(number),
                Some(_) => self.pump_request(number),
                None => {}
            }
        }
    }
}

/// Blocks that wait were translated when they arrived.
pub(super) fn unset(_: &strife_wire::Head) -> Memo {
    unreachable!("a block that waits was translated when it arrived")
}
