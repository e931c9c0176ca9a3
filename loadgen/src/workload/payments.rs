//! Payments between users' accounts, mostly of different banks.

use std::collections::{BTreeMap, VecDeque};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Call, MethodName, Verdict, Workload, accounts::OwnedAccount, service};

/// The gateway's pool at the balancer.
const AUTHORITY: &str = "gateway";
/// A payment's amount in minor units is 1 to this: accounts do not run dry in a run.
const MAX_AMOUNT: i64 = 100;
/// Draws made in search of an account that fits before the next one in order is taken.
const MAX_DRAWS: usize = 16;

/// Between whom payments are, and whether they may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentMix {
    /// Out of a hundred payments, those that prefer another bank.
    pub cross_bank_percent: u32,
    /// Only so many accounts pay and are paid, taken from the banks in turn; 0: all of them.
    pub hot_accounts: usize,
    /// So many seconds a payment may wait in the gateway's queue; 0: it is made at once or not at all.
    pub queue_for_s: u32,
}

impl Default for PaymentMix {
    /// Mostly between banks, between all accounts, at once.
    fn default() -> Self {
        Self { cross_bank_percent: 90, hot_accounts: 0, queue_for_s: 0 }
    }
}

/// `ProcessPayment` on behalf of users drawn at random.
#[derive(Debug)]
pub struct PaymentsWorkload {
    owned: Vec<OwnedAccount>,
    cross_bank_percent: u32,
    queue_for_s: u32,
    methods: [MethodName; 1],
    authorities: [String; 1],
    rng: StdRng,
    ids: StdRng,
}

impl PaymentsWorkload {
    /// `owned` as [`super::AccountBook::owned`] gives it. `seed` decides who pays whom; `nonce` must
    /// differ between runs against the same store, so that payment ids do.
    pub fn new(owned: Vec<OwnedAccount>, mix: PaymentMix, seed: u64, nonce: u64) -> Self {
        let method = MethodName::parse("strife.gateway.v1.PaymentGateway/ProcessPayment")
            .expect("a service and a method");
        let owned = match mix.hot_accounts {
            0 => owned,
            count => hot(&owned, count),
        };
        Self {
            owned,
            cross_bank_percent: mix.cross_bank_percent,
            queue_for_s: mix.queue_for_s,
            methods: [method],
            authorities: [AUTHORITY.to_owned()],
            rng: StdRng::seed_from_u64(seed),
            ids: id_source(seed, nonce),
        }
    }

    /// Two accounts of one currency: who pays, and who is paid.
    fn pair(&mut self) -> (usize, usize) {
        let other_bank = self.rng.random_range(0..100_u32) < self.cross_bank_percent;
        loop {
            let from = self.rng.random_range(0..self.owned.len());
            let bank = &self.owned[from].bank;
            let fits = |to: &OwnedAccount| (to.bank != *bank) == other_bank;
            let to =
                same_currency_other(&self.owned, from, &mut self.rng, OwnedAccount::currency, fits);
            // Ends: the accounts hold a pair of one currency.
            if let Some(to) = to {
                return (from, to);
            }
        }
    }
}

impl Workload for PaymentsWorkload {
    fn methods(&self) -> &[MethodName] {
        &self.methods
    }

    fn authorities(&self) -> &[String] {
        &self.authorities
    }

    fn next(&mut self, _client: u32) -> Call {
        let (from, to) = self.pair();
        let amount = self.rng.random_range(1..=MAX_AMOUNT);
        let id = random_id(&mut self.ids);
        let (from, to) = (&self.owned[from], &self.owned[to]);
        let body = service::process_payment(id, from, to, amount, self.queue_for_s);
        Call { method: 0, authority: 0, body }
    }

    fn judge(&self, _method: usize, response: &[u8]) -> Verdict {
        service::judge_payment(response)
    }
}

/// So many accounts of one currency, two at least, from the banks in turn.
fn hot(owned: &[OwnedAccount], count: usize) -> Vec<OwnedAccount> {
    let largest =
        owned.chunk_by(|a, b| a.currency() == b.currency()).max_by_key(|group| group.len());
    let mut by_bank: BTreeMap<&str, VecDeque<&OwnedAccount>> = BTreeMap::new();
    for account in largest.unwrap_or_default() {
        by_bank.entry(&account.bank).or_default().push_back(account);
    }
    let mut hot = Vec::new();
    while hot.len() < count.max(2) && by_bank.values().any(|left| !left.is_empty()) {
        hot.extend(by_bank.values_mut().filter_map(VecDeque::pop_front).cloned());
    }
    hot.truncate(count.max(2));
    hot
}

/// Random numbers for ids: others with every seed and every nonce.
pub(super) fn id_source(seed: u64, nonce: u64) -> StdRng {
    let mut key = [0_u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&nonce.to_le_bytes());
    StdRng::from_seed(key)
}

/// A version 4 UUID.
pub(super) fn random_id(rng: &mut StdRng) -> String {
    uuid::Builder::from_random_bytes(rng.random()).into_uuid().to_string()
}

/// An element other than `first` with its currency, in a slice sorted by currency; one that `fits`
/// if a few draws find it. `None` if `first` is alone with its currency.
pub(super) fn same_currency_other<T>(
    sorted: &[T],
    first: usize,
    rng: &mut StdRng,
    currency: impl Fn(&T) -> &str,
    fits: impl Fn(&T) -> bool,
) -> Option<usize> {
    let wanted = currency(&sorted[first]);
    let start = sorted.partition_point(|other| currency(other) < wanted);
    let end = sorted.partition_point(|other| currency(other) <= wanted);
    let others = (end - start).checked_sub(1).filter(|others| *others > 0)?;
    let mut drawn = first;
    for _ in 0..MAX_DRAWS {
        // Drawn from all but the first: those from it on move up by one.
        let index = start + rng.random_range(0..others);
        drawn = if index >= first { index + 1 } else { index };
        if fits(&sorted[drawn]) {
            break;
        }
    }
    Some(drawn)
}
