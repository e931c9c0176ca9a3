//! Which block of transaction ids comes next.
//!
//! Pure. A block's number is a count and, in its lowest bits, the server's number: no two servers have a
//! block in common, and none needs to know of another. A server counts up from what it has written down, and
//! writes down a higher count before it gives anything below that: after a crash it goes on there, and what
//! it had not given is lost. Who asks may name a block that he has seen, and gets a higher one, as in
//! Lamport's clocks ("Time, Clocks, and the Ordering of Events", 1978), so that his ids rise.

use thiserror::Error;

/// Bits of a block's number that are its server's.
const SERVER_BITS: u32 = 8;
/// Bits that count.
const COUNT_BITS: u32 = 30;
/// Counts that one durable write is for.
const AT_ONCE: u64 = 64;
/// How far ahead of this server another one can be: with blocks of millions of ids, centuries.
const AHEAD_MAX: u64 = 1 << 24;
/// What a server that has given nothing away begins with.
pub const FIRST: u64 = 1;

/// No block can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoBlock {
    /// No server can have given that one yet.
    #[error("block {0} is higher than any that was given away; `above` is to be one of those")]
    FarAhead(u64),
    /// All are given away.
    #[error("this server has given all its blocks away; start one with another --server number")]
    UsedUp,
}

/// The blocks of one server.
#[derive(Debug)]
pub struct Blocks {
    server: u8,
    /// The count of the next block.
    next: u64,
    /// What is written down: lower counts may be given.
    high_water: u64,
}

impl Blocks {
    /// Those of server `server` that has written `high_water` down.
    pub fn new(server: u8, high_water: u64) -> Self {
        Self { server, next: high_water, high_water }
    }

    /// What is to be written down before a block above `above` is given; `None`: it is.
    pub fn to_write(&self, above: u64) -> Result<Option<u64>, NoBlock> {
        let (count, end) = (self.due(above), 1 << COUNT_BITS);
        if count > self.next.saturating_add(AHEAD_MAX) {
            return Err(NoBlock::FarAhead(above));
        }
        match count {
            _ if count >= end => Err(NoBlock::UsedUp),
            _ if count < self.high_water => Ok(None),
            _ => Ok(Some((count + AT_ONCE).min(end))),
        }
    }

    /// This is written down, durably.
    pub fn written(&mut self, high_water: u64) {
        self.high_water = self.high_water.max(high_water);
    }

    /// A block above `above`, for which what was to be written is.
    pub fn give(&mut self, above: u64) -> u64 {
        let count = self.due(above);
        assert!(count < self.high_water, "count {count} is not written down");
        self.next = count + 1;
        count << SERVER_BITS | u64::from(self.server)
    }

    fn due(&self, above: u64) -> u64 {
        self.next.max((above >> SERVER_BITS) + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Two servers and what they wrote down.
    struct Servers([(Blocks, u64); 2]);

    impl Servers {
        fn new() -> Self {
            Self([1, 2].map(|server| (Blocks::new(server, FIRST), FIRST)))
        }

        fn take(&mut self, server: usize, above: u64) -> u64 {
            let (blocks, disk) = &mut self.0[server];
            if let Some(high_water) = blocks.to_write(above).unwrap() {
                *disk = high_water;
                blocks.written(high_water);
            }
            blocks.give(above)
        }

        fn restart(&mut self, server: usize) {
            let (blocks, disk) = &mut self.0[server];
            *blocks = Blocks::new(server as u8 + 1, *disk);
        }
    }

    proptest! {
        /// Of each step: which server, whether it is killed first, whether the highest so far is named.
        #[test]
        fn none_is_given_twice(steps in vec((0..2_usize, any::<bool>(), any::<bool>()), 0..400)) {
            let (mut servers, mut given) = (Servers::new(), BTreeSet::new());
            for (server, dies, names) in steps {
                if dies {
                    servers.restart(server);
                }
                let last = given.last().copied().unwrap_or(0);
                let block = servers.take(server, if names { last } else { 0 });
                prop_assert!(!names || block > last);
                prop_assert!(block < 1 << (SERVER_BITS + COUNT_BITS));
                prop_assert!(given.insert(block), "{} twice", block);
            }
        }
    }

    #[test]
    fn a_write_is_for_many() {
        let mut servers = Servers::new();
        let writes = (0..AT_ONCE * 3).filter(|_| {
            let before = servers.0[0].1;
            servers.take(0, 0);
            servers.0[0].1 != before
        });
        assert_eq!(writes.count(), 3);
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let end = 1_u64 << COUNT_BITS;
        for (high_water, above, expected) in [
            (FIRST, u64::MAX, Err(NoBlock::FarAhead(u64::MAX))),
            (FIRST, AHEAD_MAX << SERVER_BITS, Ok(Some(AHEAD_MAX + 1 + AT_ONCE))),
            (end - 1, 0, Ok(Some(end))),
            (end, 0, Err(NoBlock::UsedUp)),
        ] {
            assert_eq!(Blocks::new(1, high_water).to_write(above), expected);
        }
    }
}
