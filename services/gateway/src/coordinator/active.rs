//! The payments under way, by payment id and by sequence, and which sequences are next.
//!
//! Whoever is asked for a payment claims its id first and then looks into the store, so that a payment
//! is admitted once, however many ask at once. Who finds the id claimed waits for the claim to end and
//! looks again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{ids::Ids, job::Origin, telling::Listener};
use crate::{standing::Decider, store::Record, transaction::Sequence};

/// A payment under way.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) record: Arc<Record>,
    pub(super) told: Listener,
}

/// All payments under way. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Active(Arc<Mutex<Payments>>);

#[derive(Debug)]
pub(super) struct Payments {
    by_payment_id: HashMap<Arc<str>, Entry>,
    sequences: HashSet<Sequence>,
    /// Those of them that were taken over from gateways that are gone.
    recovered: HashSet<Sequence>,
    pub(super) ids: Ids,
}

#[derive(Debug)]
enum Entry {
    /// Somebody looks whether it may be. If others wait for that, this closes when he has.
    Claimed(Option<watch::Sender<()>>),
    Running(Running),
}

/// What became of a wish to claim a payment id.
#[derive(Debug)]
pub(super) enum Claimed {
    /// It is the caller's.
    Here(Claim),
    /// It is somebody else's for the moment; closed when it is not any more.
    Elsewhere(watch::Receiver<()>),
    /// The payment is under way.
    Running(Running),
}

/// The right to admit the payment of an id. Ends when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    active: Active,
    payment_id: Arc<str>,
}

impl Active {
    /// None yet; they get their sequences from `ids`.
    pub(super) fn new(ids: Ids) -> Self {
        let (sequences, recovered) = (HashSet::new(), HashSet::new());
        let by_payment_id = HashMap::new();
        Self(Arc::new(Mutex::new(Payments { by_payment_id, sequences, recovered, ids })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Payments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn claim(&self, payment_id: &str) -> Claimed {
        let mut payments = self.lock();
        match payments.by_payment_id.get_mut(payment_id) {
            Some(Entry::Running(running)) => Claimed::Running(running.clone()),
            Some(Entry::Claimed(ends)) => {
                let ends = ends.get_or_insert_with(|| watch::Sender::new(()));
                Claimed::Elsewhere(ends.subscribe())
            }
            None => {
                let payment_id: Arc<str> = payment_id.into();
                payments.by_payment_id.insert(payment_id.clone(), Entry::Claimed(None));
                Claimed::Here(Claim { active: self.clone(), payment_id })
            }
        }
    }
}

impl Payments {
    /// How many are under way that this gateway was asked for.
    pub(super) fn taken_on(&self) -> usize {
        self.sequences.len() - self.recovered.len()
    }

    pub(super) fn is_under_way(&self, sequence: Sequence) -> bool {
        self.sequences.contains(&sequence)
    }

    /// Who decides a payment, if that is this run's or would be.
    pub(super) fn decider(&self, sequence: Sequence) -> Option<Decider> {
        let under_way = self.is_under_way(sequence);
        self.ids.was_made(sequence).map(|was_made| match was_made {
            true => Decider::Ours { under_way },
            false => Decider::Nobody,
        })
    }

    /// The payment of this id, if it is under way.
    pub(super) fn running(&self, payment_id: &str) -> Option<Running> {
        match self.by_payment_id.get(payment_id) {
            Some(Entry::Running(running)) => Some(running.clone()),
            Some(Entry::Claimed(_)) | None => None,
        }
    }

    /// Adds a payment whose id is claimed, or which was found in the store.
    pub(super) fn insert(&mut self, running: Running, origin: Origin) {
        self.sequences.insert(running.record.id.sequence);
        if origin == Origin::Recovered {
            self.recovered.insert(running.record.id.sequence);
        }
        let payment_id = running.record.order.payment_id.as_str().into();
        self.by_payment_id.insert(payment_id, Entry::Running(running));
    }

    /// Takes out a payment whose decision is durable, or which is none.
    pub(super) fn remove(&mut self, record: &Record) {
        let payment_id = record.order.payment_id.as_str();
        // Another's, if this one's row came second to it.
        if self.running(payment_id).is_some_and(|running| running.record.id == record.id) {
            self.by_payment_id.remove(payment_id);
        }
        self.sequences.remove(&record.id.sequence);
        self.recovered.remove(&record.id.sequence);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut payments = self.active.lock();
        let standing = payments.by_payment_id.get_key_value(&self.payment_id);
        // Another's, if the payment was admitted and has ended since.
        let is_own = |id: &Arc<str>| Arc::ptr_eq(id, &self.payment_id);
        if matches!(standing, Some((id, Entry::Claimed(_))) if is_own(id)) {
            payments.by_payment_id.remove(&self.payment_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{coordinator::telling::telling, store::conformance::record, transaction::Run};

    fn running() -> Running {
        let run = Run { store: 1, number: 1 };
        let record = record(run.transaction(run.first_sequence()), "p1", "sbi");
        Running { record, told: telling().1 }
    }

    #[test]
    fn an_id_is_claimed_once_until_the_claim_ends() {
        let active = Active::new(Ids::counted(Run { store: 1, number: 1 }));
        let Claimed::Here(claim) = active.claim("p1") else { panic!("nobody has it") };
        let Claimed::Elsewhere(ends) = active.claim("p1") else { panic!("it is claimed") };
        assert!(ends.has_changed().is_ok(), "the claim has not ended");
        assert!(matches!(active.claim("p2"), Claimed::Here(_)));
        drop(claim);
        assert!(ends.has_changed().is_err());
        let Claimed::Here(claim) = active.claim("p1") else { panic!("the claim has ended") };
        active.lock().insert(running(), Origin::Asked);
        drop(claim);
        assert!(matches!(active.claim("p1"), Claimed::Running(_)), "admitted");
        assert_eq!(active.lock().taken_on(), 1);
        active.lock().remove(&running().record);
        assert!(matches!(active.claim("p1"), Claimed::Here(_)));
        assert_eq!(active.lock().taken_on(), 0);
    }
}
