//! A bank of the model: a ledger with one account, as small as can be, for there are millions of it.
//!
//! A command is durable when it is applied, and answers travel apart from it; so a bank that crashes and
//! comes back is one that got or gave an answer too few, which the network sees to.

use std::{
    convert::Infallible,
    hash::{Hash, Hasher},
};

use strife_bank::{
    ledger::{
        self, Account, AccountState, Command, Forced, GatewayRun, Internal, LedgerState, LegBody,
        LegKey, LegRecord, LegState, OpenAccount, Posting, Prepare, SpendingLimits, TransferRecord,
        Verdict,
    },
    money::{Amount, Currency},
};

use strife_gateway::{payment::Leg as GatewayLeg, transaction::RunNumber};

use crate::world::{Name, RUNS_MAX, STORE, TRANSACTIONS_MAX};

/// The one account of each bank.
const ACCOUNT: &str = "a";
/// The `:authority` of whoever decides.
const COORDINATOR: &str = "gateway";
/// When everything is prepared, milliseconds since the Unix epoch.
const AT_MS: u64 = 1;

/// What every payment moves.
pub fn amount() -> Amount {
    Amount { minor_units: 7, currency: Currency::from_bytes(*b"INR").expect("three letters") }
}

/// What a bank knows. Of the two legs of a payment it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bank {
    account: Option<Account>,
    opening: i128,
    settlement: i128,
    legs: [Option<Leg>; TRANSACTIONS_MAX],
    fenced: [bool; RUNS_MAX],
}

/// What became of a leg, without what is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// How far it is.
    pub state: LegState,
    /// Whether it was ever asked for: otherwise it is a tombstone.
    pub is_asked_for: bool,
}

/// In few words, for it is done a hundred million times.
impl Hash for Bank {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.legs.iter().fold(0, |codes, leg| codes << 5 | code(*leg)));
        state.write_u8(self.fenced.iter().fold(0, |bits, fenced| bits << 1 | u8::from(*fenced)));
        state.write_i64(self.account.map_or(0, |account| account.available));
    }
}

fn code(leg: Option<Leg>) -> u64 {
    match leg.map(|leg| (leg.state, leg.is_asked_for)) {
        None => 0,
        Some((LegState::Prepared, _)) => 1,
        Some((LegState::Committed, _)) => 2,
        Some((LegState::Aborted, is_asked_for)) => 3 + u64::from(is_asked_for),
        Some((LegState::Refused(refusal), _)) => 5 + u64::from(refusal.code()),
    }
}

impl Bank {
    /// A bank with one customer, who has `balance`.
    pub fn new(balance: i64) -> Self {
        let legs = [None; TRANSACTIONS_MAX];
        let fenced = [false; RUNS_MAX];
        let mut bank = Self { account: None, opening: 0, settlement: 0, legs, fenced };
        let balance = Amount { minor_units: balance, ..amount() };
        let (account_id, state) = (ACCOUNT.to_owned(), AccountState::Active);
        let opening = OpenAccount { account_id, balance, state, transaction_id: None };
        let opened = bank.apply(&Command::OpenAccount(opening));
        opened.expect("a new bank has no account of that name");
        bank
    }

    /// Runs the ledger.
    pub fn apply(&mut self, command: &Command) -> Verdict {
        let Ok(verdict) = ledger::apply(self, command);
        verdict
    }

    /// A leg, if it was ever heard of.
    pub fn leg(&self, name: Name) -> Option<Leg> {
        self.legs[name.index()]
    }

    /// Whether what this run has yet to prepare is refused.
    pub fn has_fenced(&self, run: RunNumber) -> bool {
        self.fenced[run as usize - 1]
    }

    /// What the customer has, with what is held.
    pub fn balance(&self) -> i64 {
        self.account.map_or(0, |account| account.balance())
    }

    /// Whether any of it is held, or promised.
    pub fn is_holding(&self) -> bool {
        self.account.is_some_and(|account| account.held != 0 || account.incoming != 0)
    }

    /// Whether all that was posted was posted twice, with opposite signs, and nobody spent what he
    /// has not.
    pub fn is_sound(&self) -> bool {
        let Some(Account { available, held, incoming, .. }) = self.account else { return false };
        available >= 0
            && held >= 0
            && incoming >= 0
            && i128::from(self.balance()) + self.opening + self.settlement == 0
    }

    /// A number for how far a leg is.
    pub fn code(&self, name: Name) -> u64 {
        code(self.leg(name))
    }

    /// Exchanges the payments' numbers.
    pub fn exchange_payments(&mut self) {
        self.legs.chunks_exact_mut(2).for_each(|of_a_run| of_a_run.swap(0, 1));
    }

    /// Exchanges the first two runs.
    pub fn exchange_runs(&mut self) {
        self.legs.swap(0, 2);
        self.legs.swap(1, 3);
        self.fenced.swap(0, 1);
    }
}

/// The command by which a leg is asked for.
pub fn prepare(name: Name, leg: GatewayLeg) -> Command {
    let (key, maker) = (name.key(leg), Some(maker(name.run)));
    Command::Prepare(Prepare { key, body: body(), at_ms: AT_MS, maker })
}

/// The command by which a bank is told that a run is gone.
pub fn fence(run: RunNumber) -> Command {
    Command::Fence(maker(run))
}

fn maker(run: RunNumber) -> GatewayRun {
    GatewayRun { store: STORE, run }
}

fn body() -> LegBody {
    LegBody {
        account_id: ACCOUNT.to_owned(),
        amount: amount(),
        coordinator: COORDINATOR.to_owned(),
    }
}

impl LedgerState for Bank {
    type Error = Infallible;

    fn account(&mut self, account_id: &str) -> Result<Option<Account>, Infallible> {
        Ok(self.account.filter(|_| account_id == ACCOUNT))
    }

    fn put_account(&mut self, account_id: &str, account: Account) -> Result<(), Infallible> {
        assert_eq!(account_id, ACCOUNT, "there is one account");
        self.account = Some(account);
        Ok(())
    }

    fn limits(&mut self, _: &str) -> Result<Option<SpendingLimits>, Infallible> {
        Ok(None)
    }

    fn put_limits(&mut self, _: &str, _: SpendingLimits) -> Result<(), Infallible> {
        unreachable!("nobody's payments are limited")
    }

    fn newest_hold_ms(&mut self, _: &str) -> Result<Option<u64>, Infallible> {
        unreachable!("nobody's payments are limited")
    }

    fn position(&mut self, internal: Internal) -> Result<i128, Infallible> {
        Ok(match internal {
            Internal::Opening(_) => self.opening,
            Internal::Settlement(_) => self.settlement,
        })
    }

    fn put_position(&mut self, internal: Internal, balance: i128) -> Result<(), Infallible> {
        match internal {
            Internal::Opening(_) => self.opening = balance,
            Internal::Settlement(_) => self.settlement = balance,
        }
        Ok(())
    }

    fn leg(&mut self, key: &LegKey) -> Result<Option<LegRecord>, Infallible> {
        Ok(self.legs[Name::of(key).index()].map(|leg| LegRecord {
            body: leg.is_asked_for.then(body),
            state: leg.state,
            prepared_at_ms: if leg.is_asked_for { AT_MS } else { 0 },
        }))
    }

    fn put_leg(&mut self, key: &LegKey, leg: LegRecord) -> Result<(), Infallible> {
        assert!(leg.body.as_ref().is_none_or(|given| *given == body()), "all bodies are the same");
        let leg = Leg { state: leg.state, is_asked_for: leg.body.is_some() };
        self.legs[Name::of(key).index()] = Some(leg);
        Ok(())
    }

    fn forced(&mut self, _: &LegKey) -> Result<Option<Forced>, Infallible> {
        Ok(None)
    }

    fn put_forced(&mut self, _: &LegKey, _: Forced) -> Result<(), Infallible> {
        unreachable!("no operator ends a leg")
    }

    fn is_fenced(&mut self, run: GatewayRun) -> Result<bool, Infallible> {
        Ok(self.has_fenced(run.run))
    }

    fn fence(&mut self, run: GatewayRun) -> Result<(), Infallible> {
        self.fenced[run.run as usize - 1] = true;
        Ok(())
    }

    fn transfer(&mut self, _: &str) -> Result<Option<TransferRecord>, Infallible> {
        Ok(None)
    }

    fn put_transfer(&mut self, _: &str, _: TransferRecord) -> Result<(), Infallible> {
        unreachable!("every payment of the model is between two banks")
    }

    fn append(&mut self, _: Posting<'_>) -> Result<(), Infallible> {
        Ok(())
    }
}
