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

/// Set in the rank of a hot probe: it comes behind all cold ones.
const HOT: u64 = 1 << 63;
const USES_BITS: u32 = 12;
const IN_FLIGHT_BITS: u32 = 20;
const LATENCY_BITS: u32 = 32;
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

/// A probe and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    slot: usize,
    pub(super) probe: Probe,
}

/// The best probe and how many there were to choose from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Best {
    pub(super) held: Held,
    pub(super) among: usize,
}

#[derive(Debug)]
pub(super) struct ProbePool {
    slots: Box<[Slot]>,
    /// A probe with more calls in flight is hot.
    pub(super) hot_above: AtomicU32,
    /// Picks since the prober last looked.
    picks: Apart<AtomicU64>,
}

/// On a cache line of its own: written by every pick, beside what every pick reads.
#[derive(Debug)]
#[repr(align(64))]
struct Apart<T>(T);

#[derive(Debug, Default)]
struct Slot {
    /// `uses << 52 | in flight << 32 | latency`; no uses: the slot is free.
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
        }
    }

    /// A pick was made.
    #[inline]
    pub(super) fn picked(&self) {
        self.picks.0.fetch_add(1, Relaxed);
    }

    pub(super) fn take_picks(&self) -> u64 {
        self.picks.0.swap(0, Relaxed)
    }

    /// Probes that may be used now.
    pub(super) fn usable(&self, now: Duration) -> impl Iterator<Item = Held> {
        let now_ms = milliseconds(now);
        let held =
            self.slots.iter().enumerate().map(|(slot, held)| Held { slot, probe: held.get() });
        held.filter(move |held| held.probe.is_usable(now_ms))
    }

    /// The best by the hot-cold lexicographic rule of those that `admits` admits.
    #[inline]
    pub(super) fn best(
        &self,
        now: Duration,
        admits: impl Fn(&Probe) -> bool,
        witness: &mut impl Witness,
    ) -> Option<Best> {
        let (now_ms, hot_above) = (milliseconds(now), self.hot_above.load(Relaxed));
        let (mut least, mut best, mut among) = (u64::MAX, 0, 0);
        for (slot, held) in self.slots.iter().enumerate() {
            let probe = held.get();
            if !probe.is_usable(now_ms) || !admits(&probe) {
                continue;
            }
            let Probe { index, in_flight, latency_us, .. } = probe;
            witness.saw(index, Figure::Probe { in_flight, latency_us });
            let rank = probe.rank(hot_above);
            best = select_unpredictable(rank < least, slot, best);
            least = least.min(rank);
            among += 1;
        }
        (among > 0)
            .then(|| Best { held: Held { slot: best, probe: self.slots[best].get() }, among })
    }

    #[inline]
    pub(super) fn is_hot(&self, probe: &Probe) -> bool {
        probe.in_flight > self.hot_above.load(Relaxed)
    }

    /// A call goes where this probe came from: it has one more in flight, and one use less.
    #[inline]
    pub(super) fn used(&self, held: &Held) {
        const ONE_CALL: u64 = 1 << LATENCY_BITS;
        const ONE_USE: u64 = 1 << (LATENCY_BITS + IN_FLIGHT_BITS);
        let Slot { answer, .. } = &self.slots[held.slot];
        let _ = answer.fetch_update(Relaxed, Relaxed, |word| {
            let uses = word >> (LATENCY_BITS + IN_FLIGHT_BITS);
            let full =
                word >> LATENCY_BITS & u64::from(MOST_IN_FLIGHT) == u64::from(MOST_IN_FLIGHT);
            (uses > 0).then(|| word - ONE_USE + if full { 0 } else { ONE_CALL })
        });
    }

    /// No further call goes by this probe.
    pub(super) fn use_up(&self, held: &Held) {
        self.slots[held.slot].free();
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
        let oldest =
            self.usable(now).min_by_key(|held| held.probe.expires_at_ms.wrapping_sub(now_ms));
        oldest.inspect(|held| self.slots[held.slot].free());
    }

    pub(super) fn remove_worst(&self, now: Duration) {
        let hot_above = self.hot_above.load(Relaxed);
        let worst = self.usable(now).max_by_key(|held| held.probe.rank(hot_above));
        worst.inspect(|held| self.slots[held.slot].free());
    }
}

impl Probe {
    #[inline]
    fn is_usable(&self, now_ms: u32) -> bool {
        self.uses > 0 && !is_past(self.expires_at_ms, now_ms)
    }

    /// By the hot-cold lexicographic rule; least is best.
    #[inline]
    fn rank(&self, hot_above: u32) -> u64 {
        if self.in_flight > hot_above {
            HOT | u64::from(self.in_flight)
        } else {
            u64::from(self.latency_us)
        }
    }
}

impl Slot {
    #[inline]
    fn get(&self) -> Probe {
        let (answer, of) = (self.answer.load(Acquire), self.of.load(Relaxed));
        Probe {
            index: (of as u32) as usize,
            in_flight: (answer >> LATENCY_BITS) as u32 & MOST_IN_FLIGHT,
            latency_us: answer as u32,
            uses: (answer >> (LATENCY_BITS + IN_FLIGHT_BITS)) as u32,
            expires_at_ms: (of >> 32) as u32,
        }
    }

    fn set(&self, probe: &Probe) {
        let Probe { index, in_flight, latency_us, uses, expires_at_ms } = *probe;
        self.free();
        self.of.store(u64::from(expires_at_ms) << 32 | u64::from(index as u32), Relaxed);
        let (uses, in_flight) = (uses.min(MOST_USES), in_flight.min(MOST_IN_FLIGHT));
        let answer = u64::from(uses) << IN_FLIGHT_BITS | u64::from(in_flight);
        self.answer.store(answer << LATENCY_BITS | u64::from(latency_us), Release);
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
