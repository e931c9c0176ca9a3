//! Between the wire's messages and the gateway's own types.

use std::sync::Arc;

use strife_proto::{
    bank::v1::{Refusal, RefusalReason},
    common::v1 as common,
    gateway::v1 as wire,
};

use crate::{
    banks::Balance,
    coordinator::{Answer, Receipt},
    error::GatewayError,
    order::{Account, Money, Order},
    payment::{Abort, AbortReason, Decision, State},
    queue,
    store::{Event, EventKind, Record},
};

pub(super) fn order_from_wire(request: wire::PaymentRequest) -> Result<Order, GatewayError> {
    let account = |account: Option<wire::AccountRef>, name| {
        let wire::AccountRef { bank, account_id } = account.ok_or(GatewayError::Missing(name))?;
        Ok::<_, GatewayError>(Account { bank, id: account_id })
    };
    let amount = request.amount.ok_or(GatewayError::Missing("amount"))?;
    Ok(Order {
        payment_id: request.payment_id,
        user: request.user,
        from: account(request.from, "from")?,
        to: account(request.to, "to")?,
        amount: money_from_wire(amount),
        queue_for_s: request.queue_for_s,
    })
}

/// For the log: a payment as it was asked for, be it well-formed or not; amounts in minor units.
pub(super) fn format_payment(request: &wire::PaymentRequest) -> String {
    let account = |account: &Option<wire::AccountRef>| match account {
        Some(wire::AccountRef { bank, account_id }) => format!("{bank}/{account_id}"),
        None => "nowhere".to_owned(),
    };
    let amount = match &request.amount {
        Some(common::Money { minor_units, currency }) => {
            format!("{minor_units} {currency} minor units")
        }
        None => "no amount".to_owned(),
    };
    let id = &request.payment_id;
    format!("{id}: {amount} from {} to {}", account(&request.from), account(&request.to))
}

pub(super) fn answer_to_wire(answer: Answer) -> wire::PaymentResponse {
    match answer {
        Answer::Decided(receipt) => receipt_to_wire(receipt),
        Answer::Queued(record) => record_to_wire(Arc::unwrap_or_clone(record)),
    }
}

fn receipt_to_wire(receipt: Receipt) -> wire::PaymentResponse {
    let (state, abort_reason, detail) = state_to_wire(State::Decided(receipt.decision));
    wire::PaymentResponse {
        payment_id: receipt.payment_id,
        transaction_id: receipt.transaction_id.to_string(),
        state: state.into(),
        abort_reason: abort_reason.into(),
        detail,
        ..Default::default()
    }
}

/// What is known of a payment now.
pub(super) fn record_to_wire(record: Record) -> wire::PaymentResponse {
    let Waiting { attempts, next_attempt_at_ms, expires_at_ms } = Waiting::of(&record);
    let is_queued = record.is_queued();
    let (state, abort_reason, detail) = state_to_wire(record.state);
    let state = if is_queued { wire::PaymentState::Queued } else { state };
    wire::PaymentResponse {
        payment_id: record.order.payment_id,
        transaction_id: record.id.to_string(),
        state: state.into(),
        abort_reason: abort_reason.into(),
        detail,
        attempts,
        next_attempt_at_ms,
        expires_at_ms,
    }
}

/// What is told of a payment in the queue; of any other, zeros.
#[derive(Default)]
struct Waiting {
    attempts: u32,
    next_attempt_at_ms: i64,
    expires_at_ms: i64,
}

impl Waiting {
    fn of(record: &Record) -> Self {
        if !record.is_queued() {
            return Self::default();
        }
        let expires_at_ms = queue::expires_at_ms(&record.order, record.initiated_at_ms);
        let attempts = record.attempts_before();
        let (attempts, next_attempt_at_ms) =
            record.queued.map_or((attempts, 0), |place| (place.attempts, place.due_ms));
        Self { attempts, next_attempt_at_ms, expires_at_ms }
    }
}

pub(super) fn entry_to_wire(record: Record) -> wire::HistoryEntry {
    let Waiting { attempts, next_attempt_at_ms, expires_at_ms } = Waiting::of(&record);
    let is_queued = record.is_queued();
    let (state, abort_reason, _) = state_to_wire(record.state);
    let state = if is_queued { wire::PaymentState::Queued } else { state };
    let Order { payment_id, user, from, to, amount, .. } = record.order;
    wire::HistoryEntry {
        payment_id,
        transaction_id: record.id.to_string(),
        state: state.into(),
        from: Some(account_to_wire(from)),
        to: Some(account_to_wire(to)),
        amount: Some(money_to_wire(&amount)),
        initiated_at_ms: record.initiated_at_ms,
        abort_reason: abort_reason.into(),
        payer: user,
        attempts,
        next_attempt_at_ms,
        expires_at_ms,
    }
}

pub(super) fn event_to_wire(event: Event) -> wire::Event {
    let Event { position, kind, at_ms, record } = event;
    let kind = match kind {
        EventKind::Initiated => wire::EventKind::Initiated,
        EventKind::Committed => wire::EventKind::Committed,
        EventKind::Aborted => wire::EventKind::Aborted,
        EventKind::Queued => wire::EventKind::Queued,
        EventKind::Expired => wire::EventKind::Expired,
    };
    let detail = match &record.state {
        State::Decided(Decision::Aborted(abort)) => abort.detail.clone(),
        _ => String::new(),
    };
    let mut payment = entry_to_wire(record);
    if kind == wire::EventKind::Queued {
        payment.set_state(wire::PaymentState::Queued);
    }
    let payment = Some(payment);
    wire::Event { position, kind: kind.into(), at_ms, payment, detail }
}

pub(super) fn balance_to_wire(
    account: Account,
    balance: Result<Balance, String>,
) -> wire::AccountBalance {
    let account = Some(account_to_wire(account));
    match balance {
        Ok(Balance { available, held }) => wire::AccountBalance {
            account,
            available: Some(money_to_wire(&available)),
            held: Some(money_to_wire(&held)),
            error: String::new(),
        },
        Err(error) => wire::AccountBalance { account, error, ..Default::default() },
    }
}

pub(super) fn money_to_wire(money: &Money) -> common::Money {
    common::Money { minor_units: money.minor_units, currency: money.currency.clone() }
}

pub(super) fn money_from_wire(money: common::Money) -> Money {
    Money { minor_units: money.minor_units, currency: money.currency }
}

/// A bank's NO.
pub(super) fn abort_from_wire(bank: &str, refusal: Refusal) -> Abort {
    let reason = match refusal.reason() {
        RefusalReason::UnknownAccount => AbortReason::UnknownAccount,
        RefusalReason::AccountFrozen => AbortReason::AccountFrozen,
        RefusalReason::InsufficientFunds => AbortReason::InsufficientFunds,
        RefusalReason::WrongCurrency => AbortReason::WrongCurrency,
        RefusalReason::Overflow => AbortReason::Overflow,
        RefusalReason::LimitPerPayment => AbortReason::LimitPerPayment,
        RefusalReason::LimitPerDay => AbortReason::LimitPerDay,
        _ => AbortReason::Refused,
    };
    let name = refusal.reason().as_str_name().trim_start_matches("REFUSAL_REASON_");
    let detail = if refusal.detail.is_empty() { name } else { refusal.detail.as_str() };
    Abort::new(reason, format!("bank {bank}: {detail}"))
}

fn account_to_wire(account: Account) -> wire::AccountRef {
    wire::AccountRef { bank: account.bank, account_id: account.id }
}

fn state_to_wire(state: State) -> (wire::PaymentState, wire::AbortReason, String) {
    let none = wire::AbortReason::Unspecified;
    match state {
        State::Initiated => (wire::PaymentState::Initiated, none, String::new()),
        State::Decided(Decision::Committed) => (wire::PaymentState::Committed, none, String::new()),
        State::Decided(Decision::Aborted(Abort { reason, detail })) => {
            let reason = match reason {
                AbortReason::UnknownAccount => wire::AbortReason::UnknownAccount,
                AbortReason::AccountFrozen => wire::AbortReason::AccountFrozen,
                AbortReason::InsufficientFunds => wire::AbortReason::InsufficientFunds,
                AbortReason::WrongCurrency => wire::AbortReason::WrongCurrency,
                AbortReason::Overflow => wire::AbortReason::Overflow,
                AbortReason::Timeout => wire::AbortReason::Timeout,
                AbortReason::Restart => wire::AbortReason::Restart,
                AbortReason::Refused => wire::AbortReason::Refused,
                AbortReason::LimitPerPayment => wire::AbortReason::LimitPerPayment,
                AbortReason::LimitPerDay => wire::AbortReason::LimitPerDay,
                AbortReason::Expired => wire::AbortReason::Expired,
                AbortReason::GatewayRefused => wire::AbortReason::GatewayRefused,
            };
            (wire::PaymentState::Aborted, reason, detail)
        }
    }
}
