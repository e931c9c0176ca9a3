//! Drained servers that left: whoever is stopped, replaced and checked leaves its pool where servers
//! register or a name server lists those that run, and must be drained still when it comes back.

use std::{collections::VecDeque, sync::Arc};

use crate::pool::Pool;

/// More are forgotten, the first first.
const MAX_ABSENT_DRAINED: usize = 1024;

/// Those of one pool. The pool tells everybody who they are.
pub(super) struct AbsentDrained {
    pool: Arc<Pool>,
    addresses: VecDeque<String>,
}

impl AbsentDrained {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, addresses: VecDeque::new() }
    }

    pub(super) fn has(&self, address: &str) -> bool {
        self.addresses.iter().any(|one| one == address)
    }

    /// It left drained, or is drained and was never there.
    pub(super) fn keep(&mut self, address: String) {
        if self.has(&address) {
            return;
        }
        if self.addresses.len() == MAX_ABSENT_DRAINED {
            self.addresses.pop_front();
        }
        self.addresses.push_back(address);
        self.tell();
    }

    /// It is drained no more, or there again; whether it was kept.
    pub(super) fn forget(&mut self, address: &str) -> bool {
        let was_kept = self.has(address);
        if was_kept {
            self.addresses.retain(|one| one != address);
            self.tell();
        }
        was_kept
    }

    fn tell(&self) {
        self.pool.set_absent_drained(self.addresses.iter().cloned().collect());
    }
}
