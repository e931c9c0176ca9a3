//! The Huffman code of RFC 7541, appendix B, decoded by table.
//!
//! The code is canonical: within a length, codes count up in the order of their symbols. So the
//! lengths alone define it, and all tables here are made from them at compile time. Codes of up to
//! [`FAST_BITS`] are one look-up; longer ones, which are rare in text, are found by length.

use super::HpackError;

/// The length in bits of the code of each octet, and of EOS.
#[rustfmt::skip]
pub(super) const CODE_BITS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const END_OF_STRING: u16 = 256;
const SHORTEST_CODE_BITS: usize = 5;
const LONGEST_CODE_BITS: usize = 30;
/// Padding is shorter than an octet.
const MAX_PADDING_BITS: u32 = 7;
/// All printable octets but `' + | # > { } ~ ^ < @ $ [ ] \` have codes this short.
const FAST_BITS: usize = 10;

/// The symbols in the order of their codes, and where each length begins.
struct Codes {
    symbols: [u16; 257],
    /// For each length, the place of its first symbol in `symbols`.
    first_symbol: [u16; LONGEST_CODE_BITS + 1],
    /// For each length, its first code.
    first_code: [u32; LONGEST_CODE_BITS + 1],
    /// For each length, the first 32 bits that are too large to begin with such a code or a
    /// shorter one. 64 bits wide because after the longest there is none.
    limit: [u64; LONGEST_CODE_BITS + 1],
}

const CODES: Codes = {
    let mut codes = Codes {
        symbols: [0; 257],
        first_symbol: [0; LONGEST_CODE_BITS + 1],
        first_code: [0; LONGEST_CODE_BITS + 1],
        limit: [0; LONGEST_CODE_BITS + 1],
    };
    let (mut code, mut place, mut bits) = (0_u32, 0, 1);
    while bits <= LONGEST_CODE_BITS {
        code <<= 1;
        codes.first_code[bits] = code;
        codes.first_symbol[bits] = place as u16;
        let mut symbol = 0;
        while symbol < CODE_BITS.len() {
            if CODE_BITS[symbol] as usize == bits {
                codes.symbols[place] = symbol as u16;
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        codes.limit[bits] = (code as u64) << (32 - bits);
        bits += 1;
    }
    codes
};

/// By the next [`FAST_BITS`]: the symbol and the length of its code, or length 0 for a longer code.
static FAST: [(u8, u8); 1 << FAST_BITS] = {
    let mut table = [(0, 0); 1 << FAST_BITS];
    let mut bits = SHORTEST_CODE_BITS;
    while bits <= FAST_BITS {
        let first = CODES.first_symbol[bits];
        let mut place = first;
        while place < CODES.first_symbol[bits + 1] {
            let code = CODES.first_code[bits] as usize + (place - first) as usize;
            let symbol = CODES.symbols[place as usize] as u8;
            let mut next = code << (FAST_BITS - bits);
            while next < (code + 1) << (FAST_BITS - bits) {
                table[next] = (symbol, bits as u8);
                next += 1;
            }
            place += 1;
        }
        bits += 1;
    }
    table
};

static LONG: Codes = CODES;

/// Bits taken from the front of a string, the next one highest; below the last one all are zero.
struct Bits<'a> {
    window: u64,
    count: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// Takes in whole octets while they fit.
    fn refill(&mut self) {
        if let Some((octets, _)) = self.rest.split_first_chunk::<8>() {
            let taken = (u64::BITS - 1 - self.count) / 8;
            let kept = u64::MAX << (u64::BITS - 8 * taken);
            self.window |= (u64::from_be_bytes(*octets) & kept) >> self.count;
            self.count += 8 * taken;
            self.rest = &self.rest[taken as usize..];
            return;
        }
        while self.count <= u64::BITS - 8
            && let Some((&octet, rest)) = self.rest.split_first()
        {
            self.window |= u64::from(octet) << (u64::BITS - 8 - self.count);
            self.count += 8;
            self.rest = rest;
        }
    }

    fn consume(&mut self, bits: u32) {
        self.window <<= bits;
        self.count -= bits;
    }

    /// Whether what is left is padding: fewer than eight bits, all ones (RFC 7541, section 5.2).
    fn is_padding(&self) -> bool {
        self.count <= MAX_PADDING_BITS && self.window.leading_ones() >= self.count
    }
}

/// Appends what `coded` stands for to `out`: at most 8/5 of its length.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    out.reserve(coded.len() * 8 / SHORTEST_CODE_BITS);
    let mut bits = Bits { window: 0, count: 0, rest: coded };
    loop {
        bits.refill();
        while bits.count >= LONGEST_CODE_BITS as u32 {
            let (octet, length) = next(&bits)?;
            out.push(octet);
            bits.consume(length);
        }
        if bits.rest.is_empty() {
            return last(bits, out);
        }
    }
}

/// The last octets, in whose bits a code may not be whole.
fn last(mut bits: Bits<'_>, out: &mut Vec<u8>) -> Result<(), HpackError> {
    while !bits.is_padding() {
        let (octet, length) = next(&bits)?;
        if length > bits.count {
            return Err(HpackError::HuffmanPadding);
        }
        out.push(octet);
        bits.consume(length);
    }
    Ok(())
}

/// The octet whose code stands first in the window, and the bits of that code.
fn next(bits: &Bits<'_>) -> Result<(u8, u32), HpackError> {
    match FAST[(bits.window >> (u64::BITS - FAST_BITS as u32)) as usize] {
        (_, 0) => next_long(bits),
        (octet, length) => Ok((octet, u32::from(length))),
    }
}

#[cold]
fn next_long(bits: &Bits<'_>) -> Result<(u8, u32), HpackError> {
    let front = bits.window >> 32;
    let length = (FAST_BITS + 1..=LONGEST_CODE_BITS)
        .find(|&length| front < LONG.limit[length])
        .expect("the code is complete: every 30 bits begin with a code");
    let code = (front >> (32 - length)) as usize;
    let place = usize::from(LONG.first_symbol[length]) + code - LONG.first_code[length] as usize;
    match LONG.symbols[place] {
        END_OF_STRING => Err(HpackError::HuffmanEndOfString),
        symbol => Ok((symbol as u8, length as u32)),
    }
}
