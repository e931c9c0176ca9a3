//! Look-aside picks that the server may not have seen yet.
//!
//! Counted in a ring of short time slots, so that granting and counting need no lock and an expired
//! lease costs nothing to forget. A lease may end up to one slot early.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::nanoseconds;

/// How long a pick counts as load if no report confirms it: five reports at the default interval.
pub const LEASE: Duration = Duration::from_millis(500);
/// Slots in the ring.
const SLOTS: u64 = 8;
const SLOT_NS: u64 = LEASE.as_nanos() as u64 / SLOTS;
/// A ring entry is `slot number << COUNT_BITS | leases granted in it`.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Leases of one endpoint, by when they were granted.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Leases {
    /// When the youngest lease ends; nothing is live after that. First, for it is all that most picks
    /// read.
    ends_at_ns: AtomicU64,
    ring: [AtomicU64; SLOTS as usize],
}

impl Leases {
    pub(crate) fn grant(&self, now: Duration, leases: u64) {
        let now_ns = nanoseconds(now);
        let slot = now_ns / SLOT_NS;
        let _ = self.entry(slot).fetch_update(Relaxed, Relaxed, |entry| {
            let count = if entry >> COUNT_BITS == slot { entry & COUNT_MASK } else { 0 };
            Some(slot << COUNT_BITS | count.saturating_add(leases).min(COUNT_MASK))
        });
        self.ends_at_ns.fetch_max(now_ns + LEASE.as_nanos() as u64, Relaxed);
    }

    #[inline]
    pub(crate) fn live(&self, now: Duration) -> u64 {
        let now_ns = nanoseconds(now);
        if now_ns >= self.ends_at_ns.load(Relaxed) { 0 } else { self.count(now_ns) }
    }

    #[cold]
    fn count(&self, now_ns: u64) -> u64 {
        let oldest = oldest_live(now_ns);
        let entries = self.ring.iter().map(|entry| entry.load(Relaxed));
        entries.filter(|entry| entry >> COUNT_BITS >= oldest).map(|entry| entry & COUNT_MASK).sum()
    }

    /// The server saw `seen` calls that nobody sent through us: that many leases are over, the
    /// oldest first.
    pub(crate) fn settle(&self, now: Duration, mut seen: u64) {
        if seen == 0 || self.live(now) == 0 {
            return;
        }
        let oldest = oldest_live(nanoseconds(now));
        for slot in oldest..oldest + SLOTS {
            let taken = self.entry(slot).fetch_update(Relaxed, Relaxed, |entry| {
                let count = entry & COUNT_MASK;
                (entry >> COUNT_BITS == slot).then(|| entry - count.min(seen))
            });
            seen -= taken.map_or(0, |entry| (entry & COUNT_MASK).min(seen));
        }
    }

    fn entry(&self, slot: u64) -> &AtomicU64 {
        &self.ring[(slot % SLOTS) as usize]
    }
}

fn oldest_live(now_ns: u64) -> u64 {
    (now_ns / SLOT_NS).saturating_sub(SLOTS - 1)
}
