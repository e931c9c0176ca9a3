//! Both sides, the wire between them, and what each has been told.

mod told;
mod wire;

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use strife_wire::{BufferPool, Code, Config, Connection, Role};

use super::{
    call::{Call, Ending, Flow, Most, block, content},
    observer::Observer,
};
use crate::input::Input;

pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

/// More than a client resets before the server has shown that it keeps up.
const MAX_CALLS: usize = 24;
/// Half windows that a flow may take: with a window of a few bytes, a round each.
const MAX_WINDOWS: usize = 100;
/// Rounds of everybody doing everything that is possible; all flows may share one window.
const MAX_ROUNDS: usize = 100 + 4 * MAX_CALLS * MAX_WINDOWS;
const MAX_SERVER_TAG: u32 = 1 << 30;

/// One end of the wire.
struct Side {
    core: Connection<()>,
    config: Config,
    observer: Observer,
    /// Output the observer has seen.
    observed: usize,
    /// Written by the other side and not yet arrived.
    coming: Vec<u8>,
    /// Arrived and not yet taken.
    waiting: Vec<u8>,
    went_away: bool,
    squeezed: bool,
}

pub(super) struct World {
    sides: [Side; 2],
    calls: BTreeMap<u32, Call>,
    began: Duration,
    now: Duration,
}

/// Whom an event lets go on.
enum Wake {
    Stream(u32),
    All,
}

impl World {
    pub(super) fn new(configs: [Config; 2]) -> Self {
        let buffers = Rc::new(BufferPool::new());
        let now = Duration::from_secs(1);
        let side = |side: usize, role| Side {
            core: Connection::new(role, configs[side], buffers.clone(), now),
            config: configs[side],
            observer: Observer::new(side, &configs[side]),
            observed: 0,
            coming: Vec::new(),
            waiting: Vec::new(),
            went_away: false,
            squeezed: false,
        };
        let sides = [side(CLIENT, Role::Client), side(SERVER, Role::Server)];
        let mut world = Self { sides, calls: BTreeMap::new(), began: now, now };
        world.observe();
        world
    }

    /// Lets the observers see what is new in the outputs.
    fn observe(&mut self) {
        for side in &mut self.sides {
            let output = side.core.output();
            side.observer.sent(&output[side.observed..]);
            side.observed = output.len();
        }
    }

    /// One of the calls that fit, by a byte of the input.
    fn pick(&self, input: &mut Input<'_>, fits: impl Fn(&Call) -> bool) -> Option<u32> {
        let fitting: Vec<_> =
            self.calls.iter().filter(|(_, call)| fits(call)).map(|(id, _)| *id).collect();
        let choice = usize::from(input.byte());
        (!fitting.is_empty()).then(|| fitting[choice % fitting.len()])
    }

    /// Content that takes a side no more rounds than there are, and heads that may be too large for
    /// the other side but are no attack on it.
    fn most(&self, sender: usize, has_content: bool) -> Most {
        let peer = &self.sides[1 - sender].config;
        let half_window = (peer.stream_window.min(peer.connection_window) as usize / 2).max(1);
        let content = has_content.then_some(MAX_WINDOWS * half_window);
        Most { content, padding: peer.max_header_list as usize * 3 / 2 }
    }

    pub(super) fn open(&mut self, input: &mut Input<'_>) {
        let mut flow = Flow::request(input, self.most(CLIENT, true));
        if self.calls.len() == MAX_CALLS {
            return;
        }
        let tag = self.calls.len() as u32;
        let (ends, bodyless) = (flow.is_head_only(), flow.is_head_request());
        let core = &mut self.sides[CLIENT].core;
        let can_open = core.can_open();
        let opened = core.open(tag, &block(&flow.head), ends, bodyless);
        assert_eq!(opened.is_some(), can_open);
        let Some(id) = opened else { return };
        (flow.head_sent, flow.ended) = (true, ends);
        let flows = [Some(flow), None];
        let (reset, reset_heard) = ([None; 2], [false; 2]);
        let call = Call { tag, flows, reset, reset_heard, unprocessed: false };
        assert!(self.calls.insert(id, call).is_none());
        self.observe();
    }

    /// A client that is in a hurry.
    pub(super) fn open_many(&mut self, input: &mut Input<'_>) {
        let like = input.bytes(4);
        for _ in 0..MAX_CALLS {
            self.open(&mut Input::new(like));
        }
    }

    /// The server sends the head of its answer.
    pub(super) fn answer(&mut self, input: &mut Input<'_>) {
        let waits = |call: &Call| {
            call.flow(CLIENT).head_heard && call.flows[SERVER].is_none() && !call.is_cut(SERVER)
        };
        let Some(id) = self.pick(input, waits) else { return };
        let has_content = !self.calls[&id].flow(CLIENT).is_head_request();
        let mut flow = Flow::response(input, self.most(SERVER, has_content));
        let ends = flow.is_head_only();
        self.sides[SERVER].core.send_headers(id, &block(&flow.head), ends);
        (flow.head_sent, flow.ended) = (true, ends);
        self.call(id).flows[SERVER] = Some(flow);
        self.observe();
    }

    /// The server sends an informational head.
    pub(super) fn inform(&mut self, input: &mut Input<'_>) {
        let waits = |call: &Call| {
            call.flow(CLIENT).head_heard && call.flows[SERVER].is_none() && !call.is_cut(SERVER)
        };
        let Some(id) = self.pick(input, waits) else { return };
        let flow = self.call(id).flow_mut(CLIENT);
        if flow.informational < 16 {
            flow.informational += 1;
            self.sides[SERVER].core.send_headers(id, b"\x08\x03103", false);
            self.observe();
        }
    }

    pub(super) fn offer_some(&mut self, side: usize, input: &mut Input<'_>) {
        let picked = self.pick(input, |call| call.can_send(side));
        let bytes = input.number();
        if let Some(id) = picked {
            self.offer(side, id, bytes);
        }
    }

    pub(super) fn offer_all(&mut self, side: usize) {
        for id in self.ids() {
            if self.calls[&id].can_send(side) {
                self.offer(side, id, usize::MAX);
            }
        }
    }

    /// A side has more to send. If it is waiting to be told that it can go on, it does wait.
    fn offer(&mut self, side: usize, id: u32, bytes: usize) {
        let flow = self.call(id).flow_mut(side);
        let was_blocked = flow.blocked > 0;
        flow.blocked = flow.blocked.saturating_add(bytes).min(flow.plan - flow.sent);
        if !was_blocked {
            self.push(side, id);
        }
    }

    /// Sends what was offered, and the end if nothing is left.
    fn push(&mut self, side: usize, id: u32) {
        let call = self.calls.get_mut(&id).expect("a call");
        if !call.can_send(side) {
            return;
        }
        let flow = call.flow_mut(side);
        let core = &mut self.sides[side].core;
        let is_last = flow.sent + flow.blocked == flow.plan;
        let ends = is_last && flow.ending == Ending::Content;
        if flow.blocked > 0 {
            let content = content(id, side, flow.sent, flow.blocked);
            let taken = core.send_data(id, content, ends);
            assert!(taken <= flow.blocked);
            flow.sent += taken;
            flow.blocked -= taken;
        }
        if flow.sent == flow.plan {
            match flow.ending {
                Ending::Content => {}
                Ending::Empty => assert_eq!(core.send_data(id, b"", true), 0),
                Ending::Trailers => core.send_headers(id, &block(&flow.trailers()), true),
            }
            flow.ended = true;
        }
        self.observe();
    }

    pub(super) fn reset(&mut self, side: usize, input: &mut Input<'_>) {
        let alive = |call: &Call| {
            let is_over = call.flows.iter().flatten().filter(|flow| flow.ended).count() == 2;
            !call.is_cut(side) && !is_over && (side == CLIENT || call.flow(CLIENT).head_heard)
        };
        let picked = self.pick(input, alive);
        let code = input.pick(&[Code::CANCEL, Code::NO_ERROR, Code(77)]);
        if let Some(id) = picked {
            self.reset_call(side, id, code);
        }
    }

    /// A side resets all it can.
    pub(super) fn reset_all(&mut self, side: usize) {
        for _ in 0..self.calls.len() {
            self.reset(side, &mut Input::new(&[]));
        }
    }

    fn reset_call(&mut self, side: usize, id: u32, code: Code) {
        self.call(id).reset[side] = Some(code);
        self.sides[side].core.reset(id, code);
        self.observe();
    }

    pub(super) fn release_some(&mut self, side: usize, input: &mut Input<'_>) {
        let holds = |call: &Call| call.flows[1 - side].as_ref().is_some_and(|flow| flow.held > 0);
        let picked = self.pick(input, holds);
        let bytes = input.number();
        if let Some(id) = picked {
            self.release(side, id, bytes);
        }
    }

    fn release(&mut self, side: usize, id: u32, bytes: usize) {
        let flow = self.call(id).flow_mut(1 - side);
        let bytes = bytes.min(flow.held);
        flow.held -= bytes;
        self.sides[side].core.release(id, bytes);
        self.observe();
    }

    /// Everything that was begun is ended, and everything that was sent is heard.
    pub(super) fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            for _ in 0..self.calls.len() {
                self.answer(&mut Input::new(&[]));
            }
            for side in [CLIENT, SERVER] {
                for id in self.ids() {
                    let call = &self.calls[&id];
                    let is_idle = call.flows[side].as_ref().is_some_and(|flow| flow.blocked == 0);
                    if call.can_send(side) && is_idle {
                        self.offer(side, id, usize::MAX);
                    }
                    if self.calls[&id].flows[1 - side].is_some() {
                        self.release(side, id, usize::MAX);
                    }
                }
            }
            let is_quiet =
                |side: &Side| side.core.output_len() + side.coming.len() == 0 && !side.squeezed;
            if self.sides.iter().all(is_quiet) {
                return;
            }
            for side in [CLIENT, SERVER] {
                self.write(side, usize::MAX);
                self.relax(side);
                self.hear(1 - side, usize::MAX);
            }
        }
        panic!("they never come to rest");
    }

    pub(super) fn check_all_is_done(&self) {
        for (id, call) in &self.calls {
            assert!(call.is_done(), "{id} waits for ever: {call:?}");
        }
        for side in &self.sides {
            assert!(side.waiting.is_empty() && !side.core.has_failed());
            assert_eq!(side.core.open_streams(), 0);
        }
        if self.sides[SERVER].went_away {
            assert!(self.sides.iter().all(|side| side.core.is_finished()));
        }
    }

    fn ids(&self) -> Vec<u32> {
        self.calls.keys().copied().collect()
    }

    fn call(&mut self, id: u32) -> &mut Call {
        self.calls.get_mut(&id).expect("a call")
    }
}
