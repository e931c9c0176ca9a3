//! Many calls, many connections, and chance: in which order things happen, in which pieces bytes
//! travel, what goes wrong.

use std::collections::HashMap;

use proptest::prelude::*;
use strife_wire::Code;

use super::{
    peer::{Asked, Stream},
    plan::{CALL, Plan, plans},
    world::{MS, SECOND, World, limits},
};
use crate::config::Limits;

const CLIENTS: usize = 3;
const ENDPOINTS: usize = 3;
const WINDOWS: [u32; 5] = [0, 1, 100, 65_535, 1 << 20];

/// One thing that happens: what, to whom, how much.
type Step = (u8, u8, u16);

pub(super) fn cases(default: u32) -> ProptestConfig {
    // PROPTEST_CASES asks for more.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = cases.unwrap_or(default);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

struct Storm<'p> {
    world: World,
    plans: &'p [Plan],
    /// Streams of calls that were opened: pipe and id.
    opened: Vec<Option<(usize, u32)>>,
    next: usize,
    /// Of each stream at an endpoint, its call.
    call_of: HashMap<(usize, u32), usize>,
    /// Streams that endpoints answered, or will.
    answered: HashMap<(usize, u32), bool>,
    /// Streams that endpoints refused, so that they did not run there.
    refused: Vec<(usize, u32)>,
    /// Clients whose connection was cut.
    gone: [bool; CLIENTS],
    may_fail: bool,
}

fn call_number(stream: &Stream) -> usize {
    let field = stream.blocks[0].iter().find(|(name, _)| name == CALL);
    field.expect("every request names its call").1.parse().expect("a number")
}

impl<'p> Storm<'p> {
    fn new(limits: Limits, plans: &'p [Plan], may_fail: bool) -> Self {
        let mut world = World::new(limits, ENDPOINTS);
        for _ in 0..CLIENTS {
            world.client(Asked::default());
        }
        Self {
            world,
            plans,
            opened: vec![None; plans.len()],
            next: 0,
            call_of: HashMap::new(),
            answered: HashMap::new(),
            refused: Vec::new(),
            gone: [false; CLIENTS],
            may_fail,
        }
    }

    fn open_next(&mut self) {
        let Some(plan) = self.plans.get(self.next) else { return };
        assert!(self.gone[plan.client] || self.world.pipes[plan.client].is_open, "sent away");
        let peer = self.world.peer(plan.client);
        if self.gone[plan.client] || peer.open_streams() < peer.their_max_streams as usize {
            if !self.gone[plan.client] {
                let id = peer.open(plan.request(self.next));
                self.opened[self.next] = Some((plan.client, id));
            }
            self.next += 1;
        }
    }

    /// Endpoints look at what they heard, and say what they have to.
    fn serve(&mut self) {
        for (number, pipe) in self.world.pipes.iter_mut().enumerate() {
            if pipe.endpoint.is_none() || !pipe.is_open {
                continue;
            }
            let last = pipe.peer.last_served;
            for (id, stream) in &mut pipe.peer.streams {
                let call =
                    *self.call_of.entry((number, *id)).or_insert_with(|| call_number(stream));
                let is_done = self.answered.get(&(number, *id)).is_some_and(|done| *done);
                if *id > last || stream.is_closed() || is_done {
                    continue;
                }
                if let Some(answer) = self.plans[call].answer(call, stream) {
                    stream.plan.extend(answer);
                    self.answered.insert((number, *id), true);
                }
            }
        }
    }

    /// Somebody's stream, by chance.
    fn stream(&self, pipe: usize, chance: u16) -> Option<u32> {
        let open = self.world.pipes[pipe].peer.streams.iter().filter(|(_, one)| !one.is_closed());
        let ids: Vec<_> = open.map(|(id, _)| *id).collect();
        (!ids.is_empty()).then(|| ids[chance as usize % ids.len()])
    }

    fn step(&mut self, (what, who, much): Step) {
        let pipe = who as usize % self.world.pipes.len();
        // One byte to 64 KiB.
        let bytes = (1_usize << (much % 17)).min(64 * 1024) + (much as usize >> 8);
        let is_endpoint = self.world.pipes[pipe].endpoint.is_some();
        match what {
            0..20 => self.open_next(),
            20..60 => {
                if let Some(id) = self.stream(pipe, much / 17) {
                    let padding = if much.is_multiple_of(5) { usize::from(who) } else { 0 };
                    self.world.peer(pipe).say(id, bytes, padding);
                }
            }
            60..100 => drop(self.world.deliver(pipe, bytes)),
            100..140 => drop(self.world.write(pipe, bytes)),
            140..160 => self.world.settle(),
            160..175 => drop(self.world.dial()),
            175..190 => drop(self.world.peer(pipe).give_windows()),
            190..200 => {
                let window = Some(WINDOWS[much as usize % WINDOWS.len()]);
                let max_streams = is_endpoint.then(|| u32::from(much / 5 % 4));
                self.world.peer(pipe).ask(Asked { window, max_streams });
            }
            200..210 => self.world.pass(MS * u32::from(much % 20)),
            210..230 => self.serve(),
            _ if self.may_fail => self.mishap(what, pipe, much),
            _ => self.serve(),
        }
    }

    fn mishap(&mut self, what: u8, pipe: usize, much: u16) {
        let is_client = self.world.pipes[pipe].endpoint.is_none();
        match what {
            230..236 if is_client => {
                if let Some(id) = self.stream(pipe, much) {
                    self.world.peer(pipe).say_reset(id, Code::CANCEL);
                }
            }
            230..236 => {
                if let Some(id) = self.stream(pipe, much) {
                    self.refuse_or_reset(pipe, id, much);
                }
            }
            236..239 => {
                if is_client {
                    self.gone[pipe] = true;
                }
                self.world.hang_up(pipe);
            }
            239..243 if !is_client => self.go_away(pipe, much),
            243..248 => self.world.dials_fail.push_back(true),
            248..251 => self.world.switch.director.is_ready[pipe % ENDPOINTS] ^= true,
            251 => self.world.switch.endpoints_changed(self.world.now),
            _ => self.world.pass(MS * u32::from(much % 700)),
        }
    }

    fn refuse_or_reset(&mut self, pipe: usize, id: u32, much: u16) {
        let has_begun = self.answered.contains_key(&(pipe, id));
        let code = match much % 3 {
            0 | 1 if !has_begun => Code::REFUSED_STREAM,
            2 => Code::INTERNAL_ERROR,
            _ => Code::CANCEL,
        };
        if code == Code::REFUSED_STREAM {
            self.refused.push((pipe, id));
        }
        self.world.peer(pipe).say_reset(id, code);
    }

    /// An endpoint goes; streams it has not begun to answer may be beyond its last.
    fn go_away(&mut self, pipe: usize, much: u16) {
        let begun = self.answered.keys().filter(|(at, _)| *at == pipe).map(|(_, id)| *id);
        let least = begun.max().unwrap_or(0);
        let peer = self.world.peer(pipe);
        let most = peer.next_id.saturating_sub(2).min(peer.last_served).max(least);
        let last = if much.is_multiple_of(2) { least } else { most };
        peer.say_goaway(last);
        let beyond: Vec<_> = peer.streams.keys().copied().filter(|id| *id > last).collect();
        self.refused.extend(beyond.into_iter().map(|id| (pipe, id)));
    }

    /// Everybody is generous and nothing goes wrong any more, until all is said.
    fn calm_down(&mut self) {
        self.may_fail = false;
        self.world.dials_fail.clear();
        self.world.switch.director.is_ready.fill(true);
        for pipe in &mut self.world.pipes {
            let max_streams = pipe.endpoint.map(|_| 100);
            pipe.peer.ask(Asked { window: Some(1 << 20), max_streams });
        }
        for _ in 0..1000 {
            self.open_next();
            self.serve();
            self.world.run();
            self.world.pass(MS * 60);
            let is_over = self.next == self.plans.len() && self.world.switch.calls.is_empty();
            if is_over && !self.world.round() {
                return;
            }
        }
        let stuck: Vec<_> = self.world.switch.calls.iter().collect();
        panic!("calls that do not end: {stuck:#?}");
    }

    /// What each side heard is what the other said.
    fn check(&self) {
        for (pipe, one) in self.world.pipes.iter().enumerate() {
            for (_, code, why) in &one.peer.goaways {
                assert_eq!(*code, Code::NO_ERROR, "pipe {pipe} keeps all rules: {why}");
            }
            for (id, stream) in one.peer.streams.iter().filter(|_| one.endpoint.is_some()) {
                let call = call_number(stream);
                self.plans[call].check_request(call, stream);
                assert!(stream.is_closed() || !one.is_open, "stream {id} of pipe {pipe} is open");
            }
        }
        for (call, opened) in self.opened.iter().enumerate() {
            let Some((pipe, id)) = *opened else { continue };
            let one = &self.world.pipes[pipe];
            let stream = &one.peer.streams[&id];
            self.plans[call].check_answer(call, stream, false);
            let has_ended = stream.ended || stream.reset.is_some() || stream.said_reset;
            assert!(has_ended || !one.is_open, "call {call} has no end");
        }
        self.world.assert_idle();
    }

    /// A call is at most once with an endpoint that did not refuse it.
    fn check_that_none_ran_twice(&self) {
        let mut runs = HashMap::new();
        for (pipe, one) in self.world.pipes.iter().enumerate() {
            for (id, stream) in one.peer.streams.iter().filter(|_| one.endpoint.is_some()) {
                if *id <= one.peer.last_served && !self.refused.contains(&(pipe, *id)) {
                    let before = runs.insert(call_number(stream), (pipe, *id));
                    assert!(before.is_none(), "{before:?} and then {:?}", (pipe, *id));
                }
            }
        }
    }
}

/// Nobody is cut off for being slow: chance is.
fn patient() -> Limits {
    let long = SECOND * 36_000;
    Limits { handshake_timeout: long, stall_timeout: long, keepalive: long, ..limits() }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any::<Step>(), 0..600)
}

proptest! {
    #![proptest_config(cases(64))]

    /// Whatever the order, the pieces, the windows and the streams that are allowed.
    #[test]
    fn every_call_arrives_whole_and_unchanged(
        mut plans in plans(CLIENTS),
        steps in steps(),
        window in 1024_u32..100_000,
        streams in 1_u32..5,
    ) {
        plans.iter_mut().for_each(|plan| plan.deadline_ms = None);
        let limits = Limits {
            stream_window_bytes: window,
            streams_per_connection: streams,
            max_streams: streams + 1,
            ready_timeout: SECOND * 36_000,
            ..patient()
        };
        let mut storm = Storm::new(limits, &plans, false);
        steps.into_iter().for_each(|step| storm.step(step));
        storm.calm_down();
        storm.check();
        storm.check_that_none_ran_twice();
        for (call, opened) in storm.opened.iter().enumerate() {
            let (pipe, id) = opened.expect("all calls were opened");
            plans[call].check_answer(call, &storm.world.pipes[pipe].peer.streams[&id], true);
        }
    }

    /// Cancellations, resets, refusals, connections lost and asked to go, dials that fail,
    /// deadlines.
    #[test]
    fn every_call_ends_once_whatever_goes_wrong(
        plans in plans(CLIENTS),
        steps in steps(),
        window in 1024_u32..100_000,
        streams in 1_u32..5,
    ) {
        let limits = Limits {
            stream_window_bytes: window,
            streams_per_connection: streams,
            ..patient()
        };
        let mut storm = Storm::new(limits, &plans, true);
        steps.into_iter().for_each(|step| storm.step(step));
        storm.calm_down();
        storm.check();
        storm.check_that_none_ran_twice();
    }
}
