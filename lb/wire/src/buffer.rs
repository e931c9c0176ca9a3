//! Buffers that come and go: a connection or a call holds one only while it has bytes to hold, so
//! that an idle one costs nothing.

use std::cell::RefCell;

/// Buffers kept for the next who needs one.
const MAX_SPARE: usize = 64;
/// A buffer that grew beyond it is not kept, bytes.
const MAX_KEPT_BYTES: usize = 64 * 1024;
/// Capacity of a new one, bytes.
const FIRST_BYTES: usize = 1024;

/// Spare buffers of one thread.
#[derive(Debug, Default)]
pub struct BufferPool(RefCell<Vec<Vec<u8>>>);

impl BufferPool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer with some capacity.
    pub fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(FIRST_BYTES))
    }

    /// Gives one back; what it holds is dropped.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut spare = self.0.borrow_mut();
        if spare.len() < MAX_SPARE && (1..=MAX_KEPT_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
