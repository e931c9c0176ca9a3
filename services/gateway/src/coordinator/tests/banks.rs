//! Banks that do as they are told: silent, slow, deaf, or in order.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    banks::{Balance, Banks, CallError, End},
    order::{Account, Money},
    payment::{Abort, AbortReason, Leg, Vote},
    transaction::{Run, RunNumber, TransactionId},
};

/// All banks at once. What comes to them is delayed until `open`.
#[derive(Clone)]
pub(super) struct TestBanks(pub(super) Arc<Books>);

pub(super) struct Books {
    pub(super) open: watch::Sender<bool>,
    pub(super) prepared: Mutex<HashSet<(String, Leg)>>,
    pub(super) ended: Mutex<HashMap<(String, Leg), End>>,
    pub(super) asked_to_move: Mutex<HashSet<String>>,
    pub(super) moved: Mutex<HashSet<String>>,
    pub(super) fenced: Mutex<HashSet<(String, RunNumber)>>,
    /// Never answers to a prepare.
    pub(super) silent: Option<&'static str>,
    /// Does not answer to transfers.
    pub(super) silent_to_transfers: watch::Sender<Option<&'static str>>,
    /// Never answers when it is to end a leg.
    pub(super) silent_to_ends: Option<&'static str>,
    /// They find it wrong that they are to end a leg.
    pub(super) finding_ends_wrong: watch::Sender<bool>,
    /// How long they take to end a leg.
    pub(super) slow_to_end: Duration,
    /// They do not hear of fences.
    pub(super) deaf: watch::Sender<bool>,
    /// They never answer when they are told of a fence.
    pub(super) silent_to_fences: bool,
    /// These say that the run that asks is gone.
    pub(super) refusing: watch::Sender<HashSet<&'static str>>,
}

impl TestBanks {
    pub(super) fn new(open: bool) -> Self {
        let open = watch::channel(open).0;
        let (prepared, ended, asked_to_move, moved, fenced) = Default::default();
        let silent_to_transfers = watch::channel(None).0;
        let finding_ends_wrong = watch::channel(false).0;
        let (deaf, refusing) = (watch::channel(false).0, watch::channel(HashSet::new()).0);
        let (silent, silent_to_ends, slow_to_end) = (None, None, Duration::ZERO);
        let silent_to_fences = false;
        Self(Arc::new(Books {
            open,
            prepared,
            ended,
            asked_to_move,
            moved,
            fenced,
            silent,
            silent_to_transfers,
            silent_to_ends,
            finding_ends_wrong,
            slow_to_end,
            deaf,
            silent_to_fences,
            refusing,
        }))
    }

    pub(super) fn silent(bank: &'static str) -> Self {
        let mut banks = Self::new(true);
        Arc::get_mut(&mut banks.0).unwrap().silent = Some(bank);
        banks
    }

    pub(super) fn silent_to_transfers(bank: &'static str) -> Self {
        let banks = Self::new(true);
        banks.0.silent_to_transfers.send_replace(Some(bank));
        banks
    }

    pub(super) fn silent_to_ends(bank: &'static str) -> Self {
        let mut banks = Self::new(true);
        Arc::get_mut(&mut banks.0).unwrap().silent_to_ends = Some(bank);
        banks
    }

    pub(super) fn silent_to_fences() -> Self {
        let mut banks = Self::new(true);
        Arc::get_mut(&mut banks.0).unwrap().silent_to_fences = true;
        banks
    }

    pub(super) fn slow_to_end(time: Duration) -> Self {
        let mut banks = Self::new(true);
        Arc::get_mut(&mut banks.0).unwrap().slow_to_end = time;
        banks
    }

    pub(super) fn open(&self) {
        self.0.open.send_replace(true);
    }

    pub(super) async fn opened(&self) {
        self.0.open.subscribe().wait_for(|open| *open).await.unwrap();
    }

    /// Of every leg, how it ended; a leg committed beside one aborted is found out here.
    pub(super) fn ends(&self, transaction_id: TransactionId) -> [Option<End>; 2] {
        let ended = self.0.ended.lock().unwrap();
        Leg::BOTH.map(|leg| ended.get(&(transaction_id.to_string(), leg)).copied())
    }
}

impl Banks for TestBanks {
    async fn prepare(
        &self,
        transaction_id: &str,
        leg: Leg,
        account: &Account,
        _: &Money,
        _: Duration,
    ) -> Result<Vote, CallError> {
        self.opened().await;
        if self.0.silent == Some(account.bank.as_str()) {
            std::future::pending::<()>().await;
        }
        if self.0.refusing.borrow().contains(account.bank.as_str()) {
            return Err(CallError::Fenced("told so before".to_owned()));
        }
        let key = (transaction_id.to_owned(), leg);
        if self.0.ended.lock().unwrap().contains_key(&key) {
            return Ok(Vote::No(Abort::new(AbortReason::Refused, "ended before")));
        }
        self.0.prepared.lock().unwrap().insert(key);
        Ok(Vote::Yes)
    }

    async fn finish(
        &self,
        transaction_id: &str,
        leg: Leg,
        bank: &str,
        end: End,
        _: Duration,
    ) -> Result<(), CallError> {
        tokio::time::sleep(self.0.slow_to_end).await;
        if *self.0.finding_ends_wrong.borrow() {
            return Err(CallError::Invalid("told to find it wrong".to_owned()));
        }
        if self.0.silent_to_ends == Some(bank) {
            std::future::pending::<()>().await;
        }
        let key = (transaction_id.to_owned(), leg);
        let before = self.0.ended.lock().unwrap().insert(key, end);
        assert!(before.is_none_or(|before| before == end), "a leg ends in two ways");
        Ok(())
    }

    async fn transfer(
        &self,
        transaction_id: &str,
        from: &Account,
        _: &Account,
        _: &Money,
        _: Duration,
    ) -> Result<Vote, CallError> {
        self.0.asked_to_move.lock().unwrap().insert(transaction_id.to_owned());
        let mut silent = self.0.silent_to_transfers.subscribe();
        silent.wait_for(|silent| *silent != Some(from.bank.as_str())).await.unwrap();
        self.opened().await;
        self.0.moved.lock().unwrap().insert(transaction_id.to_owned());
        Ok(Vote::Yes)
    }

    async fn balance(&self, _: &Account, _: Duration) -> Result<Balance, CallError> {
        Err(CallError::NoAnswer("nobody asks".to_owned()))
    }

    fn begin(&self, _: Run) {}

    async fn fence(&self, bank: &str, run: Run, _: Duration) -> Result<(), CallError> {
        if self.0.silent_to_fences {
            std::future::pending::<()>().await;
        }
        if *self.0.deaf.borrow() {
            return Err(CallError::NoAnswer("deaf".to_owned()));
        }
        self.0.fenced.lock().unwrap().insert((bank.to_owned(), run.number));
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        ["icici", "sbi"].map(str::to_owned).into()
    }

    fn knows(&self, _: &str) -> bool {
        true
    }

    fn is_silent(&self, _: &str) -> bool {
        true
    }

    fn is_away(&self, _: &str) -> bool {
        false
    }
}
