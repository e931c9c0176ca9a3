//! The gateway as a client of banks: one channel a bank, through the balancer or directly.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    time::Duration,
};

use strife_proto::bank::v1::{
    BalanceRequest, FinishRequest, PrepareRequest, Refusal, TransactionRequest,
    bank_participant_client::BankParticipantClient, bank_service_client::BankServiceClient,
};
use strife_runtime::{Failure, Security, connect, identity::is_name, tls::Expected};
use tonic::{Code, Request, Response, Status, transport::Channel};

use super::convert::{abort_from_wire, money_from_wire, money_to_wire};
use crate::{
    banks::{Balance, Banks, CallError, End},
    order::{Account, Money},
    payment::{Leg, Vote},
};

/// Most banks a gateway has channels to.
pub const BANKS_MAX: usize = 1_024;

/// Where banks are, and as whom they find us.
#[derive(Debug, Clone, Default)]
pub struct BankRoutes {
    /// The balancer's data plane, `host:port`; it routes by the authority `bank.NAME`.
    pub balancer: Option<String>,
    /// Banks that are reached directly, by name.
    pub direct: BTreeMap<String, String>,
    /// The authority under which banks ask this gateway for decisions.
    pub coordinator: String,
}

/// Every bank's client.
#[derive(Debug)]
pub struct BankClients {
    clients: HashMap<String, Client>,
    coordinator: String,
}

#[derive(Debug, Clone)]
struct Client {
    participant: BankParticipantClient<Channel>,
    service: BankServiceClient<Channel>,
}

impl BankClients {
    /// Clients of `banks` and of those with a direct route. Connects on first use.
    pub fn new<'a>(
        banks: impl IntoIterator<Item = &'a str>,
        routes: BankRoutes,
        security: &Security,
    ) -> Result<Self, Failure> {
        let mut clients = HashMap::new();
        let banks = banks.into_iter().map(str::to_owned);
        for bank in banks.chain(routes.direct.keys().cloned()) {
            if !is_name(&bank) {
                return Err(Failure::usage(format!(
                    "`{bank}` is not a bank's name; write --bank NAME=HOST:PORT, the name in lower case"
                )));
            }
            let client = Client::new(&bank, &routes, security)?;
            clients.insert(bank, client);
        }
        if clients.len() > BANKS_MAX {
            return Err(Failure::usage(format!(
                "{} banks are more than a gateway can have ({BANKS_MAX}); split the users file",
                clients.len()
            )));
        }
        Ok(Self { clients, coordinator: routes.coordinator })
    }

    fn client(&self, bank: &str) -> Result<Client, CallError> {
        let client = self.clients.get(bank).cloned();
        // A bank that was taken out of the configuration may come back.
        client.ok_or_else(|| CallError::NoAnswer(format!("no way leads to bank {bank}")))
    }
}

impl Client {
    fn new(bank: &str, routes: &BankRoutes, security: &Security) -> Result<Self, Failure> {
        let direct = routes.direct.get(bank).map(|address| (address, Expected::bank(bank)));
        let balanced = || routes.balancer.as_ref().map(|address| (address, Expected::LB));
        let (address, expected) = direct.or_else(balanced).ok_or_else(|| {
            Failure::usage(format!(
                "no way leads to bank {bank}: name the balancer with --balancer HOST:PORT, or the \
                 bank with --bank {bank}=HOST:PORT"
            ))
        })?;
        let channel = connect::channel(address, &format!("bank.{bank}"), expected, security)?;
        Ok(Self {
            participant: BankParticipantClient::new(channel.clone()),
            service: BankServiceClient::new(channel),
        })
    }
}

impl Banks for BankClients {
    async fn prepare(
        &self,
        transaction_id: &str,
        leg: Leg,
        account: &Account,
        amount: &Money,
        timeout: Duration,
    ) -> Result<Vote, CallError> {
        let bank = &account.bank;
        let mut participant = self.client(bank)?.participant;
        let request = PrepareRequest {
            transaction_id: transaction_id.to_owned(),
            account_id: account.id.clone(),
            amount: Some(money_to_wire(amount)),
            coordinator: self.coordinator.clone(),
        };
        let answer = match leg {
            Leg::Debit => ask(bank, timeout, request, |r| participant.prepare_debit(r)).await,
            Leg::Credit => ask(bank, timeout, request, |r| participant.prepare_credit(r)).await,
        };
        Ok(vote_from_wire(bank, answer?.refusal))
    }

    async fn finish(
        &self,
        transaction_id: &str,
        leg: Leg,
        bank: &str,
        end: End,
        timeout: Duration,
    ) -> Result<(), CallError> {
        let mut bank_client = self.client(bank)?.participant;
        let request = FinishRequest { transaction_id: transaction_id.to_owned() };
        match (end, leg) {
            (End::Commit, Leg::Debit) => {
                ask(bank, timeout, request, |r| bank_client.commit_debit(r)).await
            }
            (End::Commit, Leg::Credit) => {
                ask(bank, timeout, request, |r| bank_client.commit_credit(r)).await
            }
            (End::Abort, Leg::Debit) => {
                ask(bank, timeout, request, |r| bank_client.abort_debit(r)).await
            }
            (End::Abort, Leg::Credit) => {
                ask(bank, timeout, request, |r| bank_client.abort_credit(r)).await
            }
        }
        .map(drop)
    }

    async fn transfer(
        &self,
        transaction_id: &str,
        from: &Account,
        to: &Account,
        amount: &Money,
        timeout: Duration,
    ) -> Result<Vote, CallError> {
        let bank = &from.bank;
        let mut service = self.client(bank)?.service;
        let request = TransactionRequest {
            transaction_id: transaction_id.to_owned(),
            from_account_id: from.id.clone(),
            to_account_id: to.id.clone(),
            amount: Some(money_to_wire(amount)),
        };
        let answer = ask(bank, timeout, request, |r| service.process_transaction(r)).await?;
        Ok(vote_from_wire(bank, answer.refusal))
    }

    async fn balance(&self, account: &Account, timeout: Duration) -> Result<Balance, CallError> {
        let bank = &account.bank;
        let mut service = self.client(bank)?.service;
        let request = BalanceRequest { account_id: account.id.clone() };
        let answer = ask(bank, timeout, request, |r| service.get_account_balance(r)).await?;
        let (Some(available), Some(held)) = (answer.available, answer.held) else {
            return Err(CallError::NoAnswer(format!("bank {bank}: an answer without amounts")));
        };
        Ok(Balance { available: money_from_wire(available), held: money_from_wire(held) })
    }

    fn knows(&self, bank: &str) -> bool {
        self.clients.contains_key(bank)
    }
}

/// One call, with a deadline that the bank is told too. It is kept here: tonic's own is over once the
/// answer's headers are there, and a bank may fall silent after them.
async fn ask<Q, A, F>(
    bank: &str,
    timeout: Duration,
    message: Q,
    call: impl FnOnce(Request<Q>) -> F,
) -> Result<A, CallError>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    match tokio::time::timeout(timeout, call(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(call_error(bank, &status)),
        Err(_) => Err(CallError::NoAnswer(format!("bank {bank}: no answer within {timeout:?}"))),
    }
}

/// What an error says about whether something was done.
fn call_error(bank: &str, status: &Status) -> CallError {
    let why = format!("bank {bank}: {:?}: {}", status.code(), status.message());
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => CallError::Invalid(why),
        Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::Unimplemented => CallError::Rejected(why),
        _ => CallError::NoAnswer(why),
    }
}

fn vote_from_wire(bank: &str, refusal: Option<Refusal>) -> Vote {
    match refusal {
        None => Vote::Yes,
        Some(refusal) => Vote::No(abort_from_wire(bank, refusal)),
    }
}
