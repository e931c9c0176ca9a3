//! What is measured: sizes of messages, and how many calls go side by side.

use std::{alloc::System, hint::black_box};

use stats_alloc::{Region, StatsAlloc};

use crate::{
    baseline::Count,
    callgrind::counted,
    in_memory::{BackToBack, through},
};

/// Calls before any are measured: buffers have their size, heads are recognised, and what is
/// remembered of ended streams is full.
const WARM_UP_CALLS: usize = 5_000;
/// Calls that are measured: enough that what happens every thousand calls counts as much as it is.
const MEASURED_CALLS: usize = 5_000;

/// One way of calling.
pub(crate) struct Cell {
    /// Size of the message in either direction, bytes.
    message_bytes: usize,
    /// Calls side by side.
    side_by_side: usize,
}

/// All that is measured. More large messages at once than these do not fit a core's output.
pub(crate) const CELLS: [Cell; 4] = [
    Cell { message_bytes: 100, side_by_side: 1 },
    Cell { message_bytes: 100, side_by_side: 100 },
    Cell { message_bytes: 16 * 1024, side_by_side: 1 },
    Cell { message_bytes: 16 * 1024, side_by_side: 10 },
];

impl Cell {
    /// As the baseline names it.
    pub(crate) fn name(&self) -> String {
        format!("{} B, {} side by side", self.message_bytes, self.side_by_side)
    }

    /// Makes `calls` calls, so many at a time, by `batch`.
    fn make(&self, calls: usize, mut batch: impl FnMut(usize, &[u8], &[u8]) -> usize) {
        let message = vec![7; self.message_bytes];
        for _ in 0..calls / self.side_by_side {
            let answered = batch(self.side_by_side, black_box(&message), black_box(&message));
            assert_eq!(answered, self.side_by_side, "all calls are answered");
        }
    }
}

/// Makes calls of a cell by `batch`: first some to warm up, then those that `measure` looks at.
fn warm_and_measure(
    cell: &Cell,
    mut batch: impl FnMut(usize, &[u8], &[u8]) -> usize,
    measure: impl FnOnce(&mut dyn FnMut()),
) {
    cell.make(WARM_UP_CALLS, &mut batch);
    measure(&mut || cell.make(MEASURED_CALLS, &mut batch));
}

/// Through the switch, then between the two ends alone.
fn both(cell: &Cell, mut measure: impl FnMut(&mut dyn FnMut())) {
    let mut loopback = through();
    let batch = |calls, request: &[u8], answer: &[u8]| loopback.calls(calls, request, answer);
    warm_and_measure(cell, batch, &mut measure);
    let mut ends = BackToBack::new();
    let batch = |calls, request: &[u8], answer: &[u8]| ends.calls(calls, request, answer);
    warm_and_measure(cell, batch, &mut measure);
}

/// Both ways of one cell, each within [`counted`].
pub(crate) fn run_counted(cell: &Cell) {
    both(cell, counted);
}

/// How often a call takes memory, or more of it.
pub(crate) fn allocations(cell: &Cell, allocator: &StatsAlloc<System>) -> Count {
    let mut taken = Vec::with_capacity(2);
    both(cell, |work| {
        let region = Region::new(allocator);
        work();
        let change = region.change();
        // The message itself is one.
        taken.push(per_call((change.allocations + change.reallocations - 1) as u64));
    });
    Count { through: taken[0], ends: taken[1] }
}

/// Of all that were measured, one call's share.
pub(crate) fn per_call(measured: u64) -> f64 {
    measured as f64 / MEASURED_CALLS as f64
}
