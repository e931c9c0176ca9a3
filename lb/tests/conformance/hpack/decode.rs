//! A strict decoder: what the balancer encodes must pass it (RFC 7541, sections 2 to 6).

use std::collections::VecDeque;

use super::{huffman, statics::STATIC_TABLE};

/// What an entry costs beside its octets (section 4.1).
const ENTRY_OVERHEAD: usize = 32;
/// The size of a table before anybody says otherwise (RFC 9113, section 6.5.2).
const DEFAULT_TABLE: usize = 4096;

/// One decoded field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// Sent as a literal that must never be indexed (section 6.2.3).
    pub(crate) is_never_indexed: bool,
}

/// One direction of one connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// What the encoder says it uses.
    size: usize,
    /// What it may use.
    limit: usize,
    /// The limit went below what is used: the next block must begin with an update (section 4.2).
    must_update: bool,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            size: DEFAULT_TABLE,
            limit: DEFAULT_TABLE,
            must_update: false,
        }
    }

    /// Our SETTINGS_HEADER_TABLE_SIZE was acknowledged.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.must_update |= limit < self.size;
        self.limit = limit;
    }

    /// Decodes a whole block.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Result<Vec<Field>, String> {
        let mut reader = Reader(block);
        let mut fields = Vec::new();
        while let Some(first) = reader.0.first().copied() {
            if first & 0xe0 == 0x20 {
                let size = reader.integer(5)?;
                self.update(size, fields.is_empty())?;
                continue;
            }
            if self.must_update {
                return Err("no size update though the table's limit shrank".to_owned());
            }
            fields.push(self.field(first, &mut reader)?);
        }
        Ok(fields)
    }

    fn update(&mut self, size: usize, is_at_start: bool) -> Result<(), String> {
        if !is_at_start {
            return Err("a size update after a field".to_owned());
        }
        if size > self.limit {
            return Err(format!("a size update to {size}, past {}", self.limit));
        }
        self.must_update = false;
        self.size = size;
        self.evict();
        Ok(())
    }

    fn field(&mut self, first: u8, reader: &mut Reader<'_>) -> Result<Field, String> {
        if first & 0x80 != 0 {
            let (name, value) = self.entry(reader.integer(7)?)?;
            return Ok(Field { name, value, is_never_indexed: false });
        }
        let (prefix, is_indexed) = if first & 0x40 != 0 { (6, true) } else { (4, false) };
        let name = match reader.integer(prefix)? {
            0 => reader.string()?,
            index => self.entry(index)?.0,
        };
        let value = reader.string()?;
        if is_indexed {
            self.entries.push_front((name.clone(), value.clone()));
            self.evict();
        }
        Ok(Field { name, value, is_never_indexed: first & 0xf0 == 0x10 })
    }

    fn entry(&self, index: usize) -> Result<(Vec<u8>, Vec<u8>), String> {
        let from_one = index.checked_sub(1).ok_or("index 0")?;
        if let Some((name, value)) = STATIC_TABLE.get(from_one) {
            return Ok((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        let entry = self.entries.get(from_one - STATIC_TABLE.len());
        entry.cloned().ok_or_else(|| format!("index {index}, where nothing is"))
    }

    fn evict(&mut self) {
        let cost = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + ENTRY_OVERHEAD;
        while self.entries.iter().map(cost).sum::<usize>() > self.size {
            self.entries.pop_back();
        }
    }
}

/// What is left of a block.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, String> {
        let (first, rest) = self.0.split_first().ok_or("the block ends too soon")?;
        self.0 = rest;
        Ok(*first)
    }

    fn integer(&mut self, prefix_bits: u32) -> Result<usize, String> {
        let most = (1_u8 << prefix_bits) - 1;
        let mut value = usize::from(self.byte()? & most);
        if value < usize::from(most) {
            return Ok(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("an integer too large".to_owned())
    }

    fn string(&mut self) -> Result<Vec<u8>, String> {
        let is_coded = self.0.first().is_some_and(|byte| byte & 0x80 != 0);
        let length = self.integer(7)?;
        if length > self.0.len() {
            return Err("a string longer than the block".to_owned());
        }
        let (content, rest) = self.0.split_at(length);
        self.0 = rest;
        if is_coded { huffman::decode(content) } else { Ok(content.to_vec()) }
    }
}

#[test]
fn the_table_evicts_and_its_limit_is_kept() {
    let mut decoder = Decoder::new();
    let add = super::indexed_literal("a", "b");
    let field = decoder.decode(&[add.clone(), super::index(62)].concat()).unwrap();
    assert_eq!(field[0], field[1]);
    decoder.set_limit(33);
    assert!(decoder.decode(&super::index(62)).is_err(), "an update is due");
    assert!(decoder.decode(&super::table_size(34)).is_err());
    decoder.decode(&[super::table_size(33), add].concat()).unwrap();
    assert!(decoder.decode(&super::index(62)).is_err(), "34 octets do not fit");
}
