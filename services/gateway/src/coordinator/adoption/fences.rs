//! Tells all banks of every run that is gone, until they know: what it has yet to prepare is refused, should
//! its gateway wake up. Only then is the run forgotten.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use strife_store::StoreError;
use tokio::sync::watch;
use tracing::{debug, error, warn};

use crate::{
    banks::{Banks, CallError},
    coordinator::{Shared, tasks::Task},
    retry,
    store::Store,
    transaction::{Run, RunNumber},
};

/// Banks that are told at once.
const BANKS_AT_ONCE: usize = 16;

/// Which banks know of which runs that they are fenced.
type Told = HashSet<(RunNumber, String)>;

/// Tells whoever does not know, now and whenever a run is fenced; who does not listen is told again later.
pub(super) async fn tell_all<B: Banks, S: Store>(
    shared: &Shared<B, S>,
    mut fenced: watch::Receiver<()>,
    first: Task,
) {
    let (mut first, mut told, mut attempt) = (Some(first), Told::new(), 0);
    loop {
        let all_know = match tell_once(shared, &mut told).await {
            Ok(all_know) => all_know,
            Err(why) if retry::is_passing(&why) => false,
            Err(why) => {
                error!(%why, "banks cannot be told which gateways are gone");
                true
            }
        };
        drop(first.take());
        let wait = async {
            match all_know {
                true => std::future::pending::<()>().await,
                false => shared.settings.backoff.wait(attempt).await,
            }
        };
        tokio::select! {
            changed = fenced.changed() => match changed {
                Ok(()) => attempt = 0,
                Err(_) => return,
            },
            () = wait => attempt = attempt.saturating_add(1),
        }
    }
}

/// Whether every bank knows of all that there is.
async fn tell_once<B: Banks, S: Store>(
    shared: &Shared<B, S>,
    told: &mut Told,
) -> Result<bool, StoreError> {
    let runs = shared.store.runs().await?.into_iter().filter(|run| !run.live);
    let fenced: Vec<RunNumber> = runs.map(|run| run.number).collect();
    let names = shared.banks.names();
    let untold = names.iter().map(|bank| {
        let knows = |run: &&RunNumber| told.contains(&(**run, bank.clone()));
        let runs: Vec<_> = fenced.iter().filter(|run| !knows(run)).copied().collect();
        (bank.clone(), runs)
    });
    let untold: Vec<_> = untold.filter(|(_, runs)| !runs.is_empty()).collect();
    let mut telling = stream::iter(untold)
        .map(|(bank, runs)| tell_bank(shared, bank, runs))
        .buffer_unordered(BANKS_AT_ONCE);
    while let Some(knows) = telling.next().await {
        told.extend(knows);
    }
    drop(telling);
    let mut all_know = true;
    for run in fenced {
        if names.iter().all(|bank| told.contains(&(run, bank.clone()))) {
            shared.store.forget(run).await?;
            told.retain(|(forgotten, _)| *forgotten != run);
        } else {
            all_know = false;
        }
    }
    Ok(all_know)
}

/// Tells one bank to hold nothing more for these runs; of which it knows then. One that does not answer is
/// asked no further.
async fn tell_bank<B: Banks, S: Store>(
    shared: &Shared<B, S>,
    bank: String,
    runs: Vec<RunNumber>,
) -> Vec<(RunNumber, String)> {
    let mut knows = Vec::new();
    for run in runs {
        let fenced = Run { number: run, ..shared.run };
        match shared.banks.fence(&bank, fenced, shared.settings.attempt_timeout).await {
            Ok(()) => {}
            Err(CallError::NoAnswer(why)) => {
                debug!(run, why, "a bank does not know yet that a gateway is gone");
                break;
            }
            // It would only have spared it holds that are released again.
            Err(CallError::Rejected(why) | CallError::Invalid(why) | CallError::Fenced(why)) => {
                warn!(run, why, "a bank goes on to hold money for a gateway that is gone");
            }
        }
        knows.push((run, bank.clone()));
    }
    knows
}
