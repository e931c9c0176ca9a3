//! The encoder, without a dynamic table and without Huffman codes: octets are cheaper than time
//! between machines that stand close together, and a block that depends on no state can be kept.

use super::{
    integer::put_integer,
    static_table::{index_of_name, index_of_value},
};

/// Bits that begin each representation (RFC 7541, section 6).
const INDEXED: u8 = 0x80;
const SIZE_UPDATE: u8 = 0x20;
const NEVER_INDEXED: u8 = 0x10;
const NOT_INDEXED: u8 = 0x00;

/// Appends a field: indexed if the static table has it, else a literal, with an indexed name if the
/// static table has that. A `sensitive` field is a never-indexed literal (section 6.2.3).
pub fn encode(out: &mut Vec<u8>, name: &[u8], value: &[u8], sensitive: bool) {
    let name_index = index_of_name(name);
    let whole = name_index.and_then(|index| index_of_value(index, value));
    if let (Some(index), false) = (whole, sensitive) {
        put_integer(out, INDEXED, 7, index);
        return;
    }
    let pattern = if sensitive { NEVER_INDEXED } else { NOT_INDEXED };
    match name_index {
        Some(index) => put_integer(out, pattern, 4, index),
        None => {
            out.push(pattern);
            put_string(out, name);
        }
    }
    put_string(out, value);
}

/// Appends a dynamic table size update (section 6.3). An encoder owes its peer one at the beginning
/// of the next block after the peer reduced SETTINGS_HEADER_TABLE_SIZE (section 4.2), even if it
/// never uses the table; after one of 0 bytes [`encode`] never owes another.
pub fn encode_table_size(out: &mut Vec<u8>, bytes: usize) {
    put_integer(out, SIZE_UPDATE, 5, bytes);
}

fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    put_integer(out, 0, 7, string.len());
    out.extend_from_slice(string);
}
