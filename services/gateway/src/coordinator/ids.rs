//! Which sequences this run's payments get: its own, counted, or those of blocks that transaction-id
//! servers give away.
//!
//! One block ahead is always on its way, so that a payment waits for one only if servers were away for as
//! long as a whole block lasts. The store has it down whose a block is before its first sequence is used.

use std::{collections::HashMap, ops::Range, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tracing::{error, info, warn};

use super::{Shared, active::Payments};
use crate::{
    banks::Banks,
    error::GatewayError,
    store::{Store, Taken},
    transaction::{BLOCK_MAX, Block, Maker, Run, RunNumber, Sequence, maker_of, sequences_of},
};

/// How long a payment waits for a sequence when there is none.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a server may take to give a block.
const TAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// A block that a server has given away, to nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Which.
    pub block: Block,
    /// How many of its sequences may be used.
    pub size: u32,
}

/// Where blocks come from.
pub trait Blocks: Send + Sync + 'static {
    /// A block higher than `above`. The error says what is wrong; asking again is safe.
    fn take(&self, above: Block) -> BoxFuture<'_, Result<Granted, String>>;
}

/// The sequences of one run.
#[derive(Debug)]
pub(super) struct Ids {
    next: Range<Sequence>,
    /// Those of the block after this one.
    spare: Option<Range<Sequence>>,
    whose: Whose,
}

#[derive(Debug)]
enum Whose {
    /// The run's own.
    Run(RunNumber),
    /// Of blocks: of each what was to be used.
    Blocks(HashMap<Block, Range<Sequence>>),
}

impl Ids {
    /// As many as the run has.
    pub(super) fn counted(run: Run) -> Self {
        let next = Run { number: run.number + 1, ..run };
        let all = run.first_sequence()..next.first_sequence();
        Self { next: all, spare: None, whose: Whose::Run(run.number) }
    }

    /// None yet.
    pub(super) fn of_blocks() -> Self {
        Self { next: 0..0, spare: None, whose: Whose::Blocks(HashMap::new()) }
    }

    pub(super) fn next(&mut self) -> Option<Sequence> {
        if self.next.is_empty() {
            self.next = self.spare.take()?;
        }
        self.next.next()
    }

    /// Whether one more block should be there.
    fn wants_block(&self) -> bool {
        self.spare.is_none() && matches!(self.whose, Whose::Blocks(_))
    }

    fn add(&mut self, granted: Granted) {
        let sequences = sequences_of(granted.block, granted.size);
        if let Whose::Blocks(blocks) = &mut self.whose {
            blocks.insert(granted.block, sequences.clone());
        }
        if self.next.is_empty() {
            self.next = sequences;
        } else {
            self.spare = Some(sequences);
        }
    }

    /// Whether this was given to a payment; `None` if it is not one of this run's.
    pub(super) fn was_made(&self, sequence: Sequence) -> Option<bool> {
        match (maker_of(sequence), &self.whose) {
            (Maker::Run(number), Whose::Run(own)) if number == *own => {
                Some(sequence < self.next.start)
            }
            (Maker::Block(block), Whose::Blocks(blocks)) => {
                let given = blocks.get(&block)?.contains(&sequence);
                let spare = self.spare.as_ref().is_some_and(|spare| spare.contains(&sequence));
                Some(given && !spare && !self.next.contains(&sequence))
            }
            _ => None,
        }
    }
}

/// Asks for blocks and waits for them.
#[derive(Debug)]
pub(super) struct Supply {
    wanted: Notify,
    filled: watch::Sender<()>,
}

impl Supply {
    pub(super) fn new() -> Self {
        Self { wanted: Notify::new(), filled: watch::channel(()).0 }
    }
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// A sequence that no other payment has, if there is one at the moment.
    pub(super) fn next_sequence(&self, active: &mut Payments) -> Option<Sequence> {
        let next = active.ids.next();
        if active.ids.wants_block() {
            self.supply.wanted.notify_one();
        }
        next
    }

    /// Waits until there is a sequence again.
    pub(super) async fn more_ids(&self) -> Result<(), GatewayError> {
        let mut filled = self.supply.filled.subscribe();
        if !self.active.lock().ids.next.is_empty() {
            return Ok(());
        }
        let changed = timeout(PATIENCE, filled.changed()).await;
        changed.map(drop).map_err(|_| GatewayError::NoTransactionIds)
    }
}

/// Keeps one block ahead, until the gateway ends.
pub(super) async fn supply<B: Banks, S: Store>(shared: Arc<Shared<B, S>>, source: Arc<dyn Blocks>) {
    let Ok(last) = shared.written(|| shared.store.last_block()).await else { return };
    let (mut last, mut failures) = (last.unwrap_or(0), 0);
    loop {
        while shared.active.lock().ids.wants_block() {
            match shared.fetch(&*source, &mut last).await {
                Ok(granted) => {
                    if failures > 0 {
                        info!(block = granted.block, "transaction-id servers answer again");
                    }
                    failures = 0;
                    shared.active.lock().ids.add(granted);
                    shared.supply.filled.send_replace(());
                }
                Err(why) => {
                    if failures == 0 {
                        warn!(why, "no block of transaction ids; asking again");
                    }
                    shared.settings.backoff.wait(failures).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
        shared.supply.wanted.notified().await;
    }
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// A block that is this run's from now on. `last` is the highest that was ever seen.
    async fn fetch(&self, source: &dyn Blocks, last: &mut Block) -> Result<Granted, String> {
        let taken = timeout(TAKE_TIMEOUT, source.take(*last)).await;
        let granted = taken.map_err(|_| "no answer in time".to_owned())??;
        let Granted { block, size } = granted;
        if !(*last + 1..=BLOCK_MAX).contains(&block) || size == 0 {
            return Err(format!("block {block} of {size} where one above {last} was asked for"));
        }
        *last = block;
        let take = || self.store.take(self.run.number, block);
        match self.written(take).await.map_err(|why| why.to_string())? {
            Taken::Done => Ok(granted),
            Taken::Fenced => self.stop_fenced().await,
            Taken::Elsewhere => {
                error!(block, "a block of transaction ids was given away twice; not using it");
                Err(format!("block {block} was given away twice"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_sequences_are_those_of_the_run() {
        let run = Run { store: 1, number: 3 };
        let mut ids = Ids::counted(run);
        assert!(!ids.wants_block());
        assert_eq!(ids.was_made(run.first_sequence()), Some(false));
        assert_eq!(ids.next(), Some(run.first_sequence()));
        assert_eq!(ids.was_made(run.first_sequence()), Some(true));
        for others in [2, 4] {
            assert_eq!(ids.was_made(Run { number: others, ..run }.first_sequence()), None);
        }
        assert_eq!(ids.was_made(sequences_of(9, 1).start), None);
    }

    #[test]
    fn blocks_are_used_one_after_the_other() {
        let mut ids = Ids::of_blocks();
        assert_eq!((ids.next(), ids.wants_block()), (None, true));
        ids.add(Granted { block: 7, size: 2 });
        assert!(ids.wants_block(), "one ahead");
        ids.add(Granted { block: 9, size: 1 });
        assert!(!ids.wants_block());
        let (first, second) = (sequences_of(7, 3), sequences_of(9, 3));
        let all = || first.clone().chain(second.clone());
        let made = |ids: &Ids| all().filter(|id| ids.was_made(*id).unwrap()).collect::<Vec<_>>();
        let expected = [first.start, first.start + 1, second.start];
        for given in 0..expected.len() {
            assert_eq!(made(&ids), expected[..given]);
            assert_eq!(ids.next(), Some(expected[given]));
            assert_eq!(ids.wants_block(), given == 2);
        }
        assert_eq!((ids.next(), made(&ids)), (None, expected.to_vec()));
        assert_eq!(ids.was_made(sequences_of(8, 1).start), None, "another's");
    }
}
