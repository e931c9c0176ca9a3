//! What a side is told, held against what the other did.

use strife_wire::{Code, Event, Head, NO_TAG, Part};

use super::{CLIENT, Ending, MAX_SERVER_TAG, SERVER, Wake, World, content};

impl World {
    /// Holds what a side is told against what the other did.
    pub(super) fn told(&mut self, side: usize, event: Event<'_, ()>) -> Option<Wake> {
        match event {
            Event::Ready | Event::Changed | Event::ConnectionWritable => return Some(Wake::All),
            Event::Writable { stream, tag } => {
                self.expect_tag(side, stream, tag);
                return Some(Wake::Stream(stream));
            }
            Event::Headers { stream, tag, block, part, end_stream } => {
                let is_new = part == Part::Request;
                if is_new {
                    assert_eq!((side, tag), (SERVER, NO_TAG));
                    let mark = MAX_SERVER_TAG - self.calls[&stream].tag;
                    self.sides[SERVER].core.set_tag(stream, mark);
                } else {
                    self.expect_tag(side, stream, tag);
                }
                self.told_headers(side, stream, &block.head, part, end_stream);
            }
            Event::HeadersTooLarge { stream, .. } => {
                let flow = self.calls[&stream].flow(1 - side);
                let limit = self.sides[side].config.max_header_list as usize;
                assert!(!flow.head_heard && flow.head.list_bytes() > limit);
                self.reset_call(side, stream, Code::ENHANCE_YOUR_CALM);
            }
            Event::Data { stream, tag, payload, end_stream } => {
                self.expect_tag(side, stream, tag);
                let window = self.sides[side].config.stream_window as usize;
                let flow = self.call(stream).flow_mut(1 - side);
                assert!(flow.head_heard && !flow.end_heard);
                assert!(payload == content(stream, 1 - side, flow.heard, payload.len()));
                flow.heard += payload.len();
                flow.held += payload.len();
                assert!(flow.held <= window, "more is held than the window");
                if end_stream {
                    assert!(flow.heard == flow.plan && flow.ending != Ending::Trailers);
                    flow.end_heard = true;
                }
            }
            Event::Reset { stream, tag, code, by_us } => {
                assert!(!by_us, "{stream} {code}");
                self.expect_tag(side, stream, tag);
                assert_eq!(self.calls[&stream].reset[1 - side], Some(code));
                self.call(stream).reset_heard[side] = true;
            }
            Event::GoAway { last, code } => {
                assert!(code == Code::NO_ERROR && self.sides[1 - side].went_away);
                if side == CLIENT {
                    self.told_unprocessed(last);
                }
            }
        }
        None
    }

    fn told_headers(
        &mut self,
        side: usize,
        stream: u32,
        head: &Head,
        part: Part,
        end_stream: bool,
    ) {
        let limit = self.sides[side].config.max_header_list as usize;
        let call = self.call(stream);
        assert!(!call.unprocessed, "a call that was given back is served");
        if part == Part::Informational {
            assert!(head.status() == 103 && !end_stream);
            assert!(call.flow(CLIENT).informational > 0);
            return;
        }
        let flow = call.flow_mut(1 - side);
        assert!(!flow.end_heard);
        if part == Part::Trailers {
            assert!(flow.head_heard && flow.ending == Ending::Trailers && end_stream);
            assert_eq!(flow.heard, flow.plan);
            assert_eq!(head.fields(), &flow.trailers());
            flow.end_heard = true;
        } else {
            assert!(!flow.head_heard && head.fields().list_bytes() <= limit);
            assert_eq!(head.fields(), &flow.head);
            assert_eq!(end_stream, flow.is_head_only());
            (flow.head_heard, flow.end_heard) = (true, end_stream);
        }
    }

    /// The server will not serve the calls beyond `last`, and has not.
    fn told_unprocessed(&mut self, last: u32) {
        for tag in self.sides[CLIENT].core.take_unprocessed(last) {
            let (id, call) =
                self.calls.iter_mut().find(|(_, call)| call.tag == tag).expect("a call of ours");
            assert!(*id > last && !call.flow(CLIENT).head_heard);
            call.unprocessed = true;
            self.sides[CLIENT].observer.forget(*id);
        }
    }

    /// A call that a side still has, by the mark it was given.
    fn expect_tag(&self, side: usize, stream: u32, tag: u32) {
        let call = &self.calls[&stream];
        assert!(!call.is_cut(side), "{stream} was cut");
        let expected = if side == CLIENT { call.tag } else { MAX_SERVER_TAG - call.tag };
        assert_eq!(tag, expected);
    }
}
