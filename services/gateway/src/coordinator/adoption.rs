//! What gateways that are gone left undecided, be it this one's earlier runs or others'.
//!
//! Between two banks it is aborted already: everybody reads it so. Here that is written down, in pages,
//! behind what is being served, and the banks are told; what is to be queued gets its place there. Within
//! one bank, that bank is asked: about so many payments at a time, as it may be away for long, and further
//! ones stand in the store. They take no room from what this gateway is asked for.

use std::{sync::Arc, time::Duration};

use futures_util::future::join3;
use strife_store::StoreError;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use tracing::{error, info};

use super::{Shared, job::Origin, tasks::Task};
use crate::{
    banks::Banks,
    clock::now_ms,
    payment::{Action, Input, Payment},
    retry,
    store::{Decided, Record, Store, Verdict},
};

mod fences;

/// Payments that are ended in one durable write.
const PAGE: usize = 1_024;
/// Most payments that one bank is asked about at once.
const ASKED_PER_BANK: usize = 1_024;
/// How long places gather that are given back, before they are taken.
const GATHER: Duration = Duration::from_millis(5);

/// Takes over whatever there is, and tells the banks, now and whenever a run is fenced. A bank that does
/// not listen holds up nothing that is taken over. The tasks of `first` are over with the first time.
pub(super) async fn run<B: Banks, S: Store>(shared: Arc<Shared<B, S>>, first: [Task; 2]) {
    let fenced = watch::Sender::new(());
    let [adopting, telling] = first;
    join3(
        pass_on(&shared.orphaned, &fenced),
        adopt_all(&shared, fenced.subscribe(), adopting),
        fences::tell_all(&shared, fenced.subscribe(), telling),
    )
    .await;
}

/// Has both look again whenever there is something new.
async fn pass_on(orphaned: &Notify, fenced: &watch::Sender<()>) {
    loop {
        orphaned.notified().await;
        fenced.send_replace(());
    }
}

async fn adopt_all<B: Banks, S: Store>(
    shared: &Arc<Shared<B, S>>,
    mut fenced: watch::Receiver<()>,
    first: Task,
) {
    let (mut first, mut attempt) = (Some(first), 0);
    loop {
        let some_left = match adopt(shared).await {
            Ok(some_left) => some_left,
            Err(why) if retry::is_passing(&why) => {
                shared.settings.backoff.wait(attempt).await;
                attempt = attempt.saturating_add(1);
                continue;
            }
            Err(why) => {
                error!(%why, "what was left undecided cannot be taken over");
                false
            }
        };
        drop(first.take());
        attempt = 0;
        tokio::select! {
            changed = fenced.changed() => if changed.is_err() {
                return;
            },
            () = shared.adopted.freed(), if some_left => sleep(GATHER).await,
        }
    }
}

/// Once through what is left; whether there is more that some bank is to be asked about.
async fn adopt<B: Banks, S: Store>(shared: &Arc<Shared<B, S>>) -> Result<bool, StoreError> {
    let (mut aborted, mut asked, mut some_left, mut after) = (0, 0, false, None);
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
                let queued = shared.place_of_orphan(&record, decision);
                let (decision, at_ms) = (decision.clone(), now_ms());
                verdicts.push(Verdict { sequence, route, decision, at_ms, queued });
                decided.push((record, payment));
            } else {
                match shared.ask(record, payment, actions) {
                    Asked::Now => asked += 1,
                    Asked::Already => {}
                    Asked::Later => some_left = true,
                }
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
    if aborted + asked > 0 {
        info!(aborted, asked, "payments that were not decided when their gateway stopped");
    }
    Ok(some_left)
}

/// Whether the one bank of a payment is asked.
enum Asked {
    Now,
    Already,
    /// It is asked about as many as may be.
    Later,
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Has the one bank of a payment asked, unless that is under way already or it has no place.
    fn ask(self: &Arc<Self>, record: Arc<Record>, payment: Payment, actions: Vec<Action>) -> Asked {
        let mut active = self.active.lock();
        if active.is_under_way(record.id.sequence) {
            return Asked::Already;
        }
        if self.adopted.full(&record.order, ASKED_PER_BANK).is_some() {
            return Asked::Later;
        }
        self.spawn(&mut active, record, payment, actions, Origin::Recovered, None);
        Asked::Now
    }
}
