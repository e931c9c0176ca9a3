//! The store that several gateways share: a schema in a PostgreSQL database.
//!
//! A batch is one transaction. It first holds the runs that its commands are of against being fenced,
//! reads what the rules ask for, then writes what they allow. A fence waits for the batches that hold
//! its run, and those that come after it find it fenced: so of a fence and a decision one comes
//! second. Two gateways that begin one payment meet at the uniqueness of its id: one of them is rolled
//! back and runs again on what the other has written.

mod batch;
mod census;
mod columns;
mod makers;
mod outbox;
mod reading;
mod schema;
#[cfg(test)]
mod tests;

use std::{future::Future, sync::Arc, time::Duration};

use strife_store::{
    Latencies, Limits, StoreError,
    postgres::{Address, BatchCommit, Client, Connections, Database, READ_TIMEOUT},
};
use tokio::{sync::Mutex, time::timeout};
use tokio_postgres::types::ToSql;

use super::{
    Acknowledged, Begun, Decided, Found, Move, Outbox, Page, Position, Record, RunEntry, RunState,
    Store, Taken, Verdict, rules,
};
use crate::transaction::{Block, Run, RunNumber, Sequence};
use batch::{Command, Outcome, Payments};
use census::Census;

/// Commands in one transaction at most. Fewer than a file takes: they hold locks until it ends.
const BATCH: usize = 512;
/// For signs of life, one after the other.
const SIGNS: Connections = Connections { writes: 1, reads: 0 };
/// How often followers look for events: other gateways write them, too, and tell nobody.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The last run is counted and the new one written in one statement.
const START: &str = "WITH next AS \
    (UPDATE about SET last_run = last_run + 1 RETURNING last_run) \
    INSERT INTO runs (number, gateway, live) SELECT last_run, $1, true FROM next RETURNING number";
const BEAT: &str = "UPDATE runs SET beats = beats + 1 WHERE number = $1 AND live";
/// `live` is part of a key, so that this waits for every batch that holds the run's.
const FENCE: &str = "UPDATE runs SET live = false WHERE number = $1 AND live";
/// Only for a run that is live, and stays so until this is written.
const TAKE: &str = "WITH taker AS \
    (SELECT number FROM runs WHERE number = $2 AND live FOR KEY SHARE) \
    INSERT INTO blocks (block, run) SELECT $1::bigint, number FROM taker \
    ON CONFLICT (block) DO NOTHING";
const OWNER: &str = "SELECT run FROM blocks WHERE block = $1";
const LAST_BLOCK: &str = "SELECT max(block) FROM blocks";
const FORGET: &str = "DELETE FROM runs WHERE number = $1 AND NOT live";

/// Gateways' payments in a database. Clones share the connections.
#[derive(Clone)]
pub struct Postgres {
    batches: BatchCommit<Payments>,
    /// A connection for signs of life alone: whoever waits behind his own payments would be taken for dead.
    signs: Database,
    name: u32,
    census: Arc<Mutex<Census>>,
}

impl Postgres {
    /// Opens the gateways' schema and brings it up to date, or creates it.
    pub async fn open(
        address: &Address,
        connections: Connections,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        let schema = schema::of();
        let database = Database::connect(address, &schema, connections).await?;
        let signs = Database::connect(address, &schema, SIGNS).await?;
        let name_it = async |client: &Client| {
            let name = i64::from(rand::random::<u32>());
            client.execute("INSERT INTO about (name, last_run) VALUES ($1, 0)", &[&name]).await?;
            Ok::<_, StoreError>(())
        };
        database.migrate(&schema, name_it).await?;
        let name = reading::name(&database).await?;
        let limits = Limits { batch: BATCH, ..limits };
        let batches = BatchCommit::start(database, Payments::default(), limits);
        Ok(Self { batches, signs, name, census: Arc::default() })
    }

    /// Runs one statement by itself, for a bounded time; how many rows it wrote.
    async fn execute(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        execute_on(self.batches.database(), sql, parameters).await
    }

    fn reader(&self) -> reading::Reader<'_> {
        reading::Reader { database: self.batches.database(), store: self.name }
    }
}

/// Runs one statement by itself, for a bounded time; how many rows it wrote.
async fn execute_on(
    database: &Database,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<u64, StoreError> {
    let client = database.client().await?;
    let written = async {
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, parameters).await?)
    };
    let written = timeout(READ_TIMEOUT, written).await;
    database.ended(client, written)
}

impl Store for Postgres {
    fn name(&self) -> u32 {
        self.name
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn start(&self, gateway: &str) -> Result<Run, StoreError> {
        self.reader().begin_anew_if_restored().await?;
        let rows = self.reader().query(START, &[&gateway]).await?;
        let row = rows.first().ok_or(StoreError::Row("a run without a number"))?;
        let number = reading::run_number(row.try_get(0)?)?;
        Ok(Run { store: self.name, number })
    }

    async fn beat(&self, run: RunNumber) -> Result<bool, StoreError> {
        Ok(execute_on(&self.signs, BEAT, &[&schema::run(run)]).await? > 0)
    }

    async fn fence(&self, run: RunNumber) -> Result<bool, StoreError> {
        Ok(self.execute(FENCE, &[&schema::run(run)]).await? > 0)
    }

    async fn forget(&self, run: RunNumber) -> Result<(), StoreError> {
        self.execute(FORGET, &[&schema::run(run)]).await.map(drop)
    }

    async fn runs(&self) -> Result<Vec<RunEntry>, StoreError> {
        reading::Reader { database: &self.signs, store: self.name }.runs().await
    }

    async fn take(&self, run: RunNumber, block: Block) -> Result<Taken, StoreError> {
        let (stored, block) = (schema::run(run), schema::block(block));
        self.execute(TAKE, &[&block, &stored]).await?;
        let rows = self.reader().query(OWNER, &[&block]).await?;
        let owner = rows.first().map(|row| reading::run_number(row.try_get(0)?)).transpose()?;
        // The row is written unless another one is there, or the run is not live.
        let by = owner.map_or(RunState::Fenced, |_| RunState::Live);
        Ok(rules::take(by, run, owner))
    }

    async fn last_block(&self) -> Result<Option<Block>, StoreError> {
        let rows = self.reader().query(LAST_BLOCK, &[]).await?;
        let last: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
        Ok(last.map(i64::unsigned_abs))
    }

    async fn begin(&self, record: Arc<Record>) -> Result<Begun, StoreError> {
        Ok(begun_of(self.batches.apply(Command::Begin(record)).await?))
    }

    async fn retry(
        &self,
        record: Arc<Record>,
        after: Sequence,
        at_ms: i64,
    ) -> Result<Begun, StoreError> {
        let retry = Command::Retry { record, after, at_ms };
        Ok(begun_of(self.batches.apply(retry).await?))
    }

    async fn move_queued(
        &self,
        by: RunNumber,
        moves: Vec<Move>,
    ) -> Result<Vec<Decided>, StoreError> {
        let commands = moves.into_iter().map(|step| Command::Move(by, step));
        let outcomes = self.batches.apply_all(commands.collect()).await?;
        Ok(outcomes.into_iter().map(decided_of).collect())
    }

    async fn due(
        &self,
        own: RunNumber,
        now_ms: i64,
        others_ms: i64,
        after: Option<(i64, Sequence)>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.reader().due(own, now_ms, others_ms, after, limit).await
    }

    async fn queued(&self) -> Result<u64, StoreError> {
        self.reader().queued().await
    }

    async fn decide(&self, by: RunNumber, verdict: Verdict) -> Result<Decided, StoreError> {
        Ok(decided_of(self.batches.apply(Command::Decide(by, verdict)).await?))
    }

    async fn decide_all(
        &self,
        by: RunNumber,
        verdicts: Vec<Verdict>,
    ) -> Result<Vec<Decided>, StoreError> {
        let commands = verdicts.into_iter().map(|verdict| Command::Decide(by, verdict));
        let outcomes = self.batches.apply_all(commands.collect()).await?;
        Ok(outcomes.into_iter().map(decided_of).collect())
    }

    async fn finish(&self, by: RunNumber, sequence: Sequence) -> Result<bool, StoreError> {
        match self.batches.apply(Command::Finish(by, sequence)).await? {
            Outcome::Finished(live) => Ok(live),
            other => unreachable!("{other:?} answers another command"),
        }
    }

    async fn find(&self, payment_id: &str) -> Result<Option<Record>, StoreError> {
        self.reader().find(payment_id).await
    }

    async fn get(&self, sequence: Sequence) -> Result<Found, StoreError> {
        self.reader().get(sequence).await
    }

    async fn orphans(
        &self,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.reader().orphans(after, limit).await
    }

    async fn unfinished(
        &self,
        own: RunNumber,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.reader().unfinished(own, after, limit).await
    }

    async fn payments(
        &self,
        after: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.reader().payments(after, limit).await
    }

    async fn history(
        &self,
        user: &str,
        before: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.reader().history(user, before, limit).await
    }

    async fn events(&self, after: Position, limit: usize) -> Result<Page, StoreError> {
        self.reader().events(after, limit).await
    }

    fn written(&self) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(LOOK_INTERVAL)
    }

    async fn follow(&self, follower: &str) -> Result<Position, StoreError> {
        self.reader().follow(follower).await
    }

    async fn acknowledge(
        &self,
        follower: &str,
        position: Position,
    ) -> Result<Acknowledged, StoreError> {
        self.reader().acknowledge(follower, position).await
    }

    async fn forget_follower(&self, follower: &str) -> Result<bool, StoreError> {
        self.reader().forget_follower(follower).await
    }

    async fn prune(&self, most: u64) -> Result<bool, StoreError> {
        let mut census = self.census.lock().await;
        self.reader().prune(&mut census, most).await
    }

    async fn outbox(&self) -> Result<Outbox, StoreError> {
        let mut census = self.census.lock().await;
        self.reader().outbox(&mut census).await
    }

    fn commits(&self) -> &Latencies {
        self.batches.commits()
    }

    async fn close(&self) {
        self.batches.close().await;
        self.signs.close();
    }
}

fn begun_of(outcome: Outcome) -> Begun {
    match outcome {
        Outcome::Begun(begun) => begun,
        other => unreachable!("{other:?} answers another command"),
    }
}

fn decided_of(outcome: Outcome) -> Decided {
    match outcome {
        Outcome::Decided(decided) => decided,
        other => unreachable!("{other:?} answers another command"),
    }
}
