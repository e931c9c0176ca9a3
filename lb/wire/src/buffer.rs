//! Buffers that come and go: a connection or a call holds one only while it has bytes to hold, so
//! that an idle one costs nothing.

use std::cell::RefCell;

/// Capacity of all buffers kept for the next who needs one, bytes.
const MAX_SPARE_BYTES: usize = 2 << 20;
/// Capacity of a new one, bytes.
const FIRST_BYTES: usize = 1024;

/// Spare buffers of one thread.
#[derive(Debug, Default)]
pub struct BufferPool(RefCell<Spare>);

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl BufferPool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer with some capacity.
    #[inline]
    pub fn take(&self) -> Vec<u8> {
        let mut spare = self.0.borrow_mut();
        match spare.buffers.pop() {
            Some(buffer) => {
                spare.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(FIRST_BYTES),
        }
    }

    /// Gives one back; what it holds is dropped.
    #[inline]
    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut spare = self.0.borrow_mut();
        let bytes = spare.bytes + buffer.capacity();
        if buffer.capacity() > 0 && bytes <= MAX_SPARE_BYTES {
            buffer.clear();
            spare.bytes = bytes;
            spare.buffers.push(buffer);
        }
    }
}
