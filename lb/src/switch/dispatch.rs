//! Which stream of which endpoint a call gets: now, after a connection is made, or elsewhere when
//! it cannot have run.

use std::{collections::VecDeque, time::Duration};

use strife_wire::Head;

use super::{
    Avoid, Director, Switch,
    call::{Leg, Stage},
    link::Side,
    purge, retry, translate,
};
use crate::{
    access_log::Ended,
    metrics::{Refusal, Retry},
};

/// What an endpoint has for another call.
enum Vacancy {
    /// A stream on this link.
    Free(usize),
    /// Nothing yet: a connection should be made.
    Connect,
    /// Nothing yet: a connection is being made.
    Soon,
    /// Nothing: it cannot be reached for the moment.
    Unreachable,
    /// Nothing before another call ends, or before some of what there is to write is written.
    Full,
}

impl<D: Director> Switch<D> {
    /// All bytes that were there are read: new calls are sent on their way.
    pub(crate) fn settle(&mut self, now: Duration) {
        self.now = now;
        let mut next = 0;
        // One that ends meanwhile may let another go.
        while let Some(entry) = self.fresh.get(next).copied() {
            next += 1;
            // One that was cancelled in the same breath never costs an endpoint anything.
            if self.live(entry).is_some_and(|call| call.stage == Stage::Fresh) {
                self.dispatch(entry.0 as usize);
            }
        }
        self.fresh.clear();
    }

    pub(super) fn dispatch(&mut self, number: usize) {
        // One that is full is not tried: from then on all that are full are passed over.
        let mut full_from = None;
        loop {
            let call = &self.calls[number];
            let Some(pool) = call.pool else { return };
            let head = call.head.as_ref().map(|block| &block.head);
            let avoid = Avoid { tried: &call.tried, full_from };
            let Some(endpoint) = self.director.pick(self.now, pool, head, avoid) else {
                return self.park(number, full_from.is_some());
            };
            if let Some(trace) = &mut self.calls[number].trace {
                let (policy, regime) = self.director.last_pick();
                trace.picked(policy, regime);
            }
            let call = &self.calls[number];
            // All there are were tried, or enough of them.
            let is_last =
                call.tried.len() + 1 >= self.limits.max_attempts || call.tried.contains(&endpoint);
            if let Some(most) = self.limits.max_calls_per_server
                && self.director.in_flight(endpoint) >= most
            {
                if full_from.replace(most).is_some() {
                    return self.park(number, true);
                }
                continue;
            }
            match self.vacancy(endpoint) {
                Vacancy::Free(link) => {
                    self.assign(number, endpoint);
                    return self.send(number, link);
                }
                Vacancy::Connect => {
                    self.connect(endpoint);
                    return self.wait(number, endpoint, self.limits.connect_timeout);
                }
                Vacancy::Soon => {
                    return self.wait(number, endpoint, self.limits.connect_timeout);
                }
                Vacancy::Full if is_last => return self.wait(number, endpoint, Duration::ZERO),
                Vacancy::Unreachable if is_last => return self.park(number, false),
                Vacancy::Full | Vacancy::Unreachable => self.calls[number].tried.push(endpoint),
            }
        }
    }

    fn vacancy(&mut self, endpoint: usize) -> Vacancy {
        self.slot(endpoint);
        let slot = &self.slots[endpoint];
        let free = slot.links.iter().find(|link| self.links[**link].wire.can_open());
        match free {
            Some(link) => Vacancy::Free(*link),
            None if slot.connecting => Vacancy::Soon,
            None if slot.links.iter().any(|link| !self.links[*link].wire.has_room()) => {
                Vacancy::Full
            }
            None if slot.links.len() >= self.limits.connections_per_server => Vacancy::Full,
            None if !slot.is_backing_off(self.now) => Vacancy::Connect,
            None if slot.links.is_empty() => Vacancy::Unreachable,
            None => Vacancy::Full,
        }
    }

    fn connect(&mut self, endpoint: usize) {
        self.slots[endpoint].connecting = true;
        self.director.metrics(endpoint).connect_attempts.increment();
        self.connects.push(endpoint);
    }

    fn assign(&mut self, number: usize, endpoint: usize) {
        self.slots[endpoint].calls += 1;
        let call = &mut self.calls[number];
        call.endpoint = Some(endpoint);
        call.assigned_at = self.now;
        call.attempts = call.attempts.saturating_add(1);
        self.director.started(endpoint);
    }

    fn wait(&mut self, number: usize, endpoint: usize, connecting: Duration) {
        self.assign(number, endpoint);
        let call = &mut self.calls[number];
        call.stage = Stage::Waiting;
        // Counted from when it first found nothing, however often it looks.
        let since = *call.waits_since.get_or_insert(self.now);
        call.patience = Some(since + connecting + self.limits.ready_timeout);
        let entry = (number as u32, call.serial);
        let waiting = &mut self.slots[endpoint].waiting;
        waiting.push_back(entry);
        purge(waiting, &self.calls);
        self.set_timer(number);
    }

    /// `found_all_full`: there are endpoints, with as many calls as they may have.
    fn park(&mut self, number: usize, found_all_full: bool) {
        let call = &mut self.calls[number];
        (call.stage, call.found_all_full) = (Stage::Parked, found_all_full);
        let since = *call.waits_since.get_or_insert(self.now);
        call.patience = Some(since + self.limits.ready_timeout);
        call.tried.clear();
        let (entry, pool) = ((number as u32, call.serial), call.pool.unwrap_or_default());
        if pool >= self.parked.len() {
            self.parked.resize_with(pool + 1, VecDeque::new);
        }
        self.parked[pool].push_back(entry);
        purge(&mut self.parked[pool], &self.calls);
        self.set_timer(number);
    }

    /// Servers came or went: calls that found none look again.
    pub(crate) fn endpoints_changed(&mut self, now: Duration) {
        self.now = now;
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if slot.has_failed() && slot.failed_when != self.director.times_ready(number) {
                slot.forget_failures();
            }
        }
        self.unpark();
    }

    pub(super) fn unpark(&mut self) {
        self.parked_looked_at = self.now;
        for pool in 0..self.parked.len() {
            for _ in 0..self.parked[pool].len() {
                let Some(entry) = self.parked[pool].pop_front() else { break };
                if self.live(entry).is_some_and(|call| call.stage == Stage::Parked) {
                    self.dispatch(entry.0 as usize);
                }
            }
        }
    }

    /// Whether calls wait for any endpoint to be ready.
    pub(super) fn has_parked(&self) -> bool {
        self.parked.iter().any(|queue| !queue.is_empty())
    }

    /// A call of this pool has ended: one that waits for any endpoint may look again, when all bytes
    /// are read.
    pub(super) fn look_for_parked(&mut self, pool: usize) {
        if self.limits.max_calls_per_server.is_none() {
            return;
        }
        while let Some((number, serial)) = self.parked.get_mut(pool).and_then(VecDeque::pop_front) {
            let call = self.calls.get_mut(number as usize).filter(|call| call.serial == serial);
            if let Some(call) = call.filter(|call| call.stage == Stage::Parked) {
                call.stage = Stage::Fresh;
                return self.fresh.push((number, serial));
            }
        }
    }

    /// Opens the stream and sends what there is of the request.
    fn send(&mut self, number: usize, link: usize) {
        let Some(head) = self.calls[number].head.clone() else { return };
        let traced = self.traced(number, &head.head);
        let block = traced.as_deref().unwrap_or_else(|| head.memo(super::pump::unset).block());
        let call = &mut self.calls[number];
        let again = (call.retries > 0).then(|| retry::block_again(block, &head.head, call.retries));
        let block = again.as_deref().unwrap_or(block);
        let request = &mut call.request;
        let ends = request.ended && request.pending().is_empty() && request.trailers.is_none();
        let wire = &mut self.links[link].wire;
        call.position = wire.position();
        let bodyless = head.head.method() == b"HEAD";
        let stream = wire.open(number as u32, block, ends, bodyless);
        let stream = stream.expect("the link said that it can open one");
        if !wire.takes_streams() {
            // Its ids are used up (RFC 9113, section 5.1.1): it ends with the calls it has.
            wire.go_away(self.now);
            self.slots.iter_mut().for_each(|slot| slot.links.retain(|one| *one != link));
        }
        (request.done, call.up) = (ends, Some(Leg { link, stream }));
        call.stage = Stage::Sent;
        call.sends = call.sends.saturating_add(1);
        // If it comes back it may wait as long as any other.
        call.waits_since = None;
        if call.patience.take().is_some() {
            self.set_timer(number);
        }
        self.mark_dirty(link);
        self.pump_request(number);
    }

    /// The block of a call that is traced: no other call's is the same.
    fn traced(&self, number: usize, head: &Head) -> Option<Box<[u8]>> {
        let call = &self.calls[number];
        let trace = call.trace.as_deref()?;
        let Side::Down(peer) = &self.links.get(call.down.link)?.side else { return None };
        Some(translate::request(head, peer, Some(trace)))
    }

    /// Takes a call away from an endpoint that cannot have run it and sends it elsewhere. `false` if
    /// it has been tried often enough, or cannot be sent again.
    pub(super) fn move_on(&mut self, number: usize, why: Retry) -> bool {
        let call = &mut self.calls[number];
        let most = self.limits.max_attempts;
        // Where it was tried is forgotten when it waits; how often it was sent is not.
        let is_bounded = call.tried.len() + 1 < most && usize::from(call.sends) < most;
        let may = call.replayable && is_bounded;
        // An endpoint that refuses has had work with it, which must not grow with its refusals; one that
        // goes away, or never saw the call, is no worse off.
        if !may || (why == Retry::Refused && !self.withdraw_retry(number)) {
            return false;
        }
        self.take_back(number, why);
        self.dispatch(number);
        true
    }

    /// The request is as it was before any of it was sent.
    pub(super) fn take_back(&mut self, number: usize, why: Retry) {
        let call = &mut self.calls[number];
        if let Some(endpoint) = call.endpoint.take() {
            self.slots[endpoint].calls -= 1;
            call.tried.push(endpoint);
            self.director.moved(self.now, endpoint, call.assigned_at, why);
        }
        let call = &mut self.calls[number];
        (call.up, call.stage) = (None, Stage::Fresh);
        self.replay_bytes -= call.request.sent;
        call.request.rewind(self.now);
    }

    /// SETTINGS of a new connection arrived.
    pub(super) fn link_ready(&mut self, link: usize) {
        let Side::Up(endpoint) = self.links[link].side else { return };
        self.links[link].is_counted = true;
        let slot = &mut self.slots[endpoint];
        slot.connecting = false;
        slot.links.push(link);
        slot.forget_failures();
        self.serve_waiting(endpoint);
    }

    /// A connection could not be made.
    pub(crate) fn connect_failed(&mut self, now: Duration, endpoint: usize, why: &str) {
        self.now = now;
        let slot = &mut self.slots[endpoint];
        slot.connecting = false;
        slot.failed_when = self.director.times_ready(endpoint);
        slot.note_failure(now, why, &mut self.rng);
        self.director.metrics(endpoint).connect_failures.increment();
        self.director.suspect(endpoint);
        if self.slots[endpoint].links.is_empty() {
            self.move_waiting(endpoint);
        }
    }

    fn move_waiting(&mut self, endpoint: usize) {
        for entry in std::mem::take(&mut self.slots[endpoint].waiting) {
            if !self.waits_for(entry, endpoint) {
                continue;
            }
            let number = entry.0 as usize;
            if !self.move_on(number, Retry::ConnectFailure) {
                let why = self.slots[endpoint].last_failure.clone();
                self.fail(number, Ended::Refused(Refusal::AttemptsExhausted), &why);
            }
        }
    }

    fn waits_for(&self, entry: (u32, u32), endpoint: usize) -> bool {
        self.live(entry)
            .is_some_and(|call| call.stage == Stage::Waiting && call.endpoint == Some(endpoint))
    }

    /// There may be streams for calls that wait.
    pub(super) fn serve_waiting(&mut self, endpoint: usize) {
        while let Some(entry) = self.slots[endpoint].waiting.front().copied() {
            if !self.waits_for(entry, endpoint) {
                self.slots[endpoint].waiting.pop_front();
                continue;
            }
            match self.vacancy(endpoint) {
                Vacancy::Free(link) => {
                    self.slots[endpoint].waiting.pop_front();
                    self.send(entry.0 as usize, link);
                }
                Vacancy::Connect => return self.connect(endpoint),
                Vacancy::Unreachable => return self.move_waiting(endpoint),
                Vacancy::Soon | Vacancy::Full => return,
            }
        }
    }

    /// A stream to an endpoint ended.
    pub(super) fn stream_freed(&mut self, link: usize) {
        if self.links[link].wire.output_len() > 0 {
            self.mark_dirty(link);
        }
        self.look_for_vacancies(link);
        self.look_whether_finished(link);
    }

    /// There may be streams on this link for calls that wait.
    pub(super) fn look_for_vacancies(&mut self, link: usize) {
        let link = &self.links[link];
        if let Side::Up(endpoint) = link.side
            && !self.slots[endpoint].waiting.is_empty()
            && link.wire.has_room()
        {
            self.serve_waiting(endpoint);
        }
    }
}
