//! What became of payments, in order: the outbox. Whatever changes a payment's state writes its event
//! in the same commit, so that there is one if and only if the change took place.
//!
//! Pure. Events are kept small, and those of one commit together: what was paid stands in the payment's
//! own row, and never changes. Whoever follows the outbox says how far he has got; what all have is
//! removed.

use super::Record;
use crate::{payment::Decision, queue::Queued, transaction::Sequence};

#[cfg(test)]
mod tests;

/// Where an event stands. Later ones stand higher; the first stands above 0.
pub type Position = u64;

/// What happened to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was taken on.
    Initiated,
    /// It was decided that the money moves.
    Committed,
    /// It was decided that nothing moves.
    Aborted,
    /// This attempt came to nothing for a reason that may pass; another will be made.
    Queued,
    /// No further attempt is made.
    Expired,
}

/// The kinds and what stands for them. Numbers are never given a new meaning.
const KINDS: [(EventKind, u8); 5] = [
    (EventKind::Initiated, 1),
    (EventKind::Committed, 2),
    (EventKind::Aborted, 3),
    (EventKind::Queued, 4),
    (EventKind::Expired, 5),
];

/// An event as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: EventKind,
    /// To which payment.
    pub sequence: Sequence,
    /// When, by the gateway's clock: milliseconds since the Unix epoch, for people.
    pub at_ms: i64,
}

/// An event as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where it stands.
    pub position: Position,
    /// What happened.
    pub kind: EventKind,
    /// When, by the gateway's clock: milliseconds since the Unix epoch, for people.
    pub at_ms: i64,
    /// The payment, in the state that it had then.
    pub record: Record,
}

/// Some events, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In their order.
    pub events: Vec<Event>,
    /// Where the last event stood that was removed; 0 if none was.
    pub removed: Position,
}

/// Who follows, and how much there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Events that are kept.
    pub events: u64,
    /// Up to where each follower has everything, by name.
    pub followers: Vec<(String, Position)>,
}

/// What became of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// It stands, or a later one does.
    Done,
    /// There is no such follower; nothing was changed.
    Unknown,
    /// There is no such event yet; nothing was changed.
    NotYet,
}

impl EventKind {
    /// Of a decision, and of the place in the queue that the payment then has, if it has one.
    pub fn of(decision: &Decision, queued: Option<Queued>) -> Self {
        match decision {
            Decision::Committed => Self::Committed,
            Decision::Aborted(_) if queued.is_some() => Self::Queued,
            Decision::Aborted(_) => Self::Aborted,
        }
    }

    fn code(self) -> u8 {
        KINDS.iter().find(|(kind, _)| *kind == self).expect("every kind has a number").1
    }
}

/// Bytes of one event: what happened, to which payment, when.
const EVENT_BYTES: usize = 1 + 8 + 8;

/// The events of one commit, as bytes.
#[derive(Debug, Default)]
pub(super) struct Packed(Vec<u8>);

impl Packed {
    pub(super) fn push(&mut self, change: Change) {
        self.0.push(change.kind.code());
        self.0.extend(change.sequence.to_be_bytes());
        self.0.extend(change.at_ms.to_be_bytes());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How many events are in so many bytes.
pub(super) fn count(bytes: &[u8]) -> usize {
    bytes.len() / EVENT_BYTES
}

/// The events in these bytes; `None` if they are not what [`Packed`] made.
pub(super) fn unpack(bytes: &[u8]) -> Option<Vec<Change>> {
    let (events, rest) = bytes.as_chunks::<EVENT_BYTES>();
    let changes = events.iter().map(|[code, rest @ ..]| {
        let (kind, _) = KINDS.iter().find(|(_, number)| number == code)?;
        let (sequence, at_ms) = rest.split_at(8);
        Some(Change {
            kind: *kind,
            sequence: Sequence::from_be_bytes(sequence.try_into().ok()?),
            at_ms: i64::from_be_bytes(at_ms.try_into().ok()?),
        })
    });
    if rest.is_empty() { changes.collect() } else { None }
}
