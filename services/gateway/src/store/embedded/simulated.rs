//! A gateway's store in a simulation: on a disk that forgets, and in a task.

use std::sync::Arc;

use redb::{Database, ReadableDatabase};
use strife_store::{GroupCommit, Limits, StoreError, disk::ForgetfulDisk};

use super::{Embedded, recent::GENERATION, tables};

/// The name of every store that is made here.
const NAME: u32 = 1;

impl Embedded {
    /// The store as it stands on the disk; made there if there is none. When the disk fails, the store
    /// ends and nobody is answered. Must run inside a tokio runtime.
    pub fn on_disk(disk: &ForgetfulDisk) -> Result<Self, StoreError> {
        let opened = Database::builder().create_with_backend(disk.clone());
        let database = opened.map_err(redb::Error::from)?;
        create_if_new(&database)?;
        let (limits, ended) = (Limits::default(), Arc::new(|_: &str| {}));
        let started = Self::start_with(database, GENERATION, |database, payments| {
            GroupCommit::start_in_task(database, payments, limits, ended)
        });
        Ok(started?)
    }
}

fn create_if_new(database: &Database) -> Result<(), redb::Error> {
    if database.begin_read()?.open_table(tables::ABOUT).is_ok() {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    tables::create(&transaction, NAME)?;
    transaction.commit()?;
    Ok(())
}
