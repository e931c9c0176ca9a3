//! How many bytes of calls that do not move are held here.
//!
//! A connection's window is the sum of the windows of all streams it may carry: however many of
//! them stall, the next one still has its own. What one call may hold is bounded in four places,
//! 64 KiB each: its request before the endpoint's connection took it ([`STREAM_WINDOW`]) and before
//! the endpoint did ([`SEND_BUFFER`]), and its answer likewise. So a client connection with all its
//! `--max-streams` stalled both ways costs 256 KiB times that number at most (256 MiB by default),
//! headers not counted.

/// Bytes of a stream that were received and not yet passed on.
pub(crate) const STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes of a stream that were passed on and not yet sent; the last frame may exceed it.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;
/// Streams whose windows still fit in the window of one connection, with room to spare: a
/// connection's window is less than 2 GiB (RFC 9113, section 6.9.1).
pub(crate) const MAX_STREAMS: u32 = 16_384;

const _: () = assert!(MAX_STREAMS as u64 * (STREAM_WINDOW as u64) < 1 << 31);

/// The window of a connection that carries so many streams at once; [`MAX_STREAMS`] at most.
pub(crate) const fn of_connection(streams: u32) -> u32 {
    streams * STREAM_WINDOW
}
