//! What a restart finds, before anything is served.

use std::sync::Arc;

use strife_store::StoreError;
use tracing::info;

use super::{Shared, job::Origin};
use crate::{
    banks::Banks,
    payment::{Action, Input, Payment},
};

/// Payments recovered in one durable write.
const PAGE: usize = 4_096;

impl<B: Banks> Shared<B> {
    /// Aborts, durably, every payment between two banks that was not decided, and goes on asking for
    /// those within one. Commits that banks have yet to hear of are left to the sweep.
    pub(super) async fn recover(self: &Arc<Self>) -> Result<(), StoreError> {
        let (mut aborted, mut asked, mut after) = (0, 0, None);
        loop {
            let page = self.store.undecided(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.sequence);
            let (mut decisions, mut decided) = (Vec::new(), Vec::new());
            for record in page {
                let record = Arc::new(record);
                let (payment, actions) = Payment::recover(record.order.route(), &record.state);
                if let [Action::WriteDecision(decision)] = actions.as_slice() {
                    decisions.push((record.id.sequence, decision.clone()));
                    decided.push((record, payment));
                } else {
                    let origin = Origin::Recovered;
                    self.spawn(&mut self.active(), record, payment, actions, origin);
                    asked += 1;
                }
            }
            aborted += decided.len();
            self.store.decide_all(decisions).await?;
            for (record, mut payment) in decided {
                let actions = payment.on(Input::DecisionDurable);
                self.phase_two(&record, actions.get(1..).unwrap_or_default());
            }
        }
        if aborted + asked > 0 {
            info!(aborted, asked, "payments that were not decided when the gateway stopped");
        }
        Ok(())
    }
}
