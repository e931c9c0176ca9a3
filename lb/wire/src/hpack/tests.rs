//! HPACK against the examples of RFC 7541, against rules one by one, and against a model.

mod bombs;
mod codes;
mod encoding;
mod model;
mod size_updates;
mod vectors;

use super::{Decoder, Fields, HpackError, Limits, Usage};

/// Limits that no test block reaches unless it is about limits.
const WIDE: Limits = Limits { max_list_bytes: 1 << 20, max_decoded_bytes: 1 << 20 };

/// Octets from hexadecimal digits; spaces are for the reader.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// Decodes a block within wide limits.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<(Fields, Usage), HpackError> {
    let mut fields = Fields::new();
    let usage = decoder.decode(block, &WIDE, &mut fields)?;
    Ok((fields, usage))
}

/// Decodes a block that begins a connection.
fn decode_first(block: &[u8]) -> Result<(Fields, Usage), HpackError> {
    decode(&mut Decoder::new(4096), block)
}

/// Fields from names and values.
fn list(fields: &[(&str, &str)]) -> Fields {
    let mut list = Fields::new();
    for (name, value) in fields {
        list.push(name.as_bytes(), value.as_bytes(), false);
    }
    list
}

#[test]
fn integers_of_appendix_c_1() {
    use super::integer::{Reader, put_integer};
    for (prefix_bits, value, coded) in [(5, 10, "0a"), (5, 1337, "1f9a0a"), (8, 42, "2a")] {
        let mut out = Vec::new();
        put_integer(&mut out, 0, prefix_bits, value);
        assert_eq!(out, hex(coded));
        assert_eq!(Reader::new(&out).integer(prefix_bits), Ok(value));
    }
}

#[test]
fn blocks_that_break_a_rule() {
    let long_zero = "7f 80 80 80 80 80 00";
    for (block, error) in [
        // Section 6.1, 2.3.3.
        ("80", HpackError::ZeroIndex),
        ("be", HpackError::IndexOutOfRange),
        ("ff 00", HpackError::IndexOutOfRange),
        ("7f 00 00", HpackError::IndexOutOfRange),
        ("0f 80 01 00", HpackError::IndexOutOfRange),
        ("ff ff ff ff ff 0f", HpackError::IntegerOverflow),
        // Section 5.1: beyond 32 bits, or beyond the octets these need.
        ("ff 80 ff ff ff 0f", HpackError::IndexOutOfRange),
        ("ff 81 ff ff ff 0f", HpackError::IntegerOverflow),
        ("ff ff ff ff ff ff ff ff ff ff ff 01", HpackError::IntegerOverflow),
        (long_zero, HpackError::IntegerOverflow),
        ("00 7f ff ff ff ff 7f", HpackError::IntegerOverflow),
        // A field that is not whole.
        ("ff", HpackError::Truncated),
        ("ff 80", HpackError::Truncated),
        ("40", HpackError::Truncated),
        ("40 01", HpackError::Truncated),
        ("40 01 61", HpackError::Truncated),
        ("40 01 61 02 62", HpackError::Truncated),
        ("00 7f ff ff ff ff 0e 61", HpackError::Truncated),
        ("04", HpackError::Truncated),
        ("3f", HpackError::Truncated),
        ("82 10", HpackError::Truncated),
        // Section 6.3, 4.2.
        ("3f e2 1f", HpackError::SizeUpdateTooLarge),
        ("82 20", HpackError::SizeUpdateMisplaced),
    ] {
        assert_eq!(decode_first(&hex(block)).map(drop), Err(error), "{block}");
    }
}

#[test]
fn no_octets_are_no_fields() {
    let (fields, usage) = decode_first(&[]).unwrap();
    assert!(fields.is_empty());
    assert_eq!(usage, Usage { table_free: true, too_large: false });
}

#[test]
fn an_error_leaves_no_fields_behind() {
    let mut fields = list(&[("old", "field")]);
    let block = hex("82 86 80");
    let outcome = Decoder::new(4096).decode(&block, &WIDE, &mut fields);
    assert_eq!(outcome, Err(HpackError::ZeroIndex));
    assert!(fields.is_empty());
    assert_eq!(fields.list_bytes(), 0);
}

#[test]
fn fields_are_listed_counted_and_found() {
    let mut fields = list(&[("a", "1"), ("", ""), ("a", "2")]);
    fields.push(b"password", b"secret", true);
    assert_eq!(fields.len(), 4);
    assert_eq!(fields.list_bytes(), 4 * 32 + 2 + 2 + 14);
    assert_eq!(fields.get(b"a"), Some(&b"1"[..]));
    assert_eq!(fields.get(b""), Some(&b""[..]));
    assert_eq!(fields.get(b"b"), None);
    let values: Vec<_> = fields.iter().map(|field| field.value).collect();
    assert_eq!(values, [&b"1"[..], b"", b"2", b"secret"]);
    assert_eq!(fields.value(3), b"secret");
    let shown = format!("{fields:?}");
    assert!(shown.contains("a: 2") && !shown.contains("secret,"), "{shown}");
    fields.clear();
    assert!(fields.is_empty());
    assert_eq!(fields, Fields::new());
}
