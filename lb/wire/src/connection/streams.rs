//! The streams of a connection: the open ones, and what is remembered of those that ended
//! (RFC 9113, section 5.1).

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

/// Ended streams remembered: frames for them may still be on their way, and which error a late frame
/// is depends on how the stream ended. Older ones get the lenient answer.
const MAX_REMEMBERED: usize = 512;

/// One open stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// The owner's mark.
    pub(super) tag: u32,
    /// The peer sent END_STREAM.
    pub(super) remote_ended: bool,
    /// We sent END_STREAM.
    pub(super) local_ended: bool,
    /// The peer's (final) header block has arrived; the next one is trailers.
    pub(super) got_head: bool,
    /// An answer to a request that allows no body, whatever its content-length says (HEAD).
    pub(super) bodyless: bool,
    /// What the peer lets us send; negative after its SETTINGS shrank it (section 6.9.2).
    pub(super) send_window: i64,
    /// The owner wanted to send more than the window allowed.
    pub(super) starved: bool,
    /// What we still let the peer send.
    pub(super) recv_window: i64,
    /// Bytes the owner is done with and the peer has not been told of.
    pub(super) released: u32,
    /// Bytes of content the peer still owes, if it said how many.
    pub(super) content_left: Option<u64>,
    /// Its owner has reset it; the peer will hear of it as soon as it may.
    pub(super) abandoned: bool,
    /// Informational header blocks received.
    pub(super) informational: u8,
}

impl Stream {
    pub(super) fn new(tag: u32, send_window: i64, recv_window: i64) -> Self {
        Self {
            tag,
            remote_ended: false,
            local_ended: false,
            got_head: false,
            bodyless: false,
            send_window,
            starved: false,
            recv_window,
            released: 0,
            content_left: None,
            abandoned: false,
            informational: 0,
        }
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Both sides said END_STREAM.
    Whole,
    /// The peer reset it: whatever follows breaks a rule.
    ByPeer,
    /// We reset it: what was on its way is ignored.
    ByUs,
}

/// Open streams by id, and the last ones that ended.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: HashMap<u32, Stream, BuildHasherDefault<IdHasher>>,
    ended: VecDeque<(u32, Ended)>,
}

impl Streams {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.open.get(&id)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.open.get_mut(&id)
    }

    #[inline]
    pub(super) fn insert(&mut self, id: u32, stream: Stream) {
        self.open.insert(id, stream);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Stream)> {
        self.open.iter().map(|(id, stream)| (*id, stream))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.open.values_mut()
    }

    /// Takes a stream out and remembers how it ended.
    pub(super) fn end(&mut self, id: u32, how: Ended) -> Option<Stream> {
        let stream = self.open.remove(&id);
        self.remember(id, how);
        stream
    }

    /// Remembers the end of a stream that never was one.
    pub(super) fn remember(&mut self, id: u32, how: Ended) {
        if self.ended.len() == MAX_REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((id, how));
    }

    /// How a stream that is not open ended, if that is remembered.
    pub(super) fn ended(&self, id: u32) -> Option<Ended> {
        self.ended.iter().rev().find(|(ended, _)| *ended == id).map(|(_, how)| *how)
    }

    /// Whether there are streams that ended of which nothing is remembered.
    pub(super) fn has_forgotten(&self) -> bool {
        self.ended.len() == MAX_REMEMBERED
    }

    /// Gives memory back when nothing is open.
    pub(super) fn shrink(&mut self) {
        if self.open.is_empty() && self.open.capacity() > 64 {
            self.open.shrink_to(0);
        }
    }
}

/// Stream ids rise by two: one multiplication spreads them (Knuth, The Art of Computer Programming
/// 6.4). A peer that chooses ids to collide is bounded by the number of streams it may open.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_remembered_and_forgotten() {
        let mut streams = Streams::default();
        streams.insert(1, Stream::new(7, 0, 0));
        assert_eq!(streams.end(1, Ended::ByUs).unwrap().tag, 7);
        assert!(streams.get(1).is_none());
        assert_eq!(streams.ended(1), Some(Ended::ByUs));
        for id in 0..MAX_REMEMBERED as u32 {
            streams.remember(2 * id + 3, Ended::Whole);
        }
        assert_eq!(streams.ended(1), None);
        assert_eq!(streams.ended(3), Some(Ended::Whole));
    }
}
