//! Header blocks: put together from their frames, decoded, validated, and recognised when the same
//! bytes come again.
//!
//! Clients and servers repeat themselves: the head of the thousandth call is byte for byte that of
//! the second. A block that did not change the peer's table means the same as long as the table does
//! not change, so it is looked up instead of decoded, and what its owner made of it is found with it.

use std::{cell::OnceCell, rc::Rc};

use crate::{
    error::{ConnectionError, Flood},
    frame::{Code, MAX_PAYLOAD},
    head::{BlockKind, Head},
    hpack::{Decoder, Fields, HpackError, Limits},
};

/// Blocks remembered per connection; a client rarely has more methods in use at once.
const MAX_REMEMBERED: usize = 8;
/// Larger blocks are not worth remembering, bytes.
const MAX_REMEMBERED_BYTES: usize = 1024;
/// Nor are those that unfold to more, bytes.
const MAX_REMEMBERED_LIST_BYTES: usize = 8192;
/// CONTINUATION frames of one block (CVE-2024-27316), if that does not take more of them.
const MIN_MAX_CONTINUATIONS: usize = 16;
/// A decoded block may be so many times the limit before it counts as a bomb: up to there it is only
/// too large.
const BOMB_FACTOR: usize = 4;

/// A header block that arrived, and what its owner derived from it.
#[derive(Debug)]
pub struct Block<T> {
    /// What it says.
    pub head: Head,
    memo: OnceCell<T>,
}

impl<T> Block<T> {
    /// What `make` derived from it the first time.
    pub fn memo(&self, make: impl FnOnce(&Head) -> T) -> &T {
        self.memo.get_or_init(|| make(&self.head))
    }
}

/// Where a block belongs whose last frame has not arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenBlock {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    /// Its priority names the stream itself (RFC 7540, section 5.3.1).
    pub(super) depends_on_itself: bool,
}

/// What became of a block.
pub(super) enum Decoded<T> {
    Block(Rc<Block<T>>),
    TooLarge,
    Malformed,
}

/// One remembered block.
#[derive(Debug)]
struct Remembered<T> {
    bytes: Box<[u8]>,
    kind: BlockKind,
    /// The decoder's, if the block refers to its table.
    generation: Option<u64>,
    block: Rc<Block<T>>,
}

/// The receiving side's state of header compression.
#[derive(Debug)]
pub(super) struct Blocks<T> {
    decoder: Decoder,
    limits: Limits,
    max_fragment_bytes: usize,
    max_continuations: usize,
    remembered: Vec<Remembered<T>>,
    next_forgotten: usize,
    open: Option<OpenBlock>,
    fragment: Vec<u8>,
    continuations: usize,
}

impl<T> Blocks<T> {
    pub(super) fn new(max_list_bytes: usize, max_table_bytes: usize) -> Self {
        let max_decoded_bytes = max_list_bytes.saturating_mul(BOMB_FACTOR);
        // Encoded it is smaller, or a little larger with none of it compressed.
        let max_fragment_bytes = max_list_bytes.saturating_mul(2);
        Self {
            decoder: Decoder::new(max_table_bytes),
            limits: Limits { max_list_bytes, max_decoded_bytes },
            max_fragment_bytes,
            max_continuations: (max_fragment_bytes / MAX_PAYLOAD + 1).max(MIN_MAX_CONTINUATIONS),
            remembered: Vec::new(),
            next_forgotten: 0,
            open: None,
            fragment: Vec::new(),
            continuations: 0,
        }
    }

    /// Our SETTINGS_HEADER_TABLE_SIZE took effect.
    pub(super) fn set_max_table(&mut self, bytes: usize) {
        // What came before was decoded under another limit.
        self.remembered.clear();
        self.decoder.set_max_table(bytes);
    }

    /// The block whose last frame has not arrived.
    pub(super) fn open(&self) -> Option<OpenBlock> {
        self.open
    }

    /// The first frame of a block that is not whole.
    pub(super) fn begin(&mut self, open: OpenBlock, fragment: &[u8]) {
        self.open = Some(open);
        self.continuations = 0;
        self.fragment.clear();
        self.fragment.extend_from_slice(fragment);
    }

    /// A further frame of the open block.
    pub(super) fn add(&mut self, fragment: &[u8]) -> Result<(), Flood> {
        self.continuations += 1;
        self.fragment.extend_from_slice(fragment);
        let too_long = self.fragment.len() > self.max_fragment_bytes;
        if too_long || self.continuations > self.max_continuations {
            return Err(Flood::HeaderBlock);
        }
        Ok(())
    }

    /// The open block is whole.
    pub(super) fn finish(&mut self) -> Option<(OpenBlock, Vec<u8>)> {
        let open = self.open.take()?;
        Some((open, std::mem::take(&mut self.fragment)))
    }

    /// What a whole block says.
    pub(super) fn decode(
        &mut self,
        kind: BlockKind,
        bytes: &[u8],
    ) -> Result<Decoded<T>, ConnectionError> {
        if let Some(block) = self.recall(kind, bytes) {
            return Ok(Decoded::Block(block));
        }
        let before = self.decoder.generation();
        let mut fields = Fields::new();
        let usage = self.decoder.decode(bytes, &self.limits, &mut fields).map_err(to_error)?;
        if usage.too_large {
            return Ok(Decoded::TooLarge);
        }
        let is_small =
            bytes.len() <= MAX_REMEMBERED_BYTES && fields.list_bytes() <= MAX_REMEMBERED_LIST_BYTES;
        let Ok(head) = Head::parse(kind, fields) else { return Ok(Decoded::Malformed) };
        let block = Rc::new(Block { head, memo: OnceCell::new() });
        let after = self.decoder.generation();
        if before == after && is_small {
            let generation = (!usage.table_free).then_some(after);
            let bytes = bytes.into();
            self.remember(Remembered { bytes, kind, generation, block: block.clone() });
        }
        Ok(Decoded::Block(block))
    }

    /// Decodes a block nobody will look at: the table has to follow (RFC 9113, section 4.3).
    pub(super) fn skip(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        let mut fields = Fields::new();
        self.decoder.decode(bytes, &self.limits, &mut fields).map(drop).map_err(to_error)
    }

    fn recall(&self, kind: BlockKind, bytes: &[u8]) -> Option<Rc<Block<T>>> {
        let generation = self.decoder.generation();
        let is_it = |one: &&Remembered<T>| {
            *one.bytes == *bytes
                && one.kind == kind
                && one.generation.is_none_or(|known| known == generation)
        };
        self.remembered.iter().find(is_it).map(|one| one.block.clone())
    }

    fn remember(&mut self, entry: Remembered<T>) {
        if self.remembered.len() < MAX_REMEMBERED {
            self.remembered.push(entry);
        } else {
            self.remembered[self.next_forgotten] = entry;
            self.next_forgotten = (self.next_forgotten + 1) % MAX_REMEMBERED;
        }
    }
}

fn to_error(error: HpackError) -> ConnectionError {
    match error {
        HpackError::TooLarge => Flood::HeaderBlock.into(),
        _ => ConnectionError::new(
            Code::COMPRESSION_ERROR,
            "a header block that does not decode (RFC 9113, 4.3)",
        ),
    }
}
