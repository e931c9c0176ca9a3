//! Where records come from: a gateway's stream of payments, and each bank's of legs.

use std::collections::BTreeMap;

use strife_proto::{
    bank::v1::{
        ForcedLeg, Leg as WireLeg, LegEntry, LegState, ListLegsRequest, TotalsRequest,
        bank_admin_client::BankAdminClient,
    },
    common::v1::Money,
    gateway::v1::{
        AccountRef, HistoryEntry, ListPaymentsRequest, PaymentState, StatusRequest,
        gateway_admin_client::GatewayAdminClient,
    },
};
use strife_runtime::{Failure, Security, connect, tls::Expected};
use tonic::{Code, Status, Streaming, transport::Channel};

use super::rules::{BankLeg, Counted, Fate, Forced, LegFate, Payment, Place, Said};
use crate::{
    ledger::Leg,
    money::{Amount, Currency},
    operator,
};

/// A transaction's name: the store's, a dash, and so many digits. Names of one length are in one order
/// with whatever follows them.
const SEQUENCE_DIGITS: usize = 16;

/// A gateway that was reached.
pub(super) struct Gateway {
    address: String,
    client: GatewayAdminClient<Channel>,
    /// With what the names of its store's transactions begin.
    pub(super) store: String,
}

impl Gateway {
    pub(super) async fn connect(address: &str, security: &Security) -> Result<Self, Failure> {
        let channel = connect::direct(address, Expected::GATEWAY, security)?;
        let mut client = GatewayAdminClient::new(channel);
        let status = client.get_status(StatusRequest {}).await;
        let status = status.map_err(|status| failure(address, &status))?;
        Ok(Self { address: address.to_owned(), client, store: status.into_inner().store })
    }

    pub(super) async fn payments(mut self) -> Result<Payments, Failure> {
        let stream = self.client.list_payments(ListPaymentsRequest::default()).await;
        let stream = stream.map_err(|status| failure(&self.address, &status))?.into_inner();
        let mut payments = Payments { address: self.address, stream, head: None };
        payments.advance().await?;
        Ok(payments)
    }
}

fn failure(address: &str, status: &Status) -> Failure {
    let said = status.message();
    match status.code() {
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Unimplemented => {
            Failure::new(format!(
                "no gateway answers at {address} ({said}); name the gateway itself with --gateway, \
                 and use --plaintext if and only if it does"
            ))
        }
        _ => Failure::new(said.to_owned()),
    }
}

/// What a gateway has yet to tell.
pub(super) struct Payments {
    address: String,
    stream: Streaming<HistoryEntry>,
    head: Option<HistoryEntry>,
}

impl Payments {
    pub(super) fn upcoming(&self) -> Option<&str> {
        self.head.as_ref().map(|head| head.transaction_id.as_str())
    }

    async fn advance(&mut self) -> Result<(), Failure> {
        let next = self.stream.message().await;
        self.head = next.map_err(|status| failure(&self.address, &status))?;
        Ok(())
    }

    /// The payment of this name, if it is the next one.
    pub(super) async fn take(&mut self, transaction_id: &str) -> Result<Option<Payment>, Failure> {
        if self.upcoming() != Some(transaction_id) {
            return Ok(None);
        }
        let payment = self.head.take().and_then(payment);
        self.advance().await?;
        let garbled = || {
            Failure::new(format!(
                "the gateway at {} tells of {transaction_id} what this version does not know; use \
                 the version of strife that it runs",
                self.address
            ))
        };
        payment.ok_or_else(garbled).map(Some)
    }
}

fn payment(entry: HistoryEntry) -> Option<Payment> {
    let fate = match entry.state() {
        PaymentState::Initiated => Fate::Initiated,
        PaymentState::Committed => Fate::Committed,
        PaymentState::Aborted => Fate::Aborted,
        // Its newest attempt is aborted, or under way.
        PaymentState::Queued if entry.next_attempt_at_ms > 0 => Fate::Aborted,
        PaymentState::Queued => Fate::Initiated,
        PaymentState::Unspecified => return None,
    };
    let place = |account: AccountRef| Place { bank: account.bank, account_id: account.account_id };
    Some(Payment {
        fate,
        from: place(entry.from?),
        to: place(entry.to?),
        amount: amount(entry.amount?)?,
        at_ms: u64::try_from(entry.initiated_at_ms).unwrap_or(0),
    })
}

/// A bank's server.
pub(super) struct BankClient {
    pub(super) name: String,
    address: String,
    client: BankAdminClient<Channel>,
}

/// A bank, what it has yet to tell, and what it told so far.
pub(super) struct Bank {
    pub(super) client: BankClient,
    /// Of the gateway whose legs are wanted.
    store: String,
    legs: Streaming<LegEntry>,
    head: Option<(String, BankLeg)>,
    /// Before the first leg was read.
    pub(super) said: Said,
    pub(super) counted: Counted,
    /// Legs of other gateways' transactions.
    pub(super) others: u64,
}

impl BankClient {
    /// The bank's sums as they are now.
    pub(super) async fn said(&self) -> Result<Said, Failure> {
        let totals = self.client.clone().get_totals(TotalsRequest {}).await;
        let totals = totals.map_err(|status| self.failure(&status))?.into_inner();
        if totals.bank != self.name {
            let (address, found, name) = (&self.address, &totals.bank, &self.name);
            return Err(Failure::usage(format!(
                "{address} is bank {found}, not {name}; put it right in --bank {name}={address}"
            )));
        }
        Ok(Said {
            customers: sums(totals.customers),
            settlement: sums(totals.settlement),
            opening: sums(totals.opening),
            held: sums(totals.held),
            incoming: sums(totals.incoming),
        })
    }

    fn failure(&self, status: &Status) -> Failure {
        operator::failure(&self.address, status)
    }

    fn garbled(&self) -> Failure {
        Failure::new(format!(
            "the bank at {} tells what this version does not know; use the version of strife that \
             it runs",
            self.address
        ))
    }
}

impl Bank {
    pub(super) async fn connect(
        name: &str,
        address: &str,
        store: &str,
        security: &Security,
    ) -> Result<Self, Failure> {
        let channel = connect::direct(address, Expected::bank(name), security)?;
        let client = BankAdminClient::new(channel);
        let client = BankClient { name: name.to_owned(), address: address.to_owned(), client };
        let said = client.said().await?;
        let legs = client.client.clone().list_legs(ListLegsRequest {}).await;
        let legs = legs.map_err(|status| client.failure(&status))?.into_inner();
        let (head, counted, others) = (None, Counted::default(), 0);
        let store = store.to_owned();
        let mut bank = Self { client, store, legs, head, said, counted, others };
        bank.advance().await?;
        Ok(bank)
    }

    pub(super) fn upcoming(&self) -> Option<&str> {
        self.head.as_ref().map(|(transaction_id, _)| transaction_id.as_str())
    }

    /// On to the next leg of the gateway's; all are counted.
    async fn advance(&mut self) -> Result<(), Failure> {
        self.head = None;
        while self.head.is_none() {
            let entry = self.legs.message().await;
            let Some(entry) = entry.map_err(|status| self.client.failure(&status))? else { break };
            let transaction_id = entry.transaction_id.clone();
            let leg = leg(&self.client.name, entry).ok_or_else(|| self.client.garbled())?;
            self.counted.add(&leg);
            match is_of(&self.store, &transaction_id) {
                true => self.head = Some((transaction_id, leg)),
                false => self.others += 1,
            }
        }
        Ok(())
    }

    /// Adds the legs of this name.
    pub(super) async fn take(
        &mut self,
        transaction_id: &str,
        legs: &mut Vec<BankLeg>,
    ) -> Result<(), Failure> {
        while self.upcoming() == Some(transaction_id) {
            legs.extend(self.head.take().map(|(_, leg)| leg));
            self.advance().await?;
        }
        Ok(())
    }
}

/// Whether the store of this name made the transaction.
fn is_of(store: &str, transaction_id: &str) -> bool {
    let sequence = transaction_id.strip_prefix(store).and_then(|rest| rest.strip_prefix('-'));
    sequence.is_some_and(|sequence| {
        sequence.len() == SEQUENCE_DIGITS && sequence.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn leg(bank: &str, entry: LegEntry) -> Option<BankLeg> {
    let fate = match entry.state() {
        LegState::Prepared => LegFate::Prepared,
        LegState::Committed => LegFate::Committed,
        LegState::Aborted | LegState::Refused => LegFate::Over,
        LegState::Unspecified => return None,
    };
    let leg = match entry.leg() {
        WireLeg::Debit => Leg::Debit,
        WireLeg::Credit => Leg::Credit,
        WireLeg::Unspecified => return None,
    };
    let body = match entry.amount {
        None => None,
        Some(money) => Some((entry.account_id, amount(money)?)),
    };
    let (bank, at_ms) = (bank.to_owned(), entry.prepared_at_ms);
    let forced = entry.forced.map(forced);
    Some(BankLeg { bank, leg, fate, body, at_ms, forced })
}

fn forced(forced: ForcedLeg) -> Forced {
    let (state, decision) = (forced.state(), forced.decision());
    Forced {
        committed: state == LegState::Committed,
        contradicted: decision != LegState::Unspecified && decision != state,
        by: forced.by,
        reason: forced.reason,
        at_ms: forced.at_ms,
    }
}

fn amount(money: Money) -> Option<Amount> {
    let currency = money.currency.parse().ok()?;
    Some(Amount { minor_units: money.minor_units, currency })
}

fn sums(sums: Vec<Money>) -> BTreeMap<Currency, i128> {
    let amounts = sums.into_iter().filter_map(amount);
    amounts.map(|amount| (amount.currency, amount.minor_units.into())).collect()
}
