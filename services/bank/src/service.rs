//! The wire: what a bank's servers answer, and whom.
//!
//! Generated types end here. [`Bank`] answers customers' agents and coordinators on any server of
//! the bank; [`admin`] is served where the store is the bank's own, [`owner`] where that is a file;
//! [`shared`] is a stateless server's way to the owner, [`decisions`] a bank's way to its coordinators.

pub mod admin;
mod batch;
mod convert;
pub mod decisions;
pub mod faults;
pub mod owner;
mod participant;
pub mod shared;

use std::sync::Arc;

use strife_proto::bank::v1::{
    AccountRequest, AccountResponse, AccountState as WireState, BalanceRequest, BalanceResponse,
    TransactionRequest, TransactionResponse,
    bank_admin_server::BankAdminServer,
    bank_faults_server::BankFaultsServer,
    bank_participant_server::BankParticipantServer,
    bank_service_server::{BankService, BankServiceServer},
    bank_store_server::BankStoreServer,
};
use strife_runtime::{AccessTable, Caller, Role, Rule, Services, Shutdown, load::LoadTracker};
use tonic::{Request, Response, Status};

use crate::{
    clock,
    gate::Gate,
    ledger::{Account, AccountState, Command, Receipt, Refusal, Transfer, Verdict},
    money::Amount,
    service::{
        admin::Admin,
        convert::{check_id, format_money, money, positive, status},
        faults::Faults,
        owner::Owner,
    },
    store::{Embedded, Store, WholeStore},
};

/// Who may call what on a bank's servers. `BankAdmin` is served where the store is the bank's own,
/// `BankStore` where it is a file, `BankFaults` with `--allow-faults` only.
const ACCESS: AccessTable = &[
    Rule {
        path: "/strife.bank.v1.BankService/",
        roles: &[Role::Gateway, Role::Loadgen, Role::Admin],
    },
    Rule { path: "/strife.bank.v1.BankParticipant/", roles: &[Role::Gateway] },
    Rule { path: "/strife.bank.v1.BankStore/", roles: &[Role::Bank] },
    Rule { path: "/strife.bank.v1.BankAdmin/", roles: &[Role::Admin] },
    Rule { path: "/strife.bank.v1.BankAdmin/GetTotals", roles: &[Role::Loadgen] },
    Rule { path: "/strife.bank.v1.BankFaults/", roles: &[Role::Admin] },
];

/// The services whose calls are the server's load and are written to the log.
const CALLS: &[&str] = &["/strife.bank.v1.BankService/", "/strife.bank.v1.BankParticipant/"];

/// A server of a bank that serves nothing yet.
pub fn none() -> Services {
    Services::new(ACCESS)
}

/// Adds what every server of a bank serves; `tracker` counts the calls.
pub fn add_everyones(
    services: Services,
    store: impl Store,
    gate: Arc<Gate>,
    tracker: Arc<LoadTracker>,
) -> Services {
    let bank = Bank::new(store, gate);
    services
        .add(BankServiceServer::new(bank.clone()))
        .add(BankParticipantServer::new(bank))
        .tracked(CALLS, tracker)
        .logged(CALLS)
}

/// Adds what makes this very server, whose calls pass `gate`, slow or failing.
pub fn add_faults(services: Services, gate: Arc<Gate>) -> Services {
    services.add(BankFaultsServer::new(Faults::new(gate)))
}

/// Adds what servers with a store of the bank's own serve.
pub fn add_admin(services: Services, bank: &str, store: impl WholeStore) -> Services {
    services.add(BankAdminServer::new(Admin::new(bank, store)))
}

/// Adds what only the server that owns the bank's file serves.
pub fn add_owners(
    services: Services,
    bank: &str,
    store: &Embedded,
    shutdown: &Shutdown,
) -> Services {
    let owner = Owner::new(bank, store.clone(), shutdown.clone());
    services.add(BankStoreServer::new(owner))
}

/// `BankService` and `BankParticipant` on a store, behind a gate.
#[derive(Clone)]
pub struct Bank<S> {
    store: S,
    gate: Arc<Gate>,
}

impl<S: Store> Bank<S> {
    /// A bank's front.
    pub fn new(store: S, gate: Arc<Gate>) -> Self {
        Self { store, gate }
    }

    async fn apply(&self, command: Command) -> Result<Verdict, Status> {
        let _slot = self.gate.admit().await.map_err(status)?;
        self.store.apply(command).await.map_err(status)
    }

    async fn account(&self, account_id: &str) -> Result<Option<Account>, Status> {
        check_id("account_id", account_id)?;
        let _slot = self.gate.admit().await.map_err(status)?;
        self.store.account(account_id).await.map_err(status)
    }
}

#[tonic::async_trait]
impl<S: Store> BankService for Bank<S> {
    async fn validate_account(
        &self,
        request: Request<AccountRequest>,
    ) -> Result<Response<AccountResponse>, Status> {
        let caller = Caller::of(&request);
        let AccountRequest { account_id } = request.into_inner();
        caller.note(|| account_id.clone());
        let account = self.account(&account_id).await?;
        let (state, currency) = match account {
            None => (WireState::Unknown, String::new()),
            Some(account) => (wire_state(account.state), account.currency.to_string()),
        };
        Ok(Response::new(AccountResponse { account_id, state: state.into(), currency }))
    }

    async fn process_transaction(
        &self,
        request: Request<TransactionRequest>,
    ) -> Result<Response<TransactionResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        caller.note(|| format_transfer(&request));
        let transfer = transfer(request, clock::now_ms())?;
        let transaction_id = transfer.transaction_id.clone();
        let verdict = self.apply(Command::Transfer(transfer)).await;
        note_refusal(&caller, &verdict);
        let (available, refusal) = match verdict? {
            Ok(Receipt::Transferred { available }) => (Some(money(available)), None),
            Ok(Receipt::Done) => (None, None),
            Err(Refusal::Conflict) => {
                return Err(Status::already_exists(format!(
                    "transaction {transaction_id} was asked for before with another body"
                )));
            }
            Err(refusal) => (None, Some(convert::refusal(refusal))),
        };
        Ok(Response::new(TransactionResponse { transaction_id, available, refusal }))
    }

    async fn get_account_balance(
        &self,
        request: Request<BalanceRequest>,
    ) -> Result<Response<BalanceResponse>, Status> {
        let caller = Caller::of(&request);
        let BalanceRequest { account_id } = request.into_inner();
        caller.note(|| account_id.clone());
        let Some(account) = self.account(&account_id).await? else {
            return Err(Status::not_found(format!("there is no account {account_id}")));
        };
        let amount = |minor_units| Some(money(Amount { minor_units, currency: account.currency }));
        let (available, held) = (amount(account.available), amount(account.held));
        Ok(Response::new(BalanceResponse { account_id, available, held }))
    }
}

fn transfer(request: TransactionRequest, now_ms: u64) -> Result<Transfer, Status> {
    let TransactionRequest { transaction_id, from_account_id, to_account_id, amount } = request;
    check_id("transaction_id", &transaction_id)?;
    check_id("from_account_id", &from_account_id)?;
    check_id("to_account_id", &to_account_id)?;
    if from_account_id == to_account_id {
        return Err(Status::invalid_argument(Refusal::SameAccount.to_string()));
    }
    let amount = positive(amount)?;
    let (from, to) = (from_account_id, to_account_id);
    Ok(Transfer { transaction_id, from, to, amount, at_ms: now_ms })
}

/// For the log: as it was asked for, be it well-formed or not.
fn format_transfer(request: &TransactionRequest) -> String {
    let TransactionRequest { transaction_id, from_account_id, to_account_id, amount } = request;
    let amount = format_money(amount.as_ref());
    format!("{transaction_id}: {amount} {from_account_id} -> {to_account_id}")
}

/// Puts the refusal on the call's log line if it came to one.
fn note_refusal(caller: &Caller, verdict: &Result<Verdict, Status>) {
    if let Ok(Err(refusal)) = verdict {
        caller.outcome(|| format!("refused: {refusal}"));
    }
}

fn wire_state(state: AccountState) -> WireState {
    match state {
        AccountState::Active => WireState::Active,
        AccountState::Frozen => WireState::Frozen,
    }
}

#[cfg(test)]
pub(crate) mod tests;
