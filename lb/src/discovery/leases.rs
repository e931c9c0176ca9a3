//! Who registered, and until when: a table on a clock that is passed in.
//!
//! A lease ends when it was not renewed in time. Time in which nobody looked after the table (the
//! process was stopped, the machine paused) does not count: the renewals could not be heard either.

use std::{collections::HashMap, time::Duration};

/// Looks at the table in the time of one lease.
pub(super) const SWEEPS_PER_LEASE: u32 = 8;

/// Leases by address.
#[derive(Debug)]
pub(super) struct Leases {
    lease: Duration,
    most: usize,
    /// When each ends.
    ends: HashMap<String, Duration>,
    swept_at: Duration,
}

/// The table has as many leases as it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Leases {
    pub(super) fn new(lease: Duration, most: usize) -> Self {
        Self { lease, most, ends: HashMap::new(), swept_at: Duration::ZERO }
    }

    /// Until a lease from now; whether there was none before.
    pub(super) fn renew(&mut self, address: &str, now: Duration) -> Result<bool, Full> {
        let end = now + self.lease;
        if let Some(known) = self.ends.get_mut(address) {
            *known = end;
            return Ok(false);
        }
        if self.ends.len() >= self.most {
            return Err(Full);
        }
        self.ends.insert(address.to_owned(), end);
        Ok(true)
    }

    /// Whether there was one.
    pub(super) fn end(&mut self, address: &str) -> bool {
        self.ends.remove(address).is_some()
    }

    /// Takes out those that ended. To be called [`SWEEPS_PER_LEASE`] times a lease.
    pub(super) fn sweep(&mut self, now: Duration) -> Vec<String> {
        let between = now.saturating_sub(self.swept_at);
        self.swept_at = now;
        if between > self.lease / 2 {
            self.ends.values_mut().for_each(|end| *end = (*end + between).min(now + self.lease));
            return Vec::new();
        }
        self.ends.extract_if(|_, end| *end <= now).map(|(address, _)| address).collect()
    }

    /// Takes out all.
    pub(super) fn clear(&mut self) -> Vec<String> {
        self.ends.drain().map(|(address, _)| address).collect()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.ends.keys().map(String::as_str)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
mod tests;
