//! HPACK as clients use it: with a table (RFC 7541, section 6.2.1), so that blocks mean what the
//! blocks before them made them mean.

use std::collections::VecDeque;

use strife_wire::hpack::{self, FIELD_OVERHEAD_BYTES};

use super::peer::Block;

const TABLE_BYTES: usize = 4096;
/// Index of the newest entry.
const FIRST_INDEX: usize = 62;

/// Fields whose names begin with `x-` go to the table, if there is one.
#[derive(Default)]
pub(super) struct Encoder {
    uses_table: bool,
    table: VecDeque<(String, String)>,
    update_due: bool,
}

impl Encoder {
    /// Without a table: for endpoints, which the switch allows none and who must confirm that.
    pub(super) fn new(uses_table: bool) -> Self {
        Self { uses_table, table: VecDeque::new(), update_due: !uses_table }
    }

    pub(super) fn encode(&mut self, fields: &Block) -> Vec<u8> {
        let mut block = Vec::new();
        if std::mem::take(&mut self.update_due) {
            hpack::encode_table_size(&mut block, 0);
        }
        for field in fields {
            let (name, value) = field;
            if let Some(place) = self.table.iter().position(|entry| entry == field) {
                put_integer(&mut block, 0x80, 7, FIRST_INDEX + place);
            } else if self.uses_table && name.starts_with("x-") {
                block.push(0x40);
                for text in [name, value] {
                    put_integer(&mut block, 0, 7, text.len());
                    block.extend_from_slice(text.as_bytes());
                }
                self.insert(field.clone());
            } else {
                hpack::encode(&mut block, name.as_bytes(), value.as_bytes(), false);
            }
        }
        block
    }

    fn insert(&mut self, field: (String, String)) {
        let size =
            |(name, value): &(String, String)| name.len() + value.len() + FIELD_OVERHEAD_BYTES;
        self.table.push_front(field);
        while self.table.iter().map(size).sum::<usize>() > TABLE_BYTES {
            self.table.pop_back();
        }
    }
}

/// RFC 7541, section 5.1.
fn put_integer(block: &mut Vec<u8>, pattern: u8, prefix_bits: u8, value: usize) {
    let most = (1_usize << prefix_bits) - 1;
    if value < most {
        return block.push(pattern | value as u8);
    }
    block.push(pattern | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    block.push(rest as u8);
}
