//! How much trouble a peer may make: token buckets over the frames that cost us and carry nothing.
//!
//! Frames are cheap to send, so every kind that makes work without moving a call takes a token;
//! frames that move calls, in either direction, give some back. gRPC's own traffic (cancellations,
//! BDP pings, a WINDOW_UPDATE a DATA frame) stays far below; a flood empties the bucket in
//! milliseconds. The floods are those of CVE-2019-9511 to 9518, CVE-2023-44487 (rapid reset),
//! CVE-2024-27316 (CONTINUATION) and CVE-2025-8671 (made to reset).

use std::time::Duration;

use crate::error::Flood;

/// Tokens that come back with time, up to a burst.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Thousandths of a token.
    left_milli: i64,
    burst_milli: i64,
    per_second: i64,
    refilled_at: Duration,
}

impl Bucket {
    const fn new(now: Duration, burst: i64, per_second: i64) -> Self {
        let burst_milli = burst * 1000;
        Self { left_milli: burst_milli, burst_milli, per_second, refilled_at: now }
    }

    /// Whether there were `tokens` to take.
    #[inline]
    fn take(&mut self, now: Duration, tokens: i64) -> bool {
        self.left_milli -= tokens * 1000;
        if self.left_milli >= 0 {
            return true;
        }
        // Time is looked at only when it matters.
        let passed = now.saturating_sub(self.refilled_at);
        self.refilled_at = now;
        let earned = self.per_second.saturating_mul(passed.as_millis().min(1 << 40) as i64);
        self.give(earned);
        self.left_milli >= 0
    }

    #[inline]
    fn give(&mut self, milli: i64) {
        self.left_milli = self.left_milli.saturating_add(milli).min(self.burst_milli);
    }
}

/// One for the stream, one for the connection.
const UPDATES_PER_DATA_FRAME: u32 = 2;

/// What one connection may still cost.
#[derive(Debug)]
pub(crate) struct Guard {
    resets: Bucket,
    provoked: Bucket,
    control: Bucket,
    /// WINDOW_UPDATE frames that DATA frames we sent may be answered with.
    updates_due: u32,
}

impl Guard {
    pub(crate) const fn new(now: Duration) -> Self {
        Self {
            // A client that cancels 10,000 calls a second is within it, twice over.
            resets: Bucket::new(now, 20_000, 20_000),
            // No honest client makes us reset a stream; a few may be bugs.
            provoked: Bucket::new(now, 100, 10),
            control: Bucket::new(now, 2_000, 100),
            updates_due: 0,
        }
    }

    /// The peer reset a stream.
    #[inline]
    pub(crate) fn reset(&mut self, now: Duration) -> Result<(), Flood> {
        if self.resets.take(now, 1) { Ok(()) } else { Err(Flood::Resets) }
    }

    /// The peer broke a rule and made us reset a stream.
    pub(crate) fn provoked(&mut self, now: Duration) -> Result<(), Flood> {
        if self.provoked.take(now, 1) { Ok(()) } else { Err(Flood::ProvokedResets) }
    }

    /// A frame that moves no call, of this weight.
    #[inline]
    pub(crate) fn control(&mut self, now: Duration, weight: i64) -> Result<(), Flood> {
        if self.control.take(now, weight) { Ok(()) } else { Err(Flood::ControlFrames) }
    }

    /// A DATA frame was sent. The peer may give its bytes back frame by frame, and late: what is due is
    /// bounded by the windows, not by the burst.
    #[inline]
    pub(crate) fn data_sent(&mut self) {
        self.updates_due = self.updates_due.saturating_add(UPDATES_PER_DATA_FRAME);
    }

    /// A WINDOW_UPDATE frame.
    #[inline]
    pub(crate) fn window_update(&mut self, now: Duration) -> Result<(), Flood> {
        if self.updates_due > 0 {
            self.updates_due -= 1;
            return Ok(());
        }
        self.control(now, 1)
    }

    /// A frame that moves a call was received or sent: two control frames (a window update for the
    /// stream and one for the connection) are its fair share, and a ping now and then.
    #[inline]
    pub(crate) fn useful(&mut self) {
        self.control.give(2_500);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_ends_and_a_stream_of_cancellations_does_not() {
        let mut guard = Guard::new(Duration::ZERO);
        let mut resets = 0;
        while guard.reset(Duration::ZERO).is_ok() {
            resets += 1;
        }
        assert_eq!(resets, 20_000);
        let mut guard = Guard::new(Duration::ZERO);
        for call in 0..100_000_u64 {
            let now = Duration::from_micros(100 * call);
            assert_eq!(guard.reset(now), Ok(()), "10,000 a second, the {call}th");
        }
    }

    #[test]
    fn every_data_frame_may_be_given_back_however_late() {
        let mut guard = Guard::new(Duration::ZERO);
        (0..50_000).for_each(|_| guard.data_sent());
        assert!((0..100_000).all(|_| guard.window_update(Duration::ZERO).is_ok()));
        let flood = (0..10_000).find_map(|_| guard.window_update(Duration::ZERO).err());
        assert_eq!(flood, Some(Flood::ControlFrames));
    }

    #[test]
    fn useful_frames_pay_for_control_frames() {
        let mut guard = Guard::new(Duration::ZERO);
        for _ in 0..100_000 {
            guard.useful();
            assert_eq!(guard.control(Duration::ZERO, 1), Ok(()));
            assert_eq!(guard.control(Duration::ZERO, 1), Ok(()));
        }
        let flood = (0..10_000).find_map(|_| guard.control(Duration::ZERO, 1).err());
        assert_eq!(flood, Some(Flood::ControlFrames));
    }
}
