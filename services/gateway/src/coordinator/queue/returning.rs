//! Banks that are away, until they are back: then all payments that wait for them are tried, and not each
//! only when it is due.
//!
//! While payments wait for a bank that is away it is asked something that changes nothing, again and again. An
//! answer says that it can be asked, not that it can be paid at: so one of the payments is tried. A
//! leg that is answered, of this payment or of any other, says that the bank is back. A gateway that has just begun
//! takes every bank to have been away.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};
use tracing::debug;

use super::Shared;
use crate::{
    banks::{Banks, CallError},
    clock::now_ms,
    order::Account,
    queue::{self, Queued},
    store::{Record, Store},
};

/// What is known of banks that are away. There are never more than banks.
#[derive(Debug, Default)]
pub(super) struct Returning {
    /// Those that are or may be, each with a payment that waits for it, if one is at hand.
    away: Mutex<HashMap<String, Option<Record>>>,
    /// Those that are back, and whose payments nobody has begun to try.
    back: Mutex<HashSet<String>>,
    told: Notify,
}

impl Returning {
    /// Banks that have come back since this resolved last.
    pub(super) async fn back(&self) -> HashSet<String> {
        loop {
            let back = std::mem::take(&mut *locked(&self.back));
            if !back.is_empty() {
                return back;
            }
            self.told.notified().await;
        }
    }

    fn is_back(&self, bank: String) {
        locked(&self.back).insert(bank);
        self.told.notify_one();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks after banks that are away, until the queue is stopped.
pub(in crate::coordinator) async fn watch<B: Banks, S: Store>(shared: Arc<Shared<B, S>>) {
    let mut ticks = interval(shared.settings.queue_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What there is in the queue may have waited for any of them.
    let banks = shared.banks.names().into_iter().map(|bank| (bank, None));
    locked(&shared.queue.returning.away).extend(banks);
    // Each bank once at a time.
    let (mut asking, mut asked) = (FuturesUnordered::new(), HashSet::new());
    while !shared.queue.stopped.load(Relaxed) {
        tokio::select! {
            _ = ticks.tick() => {
                for (bank, account) in shared.look_for_returns() {
                    if asked.insert(bank.clone()) {
                        asking.push(shared.answers(bank, account));
                    }
                }
            }
            Some((bank, answers)) = asking.next() => {
                asked.remove(&bank);
                if answers {
                    shared.try_one(&bank).await;
                }
            }
        }
    }
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Keeps a payment at hand that has this place in the queue, for each of its banks that is away.
    pub(super) fn keep_at_hand(&self, record: &Record, place: Queued) {
        for bank in [&record.order.from.bank, &record.order.to.bank] {
            if !self.banks.is_away(bank) {
                continue;
            }
            let mut away = locked(&self.queue.returning.away);
            let kept = away.entry(bank.clone()).or_default();
            kept.get_or_insert_with(|| Record { queued: Some(place), ..record.clone() });
        }
    }

    /// Tells of those that are back; the others, each with an account of a payment that waits for it.
    fn look_for_returns(&self) -> Vec<(String, Account)> {
        let Self { banks, queue, .. } = self;
        let mut away = locked(&queue.returning.away);
        for bank in banks.names().into_iter().filter(|bank| banks.is_away(bank)) {
            away.entry(bank).or_default();
        }
        for (bank, _) in away.extract_if(|bank, _| !banks.is_silent(bank)) {
            debug!(bank, "the bank answers; what waits for it in the queue is tried");
            queue.returning.is_back(bank);
        }
        let at = |bank: &str, record: &Record| {
            let accounts = [&record.order.from, &record.order.to];
            accounts.into_iter().find(|account| account.bank == bank).cloned()
        };
        let waiting = away
            .iter()
            .filter_map(|(bank, record)| Some((bank.clone(), at(bank, record.as_ref()?)?)));
        waiting.collect()
    }

    /// Whether a bank answers a question, whatever it says.
    async fn answers(&self, bank: String, account: Account) -> (String, bool) {
        let told = self.banks.balance(&account, self.settings.attempt_timeout).await;
        (bank, !matches!(told, Err(CallError::NoAnswer(_))))
    }

    /// Tries the payment that is at hand for this bank, be it due or not.
    async fn try_one(self: &Arc<Self>, bank: &str) {
        let kept = locked(&self.queue.returning.away).get_mut(bank).and_then(Option::take);
        let Some(record) = kept else { return };
        let Some(place) = record.queued else { return };
        let expires_at_ms = queue::expires_at_ms(&record.order, record.initiated_at_ms);
        // Whatever became of it meanwhile, the attempt finds out.
        if now_ms() < expires_at_ms && !self.queue.is_full(&record.order) {
            self.attempt(record, place).await;
        }
    }
}
