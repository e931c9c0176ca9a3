//! The store of a stateless server: the owner's, over one stream.
//!
//! Commands gather while a batch is on its way, so that batches grow with load and a lone command
//! does not wait: there is no timer. When the stream is lost, the commands on it fail with "ask
//! again", which is safe, and the link is made anew with backoff and jitter; until then commands
//! fail at once rather than wait.

mod link;

use std::{sync::Arc, time::Duration};

use strife_proto::bank::v1::{
    AccountRecord, AccountRequest, AccountState as WireState, bank_store_client::BankStoreClient,
};
use strife_runtime::{Failure, Security, connect, tls::Expected};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tonic::{Code, Request, Status, metadata::MetadataValue, transport::Channel};

use self::link::{Link, Pending};
use super::{convert::command_to_wire, owner::BANK_METADATA};
use crate::{
    BankError,
    ledger::{Account, AccountState, Command, Verdict},
    store::Store,
};

/// Most commands that may wait for their batch, where one request may hold many.
const QUEUE: usize = 16_384;
/// How long a read of one account may take.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The owner's store as a stateless server uses it. Clones share the link.
#[derive(Clone)]
pub struct Shared {
    remote: Remote,
    /// Has room for whoever has it in `places`.
    queue: mpsc::Sender<Pending>,
    places: Arc<Semaphore>,
}

/// Where the owner is and as whom it is asked.
#[derive(Clone)]
struct Remote {
    owner: String,
    bank: String,
    client: BankStoreClient<Channel>,
}

impl Shared {
    /// Links up with the owner at `owner` (`host:port`), trying for a few seconds.
    pub async fn connect(owner: &str, bank: &str, security: &Security) -> Result<Self, Failure> {
        let channel = connect::direct(owner, Expected::bank(bank), security)?;
        let client = BankStoreClient::new(channel);
        let remote = Remote { owner: owner.to_owned(), bank: bank.to_owned(), client };
        let (queue, waiting) = mpsc::channel(QUEUE);
        let link = Link::open(remote.clone(), waiting).await;
        let link = link.map_err(|error| Failure::new(error.to_string()))?;
        tokio::spawn(link.run());
        Ok(Self { remote, queue, places: Arc::new(Semaphore::new(QUEUE)) })
    }
}

impl Store for Shared {
    async fn apply(&self, command: Command) -> Result<Verdict, BankError> {
        let verdicts = self.apply_all(vec![command]).await?;
        verdicts.into_iter().next().ok_or_else(|| self.remote.unavailable("an empty answer"))
    }

    async fn apply_all(&self, commands: Vec<Command>) -> Result<Vec<Verdict>, BankError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let commands: Option<Vec<_>> = commands.into_iter().map(command_to_wire).collect();
        let opened = || self.remote.unavailable("accounts are opened by the owner");
        let commands = commands.ok_or_else(opened)?;
        let count = u32::try_from(commands.len()).unwrap_or(u32::MAX);
        let places = self.places.clone().try_acquire_many_owned(count);
        let places = places.map_err(|_| self.remote.overloaded())?;
        let (answer, verdicts) = oneshot::channel();
        let ended = || self.remote.unavailable("the link has ended");
        self.queue.try_send(Pending { commands, answer, places }).map_err(|_| ended())?;
        verdicts.await.unwrap_or_else(|_| Err(ended()))
    }

    async fn account(&self, account_id: &str) -> Result<Option<Account>, BankError> {
        let request = self.remote.request(AccountRequest { account_id: account_id.to_owned() });
        let mut client = self.remote.client.clone();
        let read = tokio::time::timeout(READ_TIMEOUT, client.get_account(request)).await;
        let read = read.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
        match read {
            Ok(record) => match account(&record.into_inner()) {
                Some(account) => Ok(Some(account)),
                None => Err(self.remote.unavailable("it speaks another version")),
            },
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(self.remote.error(&status)),
        }
    }
}

impl Remote {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bank = MetadataValue::try_from(&self.bank);
        request.metadata_mut().insert(BANK_METADATA, bank.expect("a bank's name is plain ASCII"));
        request
    }

    /// What a status of the owner means here.
    fn error(&self, status: &Status) -> BankError {
        let (owner, why) = (self.owner.clone(), status.message().to_owned());
        match status.code() {
            Code::ResourceExhausted => self.overloaded(),
            Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => {
                BankError::OwnerRefuses { owner, why }
            }
            _ => BankError::OwnerUnavailable { owner, why },
        }
    }

    fn unavailable(&self, why: &str) -> BankError {
        BankError::OwnerUnavailable { owner: self.owner.clone(), why: why.to_owned() }
    }

    fn overloaded(&self) -> BankError {
        BankError::OwnerOverloaded { owner: self.owner.clone() }
    }
}

/// What is promised to the account is the owner's business and does not travel.
fn account(record: &AccountRecord) -> Option<Account> {
    let state = match record.state() {
        WireState::Active => AccountState::Active,
        WireState::Frozen => AccountState::Frozen,
        _ => return None,
    };
    let currency = record.currency.parse().ok()?;
    let AccountRecord { available, held, .. } = *record;
    Some(Account { state, currency, available, held, incoming: 0 })
}

#[cfg(test)]
mod linearizable;
#[cfg(test)]
mod tests;
