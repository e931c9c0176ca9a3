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

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use strife_store::StoreError;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tracing::{error, warn};

use crate::{
    banks::Banks,
    error::GatewayError,
    order::{Order, Route},
    payment::{Action, Decision, Input, Payment, State},
    retry::Backoff,
    store::{Record, Store},
    transaction::{Sequence, TransactionId},
};
use active::Active;
use phase_two::PhaseTwo;
use tasks::Tasks;

mod active;
mod phase_two;
mod recovery;
mod same_bank;
mod tasks;
mod two_phase;

/// Times and bounds of the coordinator.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A payment between two banks whose votes are not in by then is aborted.
    pub payment_timeout: Duration,
    /// How long one call to a bank may take.
    pub attempt_timeout: Duration,
    /// Between attempts.
    pub backoff: Backoff,
    /// Most payments under way at once.
    pub payments_max: usize,
    /// Most payments whose banks are being told of the decision at once; of each kind.
    pub phase_two_max: usize,
    /// How often a bank is told before others get their turn. A commit comes up again, for ever; an
    /// abort is left for the bank to ask for.
    pub phase_two_attempts: u32,
    /// How often unfinished commits are looked for.
    pub sweep_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            payment_timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(2),
            backoff: Backoff { first: Duration::from_millis(10), most: Duration::from_secs(1) },
            payments_max: 10_000,
            phase_two_max: 1_024,
            phase_two_attempts: 5,
            sweep_interval: Duration::from_secs(1),
        }
    }
}

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
    phase_two: PhaseTwo,
    tasks: Tasks,
}

/// A payment in its task.
struct Job<B: Banks> {
    shared: Arc<Shared<B>>,
    record: Arc<Record>,
    /// The record's id, written out.
    transaction_id: String,
    decision: watch::Sender<Option<Decision>>,
    origin: Origin,
}

/// Where a payment in its task comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A request.
    Asked,
    /// The store, after a restart: what was attempted before is not known.
    Recovered,
}

/// Something under way for a payment; ends in its next event.
type Step<'j> = Pin<Box<dyn Future<Output = Result<Input, StoreError>> + Send + 'j>>;

impl<B: Banks> Coordinator<B> {
    /// Recovers what the store holds, then is ready. Must run inside a tokio runtime.
    pub async fn start(store: Store, banks: B, settings: Settings) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            active: Mutex::new(Active::new(store.run().first_sequence())),
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

    /// Takes a payment on, or finds it if it was taken on before. The order was checked. Its time is
    /// `now_ms`, milliseconds since the Unix epoch.
    pub fn pay(
        &self,
        order: Order,
        payee: Option<String>,
        now_ms: i64,
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
        let limit = shared.settings.payments_max;
        if active.len() >= limit {
            return Err(GatewayError::TooManyPayments { limit });
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
        let job = Job { shared: self.clone(), record, transaction_id, decision, origin };
        let counted = self.tasks.start();
        tokio::spawn(async move {
            if let Err(why) = job.run(payment, actions).await {
                error!(transaction_id = job.transaction_id, %why, "payment cannot be recorded");
            }
            drop(counted);
        });
        admitted
    }
}

impl<B: Banks> Job<B> {
    /// Until the decision is durable and whoever waits is told; the banks are told in the background.
    async fn run(&self, mut payment: Payment, mut actions: Vec<Action>) -> Result<(), StoreError> {
        let mut steps: FuturesUnordered<Step<'_>> = FuturesUnordered::new();
        if self.record.order.route() == Route::TwoBanks {
            let deadline = Instant::now() + self.shared.settings.payment_timeout;
            steps.push(Box::pin(async move {
                sleep_until(deadline).await;
                Ok(Input::TimedOut)
            }));
        }
        loop {
            if let Some((Action::Answer(decision), legs)) = actions.split_first() {
                self.answer(decision);
                self.shared.phase_two(&self.record, legs);
                return Ok(());
            }
            steps.extend(
                actions.into_iter().map(|action| -> Step<'_> { Box::pin(self.step(action)) }),
            );
            let Some(input) = steps.next().await else { return Ok(()) };
            actions = payment.on(input?);
        }
    }

    async fn step(&self, action: Action) -> Result<Input, StoreError> {
        match action {
            Action::WriteRow => {
                self.shared.store.begin(self.record.clone()).await?;
                Ok(Input::RowDurable)
            }
            Action::Prepare(leg) => Ok(Input::Voted(leg, self.vote(leg).await)),
            Action::Transfer => Ok(Input::Transferred(self.transfer().await)),
            Action::WriteDecision(decision) => {
                let stands = self.shared.store.decide(self.record.id.sequence, decision).await?;
                // One store, one gateway: nobody else decides.
                assert!(stands, "{} was decided twice", self.transaction_id);
                Ok(Input::DecisionDurable)
            }
            Action::Answer(_) | Action::Commit(_) | Action::Abort(_) | Action::Close => {
                unreachable!("comes only with or after the answer")
            }
        }
    }

    fn answer(&self, decision: &Decision) {
        if let Decision::Aborted(abort) = decision {
            let transaction_id = &self.transaction_id;
            warn!(transaction_id, reason = ?abort.reason, detail = abort.detail, "payment aborted");
        }
        self.shared.active().remove(&self.record);
        self.decision.send_replace(Some(decision.clone()));
    }
}

impl Order {
    fn check_same(&self, other: &Self) -> Result<(), GatewayError> {
        if self == other { Ok(()) } else { Err(GatewayError::Conflict(self.payment_id.clone())) }
    }
}
