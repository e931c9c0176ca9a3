//! HPACK of the suite's own (RFC 7541): literals to send, and a strict decoder to judge by.

mod decode;
mod huffman;
mod statics;

pub(crate) use self::decode::{Decoder, Field};

/// `:method: GET`, and so on, in the static table (RFC 7541, Appendix A).
pub(crate) const METHOD_GET: u8 = 0x82;
pub(crate) const STATUS_200: u8 = 0x88;

/// A literal without indexing, new name, no Huffman (section 6.2.2).
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    literal_bytes(name.as_bytes(), value.as_bytes())
}

pub(crate) fn literal_bytes(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0x00], string(name), string(value)].concat()
}

/// A literal that becomes the newest entry of the dynamic table (section 6.2.1).
pub(crate) fn indexed_literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0x40], string(name.as_bytes()), string(value.as_bytes())].concat()
}

/// A literal that must never be indexed (section 6.2.3).
pub(crate) fn never_indexed(name: &str, value: &str) -> Vec<u8> {
    [vec![0x10], string(name.as_bytes()), string(value.as_bytes())].concat()
}

/// An indexed field (section 6.1).
pub(crate) fn index(index: u64) -> Vec<u8> {
    integer(0x80, 7, index)
}

/// A dynamic table size update (section 6.3).
pub(crate) fn table_size(size: u64) -> Vec<u8> {
    integer(0x20, 5, size)
}

/// A string as it is (section 5.2).
pub(crate) fn string(content: &[u8]) -> Vec<u8> {
    let length = u64::try_from(content.len()).expect("a length");
    [integer(0x00, 7, length), content.to_vec()].concat()
}

/// A string said to be Huffman-coded (section 5.2).
pub(crate) fn coded_string(code: &[u8]) -> Vec<u8> {
    let length = u64::try_from(code.len()).expect("a length");
    [integer(0x80, 7, length), code.to_vec()].concat()
}

/// A literal without indexing, name and value Huffman-coded.
pub(crate) fn coded_literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0x00], coded(name), coded(value)].concat()
}

/// A string, Huffman-coded.
pub(crate) fn coded(text: impl AsRef<[u8]>) -> Vec<u8> {
    coded_string(&huffman::encode(text.as_ref()))
}

/// Section 5.1.
pub(crate) fn integer(first: u8, prefix_bits: u32, value: u64) -> Vec<u8> {
    let most = (1 << prefix_bits) - 1;
    if value < most {
        return vec![first | u8::try_from(value).expect("fits the prefix")];
    }
    let mut bytes = vec![first | u8::try_from(most).expect("fits the prefix")];
    let mut rest = value - most;
    while rest >= 0x80 {
        bytes.push(0x80 | u8::try_from(rest & 0x7f).expect("seven bits"));
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).expect("seven bits"));
    bytes
}

/// Many literals.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// A GET of this path.
pub(crate) fn get(path: &str) -> Vec<u8> {
    request("GET", path)
}

/// A POST to this path.
pub(crate) fn post(path: &str) -> Vec<u8> {
    request("POST", path)
}

pub(crate) fn request(method: &str, path: &str) -> Vec<u8> {
    let pseudo =
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    block(&pseudo)
}

/// A GET with one field more.
pub(crate) fn get_with(name: &str, value: &str) -> Vec<u8> {
    [get("/"), literal(name, value)].concat()
}

/// The head of a response with status 200, before any other fields.
///
/// It begins with a size update: a server that is told to use no table must say that it does not
/// (RFC 9113, section 4.3.1), and may say so at any time.
pub(crate) fn ok() -> Vec<u8> {
    [table_size(0), vec![STATUS_200]].concat()
}

/// The same with one field more.
pub(crate) fn ok_with(name: &str, value: &str) -> Vec<u8> {
    [ok(), literal(name, value)].concat()
}

/// A first block of these fields.
pub(crate) fn first_block(fields: &[(&str, &str)]) -> Vec<u8> {
    [table_size(0), block(fields)].concat()
}
