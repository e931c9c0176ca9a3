//! One batch's transaction, in two round trips: BEGIN goes with the reads, COMMIT with the writes.

use std::{future::Future, time::Instant};

use futures_util::future::{join, join_all};
use tokio_postgres::{Statement, types::ToSql};

use super::database::Client;
use crate::{Latencies, StoreError};

/// What a batch's transaction works with.
pub struct Work<'a> {
    client: &'a Client,
    lane: usize,
    commits: &'a Latencies,
}

/// A statement with its parameters, to be sent with others.
pub struct Write {
    statement: Statement,
    parameters: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Write {
    /// Most writes of a transaction: as many as are certain to be sent in their order.
    const MOST: usize = 16;

    /// `parameters` in the order of `$1, $2, …`.
    pub fn new(statement: Statement, parameters: Vec<Box<dyn ToSql + Sync + Send>>) -> Self {
        Self { statement, parameters }
    }

    /// Runs it by itself; how many rows it wrote.
    pub async fn execute(&self, client: &Client) -> Result<u64, tokio_postgres::Error> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            self.parameters.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
        client.execute(&self.statement, &parameters).await
    }
}

impl<'a> Work<'a> {
    pub(super) fn new(client: &'a Client, lane: usize, commits: &'a Latencies) -> Self {
        Self { client, lane, commits }
    }

    /// The connection.
    pub fn client(&self) -> &'a Client {
        self.client
    }

    /// Which of the process's concurrent batches this is, from 0.
    pub fn lane(&self) -> usize {
        self.lane
    }

    /// The statement, prepared on this connection.
    pub async fn prepared(&self, sql: &str) -> Result<Statement, StoreError> {
        Ok(self.client.prepare_cached(sql).await?)
    }

    /// Begins the transaction and runs `reads` in it, without waiting for the answer in between.
    pub async fn begin_with<T>(
        &self,
        reads: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // Polled, and therefore sent, in this order.
        let (begun, read) = join(self.client.batch_execute("BEGIN"), reads).await;
        begun?;
        read
    }

    /// Sends `writes` in their order and COMMIT behind them. The first that fails is the error, and
    /// then the server has made a rollback of the COMMIT.
    pub async fn commit_with(&self, writes: &[Write]) -> Result<(), StoreError> {
        assert!(writes.len() <= Write::MOST, "the order of so many writes is not certain");
        let started = Instant::now();
        let sent = join_all(writes.iter().map(|write| write.execute(self.client)));
        // Polled, and therefore sent, in this order. The statements are prepared already: none of
        // them waits for anything before it is sent.
        let (written, committed) = join(sent, self.client.batch_execute("COMMIT")).await;
        for rows in written {
            rows?;
        }
        committed?;
        self.commits.record(started.elapsed());
        Ok(())
    }
}
