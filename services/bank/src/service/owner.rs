//! `BankStore`: the owner's side of the shared store.
//!
//! Batches from all of the bank's servers meet in the group commit of the one store. A stream ends,
//! with its batches answered, when the process is asked to stop; otherwise it would hold up the
//! drain for ever.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use strife_proto::bank::v1::{
    AccountRecord, AccountRequest, AccountState, CommandBatch, ResultBatch,
    bank_store_server::BankStore,
};
use strife_runtime::{Caller, Role, Shutdown};
use tonic::{Request, Response, Status, Streaming};

use super::{
    batch::check_length,
    convert::{self, check_id, status},
    wire_state,
};
use crate::{
    clock,
    store::{Embedded, Store},
};

/// Metadata in which a server says whose store it wants, so that even without certificates no bank
/// writes into another's.
pub(super) const BANK_METADATA: &str = "strife-bank";
/// Most commands in a batch.
pub(super) const MAX_BATCH: usize = 1_024;
/// Batches of one stream that are applied at a time.
const BATCHES_PER_STREAM: usize = 8;

/// `BankStore` on the owner's store.
pub struct Owner {
    bank: String,
    store: Embedded,
    shutdown: Shutdown,
}

impl Owner {
    /// For the servers of the bank of that name.
    pub fn new(bank: &str, store: Embedded, shutdown: Shutdown) -> Self {
        Self { bank: bank.to_owned(), store, shutdown }
    }

    /// The access table has let banks through; which bank is checked here.
    fn check_caller<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let wanted = request.metadata().get(BANK_METADATA).and_then(|value| value.to_str().ok());
        let proved = Caller::of(request).identity;
        let proved = proved.is_none_or(|id| id.role == Role::Bank && id.name == self.bank);
        if proved && wanted == Some(self.bank.as_str()) {
            return Ok(());
        }
        Err(Status::permission_denied(format!("this is the store of bank {}", self.bank)))
    }
}

async fn apply_batch(store: Embedded, batch: CommandBatch) -> Result<ResultBatch, Status> {
    let CommandBatch { batch_id, commands } = batch;
    check_length(commands.len())?;
    let now_ms = clock::now_ms();
    let commands: Result<Vec<_>, _> =
        commands.into_iter().map(|command| convert::command(command, now_ms)).collect();
    let verdicts = store.apply_all(commands?).await.map_err(status)?;
    let results = verdicts.into_iter().map(convert::verdict_to_wire).collect();
    Ok(ResultBatch { batch_id, results })
}

#[tonic::async_trait]
impl BankStore for Owner {
    type ApplyStream = Pin<Box<dyn Stream<Item = Result<ResultBatch, Status>> + Send>>;

    async fn apply(
        &self,
        request: Request<Streaming<CommandBatch>>,
    ) -> Result<Response<Self::ApplyStream>, Status> {
        self.check_caller(&request)?;
        let (store, shutdown) = (self.store.clone(), self.shutdown.clone());
        let batches = request.into_inner().take_until(async move { shutdown.requested().await });
        let results = batches
            .map(move |batch| {
                let store = store.clone();
                async move { apply_batch(store, batch?).await }
            })
            .buffer_unordered(BATCHES_PER_STREAM);
        Ok(Response::new(Box::pin(results)))
    }

    async fn get_account(
        &self,
        request: Request<AccountRequest>,
    ) -> Result<Response<AccountRecord>, Status> {
        self.check_caller(&request)?;
        let AccountRequest { account_id } = request.into_inner();
        check_id("account_id", &account_id)?;
        let Some(account) = self.store.account(&account_id).await.map_err(status)? else {
            return Err(Status::not_found(format!("there is no account {account_id}")));
        };
        let state: AccountState = wire_state(account.state);
        Ok(Response::new(AccountRecord {
            account_id,
            state: state.into(),
            currency: account.currency.to_string(),
            available: account.available,
            held: account.held,
        }))
    }
}
