//! A bounded pool of connections to one schema of one database.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts,
};
use tokio::time::error::Elapsed;
use tokio_postgres::NoTls;
use tracing::warn;

use super::{
    address::Address,
    migrations::{Schema, quoted},
    passing,
    tls::Connector,
};
use crate::StoreError;

/// A connection of the pool; prepared statements stay with it.
pub type Client = Object;

/// How long a caller waits for a connection to become free, and for one to be made.
const FREE_TIMEOUT: Duration = Duration::from_secs(5);
const MAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a read that is done quickly or not at all may take.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How a new connection is set up. Rows are found by key alone, and a table that was empty when a
/// statement was planned must not be read from end to end ever after: hence no sequential scans
/// where an index serves. PostgreSQL counts a scan that is off as dearer than all others, and where there
/// is no other it would compile the statement to machine code, for hundreds of milliseconds each time:
/// hence no such compiler, where there is one. A statement that hangs gives up before its caller does.
/// Commits wait for the disk whatever the server's default is, and for more if the default is more.
const SETUP: &str = "SET enable_seqscan TO off; \
    SELECT set_config(name, 'off', false) FROM pg_settings WHERE name = 'jit'; \
    SET statement_timeout TO '10s'; \
    SET idle_in_transaction_session_timeout TO '30s'; \
    SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')";

/// Bounds of a [`Database`].
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// Batches under way at a time, each on a connection of its own.
    pub writes: usize,
    /// Further connections, for reads.
    pub reads: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self { writes: 4, reads: 2 }
    }
}

/// A schema of a database, by a bounded pool of connections. Clones share it.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    place: String,
    connections: Connections,
}

impl Database {
    /// Makes one connection, so that what is wrong with the address is known at once; the others are
    /// made when they are needed. The schema need not be there yet: see [`Database::migrate`].
    pub async fn connect(
        address: &Address,
        schema: &Schema,
        connections: Connections,
    ) -> Result<Self, StoreError> {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let config = address.config.clone();
        let manager = match address.tls.clone() {
            Some(tls) => Manager::from_config(config, Connector(tls), settings),
            None => Manager::from_config(config, NoTls, settings),
        };
        let setup = format!("SET search_path TO {}; {SETUP}", quoted(&schema.name));
        let set_up = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let setup = setup.clone();
            Box::pin(async move { client.batch_execute(&setup).await.map_err(HookError::Backend) })
        });
        let timeouts = Timeouts {
            wait: Some(FREE_TIMEOUT),
            create: Some(MAKE_TIMEOUT),
            recycle: Some(MAKE_TIMEOUT),
        };
        let pool = Pool::builder(manager)
            .max_size(connections.writes + connections.reads)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .post_create(set_up)
            .build()
            .expect("timeouts have a runtime");
        let database = Self { pool, place: address.place().to_owned(), connections };
        database.check_durability().await.map_err(|error| database.failed(error))?;
        Ok(database)
    }

    /// Whoever turned off the disk's part is told what that means; it is his to decide.
    async fn check_durability(&self) -> Result<(), StoreError> {
        let row = self.client().await?.query_one("SHOW fsync", &[]).await?;
        if row.try_get::<_, &str>(0)? == "off" {
            let place = self.place();
            warn!(place, "PostgreSQL runs with fsync off: a crash loses what was acknowledged");
        }
        Ok(())
    }

    /// A connection, for a statement or a transaction. Whoever abandons a transaction midway must
    /// take the connection out of the pool.
    pub async fn client(&self) -> Result<Client, StoreError> {
        self.pool.get().await.map_err(|error| passing::unreachable(&self.place, error))
    }

    /// `HOST:PORT/DATABASE`, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The pool's bounds.
    pub fn connections(&self) -> Connections {
        self.connections
    }

    /// What became of a read on `client` that had so much time and no more. If it did not end nobody
    /// knows what the connection is doing, and it goes.
    pub fn ended<T>(
        &self,
        client: Client,
        read: Result<Result<T, StoreError>, Elapsed>,
    ) -> Result<T, StoreError> {
        let read = read.unwrap_or_else(|_| {
            drop(Client::take(client));
            Err(StoreError::TimedOut)
        });
        read.map_err(|error| self.failed(error))
    }

    /// What an error of a single statement is to a caller.
    pub fn failed(&self, error: StoreError) -> StoreError {
        let (place, why) = (self.place.clone(), error.to_string());
        match error.passing() {
            Some(passing::Passing::Away) => StoreError::DatabaseAway { place, why },
            Some(passing::Passing::Conflict) => StoreError::DatabaseContended { place, why },
            None => match error {
                StoreError::Sql(_) | StoreError::Row(_) => {
                    StoreError::DatabaseFailed { place, why }
                }
                told => told,
            },
        }
    }

    /// Closes every connection that is not in use; later callers get none.
    pub fn close(&self) {
        self.pool.close();
    }
}
