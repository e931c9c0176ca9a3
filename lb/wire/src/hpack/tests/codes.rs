//! The Huffman code: that it is the one of RFC 7541, appendix B, and that it is decoded strictly.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::hex;
use crate::hpack::{
    HpackError,
    huffman::{self, CODE_BITS},
};

/// The code of each symbol, counted up over its length and value: the canonical code.
fn codes() -> &'static [(u32, u32)] {
    static CODES: LazyLock<Vec<(u32, u32)>> = LazyLock::new(count_codes);
    &CODES
}

fn count_codes() -> Vec<(u32, u32)> {
    let mut order: Vec<_> = (0..CODE_BITS.len()).collect();
    order.sort_by_key(|&symbol| (CODE_BITS[symbol], symbol));
    let mut codes = vec![(0, 0); CODE_BITS.len()];
    let (mut code, mut length) = (0_u32, 0);
    for symbol in order {
        code <<= CODE_BITS[symbol] - length;
        length = CODE_BITS[symbol];
        codes[symbol] = (code, u32::from(length));
        code += 1;
    }
    codes
}

/// The bits of symbols, then ones up to a whole octet.
fn encode_symbols(symbols: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let codes = codes();
    let mut bits = Vec::new();
    for symbol in symbols {
        let (code, length) = codes[symbol];
        bits.extend((0..length).rev().map(|place| code >> place & 1 == 1));
    }
    bits.resize(bits.len().next_multiple_of(8), true);
    bits.chunks(8).map(|octet| octet.iter().fold(0, |sum, &bit| sum << 1 | u8::from(bit))).collect()
}

pub(super) fn encode(octets: &[u8]) -> Vec<u8> {
    encode_symbols(octets.iter().map(|&octet| usize::from(octet)))
}

fn decode(coded: &[u8]) -> Result<Vec<u8>, HpackError> {
    let mut out = Vec::new();
    huffman::decode(coded, &mut out).map(|()| out)
}

#[test]
fn the_code_is_complete() {
    let parts: u64 = CODE_BITS.iter().map(|&bits| 1_u64 << (30 - bits)).sum();
    assert_eq!(parts, 1 << 30, "Kraft's sum is one");
}

#[test]
fn codes_are_those_of_appendix_b() {
    let codes = codes();
    for (symbol, code, length) in [
        (0, 0x1ff8, 13),
        (1, 0x7fffd8, 23),
        (9, 0xffffea, 24),
        (10, 0x3ffffffc, 30),
        (usize::from(b' '), 0x14, 6),
        (usize::from(b'0'), 0x0, 5),
        (usize::from(b':'), 0x5c, 7),
        (usize::from(b'<'), 0x7ffc, 15),
        (usize::from(b'X'), 0xfc, 8),
        (usize::from(b'\\'), 0x7fff0, 19),
        (usize::from(b'a'), 0x3, 5),
        (usize::from(b'z'), 0x7b, 7),
        (127, 0xffffffc, 28),
        (128, 0xfffe6, 20),
        (192, 0x3ffffe0, 26),
        (249, 0xffffffe, 28),
        (255, 0x3ffffee, 26),
        (256, 0x3fffffff, 30),
    ] {
        assert_eq!(codes[symbol], (code, length), "symbol {symbol}");
    }
}

#[test]
fn every_octet_and_every_pair_come_back() {
    for first in 0..=u8::MAX {
        assert_eq!(decode(&encode(&[first])).unwrap(), [first]);
        for second in 0..=u8::MAX {
            let pair = [first, second];
            assert_eq!(decode(&encode(&pair)).unwrap(), pair);
        }
    }
}

#[test]
fn padding_is_fewer_than_eight_ones() {
    for (coded, expected) in [
        ("", Ok("")),
        // 'a' is 00011: three bits of padding.
        ("1f", Ok("a")),
        ("1e", Err(HpackError::HuffmanPadding)),
        ("18", Err(HpackError::HuffmanPadding)),
        ("1b", Err(HpackError::HuffmanPadding)),
        // Eight or more bits of EOS.
        ("ff", Err(HpackError::HuffmanPadding)),
        ("1fff", Err(HpackError::HuffmanPadding)),
        ("1fffffff", Err(HpackError::HuffmanPadding)),
        // 'X' is eight bits, 0xfc: no padding.
        ("fc", Ok("X")),
        ("fcff", Err(HpackError::HuffmanPadding)),
        // A code that is cut short.
        ("fffe", Err(HpackError::HuffmanPadding)),
        // 30 bits, the longest there are, and their padding.
        ("fffffffb", Ok("\x16")),
        ("fffffffa", Err(HpackError::HuffmanPadding)),
        // EOS, alone and after text.
        ("ffffffff", Err(HpackError::HuffmanEndOfString)),
        ("ffffffffffffffff", Err(HpackError::HuffmanEndOfString)),
        ("1fffffffffff", Err(HpackError::HuffmanEndOfString)),
        ("fcffffffff", Err(HpackError::HuffmanEndOfString)),
    ] {
        let expected = expected.map(|text| text.as_bytes().to_vec());
        assert_eq!(decode(&hex(coded)), expected, "{coded}");
    }
}

#[test]
fn eos_is_refused_wherever_it_stands() {
    for before in 0..40 {
        let text = std::iter::repeat_n(usize::from(b'a'), before);
        let coded = encode_symbols(text.chain([256, usize::from(b'b')]));
        assert_eq!(decode(&coded), Err(HpackError::HuffmanEndOfString), "after {before}");
    }
}

proptest! {
    #[test]
    fn any_octets_come_back(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(decode(&encode(&octets)).unwrap(), octets);
    }

    #[test]
    fn text_comes_back(text in "[ -~]{0,200}") {
        prop_assert_eq!(decode(&encode(text.as_bytes())).unwrap(), text.as_bytes());
    }

    /// There is one coding of each string, so what decodes encodes to the same again.
    #[test]
    fn what_decodes_is_the_only_coding(coded in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(octets) = decode(&coded) {
            prop_assert!(octets.len() * 5 <= coded.len() * 8);
            prop_assert_eq!(encode(&octets), coded);
        }
    }
}
