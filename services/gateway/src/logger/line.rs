//! An event as a line of JSON.

use serde::{Deserialize, Serialize};
use strife_proto::gateway::v1::{AbortReason, AccountRef, Event, EventKind};

/// What stands in a line. Amounts are in minor units, times in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) position: u64,
    kind: &'static str,
    pub(super) at_ms: i64,
    payment_id: String,
    pub(super) transaction_id: String,
    payer: String,
    from: Account,
    to: Account,
    minor_units: i64,
    currency: String,
    initiated_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Account {
    bank: String,
    account_id: String,
}

/// As much of a line as says where to go on, and tells its event from others that may stand there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) transaction_id: String,
    pub(super) at_ms: i64,
}

/// The line of an event; `None` if it is of a kind unknown here, or is not whole.
pub(super) fn of(event: Event) -> Option<Line> {
    let kind = event.kind();
    let payment = event.payment?;
    let reason = payment.abort_reason();
    let amount = payment.amount?;
    let account = |AccountRef { bank, account_id }: AccountRef| Account { bank, account_id };
    if kind == EventKind::Unspecified {
        return None;
    }
    Some(Line {
        position: event.position,
        kind: kind.as_str_name().trim_start_matches("EVENT_KIND_"),
        at_ms: event.at_ms,
        payment_id: payment.payment_id,
        transaction_id: payment.transaction_id,
        payer: payment.payer,
        from: account(payment.from?),
        to: account(payment.to?),
        minor_units: amount.minor_units,
        currency: amount.currency,
        initiated_at_ms: payment.initiated_at_ms,
        reason: (reason != AbortReason::Unspecified)
            .then(|| reason.as_str_name().trim_start_matches("ABORT_REASON_")),
        detail: event.detail,
    })
}
