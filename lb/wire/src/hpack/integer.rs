//! Integers with a prefix (RFC 7541, section 5.1), and the place in a block they are read from.

use super::HpackError;

/// The bits of an integer that continuation octets may carry: enough for 32 bits, padded zeros
/// included.
const MAX_CONTINUATION_BITS: u32 = 28;

/// What is left of a header block.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }

    /// The next octet, without taking it; `None` at the end of the block.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// An integer whose first octet keeps its lowest `prefix_bits` (1 to 8) for it. The bits above
    /// are the caller's.
    pub(super) fn integer(&mut self, prefix_bits: u32) -> Result<usize, HpackError> {
        let mask = u8::MAX >> (8 - prefix_bits);
        let (&first, rest) = self.rest.split_first().ok_or(HpackError::Truncated)?;
        self.rest = rest;
        let prefix = first & mask;
        if prefix < mask { Ok(usize::from(prefix)) } else { self.continuation(prefix) }
    }

    #[cold]
    fn continuation(&mut self, prefix: u8) -> Result<usize, HpackError> {
        let mut value = u64::from(prefix);
        let mut shift = 0;
        loop {
            let (&octet, rest) = self.rest.split_first().ok_or(HpackError::Truncated)?;
            self.rest = rest;
            if shift > MAX_CONTINUATION_BITS {
                return Err(HpackError::IntegerOverflow);
            }
            value += u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        let value = u32::try_from(value).map_err(|_| HpackError::IntegerOverflow)?;
        usize::try_from(value).map_err(|_| HpackError::IntegerOverflow)
    }

    /// A string literal as it stands in the block, and whether it is Huffman coded (section 5.2).
    pub(super) fn string(&mut self) -> Result<(&'a [u8], bool), HpackError> {
        let huffman = self.peek().ok_or(HpackError::Truncated)? & 0x80 != 0;
        let length = self.integer(7)?;
        let (string, rest) = self.rest.split_at_checked(length).ok_or(HpackError::Truncated)?;
        self.rest = rest;
        Ok((string, huffman))
    }
}

/// Writes an integer behind the bits of `pattern`, which leave `prefix_bits` for it.
pub(super) fn put_integer(out: &mut Vec<u8>, pattern: u8, prefix_bits: u32, value: usize) {
    let mask = usize::from(u8::MAX >> (8 - prefix_bits));
    if value < mask {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
