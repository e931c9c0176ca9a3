//! What endpoints do: answer, reset, go away, get lost.

use std::rc::Rc;

use strife_policy::Outcome;
use strife_wire::{Block, Code, Part};

use super::{
    Director, Memo, Switch,
    call::Stage,
    link::{LinkEvent, Side},
    translate,
};
use crate::{
    access_log::Ended,
    metrics::{Refusal, Retry},
};

impl<D: Director> Switch<D> {
    pub(super) fn endpoint_event(&mut self, link: usize, event: LinkEvent<'_>) {
        match event {
            LinkEvent::Headers { tag, block, part, end_stream, .. } => match part {
                Part::Trailers => self.answer_trailers(tag as usize, block),
                Part::Informational => self.informational(tag as usize, &block),
                _ => self.answer_head(tag as usize, block, end_stream),
            },
            LinkEvent::HeadersTooLarge { tag, .. } => {
                self.reset_up(tag as usize, Code::CANCEL);
                let why = "the server's header fields are too large";
                self.fail(tag as usize, Ended::Refused(Refusal::HeadersTooLarge), why);
            }
            LinkEvent::Data { tag, payload, end_stream, .. } => {
                self.answer_data(tag as usize, payload, end_stream);
            }
            LinkEvent::Reset { tag, code, by_us, .. } => {
                self.answer_reset(tag as usize, code, by_us)
            }
            LinkEvent::Writable { tag, .. } => self.pump_request(tag as usize),
            LinkEvent::ConnectionWritable => self.pump_link(link),
            LinkEvent::Changed => {
                self.pump_all(link);
                self.stream_freed(link);
            }
            LinkEvent::Ready => self.link_ready(link),
            LinkEvent::GoAway { last, .. } => self.endpoint_goes_away(link, last),
        }
    }

    fn answer_head(&mut self, number: usize, block: Rc<Block<Memo>>, end_stream: bool) {
        let endpoint = self.calls[number].endpoint.unwrap_or_default();
        let address = self.director.address(endpoint);
        let memo = block.memo(|head| Memo::Answered {
            block: translate::answer(head, address),
            report: if end_stream { translate::report(head) } else { None },
        });
        self.take_report(number, memo);
        if end_stream && self.retry_answered(number, &block.head) {
            return;
        }
        let call = &mut self.calls[number];
        call.stage = Stage::Answered;
        call.answered_at = Some(self.now);
        call.http_status = block.head.status();
        call.take_status(&block.head);
        call.answer_is_grpc = block.head.is_grpc();
        let down = call.down;
        self.keep_no_replay(number);
        self.links[down.link].wire.send_headers(down.stream, memo.block(), end_stream);
        self.mark_dirty(down.link);
        if end_stream {
            self.calls[number].response.ended = true;
            self.complete(number);
        }
    }

    fn informational(&mut self, number: usize, block: &Block<Memo>) {
        let call = &mut self.calls[number];
        call.was_informed = true;
        let down = call.down;
        let memo = block.memo(|head| Memo::Block(translate::unchanged(head)));
        self.links[down.link].wire.send_headers(down.stream, memo.block(), false);
        self.mark_dirty(down.link);
    }

    fn answer_data(&mut self, number: usize, payload: &[u8], end_stream: bool) {
        let call = &mut self.calls[number];
        call.response.bytes += payload.len() as u64;
        call.response.ended = end_stream;
        let (down, up) = (call.down, call.up);
        let mut rest = payload;
        if call.response.pending().is_empty() {
            let client = &mut self.links[down.link].wire;
            let taken = client.send_data(down.stream, payload, end_stream);
            let is_starved = client.is_starved();
            rest = &payload[taken..];
            if let Some(up) = up {
                self.links[up.link].wire.release(up.stream, taken);
            }
            self.mark_dirty(down.link);
            if rest.is_empty() {
                if end_stream {
                    self.complete(number);
                }
                return;
            }
            if is_starved {
                self.block_response(number);
            }
        }
        self.calls[number].response.push(rest, self.now, &self.buffers);
        self.let_go_if_whole(number);
        self.held(rest.len());
    }

    fn answer_trailers(&mut self, number: usize, block: Rc<Block<Memo>>) {
        let memo = block.memo(|head| Memo::Answered {
            block: translate::unchanged(head),
            report: translate::report(head),
        });
        self.take_report(number, memo);
        let call = &mut self.calls[number];
        call.take_status(&block.head);
        call.response.ended = true;
        if !call.response.pending().is_empty() {
            call.response.trailers = Some(block);
            return self.let_go_if_whole(number);
        }
        let down = call.down;
        self.links[down.link].wire.send_headers(down.stream, memo.block(), true);
        self.mark_dirty(down.link);
        self.complete(number);
    }

    /// The endpoint may have said what its load is. A report that comes again is told again: it is as
    /// true as it was.
    fn take_report(&mut self, number: usize, memo: &Memo) {
        if let Memo::Answered { report: Some(report), .. } = memo
            && let Some(endpoint) = self.calls[number].endpoint
        {
            self.director.reported(self.now, endpoint, report);
        }
    }

    /// The stream at the endpoint is over when both sides have ended it, though the client may not
    /// have room for all of the answer yet.
    pub(super) fn let_go_if_whole(&mut self, number: usize) {
        let call = &mut self.calls[number];
        if call.request.done
            && call.response.ended
            && let Some(up) = call.up.take()
        {
            self.stream_freed(up.link);
        }
    }

    /// All of the answer is on its way to the client.
    pub(super) fn complete(&mut self, number: usize) {
        let call = &mut self.calls[number];
        let (down, up, outcome) = (call.down, call.up.take(), call.outcome());
        // Whoever still sends a request that is answered may stop (RFC 9113, section 8.1).
        self.links[down.link].wire.reset(down.stream, Code::NO_ERROR);
        if let Some(up) = up {
            self.links[up.link].wire.reset(up.stream, Code::CANCEL);
            if self.links[up.link].wire.output_len() > 0 {
                self.mark_dirty(up.link);
            }
            self.stream_freed(up.link);
        }
        self.look_whether_finished(down.link);
        self.finish(number, Ended::Completed, outcome);
    }

    fn answer_reset(&mut self, number: usize, code: Code, by_us: bool) {
        let call = &mut self.calls[number];
        let up = call.up.take();
        if let Some(endpoint) = call.endpoint {
            self.director.metrics(endpoint).resets_received.increment();
        }
        if by_us {
            self.metrics.upstream.protocol_errors.increment(code);
        }
        if let Some(up) = up {
            self.stream_freed(up.link);
        }
        let call = &self.calls[number];
        if call.response.ended {
            // It wants no more of the request; its answer is whole and still on its way.
            return;
        }
        let is_sent_again = match code {
            _ if by_us => false,
            // It has not run; whether it might run twice does not matter.
            Code::REFUSED_STREAM => self.move_on(number, Retry::Refused),
            _ => self.retry_reset(number),
        };
        if is_sent_again {
            return;
        }
        let call = &self.calls[number];
        if by_us {
            let why = "the server broke the rules of HTTP/2";
            return self.fail(number, Ended::Refused(Refusal::Malformed), why);
        }
        let down = call.down;
        self.links[down.link].wire.reset(down.stream, code);
        self.metrics.client_resets_sent.increment();
        self.mark_dirty(down.link);
        self.look_whether_finished(down.link);
        self.finish(number, Ended::ResetByServer(code), Outcome::Failed);
    }

    /// The endpoint takes no further streams, and has not taken those beyond `last`.
    fn endpoint_goes_away(&mut self, link: usize, last: u32) {
        self.metrics.upstream.goaways_received.increment();
        let Side::Up(endpoint) = self.links[link].side else { return };
        self.slots[endpoint].links.retain(|one| *one != link);
        for call in self.links[link].wire.take_unprocessed(last) {
            self.calls[call as usize].up = None;
            if !self.move_on(call as usize, Retry::GoAway) {
                self.hand_back(call as usize);
            }
        }
        self.director.suspect(endpoint);
        self.serve_waiting(endpoint);
    }

    /// A call that has not run and cannot be sent again from here: its client may do so (RFC 9113,
    /// section 8.7), and gRPC's clients do.
    fn hand_back(&mut self, number: usize) {
        let call = &self.calls[number];
        if call.stage == Stage::Answered {
            let ended = Ended::Refused(Refusal::AttemptsExhausted);
            return self.fail(number, ended, "the server is going away");
        }
        let down = call.down;
        self.links[down.link].wire.reset(down.stream, Code::REFUSED_STREAM);
        self.metrics.client_resets_sent.increment();
        self.mark_dirty(down.link);
        self.look_whether_finished(down.link);
        let ended = Ended::ResetByServer(Code::REFUSED_STREAM);
        self.finish(number, ended, Outcome::Cancelled);
    }

    /// A connection to an endpoint ended, with these calls on it.
    pub(super) fn endpoint_link_lost(&mut self, link: usize, endpoint: usize, calls: Vec<u32>) {
        self.slots[endpoint].links.retain(|one| *one != link);
        if !std::mem::replace(&mut self.links[link].is_counted, true) {
            self.connect_failed(self.now, endpoint, "it does not speak HTTP/2");
        }
        let written = self.links[link].wire.written_bytes();
        self.director.suspect(endpoint);
        let mut has_moved = false;
        for number in calls.into_iter().map(|call| call as usize) {
            let Some(call) = self.calls.get_mut(number) else { continue };
            let Some(up) = call.up.take() else { continue };
            // The link is over; nobody hears of it.
            self.links[up.link].wire.reset(up.stream, Code::CANCEL);
            let call = &self.calls[number];
            if call.response.ended {
                continue;
            }
            let is_unsent = call.position >= written;
            if is_unsent && self.move_on(number, Retry::Unsent) {
                has_moved = true;
            } else if self.retry_lost(number) {
                // It may have run, and may run again.
            } else if self.calls.contains(number) {
                self.fail(number, Ended::ConnectionLost, "the connection was lost");
            }
        }
        if has_moved {
            // What was not sent must not be any more: it runs elsewhere.
            self.links[link].wire.discard_output();
            self.links[link].is_cut_off = true;
        }
        self.serve_waiting(endpoint);
    }
}
