//! A payment within one bank: one call, repeated until the bank has said what it did.

use tracing::{debug, warn};

use super::job::{Job, Origin};
use crate::{
    banks::{Banks, CallError},
    payment::{Abort, AbortReason, Vote},
    store::Store,
};

/// From which attempt on a silent bank is worth a warning each time.
const ATTEMPTS_QUIET: u32 = 8;

impl<B: Banks, S: Store> Job<B, S> {
    /// Has the bank move the money, and asks, with the same transaction id, until it says whether it
    /// did. Never guesses: a call that was turned away, or found to be wrong, counts as refused only if no
    /// attempt before it can have been carried out, for not only the bank says such things; and after a restart
    /// nobody knows what was attempted before.
    pub(super) async fn transfer(&self) -> Vote {
        let order = &self.record.order;
        let (banks, settings) = (&self.shared.banks, &self.shared.settings);
        let (id, timeout) = (&self.transaction_id, settings.attempt_timeout);
        let (mut may_have_run, mut attempt) = (self.origin == Origin::Recovered, 0_u32);
        loop {
            match banks.transfer(id, &order.from, &order.to, &order.amount, timeout).await {
                Ok(vote) => return vote,
                Err(CallError::Rejected(why) | CallError::Invalid(why)) if !may_have_run => {
                    return Vote::No(Abort::new(AbortReason::Refused, why));
                }
                Err(
                    CallError::Rejected(why)
                    | CallError::Invalid(why)
                    | CallError::NoAnswer(why)
                    | CallError::Fenced(why),
                ) => {
                    may_have_run = true;
                    let bank = &order.from.bank;
                    if attempt < ATTEMPTS_QUIET {
                        debug!(transaction_id = id, bank, why, "not known yet; asking again");
                    } else {
                        warn!(transaction_id = id, bank, why, "still not known; asking again");
                    }
                }
            }
            settings.backoff.wait(attempt).await;
            attempt = attempt.saturating_add(1);
        }
    }
}
