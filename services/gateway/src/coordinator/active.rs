//! The payments under way, by payment id and by sequence, and which sequence is next.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::sync::watch;

use crate::{payment::Decision, store::Record, transaction::Sequence};

/// A payment under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) record: Arc<Record>,
    pub(super) decision: watch::Receiver<Option<Decision>>,
}

/// All payments under way.
#[derive(Debug)]
pub(super) struct Active {
    by_payment_id: HashMap<String, Running>,
    sequences: HashSet<Sequence>,
    next: Sequence,
}

impl Active {
    /// None yet; the next one gets `first`.
    pub(super) fn new(first: Sequence) -> Self {
        Self { by_payment_id: HashMap::new(), sequences: HashSet::new(), next: first }
    }

    pub(super) fn len(&self) -> usize {
        self.by_payment_id.len()
    }

    pub(super) fn get(&self, payment_id: &str) -> Option<&Running> {
        self.by_payment_id.get(payment_id)
    }

    /// A sequence that no other payment has.
    pub(super) fn next_sequence(&mut self) -> Sequence {
        self.next += 1;
        self.next - 1
    }

    /// Whether a payment got this sequence, in this run or an earlier one.
    pub(super) fn was_made(&self, sequence: Sequence) -> bool {
        sequence < self.next
    }

    pub(super) fn is_under_way(&self, sequence: Sequence) -> bool {
        self.sequences.contains(&sequence)
    }

    /// Adds a payment whose id is not there.
    pub(super) fn insert(
        &mut self,
        record: Arc<Record>,
        decision: watch::Receiver<Option<Decision>>,
    ) -> &Running {
        self.sequences.insert(record.id.sequence);
        let payment_id = record.order.payment_id.clone();
        self.by_payment_id.entry(payment_id).or_insert(Running { record, decision })
    }

    /// Takes out a payment whose decision is durable.
    pub(super) fn remove(&mut self, record: &Record) {
        self.by_payment_id.remove(&record.order.payment_id);
        self.sequences.remove(&record.id.sequence);
    }
}
