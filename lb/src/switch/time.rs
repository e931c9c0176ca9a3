//! What happens because time passes: deadlines, patience that ends, connections that are silent,
//! stalled or old, and the drain.

use std::time::Duration;

use strife_wire::{Code, Expired};

use super::{
    Director, Switch,
    call::{Half, Stage},
    link::Side,
    slot::Slot,
};
use crate::{
    access_log::Ended,
    metrics::{CloseReason, Refusal, Retry},
};

/// How often connections and stalled calls are looked at.
const SWEEP: Duration = Duration::from_millis(500);
/// How often calls that wait for any endpoint look again by themselves.
const PARKED_LOOK: Duration = Duration::from_millis(50);

impl<D: Director> Switch<D> {
    /// Looks at the clock; to be called after [`Switch::next_tick`].
    pub(crate) fn tick(&mut self, now: Duration) {
        self.now = now;
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.expire(now, &mut expired);
        for number in expired.drain(..) {
            self.timer_fired(number as usize);
        }
        self.expired = expired;
        if self.has_parked() && now.saturating_sub(self.parked_looked_at) >= PARKED_LOOK {
            self.unpark();
        }
        if now.saturating_sub(self.swept_at) >= SWEEP {
            self.swept_at = now;
            self.sweep_links();
            self.sweep_calls();
            self.sweep_slots();
        }
    }

    /// How long nothing will happen by itself; `None`: for ever.
    pub(crate) fn next_tick(&self) -> Option<Duration> {
        if let Some(next) = self.wheel.next_look() {
            return Some(next);
        }
        if self.has_parked() {
            return Some(PARKED_LOOK);
        }
        let has_gone = || (0..self.slots.len()).any(|number| self.director.is_gone(number));
        (!self.links.is_empty() || has_gone()).then_some(SWEEP)
    }

    fn timer_fired(&mut self, number: usize) {
        // One that fires may end others.
        let Some(call) = self.calls.get(number) else { return };
        if call.deadline.is_some_and(|deadline| deadline <= self.now) {
            let why = "the call's deadline passed before it was answered";
            if let Some(endpoint) = call.endpoint {
                self.director.metrics(endpoint).deadlines_exceeded.increment();
            }
            return self.refuse(number, Refusal::DeadlineExceeded, why);
        }
        match call.stage {
            Stage::Parked if call.found_all_full => {
                let name = self.director.pool_name(call.pool.unwrap_or_default());
                let why = format!(
                    "the servers of pool `{name}` have as many calls under way as they may have; try again \
                     later"
                );
                self.refuse(number, Refusal::NoFreeStream, &why);
            }
            Stage::Parked => {
                let pool = call.pool.unwrap_or_default();
                let why = self.director.unavailable(pool);
                self.refuse(number, Refusal::NoReadyEndpoint, &why);
            }
            Stage::Waiting => self.waited_long_enough(number),
            Stage::Paused => self.resume(number),
            Stage::Fresh | Stage::Sent | Stage::Answered => self.set_timer(number),
        }
    }

    /// Its endpoint has had no stream for it in time.
    fn waited_long_enough(&mut self, number: usize) {
        let Some(endpoint) = self.calls[number].endpoint else { return };
        if self.slots[endpoint].links.is_empty() {
            // There is no connection at all: it cannot have run.
            if !self.move_on(number, Retry::ConnectFailure) {
                let ended = Ended::Refused(Refusal::AttemptsExhausted);
                self.fail(number, ended, "no connection to it in time");
            }
            return;
        }
        let address = self.director.address(endpoint);
        let why =
            format!("server {address} has as many calls under way as it may have; try again later");
        self.refuse(number, Refusal::NoFreeStream, &why);
    }

    fn sweep_links(&mut self) {
        let (mut to_clients, mut to_endpoints) = (0, 0);
        let numbers: Vec<_> = self.links.iter().map(|(number, _)| number).collect();
        for number in numbers {
            let link = &mut self.links[number];
            if link.closing.is_none() && link.retires_at.is_some_and(|at| at <= self.now) {
                link.retires_at = None;
                link.is_retired = true;
                link.wire.go_away(self.now);
                self.metrics.downstream.goaways_sent.increment();
            }
            self.retire_if_draining(number);
            let link = &mut self.links[number];
            let was_ready = link.wire.is_ready();
            if let Err(expired) = link.wire.check(self.now) {
                self.expire_link(number, expired, was_ready);
                continue;
            }
            link.wire.shrink();
            match link.side {
                Side::Down(_) => to_clients += link.wire.output_len() as u64,
                Side::Up(_) => to_endpoints += link.wire.output_len() as u64,
            }
            if link.wire.output_len() > 0 {
                self.mark_dirty(number);
            }
            self.look_whether_finished(number);
        }
        self.metrics.downstream.output_bytes.set(to_clients);
        self.metrics.upstream.output_bytes.set(to_endpoints);
    }

    /// An endpoint that an operator drains needs no connections without calls.
    fn retire_if_draining(&mut self, number: usize) {
        let link = &mut self.links[number];
        if let Side::Up(endpoint) = link.side
            && link.wire.takes_streams()
            && link.wire.open_streams() == 0
            && self.director.is_draining(endpoint)
        {
            link.wire.go_away(self.now);
        }
    }

    fn expire_link(&mut self, number: usize, expired: Expired, was_ready: bool) {
        let (reason, code) = match expired {
            Expired::Handshake if was_ready => (CloseReason::FrameTimeout, Code::ENHANCE_YOUR_CALM),
            Expired::Handshake => (CloseReason::HandshakeTimeout, Code::SETTINGS_TIMEOUT),
            Expired::Keepalive => (CloseReason::KeepaliveTimeout, Code::NO_ERROR),
            Expired::Stalled => (CloseReason::StallTimeout, Code::ENHANCE_YOUR_CALM),
        };
        let link = &mut self.links[number];
        link.wire.close(code);
        // It had its time; what it has not read by now is not waited for.
        link.is_cut_off =
            link.is_cut_off || link.closing.is_some() || expired != Expired::Handshake;
        self.give_up_link(number, reason);
    }

    /// Calls whose bytes are held and do not move are ended (CVE-2020-12604).
    fn sweep_calls(&mut self) {
        let limit = self.limits.stall_timeout;
        let is_stalled = |half: &Half| {
            !half.pending().is_empty() && self.now.saturating_sub(half.moved_at) > limit
        };
        let stalled = self.calls.iter().filter_map(|(number, call)| {
            let waits = call.up.is_some() && is_stalled(&call.request);
            (waits || is_stalled(&call.response)).then_some(number)
        });
        for number in stalled.collect::<Vec<_>>() {
            if self.calls.contains(number) {
                let why = "its bytes have not moved for too long";
                self.refuse(number, Refusal::Stalled, why);
            }
        }
    }

    /// Endpoints that are gone and have nothing left here are forgotten.
    fn sweep_slots(&mut self) {
        let mut released = Vec::new();
        for number in 0..self.slots.len() {
            if self.slots[number].is_vacant() && self.director.is_gone(number) {
                self.slots[number] = Slot::default();
                self.director.released(number);
                released.push(number);
            }
        }
        if released.is_empty() {
            return;
        }
        // Calls that wait would pass over whoever has the number next.
        for (_, call) in &mut self.calls {
            call.tried.retain(|one| !released.contains(one));
        }
    }

    /// Links whose peers do not read what they made us write are given up.
    /// `links`: those that were just written to.
    pub(crate) fn shed_overflowing(&mut self, links: &[usize]) {
        for number in links.iter().copied() {
            let Some(link) = self.links.get_mut(number) else { continue };
            if link.wire.is_overflowing() && !link.is_cut_off {
                link.is_cut_off = true;
                link.wire.close(Code::ENHANCE_YOUR_CALM);
                self.leg_metrics(number).floods.increment(strife_wire::Flood::Output);
                self.give_up_link(number, CloseReason::FloodGuard);
            }
        }
    }

    /// Asks all clients to go; calls under way, and those that cross, are served.
    pub(crate) fn drain(&mut self, now: Duration) {
        self.now = now;
        self.draining = true;
        let clients = |link: &&mut super::Link| matches!(link.side, Side::Down(_));
        let links: Vec<_> = self.links.iter().map(|(number, _)| number).collect();
        for number in links {
            let Some(link) = self.links.get_mut(number).filter(clients) else { continue };
            link.wire.go_away(now);
            self.metrics.downstream.goaways_sent.increment();
            self.mark_dirty(number);
        }
    }
}
