//! What a client is told: how a payment ended, or that it is in the queue.

use std::sync::Arc;

use strife_store::StoreError;

use super::{active::Running, telling::Told};
use crate::{
    error::GatewayError,
    order::Order,
    payment::{Decision, State},
    store::Record,
    transaction::TransactionId,
};

/// What a client is told of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is over.
    Decided(Receipt),
    /// It is tried again until it is made or expires: its newest attempt.
    Queued(Arc<Record>),
}

/// How a payment ended, as its client is told, always the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The client's id.
    pub payment_id: String,
    /// The name at the banks.
    pub transaction_id: TransactionId,
    /// The end.
    pub decision: Decision,
}

impl Receipt {
    pub(super) fn of(order: &Order, transaction_id: TransactionId, decision: Decision) -> Self {
        Self { payment_id: order.payment_id.clone(), transaction_id, decision }
    }
}

/// A payment that was asked for.
pub(super) enum Admitted {
    /// It is under way here.
    Running(Running),
    /// It was decided before, or is in the queue.
    Known(Answer),
    /// It is not decided, and not under way here.
    Elsewhere(Order),
    /// No transaction id is at hand.
    Nameless(Order),
}

/// What is known of a payment that stands in the store.
pub(super) fn known(record: Record) -> Admitted {
    match record.state {
        _ if record.is_queued() => Admitted::Known(Answer::Queued(Arc::new(record))),
        State::Decided(decision) => {
            Admitted::Known(Answer::Decided(Receipt::of(&record.order, record.id, decision)))
        }
        State::Initiated => Admitted::Elsewhere(record.order),
    }
}

/// Waits for what is told of a payment; the order, if the payment is another's.
pub(super) async fn told(running: Running) -> Result<Result<Answer, Order>, GatewayError> {
    let record = &*running.record;
    match running.told.told().await {
        Some(Told::Decided(decision)) => {
            Ok(Ok(Answer::Decided(Receipt::of(&record.order, record.id, decision))))
        }
        Some(Told::Queued(decision, place)) => {
            let (state, queued) = (State::Decided(decision), Some(place));
            Ok(Ok(Answer::Queued(Arc::new(Record { state, queued, ..record.clone() }))))
        }
        Some(Told::Elsewhere) => Ok(Err(record.order.clone())),
        None => Err(GatewayError::Store(StoreError::Stopped)),
    }
}
