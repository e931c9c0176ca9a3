//! Dynamic table size updates (RFC 7541, sections 4.2 and 6.3; RFC 9113, section 4.3.1).

use super::{decode, hex};
use crate::hpack::{Decoder, HpackError, encode_table_size};

/// `x: y`, inserted: 34 bytes of the table.
const INSERT: &str = "40 01 78 01 79";

fn update(bytes: usize) -> Vec<u8> {
    let mut block = Vec::new();
    encode_table_size(&mut block, bytes);
    block
}

/// A decoder whose table holds 136 bytes.
fn used_decoder() -> Decoder {
    let mut decoder = Decoder::new(4096);
    decode(&mut decoder, &hex(&INSERT.repeat(4))).unwrap();
    decoder
}

/// What comes of a block that begins with updates, after our limit took these values in turn.
fn check(limits: &[usize], updates: &[usize], expected: Result<usize, HpackError>) {
    let mut decoder = used_decoder();
    for &limit in limits {
        decoder.set_max_table(limit);
    }
    let mut block: Vec<u8> = updates.iter().flat_map(|&bytes| update(bytes)).collect();
    block.extend(hex("82"));
    let outcome = decode(&mut decoder, &block).map(|_| decoder.table.max_bytes());
    assert_eq!(outcome, expected, "limits {limits:?}, updates {updates:?}");
    if outcome.is_ok() {
        decode(&mut decoder, &hex("82")).expect("an update is owed once");
    }
}

#[test]
fn a_reduced_limit_must_be_obeyed_at_once() {
    const MISSING: Result<usize, HpackError> = Err(HpackError::SizeUpdateMissing);
    const TOO_LARGE: Result<usize, HpackError> = Err(HpackError::SizeUpdateTooLarge);
    check(&[], &[], Ok(4096));
    check(&[], &[0], Ok(0));
    check(&[], &[4096], Ok(4096));
    check(&[], &[4097], TOO_LARGE);
    check(&[], &[0, 4096], Ok(4096));
    check(&[], &[100, 4097], TOO_LARGE);
    // Raised: nothing is owed, and the table stays until the peer says so.
    check(&[8192], &[], Ok(4096));
    check(&[8192], &[8192], Ok(8192));
    check(&[8192], &[8193], TOO_LARGE);
    check(&[8192, 4096], &[], Ok(4096));
    // Reduced.
    check(&[0], &[], MISSING);
    check(&[0], &[0], Ok(0));
    check(&[0], &[1], TOO_LARGE);
    check(&[100], &[], MISSING);
    check(&[100], &[100], Ok(100));
    check(&[100], &[50], Ok(50));
    check(&[100], &[101], TOO_LARGE);
    check(&[100], &[101, 100], TOO_LARGE);
    // Reduced and raised again between two blocks: the smallest comes first, then the last.
    check(&[0, 4096], &[], MISSING);
    check(&[0, 4096], &[4096], TOO_LARGE);
    check(&[0, 4096], &[0], Ok(0));
    check(&[0, 4096], &[0, 4096], Ok(4096));
    check(&[100, 50, 200], &[50, 200], Ok(200));
    check(&[100, 50, 200], &[100, 200], TOO_LARGE);
    check(&[100, 50, 200], &[50, 201], TOO_LARGE);
}

#[test]
fn a_block_without_fields_owes_the_update_too() {
    let mut decoder = used_decoder();
    decoder.set_max_table(0);
    assert_eq!(decode(&mut decoder, &[]).map(drop), Err(HpackError::SizeUpdateMissing));
}

#[test]
fn a_limit_below_what_the_peer_uses_is_reduced_again() {
    let mut decoder = used_decoder();
    decode(&mut decoder, &update(200)).unwrap();
    decoder.set_max_table(300);
    decode(&mut decoder, &hex("82")).expect("the table was small enough");
    decoder.set_max_table(100);
    assert_eq!(decode(&mut decoder, &hex("82")).map(drop), Err(HpackError::SizeUpdateMissing));
}

#[test]
fn who_never_used_the_table_owes_no_update() {
    let mut decoder = Decoder::new(4096);
    decoder.set_max_table(0);
    decode(&mut decoder, &hex("82")).expect("there was nothing to give up");
    decode(&mut decoder, &hex(INSERT)).expect("a literal");
    assert_eq!(decoder.table.len(), 0, "the limit holds all the same");
}

#[test]
fn a_smaller_table_evicts_the_oldest() {
    let mut decoder = Decoder::new(4096);
    decode(&mut decoder, &hex(&[INSERT, "40 01 61 01 62"].concat())).unwrap();
    assert_eq!(decoder.table.len(), 2);
    decode(&mut decoder, &update(67)).unwrap();
    assert_eq!(decoder.table.len(), 1);
    let (fields, _) = decode(&mut decoder, &hex("be")).unwrap();
    assert_eq!(fields.get(b"a"), Some(&b"b"[..]));
    assert_eq!(decode(&mut decoder, &hex("bf")).map(drop), Err(HpackError::IndexOutOfRange));
}

#[test]
fn a_field_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(4096);
    decode(&mut decoder, &update(34)).unwrap();
    decode(&mut decoder, &hex(INSERT)).unwrap();
    assert_eq!(decoder.table.table_bytes(), 34);
    let (fields, _) = decode(&mut decoder, &hex("40 01 78 02 79 79")).unwrap();
    assert_eq!(fields.get(b"x"), Some(&b"yy"[..]));
    assert_eq!((decoder.table.len(), decoder.table.table_bytes()), (0, 0));
}

#[test]
fn an_entry_may_be_named_by_the_one_it_evicts() {
    let mut decoder = Decoder::new(34);
    decode(&mut decoder, &hex(INSERT)).unwrap();
    // Incremental indexing with the name of entry 62 (section 4.4).
    let (fields, _) = decode(&mut decoder, &hex("7e 01 7a")).unwrap();
    assert_eq!(fields.get(b"x"), Some(&b"z"[..]));
    assert_eq!(decoder.table.get(0), Some((&b"x"[..], &b"z"[..])));
    assert_eq!(decoder.table.len(), 1);
}

#[test]
fn usage_and_generation_tell_what_depends_on_the_table() {
    let mut decoder = Decoder::new(4096);
    let mut check = |block: &str, table_free: bool, changes: bool| {
        let before = decoder.generation();
        let (_, usage) = decode(&mut decoder, &hex(block)).unwrap();
        assert_eq!(usage.table_free, table_free, "{block}");
        assert_eq!(decoder.generation() != before, changes, "{block}");
    };
    check("82", true, false);
    check("00 01 78 01 79", true, false);
    check("10 01 78 01 79", true, false);
    check(INSERT, false, true);
    check("be", false, false);
    check("0f 2f 01 7a", false, false);
    check("82 be", false, false);
    check("83 84", true, false);
    check("3f e1 1f", false, true);
    check("20", false, true);
    // Into a table of no bytes.
    check(INSERT, false, true);
}
