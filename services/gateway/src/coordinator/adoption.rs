//! What gateways that are gone left undecided, be it this one's earlier runs or others'.
//!
//! Between two banks it is aborted already: everybody reads it so. Here that is written down, in pages,
//! behind what is being served, and the banks are told; what is to be queued gets its place there. Within
//! one bank, that bank is asked.
//!
//! All banks are told of every run that is gone, until they know: what it has yet to prepare is refused, should
//! its gateway wake up. Only then is the run forgotten.

use std::{collections::HashSet, sync::Arc};

use futures_util::{StreamExt, future::join, stream};
use strife_store::StoreError;
use tracing::{debug, error, info, warn};

use super::{Shared, job::Origin, tasks::Task};
use crate::{
    banks::{Banks, CallError},
    clock::now_ms,
    payment::{Action, Input, Payment},
    retry,
    store::{Decided, Record, Store, Verdict},
    transaction::{Run, RunNumber},
};

/// Payments that are ended in one durable write.
const PAGE: usize = 1_024;
/// Banks that are told at once that a run is fenced.
const BANKS_AT_ONCE: usize = 16;

/// Which banks know of which runs that they are fenced.
type Told = HashSet<(RunNumber, String)>;

/// Takes over whatever there is, now and whenever a run is fenced. `first` is over with the first
/// time.
pub(super) async fn run<B: Banks, S: Store>(shared: Arc<Shared<B, S>>, first: Task) {
    let (mut first, mut told) = (Some(first), Told::new());
    let mut attempt = 0;
    loop {
        let is_over = match take_over(&shared, &mut told).await {
            Ok(is_over) => {
                drop(first.take());
                is_over
            }
            Err(why) if retry::is_passing(&why) => false,
            Err(why) => {
                error!(%why, "what was left undecided cannot be taken over");
                drop(first.take());
                true
            }
        };
        if is_over {
            attempt = 0;
            shared.orphaned.notified().await;
        } else {
            shared.settings.backoff.wait(attempt).await;
            attempt = attempt.saturating_add(1);
        }
    }
}

/// Whether nothing is left to be done.
async fn take_over<B: Banks, S: Store>(
    shared: &Arc<Shared<B, S>>,
    told: &mut Told,
) -> Result<bool, StoreError> {
    let runs = shared.store.runs().await?.into_iter().filter(|run| !run.live);
    let fenced: Vec<RunNumber> = runs.map(|run| run.number).collect();
    let (adopted, ()) = join(adopt(shared), tell_banks(shared, &fenced, told)).await;
    adopted?;
    let names = shared.banks.names();
    let mut is_over = true;
    for run in fenced {
        if names.iter().all(|bank| told.contains(&(run, bank.clone()))) {
            shared.store.forget(run).await?;
            told.retain(|(forgotten, _)| *forgotten != run);
        } else {
            is_over = false;
        }
    }
    Ok(is_over)
}

/// Tells every bank, that does not know, to hold nothing more for these runs: they may yet wake up.
async fn tell_banks<B: Banks, S: Store>(
    shared: &Shared<B, S>,
    fenced: &[RunNumber],
    told: &mut Told,
) {
    let pairs =
        fenced.iter().flat_map(|run| shared.banks.names().into_iter().map(|bank| (*run, bank)));
    let untold: Vec<_> = pairs.filter(|pair| !told.contains(pair)).collect();
    let tell = async |(run, bank): (RunNumber, String)| {
        let fenced = Run { number: run, ..shared.run };
        match shared.banks.fence(&bank, fenced, shared.settings.attempt_timeout).await {
            Ok(()) => Some((run, bank)),
            Err(CallError::NoAnswer(why)) => {
                debug!(run, why, "a bank does not know yet that a gateway is gone");
                None
            }
            // It would only have spared it holds that are released again.
            Err(CallError::Rejected(why) | CallError::Invalid(why) | CallError::Fenced(why)) => {
                warn!(run, why, "a bank goes on to hold money for a gateway that is gone");
                Some((run, bank))
            }
        }
    };
    let mut answers = stream::iter(untold).map(tell).buffer_unordered(BANKS_AT_ONCE);
    while let Some(answer) = answers.next().await {
        told.extend(answer);
    }
}

async fn adopt<B: Banks, S: Store>(shared: &Arc<Shared<B, S>>) -> Result<(), StoreError> {
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
                let queued = shared.place_of_orphan(&record, decision);
                let (decision, at_ms) = (decision.clone(), now_ms());
                verdicts.push(Verdict { sequence, route, decision, at_ms, queued });
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
            self.spawn(&mut active, record, payment, actions, Origin::Recovered, None);
        }
        new
    }
}
