//! Why a header block cannot be decoded. Each is fatal to its connection, for the tables of both
//! sides no longer agree: COMPRESSION_ERROR (RFC 9113, section 4.3).

use thiserror::Error;

/// A header block that breaks RFC 7541.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("{}", self.why())]
pub enum HpackError {
    /// The block ends inside a field (section 6).
    Truncated,
    /// An integer is larger, or longer, than any that a header block can need (section 5.1).
    IntegerOverflow,
    /// An indexed field has the index 0 (section 6.1).
    ZeroIndex,
    /// An index beyond both tables (section 2.3.3).
    IndexOutOfRange,
    /// A Huffman code is cut short, or padded with something else than up to seven bits of EOS
    /// (section 5.2).
    HuffmanPadding,
    /// A Huffman string contains EOS (section 5.2).
    HuffmanEndOfString,
    /// A dynamic table size update above the limit we set (section 6.3).
    SizeUpdateTooLarge,
    /// A dynamic table size update that does not stand at the beginning of its block (section 4.2).
    SizeUpdateMisplaced,
    /// We reduced the limit, and the next block does not begin with a size update that obeys it
    /// (section 4.2).
    SizeUpdateMissing,
    /// The block unfolds to more than [`Limits::max_decoded_bytes`](super::Limits).
    TooLarge,
}

impl HpackError {
    /// The rule that was broken, and where it stands.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Truncated => "header block ends inside a field (RFC 7541, 6)",
            Self::IntegerOverflow => "integer too large in a header block (RFC 7541, 5.1)",
            Self::ZeroIndex => "indexed field with index 0 (RFC 7541, 6.1)",
            Self::IndexOutOfRange => "index beyond both header tables (RFC 7541, 2.3.3)",
            Self::HuffmanPadding => "Huffman string with bad padding (RFC 7541, 5.2)",
            Self::HuffmanEndOfString => "Huffman string contains EOS (RFC 7541, 5.2)",
            Self::SizeUpdateTooLarge => "table size update above the limit (RFC 7541, 6.3)",
            Self::SizeUpdateMisplaced => "table size update after a field (RFC 7541, 4.2)",
            Self::SizeUpdateMissing => "table size update missing (RFC 7541, 4.2)",
            Self::TooLarge => "header block unfolds to too many bytes",
        }
    }
}
