//! A gRPC message on the wire: a prefix of five bytes, which says how long it is, and its bytes.

use std::rc::Rc;

/// Flag and length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX_LEN: usize = 5;
/// Largest message a server answers with, bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// A message ready to be sent, prefix and all.
#[derive(Debug, Clone)]
pub(in crate::bench) struct Message(Rc<[u8]>);

impl Message {
    /// `bytes` zeros, at most [`MAX_MESSAGE_BYTES`].
    pub(in crate::bench) fn of(bytes: u32) -> Self {
        let mut message = vec![0; PREFIX_LEN + bytes as usize];
        message[1..PREFIX_LEN].copy_from_slice(&bytes.to_be_bytes());
        Self(message.into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A message that arrives piece by piece; its bytes are counted, not kept.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Arriving {
    prefix: [u8; PREFIX_LEN],
    received: usize,
}

impl Arriving {
    pub(super) fn add(&mut self, piece: &[u8]) {
        if let Some(rest) = self.prefix.get_mut(self.received..) {
            let of_prefix = rest.len().min(piece.len());
            rest[..of_prefix].copy_from_slice(&piece[..of_prefix]);
        }
        self.received += piece.len();
    }

    /// Bytes behind the prefix, if that is one uncompressed message and nothing else.
    pub(super) fn message_bytes(&self) -> Option<u32> {
        let [flag, length @ ..] = self.prefix;
        let length = u32::from_be_bytes(length);
        (flag == 0 && self.received == PREFIX_LEN + length as usize).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_recognised_however_it_is_cut() {
        for bytes in [0, 1, 100, 16_384] {
            let message = Message::of(bytes);
            for step in [1, 3, 5, 7, 20_000] {
                let mut arriving = Arriving::default();
                for piece in message.bytes().chunks(step) {
                    assert_eq!(arriving.message_bytes().filter(|_| bytes > 0), None);
                    arriving.add(piece);
                }
                assert_eq!(arriving.message_bytes(), Some(bytes), "{bytes} by {step}");
                arriving.add(&[0]);
                assert_eq!(arriving.message_bytes(), None, "one byte too many");
            }
        }
    }
}
