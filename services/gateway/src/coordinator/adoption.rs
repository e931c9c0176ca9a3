//! What gateways that are gone left undecided, be it this one's earlier runs or others'.
//!
//! Between two banks it is aborted already: everybody reads it so. Here that is written down, in pages,
//! behind what is being served, and the banks are told. Within one bank, that bank is asked.

use std::sync::Arc;

use strife_store::StoreError;
use tracing::{error, info};

use super::{Shared, job::Origin, tasks::Task};
use crate::{
    banks::Banks,
    payment::{Action, Input, Payment},
    retry,
    store::{Decided, Record, Store, Verdict},
    transaction::RunNumber,
};

/// Payments that are ended in one durable write.
const PAGE: usize = 1_024;

/// Takes over whatever there is, now and whenever a run is fenced. `first` is over with the first
/// time.
pub(super) async fn run<B: Banks, S: Store>(shared: Arc<Shared<B, S>>, first: Task) {
    let mut first = Some(first);
    let mut attempt = 0;
    loop {
        match adopt(&shared).await {
            Ok(()) => attempt = 0,
            Err(why) if retry::is_passing(&why) => {
                shared.settings.backoff.wait(attempt).await;
                attempt = attempt.saturating_add(1);
                continue;
            }
            Err(why) => error!(%why, "what was left undecided cannot be taken over"),
        }
        drop(first.take());
        shared.orphaned.notified().await;
    }
}

async fn adopt<B: Banks, S: Store>(shared: &Arc<Shared<B, S>>) -> Result<(), StoreError> {
    let fenced: Vec<RunNumber> =
        shared.store.runs().await?.iter().filter(|run| !run.live).map(|run| run.number).collect();
    let (mut aborted, mut asked, mut after) = (0, 0, None);
    loop {
        let page = shared.store.orphans(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.sequence);
        let (mut verdicts, mut decided) = (Vec::new(), Vec::new());
        for record in page {
            let record = Arc::new(record);
            let (payment, actions) = Payment::recover(record.order.route(), &record.state);
            if let [Action::WriteDecision(decision)] = actions.as_slice() {
                let (sequence, route) = (record.id.sequence, record.order.route());
                verdicts.push(Verdict { sequence, route, decision: decision.clone() });
                decided.push((record, payment));
            } else if shared.ask(record, payment, actions) {
                asked += 1;
            }
        }
        aborted += decided.len();
        for written in shared.store.decide_all(shared.run.number, verdicts).await? {
            match written {
                Decided::Done => {}
                Decided::Fenced => shared.stop_fenced().await,
                Decided::Contradicted => unreachable!("nothing but this abort is taken"),
            }
        }
        for (record, mut payment) in decided {
            let actions = payment.on(Input::DecisionDurable);
            shared.phase_two(&record, actions.get(1..).unwrap_or_default());
        }
    }
    for run in fenced {
        shared.store.forget(run).await?;
    }
    if aborted + asked > 0 {
        info!(aborted, asked, "payments that were not decided when their gateway stopped");
    }
    Ok(())
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Has the one bank of a payment asked, unless that is under way already.
    fn ask(self: &Arc<Self>, record: Arc<Record>, payment: Payment, actions: Vec<Action>) -> bool {
        let mut active = self.active.lock();
        let new = !active.is_under_way(record.id.sequence);
        if new {
            self.spawn(&mut active, record, payment, actions, Origin::Recovered);
        }
        new
    }
}
