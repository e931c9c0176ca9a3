//! The state of the model: runs of gateways, what their store holds, the banks, and what is on its way.
//!
//! Nothing is kept that follows from the rest. A vote follows from the leg at its bank: what was voted
//! can arrive at any time, or never. A message that could not change its bank any more is none.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use strife_bank::ledger::{self, LegKey, LegState};
use strife_gateway::{
    payment::{Decision, Leg, Payment, State},
    store::{RunState, rules},
    transaction::{Run, RunNumber, Sequence},
};

use crate::bank::{self, Bank};

/// Which payment, as its client counts.
pub type PaymentNumber = u8;

const PAYMENTS_MAX: usize = 2;
/// Runs that a bank of the model has room for.
pub const RUNS_MAX: usize = 4;
/// Transactions that a bank of the model has room for.
pub const TRANSACTIONS_MAX: usize = RUNS_MAX * PAYMENTS_MAX;
/// The store's own name.
pub const STORE: u32 = 1;

/// A transaction: what one run makes of one payment, once at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// By which run, from 1.
    pub run: RunNumber,
    /// Of which payment.
    pub payment: PaymentNumber,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// From the first on.
    pub runs: Vec<GatewayRun>,
    /// By run, then by payment.
    pub transactions: Vec<Vec<Arc<Transaction>>>,
    /// The payer's and the payee's.
    pub banks: [Bank; 2],
    /// What must never be, and was.
    pub broken: Option<&'static str>,
}

/// A run of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GatewayRun {
    /// The store takes what it writes.
    pub may_write: bool,
    /// Its process goes on.
    pub is_up: bool,
}

/// What there is of a transaction, apart from its legs at the banks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Its run has begun it, and goes on.
    pub is_begun: bool,
    /// Under way in its run.
    pub job: Option<Payment>,
    /// On its way to the store. It may arrive after its gateway's end.
    pub write: Option<Write>,
    /// What stands in the store.
    pub row: Option<State>,
    /// To the payer's bank and the payee's.
    pub sent: [Sent; 2],
}

/// A write on its way to the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Write {
    /// A new payment.
    Row,
    /// How it ends.
    Decision(Decision),
}

/// What was sent to a bank and may arrive at any time, any number of times, or never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// By the gateway.
    pub prepare: bool,
    /// By a gateway, or in answer to the bank's question.
    pub commit: bool,
    /// By a gateway, or in answer to the bank's question.
    pub abort: bool,
}

impl Name {
    /// Its place in a list of all.
    pub fn index(self) -> usize {
        (self.run as usize - 1) * PAYMENTS_MAX + usize::from(self.payment)
    }

    /// As the store counts it.
    pub fn sequence(self) -> Sequence {
        let run = Run { store: STORE, number: self.run };
        run.first_sequence() + Sequence::from(self.payment)
    }

    /// As a bank calls one of its legs. To a bank a transaction's name says nothing, so it is short.
    pub fn key(self, leg: Leg) -> LegKey {
        let transaction_id = [b'0' + self.run as u8, b'a' + self.payment].map(char::from);
        let leg = match leg {
            Leg::Debit => ledger::Leg::Debit,
            Leg::Credit => ledger::Leg::Credit,
        };
        LegKey { transaction_id: transaction_id.iter().collect(), leg }
    }

    /// The transaction of a leg.
    pub fn of(key: &LegKey) -> Self {
        let [run, payment] = key.transaction_id.as_bytes() else {
            unreachable!("every name is made here")
        };
        Self { run: RunNumber::from(run - b'0'), payment: payment - b'a' }
    }
}

/// In few words, for it is done a hundred million times.
impl Hash for Transaction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let flags = self.sent.iter().flat_map(|sent| [sent.prepare, sent.commit, sent.abort]);
        let flags = flags.fold(u8::from(self.is_begun), |bits, flag| bits << 1 | u8::from(flag));
        state.write_u8(flags);
        (&self.job, &self.write, &self.row).hash(state);
    }
}

impl World {
    /// Nothing has happened and nothing runs.
    pub fn new(balance: i64) -> Self {
        let (runs, transactions) = (Vec::new(), Vec::new());
        Self { runs, transactions, banks: [Bank::new(balance), Bank::new(0)], broken: None }
    }

    /// A gateway starts: its run.
    pub fn start(&mut self, payments: PaymentNumber) {
        assert!(self.runs.len() < RUNS_MAX, "more runs than banks have room for");
        self.runs.push(GatewayRun { may_write: true, is_up: true });
        self.transactions.push(vec![Arc::default(); payments.into()]);
    }

    /// A gateway ends, with whatever it had in mind.
    pub fn stop(&mut self, run: RunNumber) {
        self.runs[run as usize - 1].is_up = false;
        for transaction in &mut self.transactions[run as usize - 1] {
            if transaction.is_begun {
                let transaction = Arc::make_mut(transaction);
                (transaction.is_begun, transaction.job) = (false, None);
            }
        }
    }

    /// Takes the right to write from a run.
    pub fn fence(&mut self, run: RunNumber) {
        self.runs[run as usize - 1].may_write = false;
    }

    /// Whether a run may write.
    pub fn run_state(&self, run: RunNumber) -> RunState {
        let live = self.runs.get(run as usize - 1).map(|run| run.may_write);
        rules::run_state(run, live, self.runs.len() as RunNumber)
    }

    /// Runs whose process goes on.
    pub fn running(&self) -> impl Iterator<Item = RunNumber> {
        (1..).zip(&self.runs).filter(|(_, run)| run.is_up).map(|(number, _)| number)
    }

    /// Every transaction that could be.
    pub fn names(&self) -> impl Iterator<Item = Name> + use<> {
        let payments = self.transactions.first().map_or(0, Vec::len) as PaymentNumber;
        let runs = 1..=self.transactions.len() as RunNumber;
        runs.flat_map(move |run| (0..payments).map(move |payment| Name { run, payment }))
    }

    /// One of them.
    pub fn at(&self, name: Name) -> &Transaction {
        &self.transactions[name.run as usize - 1][usize::from(name.payment)]
    }

    /// One of them.
    pub fn at_mut(&mut self, name: Name) -> &mut Transaction {
        let transaction = &mut self.transactions[name.run as usize - 1][usize::from(name.payment)];
        Arc::make_mut(transaction)
    }

    /// A leg at its bank.
    pub fn leg(&self, name: Name, leg: Leg) -> Option<bank::Leg> {
        self.banks[leg as usize].leg(name)
    }

    /// How far a leg is at its bank.
    pub fn leg_state(&self, name: Name, leg: Leg) -> Option<LegState> {
        self.leg(name, leg).map(|leg| leg.state)
    }

    /// The transaction whose row has the payment's id.
    pub fn find(&self, payment: PaymentNumber) -> Option<Name> {
        self.names().find(|name| name.payment == payment && self.at(*name).row.is_some())
    }

    /// Whether a row is not decided, and its gateway may not decide it any more.
    pub fn is_orphan(&self, name: Name) -> bool {
        self.at(name).row == Some(State::Initiated) && self.run_state(name.run) == RunState::Fenced
    }

    /// Both banks' customers' money.
    pub fn money(&self) -> i64 {
        self.banks.iter().map(Bank::balance).sum()
    }

    /// The one that stands for this world and those that differ from it in names alone: payments are
    /// alike, and so are `twins`, two gateways that began together.
    pub fn representative(mut self, twins: bool) -> Self {
        let payments = self.transactions[0].len() as PaymentNumber;
        let of_payment = |payment| {
            let hashes = self.names().filter(|name| name.payment == payment);
            // Of twins neither is the first.
            let hashes = hashes.map(|name| (self.hash_of(name), if twins { 1 } else { name.run }));
            hashes.fold(0_u64, |sum, (hash, weight)| sum.wrapping_add(hash * u64::from(weight)))
        };
        if usize::from(payments) == PAYMENTS_MAX && of_payment(0) > of_payment(1) {
            self.transactions.iter_mut().for_each(|of_a_run| of_a_run.swap(0, 1));
            self.banks.iter_mut().for_each(Bank::exchange_payments);
        }
        let of_run = |run| {
            let hashes = (0..payments).map(|payment| self.hash_of(Name { run, payment }));
            hashes.fold(0_u64, |sum, hash| sum.wrapping_mul(3).wrapping_add(hash))
        };
        if twins && of_run(1) > of_run(2) {
            self.runs.swap(0, 1);
            self.transactions.swap(0, 1);
            self.banks.iter_mut().for_each(Bank::exchange_runs);
        }
        self
    }

    /// Of all that there is of a transaction.
    fn hash_of(&self, name: Name) -> u64 {
        let at_bank = |bank: &Bank| (bank.code(name), bank.has_fenced(name.run));
        let legs = [at_bank(&self.banks[0]), at_bank(&self.banks[1])];
        let run = self.runs[name.run as usize - 1];
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        // Not all of its bits, so that it may be multiplied.
        hasher.hash_one((legs, run.may_write, run.is_up, self.at(name))) >> 16
    }
}
