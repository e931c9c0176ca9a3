//! Links come and go: accepted, connected, read from, written to, closed.

use std::{rc::Rc, time::Duration};

use rand::RngExt;
use strife_wire::{Connection, ConnectionError, Role};

use super::{Director, Link, Peer, Side, Switch};
use crate::metrics::{CloseReason, LegMetrics};

/// Connection ages are spread by up to this share either way, so that clients do not all come back at
/// once (gRFC A9).
const AGE_JITTER: f64 = 0.1;
/// A connection's own window towards us, bytes.
const CONNECTION_WINDOW: u32 = 4 << 20;

impl<D: Director> Switch<D> {
    /// A client's connection was accepted, handshake included.
    pub(crate) fn accept(&mut self, now: Duration, peer: Peer) -> usize {
        self.now = now;
        let config = self.wire_config(self.limits.max_streams);
        let config = strife_wire::Config { connection_window: CONNECTION_WINDOW, ..config };
        let wire = Connection::new(Role::Server, config, self.buffers.clone(), now);
        let mut link = Link::new(wire, Side::Down(Rc::new(peer)));
        if let Some(age) = self.limits.max_connection_age {
            let jitter = self.rng.random_range(1.0 - AGE_JITTER..1.0 + AGE_JITTER);
            link.retires_at = Some(now + age.mul_f64(jitter));
        }
        let number = self.insert(link);
        if self.draining {
            self.links[number].wire.go_away(now);
        }
        number
    }

    /// A connection to an endpoint was made, handshake included.
    pub(crate) fn connected(&mut self, now: Duration, endpoint: usize) -> usize {
        self.now = now;
        let config = self.wire_config(self.limits.streams_per_connection);
        let config = strife_wire::Config { connection_window: CONNECTION_WINDOW, ..config };
        let wire = Connection::new(Role::Client, config, self.buffers.clone(), now);
        self.slot(endpoint).connections += 1;
        self.insert(Link::new(wire, Side::Up(endpoint)))
    }

    fn insert(&mut self, link: Link) -> usize {
        let number = self.links.insert(link);
        let leg = self.leg_metrics(number);
        leg.connections_opened.increment();
        leg.connections_active.add(1);
        self.mark_dirty(number);
        number
    }

    /// Bytes arrived on a link.
    pub(crate) fn receive(&mut self, now: Duration, number: usize, bytes: &[u8]) {
        self.now = now;
        let Some(link) = self.links.get_mut(number) else { return };
        let mut carried = std::mem::take(&mut link.carried);
        self.leg_metrics(number).bytes_received.add(bytes.len() as u64);
        let mut input = bytes;
        if !carried.is_empty() {
            carried.extend_from_slice(bytes);
            input = &carried;
        }
        self.read_events(number, &mut input);
        let rest = input.to_vec();
        // Streams that were reset a while ago come free without an event.
        self.look_for_vacancies(number);
        if let Some(link) = self.links.get_mut(number) {
            link.carried = rest;
            if link.wire.output_len() > 0 {
                self.mark_dirty(number);
            }
            self.look_whether_finished(number);
        }
    }

    fn read_events(&mut self, number: usize, input: &mut &[u8]) {
        loop {
            let link = &mut self.links[number];
            let is_client = matches!(link.side, Side::Down(_));
            match link.wire.receive(self.now, input) {
                Ok(None) => return,
                Ok(Some(event)) if is_client => self.client_event(number, event),
                Ok(Some(event)) => self.endpoint_event(number, event),
                Err(error) => return self.link_failed(number, error),
            }
        }
    }

    /// The peer broke a rule of the connection. It is told, and then left.
    fn link_failed(&mut self, number: usize, error: ConnectionError) {
        let leg = self.leg_metrics(number);
        let reason = match error.flood {
            Some(flood) => {
                leg.floods.increment(flood);
                CloseReason::FloodGuard
            }
            None => {
                leg.protocol_errors.increment(error.code);
                CloseReason::ProtocolError
            }
        };
        leg.goaways_sent.increment();
        tracing::debug!(peer = self.link_name(number), %error, "connection ended");
        self.give_up_link(number, reason);
    }

    /// Ends all calls of a link; it is closed when its output is written.
    pub(super) fn give_up_link(&mut self, number: usize, reason: CloseReason) {
        self.links[number].closing.get_or_insert(reason);
        self.lose_calls(number);
        self.mark_dirty(number);
    }

    /// Who is on the other end, for the log.
    fn link_name(&self, number: usize) -> String {
        match &self.links[number].side {
            Side::Down(peer) => peer.address.to_string(),
            Side::Up(endpoint) => self.director.address(*endpoint).to_owned(),
        }
    }

    /// The socket is closed, for this reason unless there was one before.
    pub(crate) fn closed(&mut self, now: Duration, number: usize, reason: CloseReason) {
        self.now = now;
        if !self.links.contains(number) {
            return;
        }
        self.lose_calls(number);
        let leg = self.leg_metrics(number);
        leg.connections_active.subtract(1);
        leg.connections_closed.increment(self.links[number].closing.unwrap_or(reason));
        if let Side::Up(endpoint) = self.links.remove(number).side {
            self.slots[endpoint].connections -= 1;
        }
    }

    fn lose_calls(&mut self, number: usize) {
        // Once: their numbers may belong to other calls soon.
        let tags = self.links[number].wire.abandon();
        match self.links[number].side {
            Side::Down(_) => tags.into_iter().for_each(|call| self.client_lost(call)),
            Side::Up(endpoint) => self.endpoint_link_lost(number, endpoint, tags),
        }
    }

    /// What is to be written on a link.
    pub(crate) fn output(&self, number: usize) -> &[u8] {
        let link = self.links.get(number).filter(|link| !link.is_cut_off);
        link.map_or(&[], |link| link.wire.output())
    }

    /// The first `bytes` of it were written.
    pub(crate) fn written(&mut self, now: Duration, number: usize, bytes: usize) {
        self.now = now;
        let Some(link) = self.links.get_mut(number) else { return };
        let has_room = link.wire.written(now, bytes);
        self.leg_metrics(number).bytes_sent.add(bytes as u64);
        if has_room {
            self.pump_link(number);
        }
        self.look_for_vacancies(number);
    }

    /// Whether a link whose output is written is to be closed.
    pub(crate) fn is_over(&self, number: usize) -> bool {
        self.links.get(number).is_none_or(|link| {
            link.closing.is_some() && (link.is_cut_off || link.wire.output_len() == 0)
        })
    }

    /// Closes a link that has come to its orderly end.
    pub(super) fn look_whether_finished(&mut self, number: usize) {
        let link = &mut self.links[number];
        if link.closing.is_some() || !link.wire.is_finished() {
            return;
        }
        let reason = if link.is_retired { CloseReason::Age } else { CloseReason::Drained };
        link.closing = Some(reason);
        if let Side::Up(endpoint) = link.side {
            self.slots[endpoint].links.retain(|one| *one != number);
        }
        self.mark_dirty(number);
    }

    pub(super) fn leg_metrics(&self, number: usize) -> &LegMetrics {
        match self.links[number].side {
            Side::Down(_) => &self.metrics.downstream,
            Side::Up(_) => &self.metrics.upstream,
        }
    }
}
