//! How many commands wait for a store, and the bound on it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::StoreError;

/// A bounded count, shared by those that ask and those that take from the queue.
#[derive(Debug)]
pub(crate) struct Waiting {
    count: AtomicUsize,
    limit: usize,
}

impl Waiting {
    pub(crate) fn new(limit: usize) -> Self {
        Self { count: AtomicUsize::new(0), limit }
    }

    /// Room for so many more, or [`StoreError::Overloaded`].
    pub(crate) fn reserve(&self, commands: usize) -> Result<(), StoreError> {
        let fits = |now: usize| now.checked_add(commands).filter(|next| *next <= self.limit);
        match self.count.fetch_update(Relaxed, Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Overloaded { limit: self.limit }),
        }
    }

    /// How many wait now.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// So many were taken from the queue.
    pub(crate) fn release(&self, commands: usize) {
        self.count.fetch_sub(commands, Relaxed);
    }
}
