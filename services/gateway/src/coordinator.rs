//! Runs payments: gives [`crate::payment`] its events and does what it says.
//!
//! A payment lives in a task of its own from admission to its durable decision, whoever waits for it
//! or stops waiting. One map holds all that are under way; a payment leaves it only after its decision
//! is durable, and a request looks into the map and then, still holding it, into the store. So a
//! payment id is always in one of the two, and is admitted once.
//!
//! Where a crash may strike a payment between two banks, and what then happens:
//!
//! | crash after | store says | after the restart |
//! |---|---|---|
//! | prepares sent, row not durable | nothing | banks in doubt ask, are told ABORT; the id may be used again, as a new transaction |
//! | row durable, not decided | INITIATED | durably ABORTED (RESTART) before anything is served; banks are told, and ask |
//! | COMMITTED durable, nobody told | COMMITTED, unfinished | the same answer to whoever asks; phase two is resumed |
//! | one bank committed | COMMITTED, unfinished | both banks are told again; a commit repeated is nothing |
//! | ABORTED durable | ABORTED | banks in doubt ask, are told ABORT |
//!
//! Within one bank, that bank decides, in one step of its own. The row is durable before it is asked,
//! so after a crash at any point the same transaction is sent again, which moves the money once. A
//! decision is written here only once the bank has said what it did.
//!
//! When the store fails the process ends (`strife_store`), so its errors are not survived here: a
//! payment that meets one stays under way, and whoever waits is told to ask again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strife_store::StoreError;
use tokio::{sync::watch, task::JoinSet};
use tracing::error;

use crate::{
    banks::Banks,
    error::GatewayError,
    order::Order,
    payment::{Action, Decision, Payment, State},
    store::{Record, Store},
    transaction::{Sequence, TransactionId},
};
use active::Active;
use job::{Job, Origin};
use phase_two::PhaseTwo;
use places::Places;
pub use settings::Settings;
use tasks::Tasks;

mod active;
mod job;
mod phase_two;
mod places;
mod recovery;
mod same_bank;
mod settings;
mod tasks;
mod two_phase;

/// How a payment ended, as its client is told, always the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The client's id.
    pub payment_id: String,
    /// The name at the banks.
    pub transaction_id: TransactionId,
    /// The end.
    pub decision: Decision,
}

/// What a bank in doubt is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Decided: commit.
    Commit,
    /// Decided, or never to be: abort.
    Abort,
    /// Not decided yet.
    StillActive,
}

/// A payment that was admitted, now or earlier.
#[derive(Debug)]
pub struct Admitted {
    payment_id: String,
    transaction_id: TransactionId,
    /// Closed without a value when the store failed.
    decision: watch::Receiver<Option<Decision>>,
}

/// The gateway's coordinator.
pub struct Coordinator<B: Banks> {
    shared: Arc<Shared<B>>,
    /// Ends with the coordinator.
    _sweeper: JoinSet<()>,
}

struct Shared<B> {
    store: Store,
    banks: B,
    settings: Settings,
    active: Mutex<Active>,
    places: Places,
    phase_two: PhaseTwo,
    tasks: Tasks,
}

impl<B: Banks> Coordinator<B> {
    /// Recovers what the store holds, then is ready. Must run inside a tokio runtime.
    pub async fn start(store: Store, banks: B, settings: Settings) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            active: Mutex::new(Active::new(store.run().first_sequence())),
            places: Places::default(),
            phase_two: PhaseTwo::new(settings.phase_two_max),
            tasks: Tasks::default(),
            store,
            banks,
            settings,
        });
        shared.recover().await?;
        let mut sweeper = JoinSet::new();
        sweeper.spawn(phase_two::sweep(shared.clone()));
        Ok(Self { shared, _sweeper: sweeper })
    }

    /// Takes a payment on, or finds it if it was taken on before, by the same user: to anybody else
    /// nothing is said of it. The order was checked. Its time is `now_ms`, milliseconds since the Unix
    /// epoch. `authorize` says whether a new payment may be made, and who is paid if it is known.
    pub fn pay(
        &self,
        order: Order,
        now_ms: i64,
        authorize: impl FnOnce(&Order) -> Result<Option<String>, GatewayError>,
    ) -> Result<Admitted, GatewayError> {
        let shared = &self.shared;
        let mut active = shared.active();
        if let Some(running) = active.get(&order.payment_id) {
            running.record.order.check_same(&order)?;
            return Ok(Admitted::running(running));
        }
        if let Some(record) = shared.store.find(&order.payment_id)? {
            record.order.check_same(&order)?;
            return Admitted::decided(record);
        }
        let payee = authorize(&order)?;
        let limit = shared.settings.payments_max;
        if active.len() >= limit {
            return Err(GatewayError::TooManyPayments { limit });
        }
        let limit = shared.settings.payments_per_bank_max;
        if let Some(bank) = shared.places.full(&order, limit) {
            return Err(GatewayError::BankBehind { bank: bank.to_owned(), limit });
        }
        let id = shared.store.run().transaction(active.next_sequence());
        let state = State::Initiated;
        let record = Arc::new(Record { id, order, payee, initiated_at_ms: now_ms, state });
        let (payment, actions) = Payment::begin(record.order.route());
        Ok(shared.spawn(&mut active, record, payment, actions, Origin::Asked))
    }

    /// What became of a transaction. ABORT is said only of one that never commits: it is decided, or
    /// it is not under way and left no row, which comes before every decision.
    pub fn decision(&self, transaction_id: &str) -> Result<Standing, GatewayError> {
        let Ok(id) = transaction_id.parse::<TransactionId>() else { return Ok(Standing::Abort) };
        if id.store != self.shared.store.run().store {
            return Err(GatewayError::ForeignTransaction(transaction_id.to_owned()));
        }
        // Before the store is read: what leaves the map is in the store by then.
        {
            let active = self.shared.active();
            if active.is_under_way(id.sequence) {
                return Ok(Standing::StillActive);
            }
            if !active.was_made(id.sequence) {
                return Err(GatewayError::TransactionNotMade(transaction_id.to_owned()));
            }
        }
        let record = self.shared.store.get(id.sequence)?;
        Ok(match record.map(|record| record.state) {
            Some(State::Decided(Decision::Committed)) => Standing::Commit,
            Some(State::Initiated) => Standing::StillActive,
            Some(State::Decided(Decision::Aborted(_))) | None => Standing::Abort,
        })
    }

    /// A user's payments, newest first, from before `before`.
    pub fn history(
        &self,
        user: &str,
        before: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.shared.store.history(user, before, limit)
    }

    /// The way to the banks.
    pub fn banks(&self) -> &B {
        &self.shared.banks
    }

    /// The times and bounds in force.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Resolves when no payment is under way and no bank is being told of one.
    pub async fn idle(&self) {
        self.shared.tasks.none().await;
    }

    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }
}

impl Admitted {
    fn running(running: &active::Running) -> Self {
        Self {
            payment_id: running.record.order.payment_id.clone(),
            transaction_id: running.record.id,
            decision: running.decision.clone(),
        }
    }

    fn decided(record: Record) -> Result<Self, GatewayError> {
        match record.state {
            State::Decided(decision) => Ok(Self {
                payment_id: record.order.payment_id,
                transaction_id: record.id,
                decision: watch::channel(Some(decision)).1,
            }),
            // Whatever is not decided is in the map; without it, only a failed store is thinkable.
            State::Initiated => Err(GatewayError::StillUnderWay(record.order.payment_id)),
        }
    }

    /// Waits for the decision. Who stops waiting changes nothing.
    pub async fn receipt(mut self) -> Result<Receipt, GatewayError> {
        let decision = self.decision.wait_for(Option::is_some).await;
        let decision = decision.ok().and_then(|decision| decision.clone());
        let Self { payment_id, transaction_id, .. } = self;
        match decision {
            Some(decision) => Ok(Receipt { payment_id, transaction_id, decision }),
            None => Err(GatewayError::Store(StoreError::Stopped)),
        }
    }
}

impl<B: Banks> Shared<B> {
    fn active(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(
        self: &Arc<Self>,
        active: &mut Active,
        record: Arc<Record>,
        payment: Payment,
        actions: Vec<Action>,
        origin: Origin,
    ) -> Admitted {
        let (decision, told) = watch::channel(None);
        let admitted = Admitted::running(active.insert(record.clone(), told));
        let transaction_id = record.id.to_string();
        let waiting = self.places.take(&record.order);
        let job = Job { shared: self.clone(), record, transaction_id, decision, origin };
        let counted = self.tasks.start();
        tokio::spawn(async move {
            if let Err(why) = job.run(payment, actions, waiting).await {
                error!(transaction_id = job.transaction_id, %why, "payment cannot be recorded");
            }
            drop(counted);
        });
        admitted
    }
}

impl Order {
    fn check_same(&self, other: &Self) -> Result<(), GatewayError> {
        if self == other { Ok(()) } else { Err(GatewayError::Conflict(self.payment_id.clone())) }
    }
}
