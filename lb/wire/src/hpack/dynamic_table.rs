//! The dynamic table (RFC 7541, sections 2.3.2 and 4): the fields a peer wants to refer to later.
//!
//! Names and values stand one after another in a single buffer whose dead front is cut off when it
//! outgrows the living rest, so an entry costs its bytes, a look-up is one addition, and memory
//! stays below three times what is in the table.

use std::collections::VecDeque;

use super::FIELD_OVERHEAD_BYTES;

#[derive(Clone, Copy)]
struct Entry {
    /// Where the name begins, counted in all bytes that were ever appended.
    start: u64,
    name_bytes: u32,
    value_bytes: u32,
}

impl Entry {
    const fn stored_bytes(self) -> usize {
        self.name_bytes as usize + self.value_bytes as usize
    }

    const fn table_bytes(self) -> usize {
        self.stored_bytes() + FIELD_OVERHEAD_BYTES
    }
}

#[derive(Default)]
pub(super) struct DynamicTable {
    /// The oldest entry is at the front.
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
    /// How many of all bytes ever appended stood before the first of `bytes`.
    cut: u64,
    /// The size of section 4.1.
    table_bytes: usize,
    max_bytes: usize,
}

impl DynamicTable {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::default() }
    }

    /// The maximum that the last size update set, or the initial one.
    pub(super) const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// The name and value at `index`, where 0 is the newest entry.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let from_oldest = self.entries.len().checked_sub(index + 1)?;
        let entry = self.entries[from_oldest];
        let start = (entry.start - self.cut) as usize;
        let field = &self.bytes[start..start + entry.stored_bytes()];
        Some(field.split_at(entry.name_bytes as usize))
    }

    /// Adds an entry and evicts what no longer fits (section 4.4). One that is larger than the whole
    /// table empties it, which is no error.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let entry = Entry {
            start: self.cut + self.bytes.len() as u64,
            name_bytes: name.len() as u32,
            value_bytes: value.len() as u32,
        };
        let Some(room) = self.max_bytes.checked_sub(entry.table_bytes()) else {
            self.evict_to(0);
            return;
        };
        self.evict_to(room);
        self.cut_dead_front();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.table_bytes += entry.table_bytes();
        self.entries.push_back(entry);
    }

    /// A size update (section 4.3).
    pub(super) fn resize(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
        self.evict_to(max_bytes);
    }

    fn evict_to(&mut self, room_bytes: usize) {
        while self.table_bytes > room_bytes {
            let evicted = self.entries.pop_front().expect("a table with bytes has an entry");
            self.table_bytes -= evicted.table_bytes();
        }
        if self.entries.is_empty() {
            self.cut += self.bytes.len() as u64;
            self.bytes.clear();
        }
    }

    fn cut_dead_front(&mut self) {
        let Some(oldest) = self.entries.front() else { return };
        let dead = (oldest.start - self.cut) as usize;
        if dead > self.bytes.len() - dead {
            self.bytes.drain(..dead);
            self.cut += dead as u64;
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the entries count (RFC 7541, section 4.1), in bytes.
    pub(super) const fn table_bytes(&self) -> usize {
        self.table_bytes
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.len()
    }
}
