//! Whether there is room for a new payment, and what becomes of it if there is none: a refusal, or a place
//! in the queue for whoever asked for that.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{
    Shared,
    active::{Payments, Running},
};
use crate::{
    banks::Banks,
    error::GatewayError,
    order::Order,
    payment::{Payment, State},
    store::{Record, Store},
};

/// A new payment.
pub(super) enum Taken {
    /// It is under way.
    On(Running),
    /// It is to be written into the queue.
    PutOff(Arc<Record>),
    /// No transaction id is at hand.
    Nameless(Order),
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Takes on a payment whose id is claimed, if there is room for it and its banks are there.
    pub(super) fn admit(
        self: &Arc<Self>,
        order: Order,
        payee: Option<String>,
        now_ms: i64,
    ) -> Result<Taken, GatewayError> {
        let mut active = self.active.lock();
        let full = match self.full(&active, &order) {
            Some(full) if !order.may_queue() => return Err(full),
            full => full,
        };
        let away = if full.is_none() { self.away(&order) } else { None };
        let put_off = away.or_else(|| full.as_ref().map(ToString::to_string));
        let Some(sequence) = self.next_sequence(&mut active) else {
            return Ok(Taken::Nameless(order));
        };
        let id = self.run.transaction(sequence);
        let (initiated_at_ms, state) = (now_ms, State::Initiated);
        let mut record =
            Record { id, order, payee, initiated_at_ms, state, earlier: None, queued: None };
        if put_off.is_some_and(|why| self.put_off(&mut record, why)) {
            return Ok(Taken::PutOff(Arc::new(record)));
        }
        if let Some(full) = full {
            return Err(full);
        }
        let (payment, actions) = Payment::begin(record.order.route(), self.others.load(Relaxed));
        let (origin, record) = (self.origin(&record.order), Arc::new(record));
        Ok(Taken::On(self.spawn(&mut active, record, payment, actions, origin, None)))
    }

    /// Why there is no room for this payment, if there is none.
    fn full(&self, active: &Payments, order: &Order) -> Option<GatewayError> {
        let limit = self.settings.payments_max;
        if active.taken_on() >= limit {
            return Some(GatewayError::TooManyPayments { limit });
        }
        let limit = self.settings.payments_per_bank_max;
        let bank = self.places.full(order, limit)?.to_owned();
        Some(GatewayError::BankBehind { bank, limit })
    }
}
