//! Numbers that one thread writes and any thread reads.
//!
//! With a single writer, adding is a load and a store: no locked instruction, no shared cache line
//! between the threads that carry calls. A second writer would lose counts, never corrupt them.
//! What happens seldom is counted in numbers that all threads write.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::labels::Label;

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds one. For the one writer only.
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// For the one writer only.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number of things that are there now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    /// For the one writer only.
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// For the one writer only.
    pub(crate) fn add(&self, n: u64) {
        self.set(self.get() + n);
    }

    /// For the one writer only; never more than is there.
    pub(crate) fn subtract(&self, n: u64) {
        debug_assert!(n <= self.get(), "{n} fewer of {}", self.get());
        self.set(self.get().saturating_sub(n));
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One counter for every value of a label. `N` is the label's number of values.
#[derive(Debug)]
pub(crate) struct CounterPer<L, const N: usize> {
    counters: [Counter; N],
    label: PhantomData<L>,
}

impl<L: Label, const N: usize> Default for CounterPer<L, N> {
    fn default() -> Self {
        const { assert!(L::ALL.len() == N, "one counter for every value") };
        Self { counters: std::array::from_fn(|_| Counter::default()), label: PhantomData }
    }
}

impl<L: Label, const N: usize> CounterPer<L, N> {
    /// Adds one. For the one writer only.
    pub(crate) fn increment(&self, label: L) {
        self.counters[label.index()].increment();
    }

    pub(crate) fn get(&self, label: L) -> u64 {
        self.counters[label.index()].get()
    }
}

/// A number that only rises, with any number of writers: for what happens seldom.
#[derive(Debug, Default)]
pub(crate) struct SharedCounter(AtomicU64);

impl SharedCounter {
    /// Adds one.
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
