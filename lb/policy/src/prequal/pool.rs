//! The pool of probes: written by the one who asks, read and worn by every pick, without a lock.
//!
//! Two words a probe. A pick that reads one while it is replaced may see the one server's answer as
//! the other's, once.

use std::{
    hint::select_unpredictable,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Figure, explain::Witness};

const USES_BITS: u32 = 12;
const LATENCY_BITS: u32 = 32;
const IN_FLIGHT_BITS: u32 = 20;
/// Below the calls in flight in an answer's word.
const IN_FLIGHT_SHIFT: u32 = USES_BITS + LATENCY_BITS;
/// How often a probe can be used at most.
pub(super) const MOST_USES: u32 = (1 << USES_BITS) - 1;
const MOST_IN_FLIGHT: u32 = (1 << IN_FLIGHT_BITS) - 1;

/// What a server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Probe {
    pub(super) index: usize,
    /// Calls in flight there (RIF), those sent since by this probe included.
    pub(super) in_flight: u32,
    /// How long calls take with that many.
    pub(super) latency_us: u32,
    /// How often it may still be used.
    pub(super) uses: u32,
    /// Milliseconds since the balancer started, around the end of 32 bits.
    pub(super) expires_at_ms: u32,
}

/// Where the best probe is, and how many there were to choose from. Two words that stay in registers: a
/// [`Probe`] that is passed on goes through memory, at the price of all else that a pick does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Best {
    pub(super) place: usize,
    pub(super) among: usize,
}

#[derive(Debug)]
pub(super) struct ProbePool {
    slots: Box<[Slot]>,
    /// A probe with more calls in flight is hot.
    pub(super) hot_above: AtomicU32,
    /// Picks made, and how many of them there were when the prober last looked.
    picks: Apart<AtomicU64>,
    picks_seen: AtomicU64,
}

/// On a cache line of its own: written by every pick, beside what every pick reads.
#[derive(Debug)]
#[repr(align(64))]
struct Apart<T>(T);

#[derive(Debug, Default)]
struct Slot {
    /// `in flight << 44 | latency << 12 | uses`; 0: the slot is free.
    answer: AtomicU64,
    /// `expires at << 32 | index`.
    of: AtomicU64,
}

impl ProbePool {
    pub(super) fn new(size: usize, hot_above: u32) -> Self {
        Self {
            slots: (0..size).map(|_| Slot::default()).collect(),
            hot_above: AtomicU32::new(hot_above),
            picks: Apart(AtomicU64::new(0)),
            picks_seen: AtomicU64::new(0),
        }
    }

    /// A pick was made. Two that are made at the very same time may count as one: a sum that is exact
    /// would be a fifth of what a pick costs.
    #[inline]
    pub(super) fn picked(&self) {
        let picks = self.picks.0.load(Relaxed);
        self.picks.0.store(picks.wrapping_add(1), Relaxed);
    }

    /// Picks since this was last asked.
    pub(super) fn take_picks(&self) -> u64 {
        let picks = self.picks.0.load(Relaxed);
        picks.wrapping_sub(self.picks_seen.swap(picks, Relaxed))
    }

    /// Probes that have a use left, and where they are.
    pub(super) fn held(&self) -> impl Iterator<Item = (usize, Probe)> {
        self.slots.iter().map(Slot::get).enumerate().filter(|(_, probe)| probe.uses > 0)
    }

    /// Of these, the ones that are not too old.
    pub(super) fn usable(&self, now: Duration) -> impl Iterator<Item = (usize, Probe)> {
        let now_ms = milliseconds(now);
        self.held().filter(move |(_, probe)| !is_past(probe.expires_at_ms, now_ms))
    }

    /// Where the best by the hot-cold lexicographic rule is, of those that `admits` admits. One that is
    /// too old stands here until the prober's next round: looked at is only whether the best one is.
    #[inline]
    pub(super) fn best(
        &self,
        now: Duration,
        admits: impl Fn(&Probe) -> bool,
        witness: &mut impl Witness,
    ) -> Option<Best> {
        let best = self.best_of(&admits, witness);
        if best.among > 0 && is_past(self.slots[best.place].expires_at_ms(), milliseconds(now)) {
            return self.best_of_young(milliseconds(now), &admits);
        }
        (best.among > 0).then_some(best)
    }

    #[cold]
    fn best_of_young(&self, now_ms: u32, admits: impl Fn(&Probe) -> bool) -> Option<Best> {
        let admits = |probe: &Probe| !is_past(probe.expires_at_ms, now_ms) && admits(probe);
        Some(self.best_of(admits, &mut ())).filter(|best| best.among > 0)
    }

    #[inline(always)]
    fn best_of(&self, admits: impl Fn(&Probe) -> bool, witness: &mut impl Witness) -> Best {
        let first_hot = first_hot(self.hot_above.load(Relaxed));
        let (mut least, mut best, mut left_out) = (u64::MAX, 0, 0);
        for (place, held) in self.slots.iter().enumerate() {
            let (answer, of) = held.words();
            let probe = Probe::of(answer, of);
            if answer == 0 || !admits(&probe) {
                left_out += 1;
                continue;
            }
            let Probe { index, in_flight, latency_us, .. } = probe;
            witness.saw(index, Figure::Probe { in_flight, latency_us });
            let rank = rank(answer, first_hot);
            best = select_unpredictable(rank < least, place, best);
            least = least.min(rank);
        }
        Best { place: best, among: self.slots.len() - left_out }
    }

    #[inline]
    pub(super) fn at(&self, place: usize) -> Probe {
        self.slots[place].get()
    }

    #[inline]
    fn is_hot(&self, probe: &Probe) -> bool {
        probe.in_flight > self.hot_above.load(Relaxed)
    }

    /// A call goes where this probe came from: it has one more in flight, and one use less. Returns which
    /// server that is, and whether it is hot.
    #[inline]
    pub(super) fn take(&self, place: usize) -> (usize, bool) {
        const ONE_CALL: u64 = 1 << IN_FLIGHT_SHIFT;
        let (answer, of) = self.slots[place].words();
        let probe = Probe::of(answer, of);
        if probe.uses > 0 {
            let call = if probe.in_flight == MOST_IN_FLIGHT { 0 } else { ONE_CALL };
            let next = if probe.uses == 1 { 0 } else { answer - 1 + call };
            // If it fails, another pick used it in the meantime, or a newer answer stands there.
            let _ = self.slots[place].answer.compare_exchange(answer, next, Relaxed, Relaxed);
        }
        (probe.index, self.is_hot(&probe))
    }

    /// No further call goes by this probe.
    pub(super) fn use_up(&self, place: usize) {
        self.slots[place].free();
    }

    /// In the place of what the same server answered before; else in a free one; else in that of the
    /// oldest.
    pub(super) fn put(&self, probe: Probe) {
        let place = |slot: &Slot| {
            let held = slot.get();
            let rank = if held.uses == 0 { 1 } else { 2 };
            let rank = if held.uses > 0 && held.index == probe.index { 0 } else { rank };
            (rank, probe.expires_at_ms.wrapping_sub(held.expires_at_ms) as i32)
        };
        let of_age = |slot: &&Slot| {
            let (rank, age) = place(slot);
            (rank, std::cmp::Reverse(age))
        };
        if let Some(slot) = self.slots.iter().min_by_key(of_age) {
            slot.set(&probe);
        }
    }

    /// Those that are too old.
    pub(super) fn forget_old(&self, now: Duration) {
        let now_ms = milliseconds(now);
        let old = self.slots.iter().filter(|slot| is_past(slot.get().expires_at_ms, now_ms));
        old.for_each(Slot::free);
    }

    pub(super) fn remove_oldest(&self, now: Duration) {
        let now_ms = milliseconds(now);
        let age = |(_, probe): &(usize, Probe)| probe.expires_at_ms.wrapping_sub(now_ms);
        let oldest = self.usable(now).min_by_key(age);
        oldest.inspect(|(place, _)| self.slots[*place].free());
    }

    pub(super) fn remove_worst(&self, now: Duration) {
        let hot_above = self.hot_above.load(Relaxed);
        let worst = self.usable(now).max_by_key(|(_, probe)| probe.rank(hot_above));
        worst.inspect(|(place, _)| self.slots[*place].free());
    }
}

impl Probe {
    #[inline]
    fn of(answer: u64, of: u64) -> Self {
        Self {
            index: (of as u32) as usize,
            in_flight: (answer >> IN_FLIGHT_SHIFT) as u32,
            latency_us: (answer >> USES_BITS) as u32,
            uses: answer as u32 & MOST_USES,
            expires_at_ms: (of >> 32) as u32,
        }
    }

    fn answer(&self) -> u64 {
        let uses = u64::from(self.uses.min(MOST_USES));
        let in_flight = u64::from(self.in_flight.min(MOST_IN_FLIGHT));
        in_flight << IN_FLIGHT_SHIFT | u64::from(self.latency_us) << USES_BITS | uses
    }

    /// By the hot-cold lexicographic rule; least is best.
    fn rank(&self, hot_above: u32) -> u64 {
        rank(self.answer(), first_hot(hot_above))
    }
}

/// The least answer that is hot.
#[inline]
fn first_hot(hot_above: u32) -> u64 {
    if hot_above >= MOST_IN_FLIGHT {
        return u64::MAX;
    }
    (u64::from(hot_above) + 1) << IN_FLIGHT_SHIFT
}

/// Of a hot answer all of it, which begins with the calls in flight, so that it comes behind all cold ones;
/// of a cold one the latency.
#[inline]
fn rank(answer: u64, first_hot: u64) -> u64 {
    let latency_us = answer >> USES_BITS & u64::from(u32::MAX);
    select_unpredictable(answer >= first_hot, answer, latency_us)
}

impl Slot {
    #[inline]
    fn words(&self) -> (u64, u64) {
        (self.answer.load(Acquire), self.of.load(Relaxed))
    }

    #[inline]
    fn expires_at_ms(&self) -> u32 {
        (self.of.load(Relaxed) >> 32) as u32
    }

    #[inline]
    fn get(&self) -> Probe {
        let (answer, of) = self.words();
        Probe::of(answer, of)
    }

    fn set(&self, probe: &Probe) {
        self.free();
        let of = u64::from(probe.expires_at_ms) << 32 | u64::from(probe.index as u32);
        self.of.store(of, Relaxed);
        let answer = if probe.uses == 0 { 0 } else { probe.answer() };
        self.answer.store(answer, Release);
    }

    fn free(&self) {
        self.answer.store(0, Release);
    }
}

#[inline]
pub(super) fn milliseconds(time: Duration) -> u32 {
    (time.as_nanos() as u64 / 1_000_000) as u32
}

#[inline]
fn is_past(time_ms: u32, now_ms: u32) -> bool {
    (time_ms.wrapping_sub(now_ms) as i32) <= 0
}
