//! A ledger's state in memory: for tests, models and benchmarks.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
};

use super::{
    Account, Forced, GatewayRun, Internal, LedgerState, Leg, LegKey, LegRecord, LegState, Posting,
    SpendingLimits, TransferRecord,
};

/// Maps, and a count of postings in place of a journal.
#[derive(Debug, Clone, Default)]
pub struct MemoryState {
    accounts: HashMap<String, Account>,
    limits: HashMap<String, SpendingLimits>,
    positions: BTreeMap<Internal, i128>,
    legs: HashMap<LegKey, LegRecord>,
    forced: HashMap<LegKey, Forced>,
    fences: HashSet<GatewayRun>,
    transfers: HashMap<String, TransferRecord>,
    postings: u64,
}

impl MemoryState {
    /// Every customer's account.
    pub fn accounts(&self) -> &HashMap<String, Account> {
        &self.accounts
    }

    /// Of those accounts whose payments were ever limited.
    pub fn all_limits(&self) -> &HashMap<String, SpendingLimits> {
        &self.limits
    }

    /// The bank's own accounts.
    pub fn positions(&self) -> &BTreeMap<Internal, i128> {
        &self.positions
    }

    /// Every leg, whatever became of it.
    pub fn legs(&self) -> &HashMap<LegKey, LegRecord> {
        &self.legs
    }

    /// What operators did to legs.
    pub fn all_forced(&self) -> &HashMap<LegKey, Forced> {
        &self.forced
    }

    /// Legs whose decision is not known.
    pub fn in_doubt(&self) -> usize {
        self.legs.values().filter(|leg| leg.state == LegState::Prepared).count()
    }

    /// How many postings were made.
    pub fn postings(&self) -> u64 {
        self.postings
    }
}

impl LedgerState for MemoryState {
    type Error = Infallible;

    fn account(&mut self, account_id: &str) -> Result<Option<Account>, Infallible> {
        Ok(self.accounts.get(account_id).copied())
    }

    fn put_account(&mut self, account_id: &str, account: Account) -> Result<(), Infallible> {
        match self.accounts.get_mut(account_id) {
            Some(known) => *known = account,
            None => drop(self.accounts.insert(account_id.to_owned(), account)),
        }
        Ok(())
    }

    fn limits(&mut self, account_id: &str) -> Result<Option<SpendingLimits>, Infallible> {
        Ok(self.limits.get(account_id).copied())
    }

    fn put_limits(&mut self, account_id: &str, limits: SpendingLimits) -> Result<(), Infallible> {
        self.limits.insert(account_id.to_owned(), limits);
        Ok(())
    }

    fn newest_hold_ms(&mut self, account_id: &str) -> Result<Option<u64>, Infallible> {
        let held = self.legs.iter().filter(|(key, _)| key.leg == Leg::Debit);
        let held = held.filter(|(_, leg)| leg.is_promise_of(account_id));
        Ok(held.map(|(_, leg)| leg.prepared_at_ms).max())
    }

    fn position(&mut self, internal: Internal) -> Result<i128, Infallible> {
        Ok(self.positions.get(&internal).copied().unwrap_or(0))
    }

    fn put_position(&mut self, internal: Internal, balance: i128) -> Result<(), Infallible> {
        self.positions.insert(internal, balance);
        Ok(())
    }

    fn leg(&mut self, key: &LegKey) -> Result<Option<LegRecord>, Infallible> {
        Ok(self.legs.get(key).cloned())
    }

    fn put_leg(&mut self, key: &LegKey, leg: LegRecord) -> Result<(), Infallible> {
        self.legs.insert(key.clone(), leg);
        Ok(())
    }

    fn forced(&mut self, key: &LegKey) -> Result<Option<Forced>, Infallible> {
        Ok(self.forced.get(key).cloned())
    }

    fn put_forced(&mut self, key: &LegKey, forced: Forced) -> Result<(), Infallible> {
        self.forced.insert(key.clone(), forced);
        Ok(())
    }

    fn is_fenced(&mut self, run: GatewayRun) -> Result<bool, Infallible> {
        Ok(self.fences.contains(&run))
    }

    fn fence(&mut self, run: GatewayRun) -> Result<(), Infallible> {
        self.fences.insert(run);
        Ok(())
    }

    fn transfer(&mut self, transaction_id: &str) -> Result<Option<TransferRecord>, Infallible> {
        Ok(self.transfers.get(transaction_id).cloned())
    }

    fn put_transfer(
        &mut self,
        transaction_id: &str,
        transfer: TransferRecord,
    ) -> Result<(), Infallible> {
        self.transfers.insert(transaction_id.to_owned(), transfer);
        Ok(())
    }

    fn append(&mut self, _posting: Posting<'_>) -> Result<(), Infallible> {
        self.postings += 1;
        Ok(())
    }
}
