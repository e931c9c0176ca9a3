//! Schemas and how they come to be: numbered steps, each applied once, by whoever comes first.
//!
//! All of it happens in one transaction under an advisory lock: of several processes that start at
//! once one does the work and the others find it done, and a process killed midway leaves nothing.
//! What was applied is written down with its checksum, so that a schema made by a newer version, or
//! by other steps than ours, is refused instead of guessed at.

use std::time::Duration;

use tracing::info;

use super::{
    database::{Client, Database},
    passing,
};
use crate::StoreError;

/// How long a start waits for another process's migrations.
const LOCK_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest name PostgreSQL keeps; it would cut a longer one short without a word.
const MAX_NAME_BYTES: usize = 63;

/// What we keep in a database, and how it is made.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Its name in the database.
    pub name: String,
    /// Whose it is, so that nobody takes another's for their own: `bank icici`.
    pub kind: String,
    /// Every step from nothing to what this version expects, oldest first. Steps that were released
    /// never change; new ones are added at the end.
    pub migrations: &'static [Migration],
}

/// One step. Its number is its place in [`Schema::migrations`], from 1.
#[derive(Debug)]
pub struct Migration {
    /// What it is for, in a few words.
    pub name: &'static str,
    /// Statements that make it so, in the schema that [`Schema::name`] says.
    pub sql: &'static str,
}

/// How a schema was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// There was none; it was created and initialised.
    Created,
    /// It was there, and may have been brought up to date.
    Found,
}

impl Database {
    /// Brings `schema` up to date. If there is none it is created, and `initialise` fills it on a
    /// connection inside the same transaction; when that fails, nothing of it was there ever.
    pub async fn migrate<E: From<StoreError>>(
        &self,
        schema: &Schema,
        initialise: impl AsyncFnOnce(&Client) -> Result<(), E>,
    ) -> Result<Opened, E> {
        let client = self.client().await?;
        let migrated = async {
            let opened = self.bring_up_to_date(&client, schema).await;
            let opened = opened.map_err(|error| E::from(self.refused(error)))?;
            if opened == Opened::Created {
                initialise(&client).await?;
            }
            let committed = client.batch_execute("COMMIT").await.map_err(StoreError::from);
            committed.map_err(|error| E::from(self.failed(error)))?;
            Ok(opened)
        };
        let migrated = migrated.await;
        if migrated.is_err() {
            // Its transaction ends with it.
            drop(Client::take(client));
        }
        migrated
    }

    async fn bring_up_to_date(
        &self,
        client: &Client,
        schema: &Schema,
    ) -> Result<Opened, StoreError> {
        let name = &schema.name;
        if name.len() > MAX_NAME_BYTES {
            let why = format!("would need a name of more than {MAX_NAME_BYTES} bytes");
            return Err(self.foreign(schema, why));
        }
        client.batch_execute(&format!("BEGIN; {}", limits())).await?;
        client.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[name]).await?;
        let opened = match self.is_there(client, schema).await? {
            true => Opened::Found,
            false => {
                client.batch_execute(&create(name)).await?;
                client.execute("INSERT INTO strife_about VALUES ($1)", &[&schema.kind]).await?;
                Opened::Created
            }
        };
        let applied = self.applied(client, schema).await?;
        for (number, migration) in (1..).zip(schema.migrations).skip(applied) {
            client.batch_execute(migration.sql).await?;
            let recorded = "INSERT INTO strife_migrations (version, name, checksum) \
                 VALUES ($1, $2, encode(sha256(convert_to($3, 'UTF8')), 'hex'))";
            client.execute(recorded, &[&number, &migration.name, &migration.sql]).await?;
            info!(schema = name, version = number, migration = migration.name, "migrated");
        }
        Ok(opened)
    }

    /// Whether the schema is there and ours.
    async fn is_there(&self, client: &Client, schema: &Schema) -> Result<bool, StoreError> {
        let found = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1), \
             EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'strife_about')";
        let row = client.query_one(found, &[&schema.name]).await?;
        match (row.try_get(0)?, row.try_get(1)?) {
            (false, _) => return Ok(false),
            (true, false) => return Err(self.foreign(schema, "was not made by strife".to_owned())),
            (true, true) => {}
        }
        let kind = client.query_opt("SELECT kind FROM strife_about", &[]).await?;
        let kind: Option<String> = kind.map(|row| row.try_get(0)).transpose()?;
        if kind.as_ref() == Some(&schema.kind) {
            return Ok(true);
        }
        let found = kind.unwrap_or_else(|| "nobody".to_owned());
        Err(self.foreign(schema, format!("belongs to `{found}`, not to `{}`", schema.kind)))
    }

    /// How many of our migrations were applied; all of those that were must be ours.
    async fn applied(&self, client: &Client, schema: &Schema) -> Result<usize, StoreError> {
        let sums = "SELECT m.version, m.checksum = \
             encode(sha256(convert_to(($1::text[])[m.version], 'UTF8')), 'hex') \
             FROM strife_migrations m ORDER BY m.version";
        let ours: Vec<&str> = schema.migrations.iter().map(|migration| migration.sql).collect();
        let rows = client.query(sums, &[&ours]).await?;
        let known = ours.len() as i32;
        let mut applied = 0;
        for row in rows {
            let (found, same): (i32, Option<bool>) = (row.try_get(0)?, row.try_get(1)?);
            if found > known {
                let (place, schema) = (self.place().to_owned(), schema.name.clone());
                return Err(StoreError::SchemaNewer { place, schema, found, known });
            }
            applied += 1;
            if found as usize != applied || same != Some(true) {
                let why = format!("was made by another migration {found} than this version's");
                return Err(self.foreign(schema, why));
            }
        }
        Ok(applied)
    }

    fn foreign(&self, schema: &Schema, why: String) -> StoreError {
        let (place, schema) = (self.place().to_owned(), schema.name.clone());
        StoreError::SchemaForeign { place, schema, why }
    }

    /// An error of the start, with what to do about it where that is known.
    fn refused(&self, error: StoreError) -> StoreError {
        let advice = match &error {
            StoreError::Sql(sql) => passing::advice(sql),
            _ => None,
        };
        let (place, why) = (self.place().to_owned(), error.to_string());
        match advice {
            Some(advice) => StoreError::DatabaseRefuses { place, why, advice },
            None => self.failed(error),
        }
    }
}

/// Migrations may take longer than a command.
fn limits() -> String {
    let lock_ms = LOCK_TIMEOUT.as_millis();
    format!("SET LOCAL statement_timeout TO 0; SET LOCAL lock_timeout TO {lock_ms}")
}

fn create(name: &str) -> String {
    format!(
        "CREATE SCHEMA {}; \
         CREATE TABLE strife_about (kind text NOT NULL); \
         CREATE TABLE strife_migrations (version integer PRIMARY KEY, name text NOT NULL, \
         checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
        quoted(name)
    )
}

/// A name as it stands in a statement, whatever is in it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
