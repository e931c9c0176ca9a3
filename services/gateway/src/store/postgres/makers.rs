//! Who made a payment: the run that its sequence names, or the one that has its block.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use strife_store::{StoreError, postgres::Work};

use super::{batch::rows, reading::run_number, schema};
use crate::transaction::{Block, Maker, RunNumber, Sequence, maker_of};

const OWNERS: &str = "SELECT block, run FROM blocks WHERE block = ANY($1)";

/// Which runs have the blocks that were asked for. It never changes, and there is one for every few
/// millions of payments.
#[derive(Debug, Default)]
pub(super) struct Makers(Mutex<HashMap<Block, RunNumber>>);

impl Makers {
    /// Learns who has the blocks that `sequences` name.
    pub(super) async fn learn(
        &self,
        work: &Work<'_>,
        sequences: impl Iterator<Item = Sequence>,
    ) -> Result<(), StoreError> {
        let blocks: BTreeSet<i64> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let named = sequences.filter_map(|sequence| match maker_of(sequence) {
                Maker::Block(block) if !known.contains_key(&block) => Some(schema::block(block)),
                Maker::Run(_) | Maker::Block(_) => None,
            });
            named.collect()
        };
        if blocks.is_empty() {
            return Ok(());
        }
        let blocks: Vec<i64> = blocks.into_iter().collect();
        let found = rows(work.client(), &work.prepared(OWNERS).await?, &blocks).await?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in found {
            known.insert(block_of(row.try_get(0)?)?, run_number(row.try_get(1)?)?);
        }
        Ok(())
    }

    /// Who made the payment of this sequence; `None` if nobody has its block.
    pub(super) fn run_of(&self, sequence: Sequence) -> Option<RunNumber> {
        match maker_of(sequence) {
            Maker::Run(number) => Some(number),
            Maker::Block(block) => {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&block).copied()
            }
        }
    }
}

fn block_of(stored: i64) -> Result<Block, StoreError> {
    Block::try_from(stored).map_err(|_| StoreError::Row("a block"))
}
