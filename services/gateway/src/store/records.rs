//! A payment as bytes: a protobuf message of the store's own, so that fields can be added later.
//! It holds the whole order, so a repeated request is compared with what was asked, not with a hash.

use prost::Message;

use crate::{
    order::{Account, Money, Order},
    payment::{Abort, AbortReason, Decision, State},
    transaction::{Sequence, TransactionId},
};

/// All that is known of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name at the banks.
    pub id: TransactionId,
    /// What was asked for.
    pub order: Order,
    /// Who is paid, if the account is a known user's.
    pub payee: Option<String>,
    /// Milliseconds since the Unix epoch, for people.
    pub initiated_at_ms: i64,
    /// How far it got.
    pub state: State,
}

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(string, tag = "1")]
    payment_id: String,
    #[prost(string, tag = "2")]
    user: String,
    #[prost(string, tag = "3")]
    from_bank: String,
    #[prost(string, tag = "4")]
    from_account: String,
    #[prost(string, tag = "5")]
    to_bank: String,
    #[prost(string, tag = "6")]
    to_account: String,
    #[prost(int64, tag = "7")]
    minor_units: i64,
    #[prost(string, tag = "8")]
    currency: String,
    #[prost(string, optional, tag = "9")]
    payee: Option<String>,
    #[prost(int64, tag = "10")]
    initiated_at_ms: i64,
    #[prost(uint32, tag = "11")]
    state: u32,
    #[prost(uint32, tag = "12")]
    abort_reason: u32,
    #[prost(string, tag = "13")]
    abort_detail: String,
}

const INITIATED: u32 = 1;
const COMMITTED: u32 = 2;
const ABORTED: u32 = 3;

/// The reasons and what stands for them. Numbers are never given a new meaning.
const REASONS: [(AbortReason, u32); 8] = [
    (AbortReason::UnknownAccount, 1),
    (AbortReason::AccountFrozen, 2),
    (AbortReason::InsufficientFunds, 3),
    (AbortReason::WrongCurrency, 4),
    (AbortReason::Overflow, 5),
    (AbortReason::Timeout, 6),
    (AbortReason::Restart, 7),
    (AbortReason::Refused, 8),
];

/// The bytes of a record, but for its id, which is its key.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    let (state, abort) = match &record.state {
        State::Initiated => (INITIATED, None),
        State::Decided(Decision::Committed) => (COMMITTED, None),
        State::Decided(Decision::Aborted(abort)) => (ABORTED, Some(abort)),
    };
    let number = |abort: &Abort| REASONS.iter().find(|(reason, _)| *reason == abort.reason);
    let Order { payment_id, user, from, to, amount } = record.order.clone();
    let stored = Stored {
        payment_id,
        user,
        from_bank: from.bank,
        from_account: from.id,
        to_bank: to.bank,
        to_account: to.id,
        minor_units: amount.minor_units,
        currency: amount.currency,
        payee: record.payee.clone(),
        initiated_at_ms: record.initiated_at_ms,
        state,
        abort_reason: abort.and_then(number).map_or(0, |(_, number)| *number),
        abort_detail: abort.map_or_else(String::new, |abort| abort.detail.clone()),
    };
    stored.encode_to_vec()
}

/// The record of `id` from its bytes.
pub(super) fn decode(id: TransactionId, bytes: &[u8]) -> Result<Record, redb::Error> {
    let damaged = |why: String| {
        redb::Error::Corrupted(format!("payment {:016x} is damaged: {why}", id.sequence))
    };
    let stored = Stored::decode(bytes).map_err(|error| damaged(error.to_string()))?;
    let reason = || REASONS.iter().find(|(_, number)| *number == stored.abort_reason);
    let state = match stored.state {
        INITIATED => State::Initiated,
        COMMITTED => State::Decided(Decision::Committed),
        ABORTED => {
            let (reason, _) = reason().ok_or_else(|| damaged("no abort reason".to_owned()))?;
            State::Decided(Decision::Aborted(Abort::new(*reason, stored.abort_detail)))
        }
        other => return Err(damaged(format!("state {other}"))),
    };
    let order = Order {
        payment_id: stored.payment_id,
        user: stored.user,
        from: Account { bank: stored.from_bank, id: stored.from_account },
        to: Account { bank: stored.to_bank, id: stored.to_account },
        amount: Money { minor_units: stored.minor_units, currency: stored.currency },
    };
    let initiated_at_ms = stored.initiated_at_ms;
    Ok(Record { id, order, payee: stored.payee, initiated_at_ms, state })
}

/// As [`decode`], where the store's name does not matter.
pub(super) fn decode_at(sequence: Sequence, bytes: &[u8]) -> Result<Record, redb::Error> {
    decode(TransactionId { store: 0, sequence }, bytes)
}

/// A sequence leads nowhere.
pub(super) fn missing(sequence: Sequence) -> redb::Error {
    redb::Error::Corrupted(format!("payment {sequence:016x} is listed but not there"))
}
