//! The decoder: one for each direction of a connection, as long as that lives.

use std::fmt;

use super::{
    FIELD_OVERHEAD_BYTES, Fields, HpackError, dynamic_table::DynamicTable, huffman,
    integer::Reader, static_table::STATIC_TABLE,
};

/// What a header block may unfold to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The list size of [`Fields::list_bytes`] (RFC 9113, section 6.5.2). Fields beyond it are
    /// dropped and decoding goes on, so that the dynamic table stays right and only this stream
    /// need be refused: [`Usage::too_large`].
    pub max_list_bytes: usize,
    /// The same size, dropped fields included. Beyond it decoding stops with
    /// [`HpackError::TooLarge`]: a short block can name a large table entry thousands of times.
    pub max_decoded_bytes: usize,
}

/// What decoding a block took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The block neither read nor changed the dynamic table: the same octets mean the same fields
    /// on any connection at any time.
    pub table_free: bool,
    /// Fields beyond [`Limits::max_list_bytes`] were dropped.
    pub too_large: bool,
}

/// Decodes the header blocks of one peer, in order.
pub struct Decoder {
    pub(super) table: DynamicTable,
    /// What a size update may set, in bytes.
    max_table_bytes: usize,
    /// Set when the limit went below what the table holds: the next block must begin with a size
    /// update of at most this (RFC 9113, section 4.3.1).
    owed_update_bytes: Option<usize>,
    generation: u64,
}

/// How a literal relates to the dynamic table (RFC 7541, section 6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Indexing {
    Incremental,
    Without,
    Never,
}

/// One block on its way through the decoder.
struct Run<'a> {
    block: Reader<'a>,
    fields: &'a mut Fields,
    limits: Limits,
    decoded_bytes: usize,
    usage: Usage,
}

impl Decoder {
    /// A decoder with an empty table of at most `max_table_bytes`: 4096 until the peer has
    /// acknowledged another SETTINGS_HEADER_TABLE_SIZE. Takes memory when the peer uses it.
    pub fn new(max_table_bytes: usize) -> Self {
        Self {
            table: DynamicTable::new(max_table_bytes),
            max_table_bytes,
            owed_update_bytes: None,
            generation: 0,
        }
    }

    /// Our SETTINGS_HEADER_TABLE_SIZE of `bytes` was acknowledged. If that is below what the table
    /// holds, the peer's next block must say that it knows (RFC 9113, section 4.3.1). An encoder
    /// that has never used the table owes nothing, and some say nothing (grpc-core, for a call that
    /// is over before it began).
    pub fn set_max_table(&mut self, bytes: usize) {
        self.max_table_bytes = bytes;
        if bytes < self.table.table_bytes() {
            let owed = self.owed_update_bytes.map_or(bytes, |owed| owed.min(bytes));
            self.owed_update_bytes = Some(owed);
        }
    }

    /// A number that changes whenever the dynamic table does: by an entry, an eviction or a size
    /// update.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Decodes a whole block (RFC 7541, section 3) into `fields`, which loses what it held. On an
    /// error `fields` is empty and the decoder must not be used again.
    pub fn decode(
        &mut self,
        block: &[u8],
        limits: &Limits,
        fields: &mut Fields,
    ) -> Result<Usage, HpackError> {
        fields.clear();
        fields.reserve(block.len());
        let usage = Usage { table_free: true, too_large: false };
        let block = Reader::new(block);
        let mut run = Run { block, fields, limits: *limits, decoded_bytes: 0, usage };
        let outcome = self.size_updates(&mut run).and_then(|()| self.fields(&mut run));
        let usage = run.usage;
        if outcome.is_err() {
            fields.clear();
        }
        outcome.map(|()| usage)
    }

    /// The size updates that may, or must, begin a block (RFC 7541, section 4.2).
    fn size_updates(&mut self, run: &mut Run<'_>) -> Result<(), HpackError> {
        while let Some(first) = run.block.peek()
            && first & 0xe0 == 0x20
        {
            let bytes = run.block.integer(5)?;
            if bytes > self.owed_update_bytes.take().unwrap_or(self.max_table_bytes) {
                return Err(HpackError::SizeUpdateTooLarge);
            }
            self.table.resize(bytes);
            self.changed(run);
        }
        match self.owed_update_bytes {
            Some(_) => Err(HpackError::SizeUpdateMissing),
            None => {
                if self.max_table_bytes < self.table.max_bytes() {
                    self.table.resize(self.max_table_bytes);
                }
                Ok(())
            }
        }
    }

    fn fields(&mut self, run: &mut Run<'_>) -> Result<(), HpackError> {
        while let Some(first) = run.block.peek() {
            match first {
                0x80.. => self.indexed(run)?,
                0x40..0x80 => self.literal(run, 6, Indexing::Incremental)?,
                0x20..0x40 => return Err(HpackError::SizeUpdateMisplaced),
                0x10..0x20 => self.literal(run, 4, Indexing::Never)?,
                0x00..0x10 => self.literal(run, 4, Indexing::Without)?,
            }
        }
        Ok(())
    }

    fn indexed(&self, run: &mut Run<'_>) -> Result<(), HpackError> {
        let index = run.block.integer(7)?;
        if index == 0 {
            return Err(HpackError::ZeroIndex);
        }
        let (name, value) = self.entry(index, &mut run.usage)?;
        if run.admits(name.len() + value.len())? {
            run.fields.push(name, value, false);
        }
        Ok(())
    }

    fn literal(
        &mut self,
        run: &mut Run<'_>,
        prefix_bits: u32,
        indexing: Indexing,
    ) -> Result<(), HpackError> {
        match run.block.integer(prefix_bits)? {
            0 => run.string()?,
            index => {
                let (name, _) = self.entry(index, &mut run.usage)?;
                run.fields.tail().extend_from_slice(name);
            }
        }
        let name_end = run.fields.tail().len();
        run.string()?;
        let (name, value) = run.fields.appended(name_end);
        let field_bytes = name.len() + value.len();
        if indexing == Indexing::Incremental {
            self.table.insert(name, value);
            self.changed(run);
        }
        if run.admits(field_bytes)? {
            run.fields.commit(name_end, indexing == Indexing::Never);
        } else {
            run.fields.abandon();
        }
        Ok(())
    }

    /// The field at an index of the one address space (RFC 7541, section 2.3.3).
    fn entry(&self, index: usize, usage: &mut Usage) -> Result<(&[u8], &[u8]), HpackError> {
        if let Some(&field) = STATIC_TABLE.get(index.wrapping_sub(1)) {
            return Ok(field);
        }
        usage.table_free = false;
        let dynamic = index.checked_sub(STATIC_TABLE.len() + 1);
        dynamic.and_then(|place| self.table.get(place)).ok_or(HpackError::IndexOutOfRange)
    }

    fn changed(&mut self, run: &mut Run<'_>) {
        self.generation += 1;
        run.usage.table_free = false;
    }
}

impl fmt::Debug for Decoder {
    /// Without the fields in the table, which may be secret.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Decoder")
            .field("max_table_bytes", &self.max_table_bytes)
            .field("owed_update_bytes", &self.owed_update_bytes)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Run<'_> {
    /// Appends a string literal to the fields' buffer.
    fn string(&mut self) -> Result<(), HpackError> {
        let (string, huffman) = self.block.string()?;
        let tail = self.fields.tail();
        if huffman {
            return huffman::decode(string, tail);
        }
        tail.extend_from_slice(string);
        Ok(())
    }

    /// Whether a field with this many bytes of name and value still goes into the list.
    fn admits(&mut self, field_bytes: usize) -> Result<bool, HpackError> {
        self.decoded_bytes += field_bytes + FIELD_OVERHEAD_BYTES;
        if self.decoded_bytes > self.limits.max_decoded_bytes {
            return Err(HpackError::TooLarge);
        }
        self.usage.too_large = self.decoded_bytes > self.limits.max_list_bytes;
        Ok(!self.usage.too_large)
    }
}
