//! Phase one between two banks: a vote from each.

use tracing::debug;

use super::job::Job;
use crate::{
    banks::{Banks, CallError},
    payment::{Abort, AbortReason, Leg, Vote},
    store::Store,
};

impl<B: Banks, S: Store> Job<B, S> {
    /// Asks one bank until it votes. No answer is no vote; the payment timeout ends the asking, for
    /// then whoever runs the payment drops this. A bank that turns the call away will never prepare
    /// it, which is a NO. One that takes nothing more from this run is held against the store, and
    /// against other banks.
    pub(super) async fn vote(&self, leg: Leg) -> Vote {
        let order = &self.record.order;
        let account = match leg {
            Leg::Debit => &order.from,
            Leg::Credit => &order.to,
        };
        let (banks, settings) = (&self.shared.banks, &self.shared.settings);
        let (id, timeout) = (&self.transaction_id, settings.attempt_timeout);
        let mut attempt = 0_u32;
        loop {
            match banks.prepare(id, leg, account, &order.amount, timeout).await {
                Ok(vote) => {
                    self.shared.is_taken_by(&account.bank);
                    return vote;
                }
                Err(CallError::Rejected(why) | CallError::Invalid(why)) => {
                    return Vote::No(Abort::new(AbortReason::Refused, why));
                }
                Err(CallError::Fenced(why)) => {
                    debug!(transaction_id = id, bank = account.bank, why, "this run is refused");
                    return Vote::No(self.shared.is_refused_by(&account.bank).await);
                }
                Err(CallError::NoAnswer(why)) => {
                    debug!(transaction_id = id, bank = account.bank, why, "no vote; asking again");
                }
            }
            settings.backoff.wait(attempt).await;
            attempt = attempt.saturating_add(1);
        }
    }
}
