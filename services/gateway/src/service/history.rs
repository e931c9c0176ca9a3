//! A user's payments, page by page, all or those that are wanted.
//!
//! Filters are applied to what is read in order, and a page ends when it is full or enough was looked
//! at: it may hold less than was asked for, even nothing, and still not be the last.

use strife_proto::gateway::v1 as wire;

use super::{convert, page_token_of, parse_page_token};
use crate::{
    banks::Banks,
    coordinator::Coordinator,
    error::GatewayError,
    order::Account,
    payment::{Decision, State},
    store::{Record, Store},
};

/// Payments on a page, if the request names no number, and at most.
const PAGE_SIZE: (usize, usize) = (100, 1_000);
/// Payments that are looked at for one page.
const LOOKED_AT_MAX: usize = 10_000;
/// Payments that are read at a time where not all of them are wanted.
const READ_AT_ONCE: usize = 1_000;

/// Which payments are wanted.
struct Wanted {
    /// Empty: all.
    states: Vec<wire::PaymentState>,
    account: Option<Account>,
    from_ms: i64,
    until_ms: i64,
    direction: wire::Direction,
}

impl Wanted {
    fn of(request: &wire::HistoryRequest) -> Result<Self, GatewayError> {
        let account = request.account.clone().map(|wire::AccountRef { bank, account_id }| {
            let account = Account { bank, id: account_id };
            account.check().map(|()| account)
        });
        let until_ms = if request.until_ms == 0 { i64::MAX } else { request.until_ms };
        Ok(Self {
            states: request.states().collect(),
            account: account.transpose()?,
            from_ms: request.from_ms,
            until_ms,
            direction: request.direction(),
        })
    }

    fn is_all(&self) -> bool {
        self.states.is_empty()
            && self.account.is_none()
            && (self.from_ms, self.until_ms) == (0, i64::MAX)
            && self.direction == wire::Direction::Unspecified
    }

    /// Whether it is one of them, as `user` sees it.
    fn holds(&self, record: &Record, user: &str) -> bool {
        let (from, to) = (&record.order.from, &record.order.to);
        let is_direction = match self.direction {
            wire::Direction::Unspecified => true,
            wire::Direction::Made => record.order.user == user,
            wire::Direction::Received => record.payee.as_deref() == Some(user),
        };
        let is_account = self.account.as_ref().is_none_or(|account| match self.direction {
            wire::Direction::Unspecified => account == from || account == to,
            wire::Direction::Made => account == from,
            wire::Direction::Received => account == to,
        });
        let is_state = self.states.is_empty() || self.states.contains(&state_of(record));
        let at_ms = record.initiated_at_ms;
        is_direction && is_account && is_state && (self.from_ms..self.until_ms).contains(&at_ms)
    }
}

/// As whoever asks is told.
pub(super) fn state_of(record: &Record) -> wire::PaymentState {
    match record.state {
        _ if record.is_queued() => wire::PaymentState::Queued,
        State::Initiated => wire::PaymentState::Initiated,
        State::Decided(Decision::Committed) => wire::PaymentState::Committed,
        State::Decided(Decision::Aborted(_)) => wire::PaymentState::Aborted,
    }
}

/// The page of `user`'s payments that was asked for.
pub(super) async fn page<B: Banks, S: Store>(
    coordinator: &Coordinator<B, S>,
    user: &str,
    request: &wire::HistoryRequest,
) -> Result<wire::HistoryResponse, GatewayError> {
    let wanted = Wanted::of(request)?;
    let mut before = parse_page_token(&request.page_token)?;
    let limit = match request.page_size as usize {
        0 => PAGE_SIZE.0,
        size => size.min(PAGE_SIZE.1),
    };
    // One more than asked for says whether there is another page.
    let read_at_once = if wanted.is_all() { limit + 1 } else { READ_AT_ONCE };
    let (mut payments, mut looked_at) = (Vec::new(), 0);
    loop {
        let records = coordinator.history(user, before, read_at_once).await?;
        let is_end = records.len() < read_at_once;
        for record in records {
            if payments.len() == limit || looked_at == LOOKED_AT_MAX {
                let next_page_token = before.map_or_else(String::new, page_token_of);
                return Ok(wire::HistoryResponse { payments, next_page_token });
            }
            (before, looked_at) = (Some(record.id.sequence), looked_at + 1);
            if wanted.holds(&record, user) {
                payments.push(convert::entry_to_wire(record));
            }
        }
        if is_end {
            return Ok(wire::HistoryResponse { payments, next_page_token: String::new() });
        }
    }
}
