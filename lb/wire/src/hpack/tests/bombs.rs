//! Blocks that unfold to many times their size, and what holds them back.

use proptest::prelude::*;

use super::{decode, hex};
use crate::hpack::{Decoder, Fields, HpackError, Limits, Usage};

/// A field of 4000 octets that fills the table, then so many references to it, an octet each.
fn bomb(references: usize) -> Vec<u8> {
    let mut block = hex("40 01 78 7f a1 1e");
    block.resize(block.len() + 4000, b'y');
    block.resize(block.len() + references, 0xbe);
    block
}

#[test]
fn a_bomb_ends_decoding() {
    let limits = Limits { max_list_bytes: 16 << 10, max_decoded_bytes: 64 << 10 };
    let mut fields = Fields::new();
    let outcome = Decoder::new(4096).decode(&bomb(10_000), &limits, &mut fields);
    assert_eq!(outcome, Err(HpackError::TooLarge));
    assert!(fields.is_empty());
}

#[test]
fn fields_beyond_the_list_are_dropped_and_the_table_follows() {
    let limits = Limits { max_list_bytes: 16 << 10, max_decoded_bytes: 64 << 10 };
    let (mut decoder, mut fields) = (Decoder::new(4096), Fields::new());
    let mut block = bomb(10);
    // Small enough to fit in beside those that were kept, but the list is closed.
    block.extend(hex("40 01 61 01 62"));
    let usage = decoder.decode(&block, &limits, &mut fields).unwrap();
    assert_eq!(usage, Usage { table_free: false, too_large: true });
    assert_eq!((fields.len(), fields.list_bytes()), (4, 4 * 4033));
    let (fields, usage) = decode(&mut decoder, &hex("be")).unwrap();
    assert_eq!(fields.get(b"a"), Some(&b"b"[..]));
    assert!(!usage.too_large);
}

#[test]
fn a_list_may_be_as_large_as_its_limit() {
    let block = hex("00 01 78 01 79 00 01 78 01 79");
    for (max_list_bytes, kept) in [(68, 2), (67, 1), (34, 1), (33, 0), (0, 0)] {
        let limits = Limits { max_list_bytes, max_decoded_bytes: 68 };
        let mut fields = Fields::new();
        let usage = Decoder::new(4096).decode(&block, &limits, &mut fields).unwrap();
        assert_eq!((fields.len(), usage.too_large), (kept, kept < 2), "{max_list_bytes}");
    }
    let limits = Limits { max_list_bytes: 68, max_decoded_bytes: 67 };
    let outcome = Decoder::new(4096).decode(&block, &limits, &mut Fields::new());
    assert_eq!(outcome, Err(HpackError::TooLarge));
}

#[test]
fn the_table_holds_little_more_than_its_entries() {
    let mut decoder = Decoder::new(4096);
    let mut most = 0;
    for round in 0..10_000_u32 {
        let value = vec![b'v'; (round * 7919 % 900) as usize];
        let mut block = hex("40 01 78 7f");
        let mut rest = value.len() as i64 - 127;
        if rest < 0 {
            block.pop();
            block.push(value.len() as u8);
        } else {
            while rest >= 128 {
                block.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            block.push(rest as u8);
        }
        block.extend(&value);
        decode(&mut decoder, &block).unwrap();
        most = most.max(decoder.table.held_bytes());
    }
    assert!(most < 3 * 4096, "{most}");
}

proptest! {
    #[test]
    fn random_octets_stay_within_limits(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..6),
        max_list_bytes in 0_usize..600,
        max_table in 0_usize..300,
    ) {
        let limits = Limits { max_list_bytes, max_decoded_bytes: 2 * max_list_bytes };
        let mut decoder = Decoder::new(max_table);
        let mut fields = Fields::new();
        for block in &blocks {
            let outcome = decoder.decode(block, &limits, &mut fields);
            prop_assert!(fields.list_bytes() <= max_list_bytes);
            prop_assert!(decoder.table.table_bytes() <= max_table);
            prop_assert!(decoder.table.held_bytes() <= 3 * max_table);
            if outcome.is_err() {
                prop_assert!(fields.is_empty());
                break;
            }
        }
    }
}
