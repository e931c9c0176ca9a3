//! Names of transactions: `STORE-SEQUENCE`, as `9f3a01bc-00000100000000a2`.
//!
//! STORE is drawn once when a store is made, so that no gateway answers for what was decided in another
//! store (or in one that was lost). SEQUENCE says where the payment stands in the store, and is never
//! used twice. Its upper bits say who made it, and so who may decide: they number the run of a gateway,
//! counted durably before anything is served; or, with transaction-id servers, a block of sequences that
//! such a server has given away once, of which the store keeps durably, before the first is used, which
//! run has it. Its lower bits count the payments of that run, or block.

use std::{fmt, ops::Range, str::FromStr};

/// Bits of a sequence that count the payments of a run; the others number the run.
const PAYMENT_BITS: u32 = 40;
/// Set in sequences of blocks. Above every run; with it a sequence still fits into 63 bits.
const OF_BLOCK: u64 = 1 << 62;
/// Bits of a sequence that count the payments of a block; those between number the block.
const BLOCK_PAYMENT_BITS: u32 = 24;
/// Most payments of a block.
pub const BLOCK_PAYMENTS_MAX: u32 = 1 << BLOCK_PAYMENT_BITS;
/// The highest number of a block.
pub const BLOCK_MAX: Block = (OF_BLOCK >> BLOCK_PAYMENT_BITS) - 1;

/// Which payment of a store; payments that a run made later have higher ones.
pub type Sequence = u64;
/// Which run of a gateway on a store, from 1.
pub type RunNumber = u32;

/// Which block of sequences, of those that transaction-id servers give away.
pub type Block = u64;

/// Who made the payment of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// This run.
    Run(RunNumber),
    /// The run that has this block.
    Block(Block),
}

/// Who made the payment of this sequence.
pub fn maker_of(sequence: Sequence) -> Maker {
    match sequence & OF_BLOCK {
        0 => Maker::Run((sequence >> PAYMENT_BITS) as RunNumber),
        _ => Maker::Block((sequence & !OF_BLOCK) >> BLOCK_PAYMENT_BITS),
    }
}

/// The sequences of a block of which `size` may be used, [`BLOCK_PAYMENTS_MAX`] at most.
pub fn sequences_of(block: Block, size: u32) -> Range<Sequence> {
    let first = OF_BLOCK | block << BLOCK_PAYMENT_BITS;
    first..first + u64::from(size.min(BLOCK_PAYMENTS_MAX))
}

/// One run of a gateway on a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The store's own name.
    pub store: u32,
    /// Which run. No two have the same.
    pub number: RunNumber,
}

impl Run {
    /// The first sequence of the run.
    pub fn first_sequence(&self) -> Sequence {
        u64::from(self.number) << PAYMENT_BITS
    }

    /// The name of one of its transactions.
    pub fn transaction(&self, sequence: Sequence) -> TransactionId {
        TransactionId { store: self.store, sequence }
    }
}

/// A transaction's name, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionId {
    /// The store that made it.
    pub store: u32,
    /// Its place there.
    pub sequence: Sequence,
}

/// Not a name any gateway gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs;

/// With what the names of a store's transactions begin, before the dash.
pub fn store_prefix(store: u32) -> String {
    format!("{store:08x}")
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:016x}", self.store, self.sequence)
    }
}

impl FromStr for TransactionId {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let (store, sequence) = text.split_once('-').ok_or(NotOurs)?;
        let store = u32::from_str_radix(store, 16).map_err(|_| NotOurs)?;
        let sequence = u64::from_str_radix(sequence, 16).map_err(|_| NotOurs)?;
        let read = Self { store, sequence };
        // Only the canonical writing is a name: one transaction, one name.
        if read.to_string() == text { Ok(read) } else { Err(NotOurs) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_reads_back_as_written(store: u32, sequence: u64) {
            let id = TransactionId { store, sequence };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn runs_share_no_sequence(number in 0_u32..1 << 22, payments in 0_u64..1 << PAYMENT_BITS) {
            let run = Run { store: 1, number };
            let next = Run { store: 1, number: number + 1 };
            prop_assert!(run.first_sequence() + payments < next.first_sequence());
            prop_assert_eq!(maker_of(run.first_sequence() + payments), Maker::Run(number));
        }

        #[test]
        fn a_sequence_of_a_block_names_it_and_no_run(
            block in 0..=BLOCK_MAX,
            size: u32,
            payment in 0..BLOCK_PAYMENTS_MAX,
        ) {
            let all = sequences_of(block, u32::MAX);
            prop_assert_eq!(maker_of(all.start + u64::from(payment)), Maker::Block(block));
            prop_assert_eq!(maker_of(all.end - 1), Maker::Block(block));
            prop_assert_ne!(maker_of(all.end), Maker::Block(block));
            prop_assert!(all.end < i64::MAX as u64, "databases have signed numbers");
            let some = sequences_of(block, size);
            prop_assert_eq!(some.start, all.start);
            prop_assert!(some.end <= all.end);
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for text in
            ["", "t1", "9f3a01bc-", "+9f3a01b-00000100000000a2", "9F3A01BC-00000100000000A2"]
        {
            assert_eq!(text.parse::<TransactionId>(), Err(NotOurs), "{text}");
        }
    }
}
