//! Payments asked for soon after a start. The run before may have asked banks to hold money for the same
//! payment, and have ended before there was a row: then nothing here tells of it, and the bank gives the money
//! back only once it has asked. A refusal for want of that very money must not be the payment's end.
//!
//! So for a while a new payment's row waits for the vote of the payer's bank. If that is such a refusal, and
//! the account has money that is held, nothing is written: the payment is none, and whoever waits for it has it
//! made anew, as another transaction.
//!
//! On a store that is shared that is not done: beside others a gateway writes the row first and leaves no such
//! holds, and who has just begun does not know whether he is alone.

use std::time::Duration;

use strife_store::StoreError;
use tokio::time::Instant;
use tracing::debug;

use super::{
    Shared,
    job::{Job, Origin},
    telling::Told,
};
use crate::{
    banks::Banks,
    order::{Order, Route},
    payment::{Abort, AbortReason, Action, Input, Leg, Vote},
    store::Store,
    transaction::Run,
};

/// After a start, banks have given back by then what they hold for the run before. They ask once a leg is some
/// seconds old; where nobody answered for long, they ask every half minute.
const SETTLED_AFTER: Duration = Duration::from_secs(40);

/// Until when banks may hold money of which no row tells; `None` if there was no run before, or the store is
/// shared.
pub(super) async fn settled_at<S: Store>(
    store: &S,
    own: Run,
) -> Result<Option<Instant>, StoreError> {
    if store.is_shared() {
        return Ok(None);
    }
    let earlier = store.runs().await?.iter().any(|run| run.number != own.number);
    Ok(earlier.then(|| Instant::now() + SETTLED_AFTER))
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Where a new payment comes from.
    pub(super) fn origin(&self, order: &Order) -> Origin {
        let may_be_held = order.route() == Route::TwoBanks && self.is_early();
        if may_be_held { Origin::AskedEarly } else { Origin::Asked }
    }

    fn is_early(&self) -> bool {
        self.settled_at.is_some_and(|settled_at| Instant::now() < settled_at)
    }
}

impl<B: Banks, S: Store> Job<B, S> {
    /// Whether the payer's bank has refused what it may not refuse once it has given back what it holds.
    pub(super) async fn is_refused_for_what_is_held(&self, input: &Input) -> bool {
        let Input::Voted(Leg::Debit, Vote::No(Abort { reason, .. })) = input else { return false };
        let is_for_want =
            matches!(reason, AbortReason::InsufficientFunds | AbortReason::LimitPerDay);
        if !is_for_want || !self.shared.is_early() {
            return false;
        }
        let (order, timeout) = (&self.record.order, self.shared.settings.attempt_timeout);
        match self.shared.banks.balance(&order.from, timeout).await {
            Ok(balance) if *reason == AbortReason::InsufficientFunds => {
                let all = balance.available.minor_units.saturating_add(balance.held.minor_units);
                all >= order.amount.minor_units
            }
            Ok(balance) => balance.held.minor_units > 0,
            Err(why) => {
                debug!(transaction_id = self.transaction_id, %why, "not known what is held");
                true
            }
        }
    }

    /// Gives up this transaction, of which nothing is written, after a while: whoever waits begins another.
    pub(super) async fn begin_anew(&self) {
        let id = &self.transaction_id;
        debug!(transaction_id = id, "refused for want of what is held; trying again");
        self.shared.phase_two(&self.record, &[Action::Abort(Leg::Credit)]);
        self.shared.settings.look_again.wait(u32::MAX).await;
        self.tell(Told::Elsewhere);
    }
}
