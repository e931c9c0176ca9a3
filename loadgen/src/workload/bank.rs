//! A bank's everyday traffic: two reads of five each, one transfer of five.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    Call, MethodName, Verdict, Workload,
    accounts::{Account, BankAccounts},
    payments::{id_source, random_id, same_currency_other},
    service,
};

/// Out of a hundred calls, those of each kind; the rest are transfers.
const VALIDATE_PERCENT: u32 = 40;
const BALANCE_PERCENT: u32 = 40;
/// A transfer's amount in minor units is 1 to this: accounts do not run dry in a run.
const MAX_AMOUNT: i64 = 100;

const VALIDATE: usize = 0;
const BALANCE: usize = 1;
const TRANSACTION: usize = 2;

/// `ValidateAccount`, `GetAccountBalance` and `ProcessTransaction` against accounts drawn at random,
/// by authority `bank.NAME`.
#[derive(Debug)]
pub struct BankWorkload {
    banks: Vec<BankAccounts>,
    methods: [MethodName; 3],
    authorities: Vec<String>,
    rng: StdRng,
    ids: StdRng,
}

impl BankWorkload {
    /// `banks` as [`super::AccountBook::banks`] gives them. `seed` decides which calls are made;
    /// `nonce` must differ between runs against the same store, so that transaction ids do.
    pub fn new(banks: Vec<BankAccounts>, seed: u64, nonce: u64) -> Self {
        let method = |name: &str| {
            MethodName::parse(&format!("strife.bank.v1.BankService/{name}"))
                .expect("a service and a method")
        };
        Self {
            authorities: banks.iter().map(|bank| format!("bank.{}", bank.bank)).collect(),
            banks,
            methods: ["ValidateAccount", "GetAccountBalance", "ProcessTransaction"].map(method),
            rng: StdRng::seed_from_u64(seed),
            ids: id_source(seed, nonce),
        }
    }
}

impl Workload for BankWorkload {
    fn methods(&self) -> &[MethodName] {
        &self.methods
    }

    fn authorities(&self) -> &[String] {
        &self.authorities
    }

    fn next(&mut self, _client: u32) -> Call {
        let authority = self.rng.random_range(0..self.banks.len());
        let accounts = &self.banks[authority].accounts;
        let first = self.rng.random_range(0..accounts.len());
        let account = &accounts[first];
        let kind = self.rng.random_range(0..100_u32);
        let (method, body) = if kind < VALIDATE_PERCENT {
            (VALIDATE, service::validate_account(account))
        } else if kind < VALIDATE_PERCENT + BALANCE_PERCENT {
            (BALANCE, service::get_account_balance(account))
        } else {
            match same_currency_other(accounts, first, &mut self.rng, Account::currency, |_| true) {
                Some(other) => {
                    let amount = self.rng.random_range(1..=MAX_AMOUNT);
                    let id = random_id(&mut self.ids);
                    let body = service::process_transaction(id, account, &accounts[other], amount);
                    (TRANSACTION, body)
                }
                // The only account of its currency has nobody to pay.
                None => (BALANCE, service::get_account_balance(account)),
            }
        };
        Call { method, authority, body }
    }

    fn judge(&self, method: usize, response: &[u8]) -> Verdict {
        if method == TRANSACTION { service::judge_transaction(response) } else { Verdict::Accepted }
    }
}
