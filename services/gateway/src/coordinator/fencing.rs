//! Whether this gateway may go on: what its store says of its run, and what banks do.
//!
//! The store is the truth. A run that is fenced there is gone, and its gateway ends without answering
//! anybody. A bank that takes the run to be gone (FENCED) was told so by another gateway of the store,
//! and then the store says the same; or the store is an older copy, whose run of this number was there
//! before; or the bank errs. One bank alone cannot tell which: its payments are aborted, once
//! another bank is known to take this run, and the gateway goes on. If two banks say it, or the only one
//! there is, the store is taken to be an older copy, and the gateway ends. Meanwhile nobody is answered.
//!
//! It is safe to go on: an abort is written by this run, and so the store is asked again, in the
//! commit itself, before anybody is told.

use std::collections::BTreeSet;

use strife_runtime::failpoint;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{Coordinator, Shared};
use crate::{
    banks::Banks,
    payment::{Abort, AbortReason},
    store::Store,
};

/// Who says that a gateway's run is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FencedBy {
    /// Its store: another gateway has taken over.
    Store,
    /// These banks, while the run is live in the store: a run of the same number was there before, so that
    /// the store is an older copy.
    Banks(Vec<String>),
}

/// What is known of this gateway's run.
#[derive(Debug)]
pub(super) struct Fencing {
    /// Set once this gateway may go on no more.
    fenced: watch::Sender<Option<FencedBy>>,
    said: watch::Sender<Said>,
}

/// What banks said last of this run. No bank is in both.
#[derive(Debug, Default)]
struct Said {
    taking: BTreeSet<String>,
    refusing: BTreeSet<String>,
}

/// What to make of a bank's refusal.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It stands alone.
    Errs,
    /// These say the same, and none says otherwise that is known not to err.
    OlderCopy(Vec<String>),
}

impl Said {
    /// Makes note that a bank takes this run; whether it refused it before.
    fn takes(&mut self, bank: &str) -> bool {
        self.taking.insert(bank.to_owned());
        self.refusing.remove(bank)
    }

    /// Makes note that a bank refuses this run; whether that is new.
    fn refuses(&mut self, bank: &str) -> bool {
        self.taking.remove(bank);
        self.refusing.insert(bank.to_owned())
    }

    /// What the refusals mean where there are so many banks, if that is known.
    fn verdict(&self, banks: usize) -> Option<Verdict> {
        if self.refusing.len() > 1 || self.refusing.len() == banks {
            return Some(Verdict::OlderCopy(self.refusing.iter().cloned().collect()));
        }
        (!self.taking.is_empty()).then_some(Verdict::Errs)
    }
}

impl Fencing {
    pub(super) fn new() -> Self {
        Self { fenced: watch::channel(None).0, said: watch::channel(Said::default()).0 }
    }
}

impl<B: Banks, S: Store> Coordinator<B, S> {
    /// Resolves when this gateway may go on no more: the store refuses its writes, or banks its holds.
    pub async fn fenced(&self) -> FencedBy {
        let mut fenced = self.shared.fencing.fenced.subscribe();
        let by = fenced.wait_for(Option::is_some).await.expect("`self` holds the sender");
        by.clone().expect("waited for")
    }

    /// Banks that take this gateway's run to be gone, although it is not: their payments are aborted.
    pub fn refusing_banks(&self) -> Vec<String> {
        self.shared.fencing.said.borrow().refusing.iter().cloned().collect()
    }
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// The store refuses this gateway's writes: nobody is told anything any more.
    pub(super) async fn stop_fenced<T>(&self) -> T {
        failpoint::reach("gateway.fenced").await;
        self.stop(FencedBy::Store).await
    }

    async fn stop<T>(&self, by: FencedBy) -> T {
        self.fencing.fenced.send_replace(Some(by));
        std::future::pending().await
    }

    /// A bank has voted.
    pub(super) fn is_taken_by(&self, bank: &str) {
        let said = &self.fencing.said;
        if said.borrow().taking.contains(bank) {
            return;
        }
        let mut refused_before = false;
        said.send_modify(|said| refused_before = said.takes(bank));
        if refused_before {
            info!(bank, "the bank takes this gateway's run again");
        }
    }

    /// A bank takes nothing more from this run: why its payments are not made, unless the gateway ends. Who
    /// waits for longer than a payment may take gives up.
    pub(super) async fn is_refused_by(&self, bank: &str) -> Abort {
        match self.written(|| self.store.beat(self.run.number)).await {
            Ok(true) => {}
            Ok(false) => self.stop_fenced().await,
            // This gateway is ending anyway.
            Err(_) => std::future::pending().await,
        }
        let mut is_new = false;
        self.fencing.said.send_modify(|said| is_new = said.refuses(bank));
        if is_new {
            warn!(
                bank,
                run = self.run.number,
                "the bank takes this gateway's run to be gone (FENCED), which its store says is live: no \
                 payment to or from it is made until it is mended or this gateway is started again"
            );
        }
        let (banks, mut said) = (self.banks.names().len(), self.fencing.said.subscribe());
        let said = said.wait_for(|said| said.verdict(banks).is_some()).await;
        let verdict = said.expect("`self` holds the sender").verdict(banks);
        match verdict.expect("waited for") {
            Verdict::OlderCopy(banks) => self.stop(FencedBy::Banks(banks)).await,
            Verdict::Errs => Abort::new(
                AbortReason::GatewayRefused,
                format!(
                    "bank {bank} takes this gateway to be gone (FENCED), which it is not; other banks are \
                     not concerned"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bank_alone_errs_and_two_are_believed() {
        let mut said = Said::default();
        assert!(said.refuses("icici") && !said.refuses("icici"));
        assert_eq!(said.verdict(2), None, "nobody else was heard");
        assert!(!said.takes("sbi"));
        assert_eq!(said.verdict(2), Some(Verdict::Errs));
        assert!(said.refuses("sbi"));
        let both = ["icici", "sbi"].map(str::to_owned).to_vec();
        assert_eq!(said.verdict(3), Some(Verdict::OlderCopy(both)));
        assert!(said.takes("icici") && said.takes("sbi"));
        assert!(said.refuses("hdfc"));
        assert_eq!(said.verdict(3), Some(Verdict::Errs));
    }

    #[test]
    fn the_only_bank_is_believed() {
        let mut said = Said::default();
        said.refuses("icici");
        let only = vec!["icici".to_owned()];
        assert_eq!(said.verdict(1), Some(Verdict::OlderCopy(only)));
    }
}
