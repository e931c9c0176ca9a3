//! Payments for operators: all, or those that are wanted, in the order in which the store has them.
//!
//! There is no index but that of users: what is wanted is picked out of what is read, page by page, beside
//! payments under way.

use futures_util::{Stream, TryStreamExt, stream};
use strife_proto::gateway::v1 as wire;

use super::{convert, history::state_of};
use crate::{
    banks::Banks,
    coordinator::Coordinator,
    error::GatewayError,
    order::Account,
    store::{Record, Store},
    transaction::{Sequence, TransactionId},
};

/// Payments that are read at a time.
const PAGE: usize = 1_000;

/// Which payments are wanted, and from where on.
#[derive(Clone)]
pub(super) struct Wanted {
    /// Empty: all.
    states: Vec<wire::PaymentState>,
    bank: Option<String>,
    account_id: Option<String>,
    user: Option<String>,
    from_ms: i64,
    after: Option<Sequence>,
}

impl Wanted {
    /// `store`: whose transactions they are.
    pub(super) fn of(
        request: &wire::ListPaymentsRequest,
        store: u32,
    ) -> Result<Self, GatewayError> {
        let named = |text: &String| (!text.is_empty()).then(|| text.clone());
        let foreign = || GatewayError::ForeignTransaction(request.after.clone());
        let after = named(&request.after).map(|text| {
            let id: TransactionId = text.parse().map_err(|_| foreign())?;
            if id.store == store { Ok(id.sequence) } else { Err(foreign()) }
        });
        Ok(Self {
            states: request.states().collect(),
            bank: named(&request.bank),
            account_id: named(&request.account_id),
            user: named(&request.user),
            from_ms: request.from_ms,
            after: after.transpose()?,
        })
    }

    /// Whether it is one of them.
    fn holds(&self, record: &Record) -> bool {
        let is_side = |side: &Account| {
            self.bank.as_ref().is_none_or(|bank| *bank == side.bank)
                && self.account_id.as_ref().is_none_or(|id| *id == side.id)
        };
        (is_side(&record.order.from) || is_side(&record.order.to))
            && (self.states.is_empty() || self.states.contains(&state_of(record)))
            && record.initiated_at_ms >= self.from_ms
    }

    /// What the store has next; a page that is empty is the last.
    async fn page<B: Banks, S: Store>(
        &self,
        coordinator: &Coordinator<B, S>,
    ) -> Result<Vec<Record>, GatewayError> {
        match &self.user {
            Some(user) => Ok(coordinator.history(user, self.after, PAGE).await?),
            None => Ok(coordinator.store().payments(self.after, PAGE).await?),
        }
    }
}

/// They, one by one.
pub(super) fn payments<B: Banks, S: Store>(
    coordinator: std::sync::Arc<Coordinator<B, S>>,
    wanted: Wanted,
) -> impl Stream<Item = Result<wire::HistoryEntry, GatewayError>> + Send {
    let pages = stream::try_unfold(wanted, move |mut wanted| {
        let coordinator = coordinator.clone();
        async move {
            let page = wanted.page(&coordinator).await?;
            let Some(last) = page.last() else { return Ok::<_, GatewayError>(None) };
            wanted.after = Some(last.id.sequence);
            let entries: Vec<Result<_, GatewayError>> = page
                .into_iter()
                .filter(|record| wanted.holds(record))
                .map(|record| Ok(convert::entry_to_wire(record)))
                .collect();
            Ok(Some((stream::iter(entries), wanted)))
        }
    });
    pages.try_flatten()
}
