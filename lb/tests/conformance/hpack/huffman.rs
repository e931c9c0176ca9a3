//! The Huffman code (RFC 7541, Appendix B). It is canonical, so lengths are all there is to know.

use std::{collections::HashMap, sync::LazyLock};

/// Bits per symbol; the last one is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const EOS: usize = 256;
const LONGEST: u8 = 30;

/// Symbols by `(length, code)`.
static SYMBOLS: LazyLock<HashMap<(u8, u32), usize>> = LazyLock::new(|| {
    let mut symbols = HashMap::new();
    let mut next = 0_u32;
    for length in 1..=LONGEST {
        next <<= 1;
        for symbol in (0..LENGTHS.len()).filter(|symbol| LENGTHS[*symbol] == length) {
            symbols.insert((length, next), symbol);
            next += 1;
        }
    }
    symbols
});

/// The text, or what section 5.2 says is wrong with the code.
pub(super) fn decode(code: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let (mut bits, mut length) = (0_u32, 0_u8);
    for bit in code.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)) {
        bits = bits << 1 | u32::from(bit);
        length += 1;
        match SYMBOLS.get(&(length, bits)) {
            Some(&EOS) => return Err("the EOS symbol inside a string".to_owned()),
            Some(symbol) => {
                text.push(u8::try_from(*symbol).expect("not EOS"));
                (bits, length) = (0, 0);
            }
            None if length > LONGEST => return Err("no such code".to_owned()),
            None => {}
        }
    }
    if length > 7 || bits != (1 << length) - 1 {
        return Err("padding that is not the beginning of EOS".to_owned());
    }
    Ok(text)
}

/// The shortest code of this text.
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let mut bits = Vec::new();
    for byte in text {
        let found = SYMBOLS.iter().find(|(_, symbol)| **symbol == usize::from(*byte));
        let ((length, code), _) = found.expect("every byte has a code");
        bits.extend((0..*length).rev().map(|shift| code >> shift & 1));
    }
    bits.resize(bits.len().next_multiple_of(8), 1);
    bits.chunks(8)
        .map(|byte| byte.iter().fold(0_u8, |all, bit| all << 1 | u8::from(*bit == 1)))
        .collect()
}

#[test]
fn the_examples_of_the_rfc_decode() {
    // RFC 7541, sections C.4.1 and C.6.1.
    let code = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    assert_eq!(decode(&code).unwrap(), b"www.example.com");
    assert_eq!(encode(b"www.example.com"), code);
    assert_eq!(decode(&[0xae, 0xc3, 0x77, 0x1a, 0x4b]).unwrap(), b"private");
    assert!(decode(&[0xae, 0xc3, 0x77, 0x1a, 0x4a]).is_err());
    assert!(decode(&[0xff; 4]).is_err());
}
