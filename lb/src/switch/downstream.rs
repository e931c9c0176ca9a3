//! What clients do: open streams, send, cancel, leave.

use std::rc::Rc;

use strife_policy::Outcome;
use strife_wire::{Block, Code, Part};

use super::{
    Director, Memo, Switch,
    call::{Call, Leg},
    link::{LinkEvent, Side},
    translate,
};
use crate::{access_log::Ended, metrics::Refusal};

/// Share of the room for bytes that is made when there is none left.
const ROOM_SHARE: u64 = 8;
/// Header blocks up to so many bytes, decoded, do not count as held: a call costs as much anyway.
const FREE_HEAD_BYTES: usize = 4096;

impl<D: Director> Switch<D> {
    pub(super) fn client_event(&mut self, link: usize, event: LinkEvent<'_>) {
        match event {
            LinkEvent::Headers { stream, block, part: Part::Request, end_stream, .. } => {
                self.request(Leg { link, stream }, block, end_stream);
            }
            LinkEvent::Headers { tag, block, .. } => self.request_trailers(tag as usize, block),
            LinkEvent::HeadersTooLarge { stream, tag } => {
                self.request_too_large(Leg { link, stream }, tag);
            }
            LinkEvent::Data { tag, payload, end_stream, .. } => {
                self.request_data(tag as usize, payload, end_stream);
            }
            LinkEvent::Reset { tag, code, by_us, .. } => {
                let leg = if by_us {
                    self.metrics.downstream.protocol_errors.increment(code);
                    &self.metrics.client_resets_sent
                } else {
                    &self.metrics.client_resets_received
                };
                leg.increment();
                self.cancel(tag as usize, code);
            }
            LinkEvent::Writable { tag, .. } => self.pump_response(tag as usize),
            LinkEvent::ConnectionWritable => self.pump_link(link),
            LinkEvent::Changed => self.pump_all(link),
            LinkEvent::GoAway { .. } => self.metrics.downstream.goaways_received.increment(),
            LinkEvent::Ready => {}
        }
    }

    /// A call begins. It is sent on its way in [`Switch::settle`].
    fn request(&mut self, down: Leg, block: Rc<Block<Memo>>, end_stream: bool) {
        let number = self.open_call(down);
        let Some(Side::Down(peer)) = self.links.get(down.link).map(|link| &link.side) else {
            return;
        };
        let director = &mut self.director;
        let memo = block.memo(|head| {
            let authority = String::from_utf8_lossy(head.authority());
            let pool = director.route(&authority);
            let known = pool.as_ref().ok();
            let is_idempotent =
                known.is_some_and(|pool| director.is_idempotent(*pool, head.path()));
            Memo::Request { pool, is_idempotent, block: translate::request(head, peer, None) }
        });
        let Memo::Request { pool, is_idempotent, .. } = memo else {
            unreachable!("a request's block is only ever a request's")
        };
        let (pool, is_idempotent) = (pool.clone(), *is_idempotent);
        let call = &mut self.calls[number];
        call.request.ended = end_stream;
        call.is_idempotent = is_idempotent;
        call.deadline = block.head.grpc_timeout().map(|timeout| self.now + timeout);
        let has_deadline = call.deadline.is_some();
        let is_connect = block.head.is_connect();
        let list_bytes = block.head.fields().list_bytes();
        call.head = Some(block);
        if is_connect {
            let why = "this balancer opens no tunnels";
            return self.refuse(number, Refusal::Malformed, why);
        }
        match pool {
            Ok(pool) => self.begin(number, pool),
            Err(why) => return self.refuse(number, Refusal::NoPool, &why),
        }
        if has_deadline {
            self.set_timer(number);
        }
        self.fresh.push((number as u32, self.calls[number].serial));
        if list_bytes > FREE_HEAD_BYTES {
            // As it came, and as it is sent on.
            self.calls[number].head_bytes = 2 * list_bytes;
            self.held(2 * list_bytes);
        }
    }

    /// Where it goes is known.
    fn begin(&mut self, number: usize, pool: usize) {
        let call = &mut self.calls[number];
        call.pool = Some(pool);
        call.trace = call.head.as_ref().and_then(|block| self.director.trace(&block.head));
        let now = self.now;
        self.budget(pool).deposit(now);
    }

    fn open_call(&mut self, down: Leg) -> usize {
        self.metrics.calls.increment();
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        let number = self.calls.insert(Call::new(serial, down, self.now));
        self.links[down.link].wire.set_tag(down.stream, number as u32);
        number
    }

    fn request_too_large(&mut self, down: Leg, tag: u32) {
        let number = match self.calls.get(tag as usize) {
            Some(call) if call.down == down => tag as usize,
            _ => self.open_call(down),
        };
        let limit = self.limits.max_header_list_bytes;
        let why = format!("header fields of more than {limit} bytes");
        self.refuse(number, Refusal::HeadersTooLarge, &why);
    }

    fn request_data(&mut self, number: usize, payload: &[u8], end_stream: bool) {
        let call = &mut self.calls[number];
        call.request.bytes += payload.len() as u64;
        call.request.ended = end_stream;
        if call.request.pending().is_empty()
            && !call.replayable
            && let Some(up) = call.up
        {
            // Nothing waits and nothing is kept: straight through.
            let taken = self.links[up.link].wire.send_data(up.stream, payload, end_stream);
            self.mark_dirty(up.link);
            let call = &mut self.calls[number];
            call.request.done = end_stream && taken == payload.len();
            let down = call.down;
            self.links[down.link].wire.release(down.stream, taken);
            if taken == payload.len() {
                return self.let_go_if_whole(number);
            }
            self.hold_request(number, &payload[taken..]);
        } else {
            self.hold_request(number, payload);
        }
        if self.calls.contains(number) && self.calls[number].up.is_some() {
            self.pump_request(number);
        }
    }

    fn hold_request(&mut self, number: usize, payload: &[u8]) {
        self.calls[number].request.push(payload, self.now, &self.buffers);
        self.held(payload.len());
    }

    /// More bytes are held for calls. When there are too many for this thread, those that hold most
    /// are ended, until there is room again for those that move.
    pub(super) fn held(&mut self, bytes: usize) {
        self.metrics.buffered_bytes.add(bytes as u64);
        let most = self.limits.max_buffer_bytes as u64;
        if self.metrics.buffered_bytes.get() <= most {
            return;
        }
        let mut holders: Vec<_> = self.calls.iter().map(|(n, call)| (call.held(), n)).collect();
        holders.sort_unstable_by(|one, other| other.cmp(one));
        for (_, number) in holders {
            if self.metrics.buffered_bytes.get() <= most - most / ROOM_SHARE {
                return;
            }
            if self.calls.contains(number) {
                let why = "it holds more bytes than the balancer has room for; try again later";
                self.refuse(number, Refusal::BufferFull, why);
            }
        }
    }

    fn request_trailers(&mut self, number: usize, block: Rc<Block<Memo>>) {
        block.memo(|head| Memo::Block(translate::unchanged(head)));
        let call = &mut self.calls[number];
        call.request.ended = true;
        call.request.trailers = Some(block);
        if call.up.is_some() {
            self.pump_request(number);
        }
    }

    /// The client gave the call up.
    fn cancel(&mut self, number: usize, code: Code) {
        self.reset_up(number, code);
        self.finish(number, Ended::CancelledByClient(code), Outcome::Cancelled);
    }

    /// The client's connection is gone.
    pub(super) fn client_lost(&mut self, tag: u32) {
        let number = tag as usize;
        if !self.calls.contains(number) {
            return;
        }
        self.reset_up(number, Code::CANCEL);
        self.finish(number, Ended::ConnectionLost, Outcome::Cancelled);
    }

    /// Resets the stream at the endpoint, if it is open.
    pub(super) fn reset_up(&mut self, number: usize, code: Code) {
        let call = &mut self.calls[number];
        let Some(up) = call.up.take() else { return };
        if let Some(endpoint) = call.endpoint {
            self.director.metrics(endpoint).resets_sent.increment();
        }
        self.links[up.link].wire.reset(up.stream, code);
        self.stream_freed(up.link);
    }
}
