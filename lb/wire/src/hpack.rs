//! HPACK (RFC 7541): header blocks to fields and back.
//!
//! The [`Decoder`] keeps the dynamic table its peer fills; [`encode`] uses none, so what it writes
//! depends on no state and may be kept and sent again on any connection. Start reading at
//! [`Decoder::decode`].

mod decoder;
mod dynamic_table;
mod encode;
mod error;
mod fields;
mod huffman;
mod integer;
mod static_table;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Limits, Usage};
pub use encode::{encode, encode_table_size};
pub use error::HpackError;
pub use fields::{Field, Fields};

/// What a field counts for beyond its name and value, in bytes: as an entry of a dynamic table
/// (RFC 7541, section 4.1) and in a field section's size (RFC 9113, section 6.5.2) alike.
pub const FIELD_OVERHEAD_BYTES: usize = 32;
