//! Names of transactions: `STORE-SEQUENCE`, as `9f3a01bc-00000100000000a2`.
//!
//! STORE is drawn once when a store is made, so that no gateway answers for what was decided in another
//! store (or in one that was lost). SEQUENCE says where the payment stands in the store, and is never
//! used twice: its upper bits number the run of the gateway that made it, counted durably before
//! anything is served, its lower bits the payments of that run. So a sequence says who may decide.

use std::{fmt, str::FromStr};

/// Bits of a sequence that count the payments of a run; the others number the run.
const PAYMENT_BITS: u32 = 40;

/// Which payment of a store; payments that a run made later have higher ones.
pub type Sequence = u64;
/// Which run of a gateway on a store, from 1.
pub type RunNumber = u32;

/// The run that made the payment of this sequence.
pub fn run_of(sequence: Sequence) -> RunNumber {
    (sequence >> PAYMENT_BITS) as RunNumber
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
        write!(f, "{}-{:016x}", store_prefix(self.store), self.sequence)
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
        fn runs_share_no_sequence(number in 0_u32..1 << 24, payments in 0_u64..1 << PAYMENT_BITS) {
            let run = Run { store: 1, number };
            let next = Run { store: 1, number: number + 1 };
            prop_assert!(run.first_sequence() + payments < next.first_sequence());
            prop_assert_eq!(run_of(run.first_sequence() + payments), number);
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
