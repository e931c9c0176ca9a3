//! Payments that wait for banks that have come back: looked through once, whether they are due or not.
//!
//! They are tried as those are that are due, as far as there are places. The next page is read when all of
//! the one before have been begun, so that few are kept at hand.

use std::{collections::HashSet, sync::Arc};

use strife_store::StoreError;

use super::{
    Shared,
    working::{PAGE, last_of},
};
use crate::{
    banks::Banks,
    clock::now_ms,
    store::{Record, Store},
    transaction::Sequence,
};

/// How far one is with it.
#[derive(Debug, Default)]
pub(super) struct Waking {
    /// Those that are back. None: nothing is to be done.
    banks: HashSet<String>,
    /// The last one that was read.
    after: Option<(i64, Sequence)>,
    /// Of the page, those whose banks had no place for them.
    left: Vec<Record>,
}

impl Waking {
    /// Begins anew, for these banks as well.
    pub(super) fn begin(&mut self, banks: HashSet<String>) {
        self.banks.extend(banks);
        self.after = None;
    }

    /// Whether some wait for a place.
    pub(super) fn waits(&self) -> bool {
        !self.left.is_empty()
    }

    /// Whether the next page is to be read.
    pub(super) fn goes_on(&self) -> bool {
        !self.banks.is_empty() && self.left.is_empty()
    }

    /// Tries those that were left, or else the next page. Whoever has gone away again is not waited for.
    pub(super) async fn go_on<B: Banks, S: Store>(
        &mut self,
        shared: &Arc<Shared<B, S>>,
    ) -> Result<(), StoreError> {
        if self.waits() {
            let left = std::mem::take(&mut self.left);
            self.left = shared.work_on(left, now_ms()).await?.unwrap_or_default();
            return Ok(());
        }
        let mut waking = std::mem::take(self);
        waking.banks.retain(|bank| !shared.banks.is_away(bank));
        if waking.banks.is_empty() {
            return Ok(());
        }
        let (store, own) = (&shared.store, shared.run.number);
        // Other gateways wake their own; earlier runs on a file are nobody else's.
        let others_ms = if store.is_shared() { shared.others_due_by(now_ms()) } else { i64::MAX };
        let mut page = store.due(own, i64::MAX, others_ms, waking.after, PAGE).await?;
        waking.after = last_of(&page);
        page.retain(|Record { order, .. }| {
            waking.banks.contains(&order.from.bank) || waking.banks.contains(&order.to.bank)
        });
        if waking.after.is_none() {
            waking.banks.clear();
        }
        if let Some(left) = shared.work_on(page, now_ms()).await? {
            *self = Self { left, ..waking };
        }
        Ok(())
    }
}
