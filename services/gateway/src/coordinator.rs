//! Runs payments: gives [`crate::payment`] its events and does what it says.
//!
//! A payment lives in a task of its own from admission to its durable decision, whoever waits for it
//! or stops waiting. One map holds all that are under way here; a payment leaves it only after its
//! decision is durable, and a request looks into the map and then into the store. So a payment id is
//! always in one of the two, and is admitted once. Between gateways that share a store the row decides
//! whose payment it is: whoever comes second finds it there, and waits for the other's decision.
//!
//! Where a crash may strike a payment between two banks, and what then happens:
//!
//! | crash after | store says | once the run is fenced, by a restart or another gateway |
//! |---|---|---|
//! | prepares sent, row not durable | nothing | banks in doubt ask, are told ABORT; the id may be used again, as a new transaction, which is not refused for what they hold until then |
//! | row durable, not decided | INITIATED | ABORTED (RESTART) to whoever asks, at once; written down in the background |
//! | COMMITTED durable, nobody told | COMMITTED, unfinished | the same answer to whoever asks; phase two is resumed |
//! | one bank committed | COMMITTED, unfinished | both banks are told again; a commit repeated is nothing |
//! | ABORTED durable | ABORTED | banks in doubt ask, are told ABORT |
//!
//! Within one bank, that bank decides, in one step of its own. The row is durable before it is asked,
//! so after a crash at any point the same transaction is sent again, which moves the money once. A
//! decision is written here only once the bank has said what it did.
//!
//! Until a run is fenced nobody but its gateway decides for it, and banks in doubt are told to wait;
//! from then on the store takes nothing of it ([`crate::store::rules`]), and a gateway that finds
//! itself fenced stops without answering anybody.

use std::{
    future::Future,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use strife_store::{Latencies, StoreError};
use tokio::{sync::Notify, task::JoinSet, time::Instant};
use tracing::{debug, error};

use crate::{
    banks::Banks,
    error::GatewayError,
    order::Order,
    payment::{Action, Payment},
    retry,
    standing::{self, Decider, Standing},
    store::{Found, Record, RunState, Store},
    transaction::{Run, Sequence, TransactionId, store_prefix},
};
use active::{Active, Claimed, Running};
use admission::Taken;
use answer::{Admitted, known, told};
pub use answer::{Answer, Receipt};
pub use fencing::FencedBy;
use fencing::Fencing;
pub use ids::{Blocks, Granted};
use ids::{Ids, Supply};
use job::{Job, Origin};
use phase_two::PhaseTwo;
use places::Places;
use queue::{Queue, Turn};
pub use settings::Settings;
use tasks::Tasks;

mod active;
mod admission;
mod adoption;
mod answer;
mod early;
mod fencing;
mod ids;
mod job;
mod lease;
mod phase_two;
mod places;
mod pruning;
mod queue;
mod same_bank;
mod settings;
mod tasks;
mod telling;
#[cfg(test)]
mod tests;
mod two_phase;

/// The gateway's coordinator.
pub struct Coordinator<B: Banks, S: Store> {
    shared: Arc<Shared<B, S>>,
    /// End with the coordinator.
    _background: JoinSet<()>,
}

struct Shared<B, S> {
    store: S,
    run: Run,
    banks: B,
    settings: Settings,
    active: Active,
    supply: Supply,
    places: Places,
    /// Those of payments that were taken over, once more.
    adopted: Places,
    phase_two: PhaseTwo,
    queue: Queue,
    tasks: Tasks,
    /// Whether other gateways may be given the same payments.
    others: AtomicBool,
    /// Told when there is something to take over.
    orphaned: Notify,
    fencing: Fencing,
    /// Until when banks may hold money for payments of which no row tells.
    settled_at: Option<Instant>,
}

impl<B: Banks, S: Store> Coordinator<B, S> {
    /// Begins a run on the store and is ready; what earlier ones left is seen to in the background.
    /// `gateway` names this one to people; transaction ids are the run's own unless they come in
    /// `blocks`. Must run inside a tokio runtime.
    pub async fn start(
        store: S,
        banks: B,
        gateway: &str,
        settings: Settings,
        blocks: Option<Arc<dyn Blocks>>,
    ) -> Result<Self, StoreError> {
        let run = store.start(gateway).await?;
        banks.begin(run);
        let settled_at = early::settled_at(&store, run).await?;
        let ids = blocks.as_ref().map_or_else(|| Ids::counted(run), |_| Ids::of_blocks());
        let shared = Arc::new(Shared {
            active: Active::new(ids),
            supply: Supply::new(),
            places: Places::default(),
            adopted: Places::default(),
            phase_two: PhaseTwo::new(settings.phase_two_max),
            queue: Queue::new(settings.queue_max, settings.queue_attempts_max),
            tasks: Tasks::default(),
            others: AtomicBool::new(store.is_shared()),
            orphaned: Notify::new(),
            fencing: Fencing::new(),
            settled_at,
            run,
            store,
            banks,
            settings,
        });
        let mut background = JoinSet::new();
        let first = [shared.tasks.start(), shared.tasks.start()];
        background.spawn(adoption::run(shared.clone(), first));
        background.spawn(phase_two::sweep(shared.clone()));
        if let Some(source) = blocks {
            background.spawn(ids::supply(shared.clone(), source));
        }
        background.spawn(pruning::run(shared.clone()));
        background.spawn(queue::run(shared.clone()));
        background.spawn(queue::watch(shared.clone()));
        if shared.store.is_shared() {
            background.spawn(lease::run(shared.clone()));
        }
        Ok(Self { shared, _background: background })
    }

    /// Takes a payment on, or finds it if it was taken on before, by the same user: to anybody else
    /// nothing is said of it. Then waits for the decision; who stops waiting changes nothing. The order
    /// was checked. Its time is `now_ms`, milliseconds since the Unix epoch. `authorize` says whether
    /// a new payment may be made, and who is paid if it is known.
    pub async fn pay(
        &self,
        mut order: Order,
        now_ms: i64,
        authorize: impl Fn(&Order) -> Result<Option<String>, GatewayError>,
    ) -> Result<Answer, GatewayError> {
        let mut looks = 0;
        loop {
            order = match self.admit(order, now_ms, &authorize).await? {
                Admitted::Known(answer) => return Ok(answer),
                Admitted::Running(running) => match told(running).await? {
                    Ok(answer) => return Ok(answer),
                    Err(order) => order,
                },
                Admitted::Elsewhere(order) => {
                    self.shared.settings.look_again.wait(looks).await;
                    looks += 1;
                    order
                }
                Admitted::Nameless(order) => {
                    self.shared.more_ids().await?;
                    order
                }
            };
        }
    }

    async fn admit(
        &self,
        order: Order,
        now_ms: i64,
        authorize: &impl Fn(&Order) -> Result<Option<String>, GatewayError>,
    ) -> Result<Admitted, GatewayError> {
        let shared = &self.shared;
        let _claim = loop {
            match shared.active.claim(&order.payment_id) {
                Claimed::Here(claim) => break claim,
                Claimed::Running(running) => {
                    running.record.order.check_same(&order)?;
                    if !running.record.is_queued() {
                        return Ok(Admitted::Running(running));
                    }
                    // Another gateway may have made the payment meanwhile, if this one stood still.
                    let found = shared.store.find(&order.payment_id).await?;
                    return Ok(known(found.unwrap_or_else(|| (*running.record).clone())));
                }
                // Ends in an error, as nothing is ever sent.
                Claimed::Elsewhere(mut ends) => drop(ends.changed().await),
            }
        };
        if let Some(record) = shared.store.find(&order.payment_id).await? {
            record.order.check_same(&order)?;
            return Ok(known(record));
        }
        let payee = authorize(&order)?;
        let put_off = match shared.admit(order, payee, now_ms)? {
            Taken::On(running) => return Ok(Admitted::Running(running)),
            Taken::Nameless(order) => return Ok(Admitted::Nameless(order)),
            Taken::PutOff(record) => record,
        };
        Ok(match shared.enqueue(&put_off).await? {
            true => Admitted::Known(Answer::Queued(put_off)),
            false => Admitted::Elsewhere(put_off.order.clone()),
        })
    }

    /// What is known of a payment now, whosever it is. Where others may have taken over what is under way here
    /// the store knows more; here is known only what has no row yet.
    pub async fn payment(&self, payment_id: &str) -> Result<Option<Record>, GatewayError> {
        let running = self.shared.active.lock().running(payment_id);
        match running {
            Some(running) if !self.shared.store.is_shared() && !running.record.is_queued() => {
                Ok(Some((*running.record).clone()))
            }
            running => {
                let found = self.shared.store.find(payment_id).await?;
                Ok(found.or_else(|| running.map(|running| (*running.record).clone())))
            }
        }
    }

    /// What became of a transaction. ABORT is said only of one that never commits.
    pub async fn decision(&self, transaction_id: &str) -> Result<Standing, GatewayError> {
        let Ok(id) = transaction_id.parse::<TransactionId>() else { return Ok(Standing::Abort) };
        let Shared { store, run, active, .. } = &*self.shared;
        if id.store != run.store {
            return Err(GatewayError::ForeignTransaction(transaction_id.to_owned()));
        }
        // Before the store is read: what leaves the map is in the store by then.
        let ours = active.lock().decider(id.sequence);
        let Found { record, maker } = store.get(id.sequence).await?;
        let decider = match (maker, ours) {
            (RunState::Fenced, _) => Decider::Fenced,
            (_, Some(ours)) => ours,
            (RunState::Live, None) => Decider::Live,
            (RunState::NotMade, None) => Decider::Nobody,
        };
        let row = record.as_ref().map(|record| (record.order.route(), &record.state));
        standing::of(row, decider)
            .ok_or_else(|| GatewayError::TransactionNotMade(transaction_id.to_owned()))
    }

    /// How many payments are in the queue.
    pub async fn queued(&self) -> Result<u64, StoreError> {
        self.shared.store.queued().await
    }

    /// A user's payments, newest first, from before `before`.
    pub async fn history(
        &self,
        user: &str,
        before: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.shared.store.history(user, before, limit).await
    }

    /// With which the names of this store's transactions begin.
    pub fn store_name(&self) -> String {
        store_prefix(self.shared.store.name())
    }

    /// The way to the banks.
    pub fn banks(&self) -> &B {
        &self.shared.banks
    }

    /// How long the store's durable commits took since the start.
    pub fn commits(&self) -> &Latencies {
        self.shared.store.commits()
    }

    /// The times and bounds in force.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Begins no further attempts at queued payments: those are left to the next run, or to others.
    pub fn stop_queue(&self) {
        self.shared.stop_queue();
    }

    /// Resolves when no payment is under way and no bank is being told of one.
    pub async fn idle(&self) {
        self.shared.tasks.none().await;
    }

    /// Leaves what is open to other gateways at once, if there are any.
    pub async fn leave(&self) {
        let Shared { store, run, .. } = &*self.shared;
        if store.is_shared()
            && let Err(why) = store.fence(run.number).await
        {
            error!(%why, "other gateways take over only when they miss this one");
        }
    }

    /// What is durable.
    pub(crate) fn store(&self) -> &S {
        &self.shared.store
    }

    #[cfg(test)]
    pub(crate) fn run(&self) -> Run {
        self.shared.run
    }
}

impl<B: Banks, S: Store> Shared<B, S> {
    fn spawn(
        self: &Arc<Self>,
        active: &mut active::Payments,
        record: Arc<Record>,
        payment: Payment,
        actions: Vec<Action>,
        origin: Origin,
        turn: Option<Turn>,
    ) -> Running {
        let (teller, told) = telling::telling();
        let running = Running { record: record.clone(), told };
        active.insert(running.clone(), origin);
        let transaction_id = record.id.to_string();
        let waiting = self.places.take(&record.order);
        let adopted = (origin == Origin::Recovered).then(|| self.adopted.take(&record.order));
        let (shared, place) = (self.clone(), OnceLock::new());
        let job = Job { shared, record, transaction_id, teller, origin, place };
        let counted = self.tasks.start();
        tokio::spawn(async move {
            if let Err(why) = job.run(payment, actions, waiting, turn).await {
                error!(transaction_id = job.transaction_id, %why, "payment cannot be recorded");
            }
            drop((counted, adopted));
        });
        running
    }

    /// Writes until it is written: whatever the store is up to meanwhile, what stands in it must be
    /// known before anything else is done.
    async fn written<T, W: Future<Output = Result<T, StoreError>>>(
        &self,
        write: impl Fn() -> W,
    ) -> Result<T, StoreError> {
        let mut attempt = 0;
        loop {
            match write().await {
                Err(StoreError::Stopped) => return Err(StoreError::Stopped),
                Err(why) if retry::is_passing(&why) => debug!(%why, "writing again"),
                Err(why) if attempt == 0 => error!(%why, "the store fails; writing again"),
                Err(_) => {}
                Ok(written) => return Ok(written),
            }
            self.settings.backoff.wait(attempt).await;
            attempt = attempt.saturating_add(1);
        }
    }
}

impl Order {
    fn check_same(&self, other: &Self) -> Result<(), GatewayError> {
        if self == other { Ok(()) } else { Err(GatewayError::Conflict(self.payment_id.clone())) }
    }
}
