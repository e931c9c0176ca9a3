//! A list of header fields, kept flat: one buffer for all names and values, and where each ends.

use std::fmt;

use super::FIELD_OVERHEAD_BYTES;

/// What the head of a gRPC call takes, decoded.
const ORDINARY_BLOCK_BYTES: usize = 384;
const ORDINARY_BLOCK_FIELDS: usize = 12;

/// One header field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name; lower case in everything that [`Head::parse`](crate::head::Head::parse) accepts.
    pub name: &'a [u8],
    /// The value: any octets, until they have been parsed too.
    pub value: &'a [u8],
    /// A never-indexed literal, which must stay one when it is passed on (RFC 7541, section 6.2.3).
    pub sensitive: bool,
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.sensitive { b"<sensitive>" } else { self.value };
        write!(to, "{}: {}", self.name.escape_ascii(), value.escape_ascii())
    }
}

/// Where a field's name and value end in the buffer. The name begins where the field before ends.
#[derive(Clone, Copy)]
struct Ends {
    name: u32,
    value: u32,
    sensitive: bool,
}

/// Header fields in order. Clearing keeps the memory for the next block.
#[derive(Clone, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    ends: Vec<Ends>,
}

impl Fields {
    /// No fields, no memory.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), ends: Vec::new() }
    }

    /// Forgets all fields.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Appends a field.
    pub fn push(&mut self, name: &[u8], value: &[u8], sensitive: bool) {
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.commit(name_end, sensitive);
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Field<'_>> + Clone {
        let mut start = 0;
        self.ends.iter().map(move |ends| {
            let (name_end, value_end) = (ends.name as usize, ends.value as usize);
            let name = &self.bytes[start..name_end];
            start = value_end;
            Field { name, value: &self.bytes[name_end..value_end], sensitive: ends.sensitive }
        })
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|field| field.name == name).map(|field| field.value)
    }

    /// The size of the list as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, section 6.5.2):
    /// names, values, and [`FIELD_OVERHEAD_BYTES`] for each field.
    pub fn list_bytes(&self) -> usize {
        self.committed() + self.ends.len() * FIELD_OVERHEAD_BYTES
    }

    /// The value of the field at `index`, which must be one.
    pub(crate) fn value(&self, index: usize) -> &[u8] {
        let ends = self.ends[index];
        &self.bytes[ends.name as usize..ends.value as usize]
    }

    /// All names and values, one after another.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes room for an ordinary block at once instead of doubling up to it.
    pub(super) fn reserve(&mut self, block_bytes: usize) {
        self.bytes.reserve(block_bytes.max(ORDINARY_BLOCK_BYTES));
        self.ends.reserve(ORDINARY_BLOCK_FIELDS);
    }

    /// The buffer, for a name and value to be appended that will be committed or abandoned.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What was appended since the last field, as a name that ends at `name_end` and its value.
    pub(super) fn appended(&self, name_end: usize) -> (&[u8], &[u8]) {
        self.bytes[self.committed()..].split_at(name_end - self.committed())
    }

    /// What was appended becomes a field, its name ending at `name_end`.
    pub(super) fn commit(&mut self, name_end: usize, sensitive: bool) {
        let offset = |end| u32::try_from(end).expect("a header block is far below 4 GiB");
        let ends = Ends { name: offset(name_end), value: offset(self.bytes.len()), sensitive };
        self.ends.push(ends);
    }

    /// What was appended is dropped.
    pub(super) fn abandon(&mut self) {
        self.bytes.truncate(self.committed());
    }

    fn committed(&self) -> usize {
        self.ends.last().map_or(0, |ends| ends.value as usize)
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_list().entries(self.iter()).finish()
    }
}
