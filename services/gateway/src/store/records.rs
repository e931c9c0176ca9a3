//! A payment as bytes: a protobuf message of the store's own, so that fields can be added later. It
//! holds the whole order, so a repeated request is compared with what was asked, not with a hash. It is
//! written once: what is decided later stands beside it, as a number and a text.

use prost::Message;

use super::{RunState, rules};
use crate::{
    order::{Account, Money, Order},
    payment::{Abort, AbortReason, Decision, State},
    queue::Queued,
    transaction::{Sequence, TransactionId},
};

/// All that is known of a payment, or of one attempt at it.
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
    /// What was tried before, if this is an attempt out of the queue.
    pub earlier: Option<Earlier>,
    /// Its place in the queue, if it waits there: this attempt is over, the payment is not.
    pub queued: Option<Queued>,
}

/// The attempts before one out of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// How often the payment was tried in vain, or put off.
    pub attempts: u32,
    /// Under which the payment was taken on.
    pub first: Sequence,
}

impl Record {
    /// Under which the payment was taken on.
    pub fn first(&self) -> Sequence {
        self.earlier.map_or(self.id.sequence, |earlier| earlier.first)
    }

    /// How often the payment was tried in vain, or put off, before this attempt.
    pub fn attempts_before(&self) -> u32 {
        self.earlier.map_or(0, |earlier| earlier.attempts)
    }

    /// Whether the payment was promised to be tried until it is made or expires, and is not over.
    pub fn is_queued(&self) -> bool {
        self.queued.is_some() || self.earlier.is_some() && self.state == State::Initiated
    }

    /// The record as it is read, of a run in this state.
    pub(super) fn read(self, maker: RunState) -> Self {
        if self.state != State::Initiated {
            return self;
        }
        let route = self.order.route();
        let queued = rules::presumed_place(&self.order, self.attempts_before(), maker);
        Self { state: rules::meaning(self.state, route, maker), queued, ..self }
    }
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
    #[prost(uint32, tag = "14")]
    queue_for_s: u32,
    #[prost(uint32, tag = "15")]
    attempts_before: u32,
    #[prost(uint64, optional, tag = "16")]
    first: Option<u64>,
}

const INITIATED: u32 = 1;
const COMMITTED: u32 = 2;
const ABORTED: u32 = 3;

/// What stands for COMMITTED where a reason stands for ABORTED.
const COMMIT: u8 = 0;

/// The reasons and what stands for them. Numbers are never given a new meaning.
const REASONS: [(AbortReason, u8); 12] = [
    (AbortReason::UnknownAccount, 1),
    (AbortReason::AccountFrozen, 2),
    (AbortReason::InsufficientFunds, 3),
    (AbortReason::WrongCurrency, 4),
    (AbortReason::Overflow, 5),
    (AbortReason::Timeout, 6),
    (AbortReason::Restart, 7),
    (AbortReason::Refused, 8),
    (AbortReason::Expired, 9),
    (AbortReason::LimitPerPayment, 10),
    (AbortReason::LimitPerDay, 11),
    (AbortReason::GatewayRefused, 12),
];

/// The bytes of a new payment, but for its id, which is its key.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    let Order { payment_id, user, from, to, amount, queue_for_s } = record.order.clone();
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
        state: INITIATED,
        abort_reason: 0,
        abort_detail: String::new(),
        queue_for_s,
        attempts_before: record.attempts_before(),
        first: record.earlier.map(|earlier| earlier.first),
    };
    stored.encode_to_vec()
}

/// The record of `id` from its bytes. It stands INITIATED, unless the bytes are of a store that wrote
/// decisions into them.
pub(super) fn decode(id: TransactionId, bytes: &[u8]) -> Result<Record, Damaged> {
    let damaged = |why: String| Damaged { sequence: id.sequence, why };
    let stored = Stored::decode(bytes).map_err(|error| damaged(error.to_string()))?;
    let state = match stored.state {
        INITIATED => State::Initiated,
        COMMITTED => State::Decided(Decision::Committed),
        ABORTED => {
            let code = u8::try_from(stored.abort_reason).ok().filter(|code| *code != COMMIT);
            let decision = code.and_then(|code| decision(code, &stored.abort_detail));
            State::Decided(decision.ok_or_else(|| damaged("no abort reason".to_owned()))?)
        }
        other => return Err(damaged(format!("state {other}"))),
    };
    let order = Order {
        payment_id: stored.payment_id,
        user: stored.user,
        from: Account { bank: stored.from_bank, id: stored.from_account },
        to: Account { bank: stored.to_bank, id: stored.to_account },
        amount: Money { minor_units: stored.minor_units, currency: stored.currency },
        queue_for_s: stored.queue_for_s,
    };
    let (payee, initiated_at_ms) = (stored.payee, stored.initiated_at_ms);
    let attempts = stored.attempts_before;
    let earlier = stored.first.map(|first| Earlier { attempts, first });
    Ok(Record { id, order, payee, initiated_at_ms, state, earlier, queued: None })
}

/// What stands for a decision: a number, and what people are told.
pub(super) fn code(decision: &Decision) -> (u8, &str) {
    match decision {
        Decision::Committed => (COMMIT, ""),
        Decision::Aborted(Abort { reason, detail }) => {
            let number = REASONS.iter().find(|(known, _)| known == reason);
            (number.expect("every reason has a number").1, detail)
        }
    }
}

/// The decision that `code` and `detail` stand for.
pub(super) fn decision(code: u8, detail: &str) -> Option<Decision> {
    if code == COMMIT {
        return Some(Decision::Committed);
    }
    let (reason, _) = REASONS.iter().find(|(_, number)| *number == code)?;
    Some(Decision::Aborted(Abort::new(*reason, detail)))
}

/// What stands of a payment cannot be read.
#[derive(Debug)]
pub(super) struct Damaged {
    pub(super) sequence: Sequence,
    pub(super) why: String,
}

impl From<Damaged> for redb::Error {
    fn from(damaged: Damaged) -> Self {
        let Damaged { sequence, why } = damaged;
        Self::Corrupted(format!("payment {sequence:016x} is damaged: {why}"))
    }
}

/// As it was written before decisions had a table of their own.
#[cfg(test)]
pub(super) fn encode_v1(record: &Record) -> Vec<u8> {
    let mut stored = Stored::decode(encode(record).as_slice()).unwrap();
    (stored.state, stored.abort_reason, stored.abort_detail) = match &record.state {
        State::Initiated => (INITIATED, 0, String::new()),
        State::Decided(Decision::Committed) => (COMMITTED, 0, String::new()),
        State::Decided(decision @ Decision::Aborted(_)) => {
            let (number, detail) = code(decision);
            (ABORTED, u32::from(number), detail.to_owned())
        }
    };
    stored.encode_to_vec()
}
