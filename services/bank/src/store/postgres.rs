//! The store of a bank that any number of servers share, and none of them owns: a schema in a
//! PostgreSQL database.
//!
//! What commands mean is the ledger's business here as everywhere. A batch is one transaction: every
//! row that its commands can touch is read and, where it can change, locked in the order of the keys;
//! the ledger runs on these in memory; what changed is written and committed. Whoever wants the same
//! rows waits, and two who meet at a key that is new to both are told apart by its uniqueness: one of
//! them is rolled back and runs again on what the other has written.

mod books;
mod reading;
mod schema;
mod writing;

use std::time::Duration;

use rand::RngExt;
use strife_store::{
    Latencies, Limits, StoreError,
    postgres::{
        Address, BatchCommit, Client, Connections, Database, Opened, READ_TIMEOUT, Transactions,
        Work,
    },
};
use tokio::time::timeout;

use self::{books::Books, reading::Named};
use super::{AccountDetails, KnownLeg, Store, Totals, WholeStore, failpoints};
use crate::{
    BankError,
    ledger::{self, Account, Command, LegKey, OpenAccount, Verdict},
};

/// Commands in one transaction at most. Fewer than a file takes: they hold locks until it ends.
const BATCH: usize = 512;
/// Rows over which each of the bank's own accounts is spread, so that those who post to it need not
/// wait for each other. Its balance is their sum.
const SHARDS: i16 = 256;
/// How long a look at every account may take, and one at every leg in doubt.
const TOTALS_TIMEOUT: Duration = Duration::from_secs(600);
const IN_DOUBT_TIMEOUT: Duration = Duration::from_secs(60);
/// Accounts opened by one statement.
const OPENINGS: usize = 10_000;

/// A ledger in a database that other processes use too. Clones share the connections.
#[derive(Clone)]
pub struct Postgres {
    batches: BatchCommit<Bookkeeper>,
}

impl Postgres {
    /// Opens the bank's schema and brings it up to date. If there is none it is created with the
    /// accounts that `accounts` gives: all of them, or, on any error, no schema.
    pub async fn open(
        address: &Address,
        bank: &str,
        connections: Connections,
        accounts: impl FnOnce() -> Result<Vec<OpenAccount>, BankError>,
    ) -> Result<(Self, Opened), BankError> {
        let schema = schema::of(bank)?;
        let database = Database::connect(address, &schema, connections).await?;
        let open_accounts = async |client: &Client| {
            let opened = open_accounts(client, &accounts()?).await?;
            opened.map_err(|why| cannot_open(&database, &schema.name, why))
        };
        let opened = database.migrate(&schema, open_accounts).await?;
        let bookkeeper = Bookkeeper { first_shard: rand::rng().random_range(0..SHARDS) };
        let limits = Limits { batch: BATCH, ..Limits::default() };
        Ok((Self { batches: BatchCommit::start(database, bookkeeper, limits) }, opened))
    }

    async fn client(&self) -> Result<Client, BankError> {
        Ok(self.batches.database().client().await?)
    }
}

/// Opens every account, or says why one cannot be.
async fn open_accounts(
    client: &Client,
    accounts: &[OpenAccount],
) -> Result<Result<(), String>, StoreError> {
    for openings in accounts.chunks(OPENINGS) {
        let mut books = Books::default();
        for opening in openings {
            books.expect_account(&opening.account_id);
            let Ok(verdict) = ledger::apply(&mut books, &Command::OpenAccount(opening.clone()));
            if let Err(refusal) = verdict {
                return Ok(Err(format!("account {}: {refusal}", opening.account_id)));
            }
        }
        for write in writing::writes(client, books, 0).await? {
            write.execute(client).await?;
        }
    }
    Ok(Ok(()))
}

fn cannot_open(database: &Database, schema: &str, why: String) -> BankError {
    let why = format!("schema {schema} was not created: {why}");
    BankError::Store(StoreError::DatabaseFailed { place: database.place().to_owned(), why })
}

/// Applies a bank's commands batch by batch.
struct Bookkeeper {
    /// Of this process; its concurrent batches take those that follow.
    first_shard: i16,
}

impl Bookkeeper {
    fn shard(&self, lane: usize) -> i16 {
        let lane = i16::try_from(lane % SHARDS as usize).expect("less than the shards");
        (self.first_shard + lane) % SHARDS
    }
}

impl Transactions for Bookkeeper {
    type Command = Command;
    type Outcome = Verdict;

    async fn run(&self, work: Work<'_>, commands: &[Command]) -> Result<Vec<Verdict>, StoreError> {
        let mut books = reading::begin(&work, Named::by(commands)).await?;
        let mut verdicts = Vec::with_capacity(commands.len());
        for command in commands {
            let Ok(verdict) = ledger::apply(&mut books, command);
            verdicts.push(verdict);
        }
        let writes = writing::writes(work.client(), books, self.shard(work.lane())).await?;
        work.commit_with(&writes).await?;
        Ok(verdicts)
    }
}

impl Store for Postgres {
    async fn apply(&self, command: Command) -> Result<Verdict, BankError> {
        let steps = failpoints::of([&command]);
        steps.before().await;
        let verdict = self.batches.apply(command).await?;
        steps.after().await;
        Ok(verdict)
    }

    async fn apply_all(&self, commands: Vec<Command>) -> Result<Vec<Verdict>, BankError> {
        let steps = failpoints::of(&commands);
        steps.before().await;
        let verdicts = self.batches.apply_all(commands).await?;
        steps.after().await;
        Ok(verdicts)
    }

    async fn account(&self, account_id: &str) -> Result<Option<Account>, BankError> {
        Ok(self.details(account_id).await?.map(|details| details.account))
    }
}

impl WholeStore for Postgres {
    async fn totals(&self) -> Result<Totals, BankError> {
        let mut client = self.client().await?;
        let read = timeout(TOTALS_TIMEOUT, reading::totals(&mut client)).await;
        Ok(self.batches.database().ended(client, read)?)
    }

    async fn in_doubt(
        &self,
        until_ms: u64,
        limit: usize,
        wanted: impl Fn(&LegKey) -> bool + Send + Sync,
    ) -> Result<Vec<KnownLeg>, BankError> {
        let client = self.client().await?;
        let reading = reading::in_doubt(&client, until_ms, limit, wanted);
        let read = timeout(IN_DOUBT_TIMEOUT, reading).await;
        Ok(self.batches.database().ended(client, read)?)
    }

    async fn forced(&self, limit: usize) -> Result<Vec<KnownLeg>, BankError> {
        let client = self.client().await?;
        let read = timeout(READ_TIMEOUT, reading::forced(&client, limit)).await;
        Ok(self.batches.database().ended(client, read)?)
    }

    async fn details(&self, account_id: &str) -> Result<Option<AccountDetails>, BankError> {
        let client = self.client().await?;
        let read = timeout(READ_TIMEOUT, reading::details(&client, account_id)).await;
        Ok(self.batches.database().ended(client, read)?)
    }

    async fn legs(&self, after: &str, limit: usize) -> Result<Vec<KnownLeg>, BankError> {
        let client = self.client().await?;
        let read = timeout(READ_TIMEOUT, reading::legs(&client, after, limit)).await;
        Ok(self.batches.database().ended(client, read)?)
    }

    fn commits(&self) -> &Latencies {
        self.batches.commits()
    }

    async fn close(&self) {
        self.batches.close().await;
    }
}

#[cfg(test)]
mod tests;
