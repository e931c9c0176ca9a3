//! One payment in its task: what the state machine asks for is begun, what comes of it is fed back.

use std::{future::Future, pin::Pin, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use strife_store::StoreError;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::debug;

use super::{Shared, places::Waiting};
use crate::{
    banks::Banks,
    order::Route,
    payment::{Action, Decision, Input, Payment},
    store::Record,
};

/// A payment in its task.
pub(super) struct Job<B: Banks> {
    pub(super) shared: Arc<Shared<B>>,
    pub(super) record: Arc<Record>,
    /// The record's id, written out.
    pub(super) transaction_id: String,
    pub(super) decision: watch::Sender<Option<Decision>>,
    pub(super) origin: Origin,
}

/// Where a payment in its task comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A request.
    Asked,
    /// The store, after a restart: what was attempted before is not known.
    Recovered,
}

/// Something under way for a payment; ends in its next event.
type Step<'j> = Pin<Box<dyn Future<Output = Result<Input, StoreError>> + Send + 'j>>;

impl<B: Banks> Job<B> {
    /// Until the decision is durable and whoever waits is told; the banks are told in the background.
    pub(super) async fn run(
        &self,
        mut payment: Payment,
        mut actions: Vec<Action>,
        mut waiting: Waiting,
    ) -> Result<(), StoreError> {
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
                // Whoever is told may ask for the place at once.
                drop(waiting);
                self.answer(decision);
                self.shared.phase_two(&self.record, legs);
                return Ok(());
            }
            steps.extend(
                actions.into_iter().map(|action| -> Step<'_> { Box::pin(self.step(action)) }),
            );
            let Some(input) = steps.next().await else { return Ok(()) };
            let input = input?;
            if let Input::Voted(leg, _) = &input {
                waiting.answered(*leg);
            }
            actions = payment.on(input);
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
        debug!(transaction_id = self.transaction_id, %decision, "payment decided");
        self.shared.active().remove(&self.record);
        self.decision.send_replace(Some(decision.clone()));
    }
}
