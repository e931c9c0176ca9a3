//! `strife admin payments`: payments as lines of JSON, those that an operator wants to see.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, ValueEnum};
use serde::Serialize;
use strife_proto::gateway::v1::{
    AbortReason, AccountRef, HistoryEntry, ListPaymentsRequest, PaymentState,
    gateway_admin_client::GatewayAdminClient,
};
use strife_runtime::{Failure, Role, Security, TlsArgs, connect, executor, parse, tls::Expected};
use tonic::{Code, Status};

/// List a gateway's payments
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife admin payments --gateway 127.0.0.1:8080 --status initiated --status queued
  strife admin payments --gateway 127.0.0.1:8080 --bank icici --since 1h
  strife admin payments --gateway 127.0.0.1:8080 --user john_doe --limit 20
  strife admin payments --gateway 127.0.0.1:8080 --after 9f3a01bc-00000100000000a2

A line of JSON for each, amounts in minor units, in the order of transaction ids: those of one gateway
process in the order in which it took them on. A payment that was queued is there once for each attempt,
those before the last ABORTED. With --user the newest come first, each payment once.

It may run beside payments. Only users have an index: whatever else is asked for, the gateway reads
every payment of its store after --after, which takes a while where there are millions.")]
pub struct PaymentsArgs {
    /// A gateway, itself and not the balancer; of several on one database any.
    #[arg(long, value_name = "HOST:PORT")]
    gateway: String,
    /// Only payments in this state; repeatable. Default: any.
    #[arg(long = "status", value_name = "STATE")]
    states: Vec<Stands>,
    /// Only payments from or to this bank.
    #[arg(long, value_name = "NAME", value_parser = bank)]
    bank: Option<String>,
    /// Only payments from or to this account, at --bank if that is given.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only payments that this user made or received.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only payments that were taken on so long ago at most, by the gateway's clock.
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    since: Option<Duration>,
    /// Go on behind this transaction, the last one that was listed.
    #[arg(long, value_name = "TRANSACTION_ID")]
    after: Option<String>,
    /// At most so many; 0: all.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u32,
    #[command(flatten)]
    tls: TlsArgs,
}

/// As [`PaymentState`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stands {
    /// Under way: neither committed nor aborted yet.
    Initiated,
    /// Waiting in the queue for another attempt.
    Queued,
    Committed,
    Aborted,
}

/// What stands in a line. Amounts are in minor units, times in milliseconds since the Unix epoch.
#[derive(Debug, Serialize)]
struct Line<'a> {
    transaction_id: &'a str,
    payment_id: &'a str,
    state: &'static str,
    payer: &'a str,
    from: Side<'a>,
    to: Side<'a>,
    minor_units: i64,
    currency: &'a str,
    initiated_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(flatten)]
    waiting: Option<Waiting>,
}

#[derive(Debug, Serialize)]
struct Side<'a> {
    bank: &'a str,
    account_id: &'a str,
}

/// Of a payment in the queue.
#[derive(Debug, Serialize)]
struct Waiting {
    attempts: u32,
    next_attempt_at_ms: i64,
    expires_at_ms: i64,
}

/// `strife admin payments`.
pub fn run_payments(args: PaymentsArgs) -> Result<(), Failure> {
    executor::block_on(1, args.list())
}

fn bank(text: &str) -> Result<String, String> {
    Ok(text.to_ascii_lowercase())
}

impl PaymentsArgs {
    async fn list(self) -> Result<(), Failure> {
        let security = Security::load(&self.tls, Role::Admin, "1")?;
        let channel = connect::direct(&self.gateway, Expected::GATEWAY, &security)?;
        let failed = |status: Status| self.failure(&status);
        let mut client = GatewayAdminClient::new(channel);
        let wanted = self.request();
        let listed = client.list_payments(wanted.clone()).await.map_err(failed)?;
        let (mut listed, mut count) = (listed.into_inner(), 0);
        let (mut out, mut last) = (io::stdout().lock(), String::new());
        while let Some(payment) = listed.message().await.map_err(failed)? {
            if !holds(&wanted, &payment) {
                continue;
            }
            if self.limit > 0 && count == self.limit {
                break;
            }
            let line = serde_json::to_string(&Line::of(&payment))
                .map_err(|error| Failure::new(format!("cannot write a payment: {error}")))?;
            match writeln!(out, "{line}") {
                Ok(()) => {}
                // Whoever reads has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(Failure::new(format!("cannot write: {error}"))),
            }
            (count, last) = (count + 1, payment.transaction_id);
        }
        if self.limit > 0 && count == self.limit {
            eprintln!("{count} payments, and there may be more: go on with --after {last}");
        }
        Ok(())
    }

    fn request(&self) -> ListPaymentsRequest {
        let since = self.since.map(|since| SystemTime::now() - since);
        let from = since.and_then(|from| from.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        ListPaymentsRequest {
            states: self.states.iter().map(|stands| stands.state().into()).collect(),
            bank: self.bank.clone().unwrap_or_default(),
            account_id: self.account.clone().unwrap_or_default(),
            user: self.user.clone().unwrap_or_default(),
            from_ms: i64::try_from(from.as_millis()).unwrap_or(i64::MAX),
            after: self.after.clone().unwrap_or_default(),
            limit: self.limit,
        }
    }

    /// What to do about a gateway's status.
    fn failure(&self, status: &Status) -> Failure {
        let (address, said) = (&self.gateway, status.message());
        match status.code() {
            Code::FailedPrecondition => Failure::usage(format!(
                "--after: {said}; give the last transaction_id that was listed"
            )),
            Code::Unavailable | Code::Unknown | Code::Internal | Code::Unimplemented => {
                Failure::new(format!(
                    "no gateway answers at {address} ({said}); name the gateway itself with --gateway, \
                     and use --plaintext if and only if it does"
                ))
            }
            _ => Failure::new(said.to_owned()),
        }
    }
}

/// Whether a payment is one that was asked for, as far as can be seen of it: a gateway of an earlier version
/// sends all.
fn holds(wanted: &ListPaymentsRequest, payment: &HistoryEntry) -> bool {
    let is_side = |side: &Option<AccountRef>| {
        side.as_ref().is_some_and(|side| {
            (wanted.bank.is_empty() || wanted.bank == side.bank)
                && (wanted.account_id.is_empty() || wanted.account_id == side.account_id)
        })
    };
    (is_side(&payment.from) || is_side(&payment.to))
        && (wanted.states.is_empty() || wanted.states.contains(&payment.state))
        && payment.initiated_at_ms >= wanted.from_ms
}

impl Stands {
    fn state(self) -> PaymentState {
        match self {
            Self::Initiated => PaymentState::Initiated,
            Self::Queued => PaymentState::Queued,
            Self::Committed => PaymentState::Committed,
            Self::Aborted => PaymentState::Aborted,
        }
    }
}

impl<'a> Line<'a> {
    fn of(payment: &'a HistoryEntry) -> Self {
        let (state, reason) = (payment.state(), payment.abort_reason());
        let (minor_units, currency) = match &payment.amount {
            Some(amount) => (amount.minor_units, amount.currency.as_str()),
            None => (0, ""),
        };
        Self {
            transaction_id: &payment.transaction_id,
            payment_id: &payment.payment_id,
            state: state.as_str_name().trim_start_matches("PAYMENT_STATE_"),
            payer: &payment.payer,
            from: Side::of(payment.from.as_ref()),
            to: Side::of(payment.to.as_ref()),
            minor_units,
            currency,
            initiated_at_ms: payment.initiated_at_ms,
            reason: (reason != AbortReason::Unspecified)
                .then(|| reason.as_str_name().trim_start_matches("ABORT_REASON_")),
            waiting: (state == PaymentState::Queued).then_some(Waiting {
                attempts: payment.attempts,
                next_attempt_at_ms: payment.next_attempt_at_ms,
                expires_at_ms: payment.expires_at_ms,
            }),
        }
    }
}

impl<'a> Side<'a> {
    fn of(account: Option<&'a AccountRef>) -> Self {
        account.map_or(Self { bank: "", account_id: "" }, |account| Self {
            bank: &account.bank,
            account_id: &account.account_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_gateway_sends_unasked_is_left_out() {
        let side = |bank: &str, account_id: &str| {
            Some(AccountRef { bank: bank.to_owned(), account_id: account_id.to_owned() })
        };
        let payment = HistoryEntry {
            state: PaymentState::Committed.into(),
            from: side("icici", "A"),
            to: side("sbi", "B"),
            initiated_at_ms: 1_000,
            ..HistoryEntry::default()
        };
        let check = |wanted: ListPaymentsRequest, expected: bool| {
            assert_eq!(holds(&wanted, &payment), expected, "{wanted:?}");
        };
        let all = ListPaymentsRequest::default;
        check(all(), true);
        check(ListPaymentsRequest { bank: "sbi".to_owned(), ..all() }, true);
        check(ListPaymentsRequest { bank: "hdfc".to_owned(), ..all() }, false);
        let (bank, account_id) = ("sbi".to_owned(), "A".to_owned());
        check(ListPaymentsRequest { bank, account_id, ..all() }, false);
        check(ListPaymentsRequest { states: vec![PaymentState::Queued.into()], ..all() }, false);
        check(ListPaymentsRequest { states: vec![PaymentState::Committed.into()], ..all() }, true);
        check(ListPaymentsRequest { from_ms: 1_001, ..all() }, false);
    }
}
