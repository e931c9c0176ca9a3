//! The encoder: each form where it belongs, and whatever is encoded decodes to the same.

use proptest::prelude::*;

use super::{decode_first, hex};
use crate::hpack::{
    Fields, encode, encode_table_size,
    static_table::{STATIC_TABLE, index_of_name},
};

fn encoded(name: &[u8], value: &[u8], sensitive: bool) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, name, value, sensitive);
    out
}

#[test]
fn each_field_takes_its_shortest_form() {
    for (name, value, sensitive, expected) in [
        (":method", "POST", false, "83"),
        (":path", "/", false, "84"),
        (":status", "500", false, "8e"),
        ("accept-encoding", "gzip, deflate", false, "90"),
        (":authority", "a", false, "01 01 61"),
        (":status", "503", false, "08 03 353033"),
        ("te", "x", false, "00 02 7465 01 78"),
        ("user-agent", "a", false, "0f 2b 01 61"),
        ("user-agent", "a", true, "1f 2b 01 61"),
        // A sensitive field is never an index, even if the table has it.
        (":method", "GET", true, "12 03 474554"),
        ("x", "", true, "10 01 78 00"),
        ("", "", false, "00 00 00"),
    ] {
        assert_eq!(
            encoded(name.as_bytes(), value.as_bytes(), sensitive),
            hex(expected),
            "{name}: {value}"
        );
    }
}

#[test]
fn the_static_table_is_found_by_name_and_by_field() {
    for (place, (name, value)) in STATIC_TABLE.iter().enumerate() {
        let first = STATIC_TABLE.iter().position(|(other, _)| other == name).unwrap();
        assert_eq!(index_of_name(name), Some(first + 1), "{}", name.escape_ascii());
        if !value.is_empty() {
            assert_eq!(encoded(name, value, false), [0x80 | (place + 1) as u8]);
        }
        let (fields, usage) = decode_first(&[0x80 | (place + 1) as u8]).unwrap();
        let field = fields.iter().next().unwrap();
        assert_eq!((field.name, field.value), (*name, *value));
        assert!(usage.table_free);
    }
    assert_eq!(index_of_name(b"grpc-timeout"), None);
    assert_eq!(index_of_name(b"content-typf"), None);
}

#[test]
fn table_sizes_are_written_as_updates() {
    for (bytes, expected) in [(0, "20"), (30, "3e"), (31, "3f 00"), (4096, "3f e1 1f")] {
        let mut out = Vec::new();
        encode_table_size(&mut out, bytes);
        assert_eq!(out, hex(expected));
    }
}

prop_compose! {
    /// A name, often of the static table, a value, and whether the field is sensitive.
    fn field()(
        known in prop::option::of(0..STATIC_TABLE.len()),
        name in prop::collection::vec(any::<u8>(), 0..200),
        keep_value in any::<bool>(),
        value in prop::collection::vec(any::<u8>(), 0..200),
        sensitive in any::<bool>(),
    ) -> (Vec<u8>, Vec<u8>, bool) {
        match known.map(|place| STATIC_TABLE[place]) {
            Some((name, own)) if keep_value => (name.to_vec(), own.to_vec(), sensitive),
            Some((name, _)) => (name.to_vec(), value, sensitive),
            None => (name, value, sensitive),
        }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(fields in prop::collection::vec(field(), 0..20)) {
        let (mut block, mut expected) = (Vec::new(), Fields::new());
        for (name, value, sensitive) in &fields {
            encode(&mut block, name, value, *sensitive);
            expected.push(name, value, *sensitive);
        }
        let (decoded, usage) = decode_first(&block).unwrap();
        prop_assert_eq!(decoded, expected);
        prop_assert!(usage.table_free);
    }
}
