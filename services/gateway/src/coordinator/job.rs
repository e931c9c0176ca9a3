//! One payment in its task: what the state machine asks for is begun, what comes of it is fed back.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::Poll,
};

use strife_runtime::failpoint;
use strife_store::StoreError;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::{
    Shared,
    places::Waiting,
    queue::Turn,
    telling::{Teller, Told},
};
use crate::{
    banks::Banks,
    clock::now_ms,
    order::Route,
    payment::{Action, Decision, Input, Leg, Payment},
    queue::Queued,
    store::{Begun, Decided, Record, Store, Verdict},
    transaction::Sequence,
};

/// A payment in its task.
pub(super) struct Job<B: Banks, S: Store> {
    pub(super) shared: Arc<Shared<B, S>>,
    pub(super) record: Arc<Record>,
    /// The record's id, written out.
    pub(super) transaction_id: String,
    pub(super) teller: Teller,
    pub(super) origin: Origin,
    /// The payment's place in the queue, once this attempt has ended with one.
    pub(super) place: OnceLock<Queued>,
}

/// Where a payment in its task comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A request.
    Asked,
    /// A request soon after a start: see [`Job::is_refused_for_what_is_held`].
    AskedEarly,
    /// The store, of a gateway that is gone: what it attempted is not known.
    Recovered,
    /// The queue.
    Queued {
        /// The attempt before.
        after: Sequence,
        /// Its place in the queue.
        seen: Queued,
    },
}

/// Something under way for a payment; ends in its next event.
type Step<'j> = Pin<Box<dyn Future<Output = Result<Input, StoreError>> + Send + 'j>>;

/// Most steps of a payment at once: its row, two votes and the time, or its decision after them.
const STEPS: usize = 4;

/// What the first step to end ends in; `None` if none is under way. They are few enough to look at each
/// whenever any may have ended.
async fn next(steps: &mut Vec<Step<'_>>) -> Option<Result<Input, StoreError>> {
    if steps.is_empty() {
        return None;
    }
    let (ended, input) = poll_fn(|context| {
        for (place, step) in steps.iter_mut().enumerate() {
            if let Poll::Ready(input) = step.as_mut().poll(context) {
                return Poll::Ready((place, input));
            }
        }
        Poll::Pending
    })
    .await;
    drop(steps.swap_remove(ended));
    Some(input)
}

impl<B: Banks, S: Store> Job<B, S> {
    /// Until the decision is durable and whoever waits is told; the banks are told in the background.
    pub(super) async fn run(
        &self,
        mut payment: Payment,
        mut actions: Vec<Action>,
        mut waiting: Waiting,
        mut turn: Option<Turn>,
    ) -> Result<(), StoreError> {
        // An attempt's time begins once both banks have released the one before it.
        if let (Origin::Queued { after, seen }, Some(turn)) = (self.origin, &mut turn)
            && !self.shared.settle(&self.record, after, seen, turn).await
        {
            actions = payment.on(Input::RowExists);
        }
        let mut steps: Vec<Step<'_>> = Vec::with_capacity(STEPS);
        if self.record.order.route() == Route::TwoBanks {
            let deadline = Instant::now() + self.shared.settings.payment_timeout;
            steps.push(Box::pin(async move {
                sleep_until(deadline).await;
                Ok(Input::TimedOut)
            }));
        }
        let mut row_waits = self.origin == Origin::AskedEarly;
        if row_waits {
            actions.retain(|action| *action != Action::WriteRow);
        }
        loop {
            let told = match actions.first() {
                Some(Action::Answer(decision)) => Some(match self.place.get() {
                    Some(place) => Told::Queued(decision.clone(), *place),
                    None => Told::Decided(decision.clone()),
                }),
                Some(Action::Yield) => Some(Told::Elsewhere),
                _ => None,
            };
            if let Some(told) = told {
                // Whoever is told may ask for the place at once.
                drop((waiting, turn));
                self.tell(told);
                self.shared.phase_two(&self.record, &actions[1..]);
                return Ok(());
            }
            steps.extend(
                actions.into_iter().map(|action| -> Step<'_> { Box::pin(self.step(action)) }),
            );
            let Some(input) = next(&mut steps).await else { return Ok(()) };
            let input = input?;
            if let Input::Voted(leg, _) = &input {
                waiting.answered(*leg);
                if let Some(turn) = &mut turn {
                    turn.voted(*leg);
                }
                failpoint::reach("gateway.voted").await;
            }
            if row_waits && matches!(input, Input::Voted(Leg::Debit, _) | Input::TimedOut) {
                if self.is_refused_for_what_is_held(&input).await {
                    drop((steps, waiting));
                    self.begin_anew().await;
                    return Ok(());
                }
                row_waits = false;
                steps.push(Box::pin(self.step(Action::WriteRow)));
            }
            actions = payment.on(input);
        }
    }

    async fn step(&self, action: Action) -> Result<Input, StoreError> {
        match action {
            Action::WriteRow => {
                failpoint::reach("gateway.begin.before").await;
                let (store, record) = (&self.shared.store, &self.record);
                let begun = match self.origin {
                    Origin::Queued { after, .. } => {
                        let retry = || store.retry(record.clone(), after, now_ms());
                        self.shared.written(retry).await?
                    }
                    _ => self.shared.written(|| store.begin(record.clone())).await?,
                };
                match begun {
                    Begun::Done => Ok(Input::RowDurable),
                    Begun::Exists => Ok(Input::RowExists),
                    Begun::Fenced => self.shared.stop_fenced().await,
                }
            }
            Action::Prepare(leg) => {
                failpoint::reach("gateway.prepare.before").await;
                Ok(Input::Voted(leg, self.vote(leg).await))
            }
            Action::Transfer => Ok(Input::Transferred(self.transfer().await)),
            Action::WriteDecision(decision) => self.write(decision).await,
            Action::Answer(_)
            | Action::Yield
            | Action::Commit(_)
            | Action::Abort(_)
            | Action::Close => {
                unreachable!("comes only with or after the answer")
            }
        }
    }

    async fn write(&self, decision: Decision) -> Result<Input, StoreError> {
        let Shared { store, run, .. } = &*self.shared;
        let (sequence, route) = (self.record.id.sequence, self.record.order.route());
        let queued = self.shared.place_after(&self.record, &decision);
        let verdict = Verdict { sequence, route, decision, at_ms: now_ms(), queued };
        let decide = || store.decide(run.number, verdict.clone());
        failpoint::reach("gateway.decide.before").await;
        let decided = self.shared.written(decide).await?;
        failpoint::reach("gateway.decide.after").await;
        match decided {
            Decided::Done => {
                if let Some(place) = queued {
                    self.place.get_or_init(|| place);
                }
                Ok(Input::DecisionDurable)
            }
            Decided::Fenced => self.shared.stop_fenced().await,
            Decided::Contradicted => {
                // Nobody else decides for a run that may write.
                assert!(
                    self.origin == Origin::Recovered,
                    "{} was decided twice",
                    self.transaction_id
                );
                Ok(Input::DecisionExists)
            }
        }
    }

    pub(super) fn tell(&self, told: Told) {
        debug!(transaction_id = self.transaction_id, ?told, "payment ended");
        self.shared.active.lock().remove(&self.record);
        self.teller.tell(told);
    }
}
