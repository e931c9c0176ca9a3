//! A bank's store in a simulation: on a disk that forgets, and in a task.

use std::sync::Arc;

use redb::Database;
use strife_store::{GroupCommit, Limits, StoreError, disk::ForgetfulDisk};

use super::{Bookkeeper, Books, Embedded};
use crate::{
    BankError,
    ledger::{self, Command, OpenAccount},
};

impl Embedded {
    /// The store as it stands on the disk, with these accounts if they are not there. When the disk
    /// fails, the store ends and nobody is answered. Must run inside a tokio runtime.
    pub fn on_disk(disk: &ForgetfulDisk, accounts: &[OpenAccount]) -> Result<Self, BankError> {
        let opened = Database::builder().create_with_backend(disk.clone());
        let database = opened.map_err(redb::Error::from).map_err(StoreError::from)?;
        open_accounts(&database, accounts).map_err(StoreError::from)?;
        let (limits, ended) = (Limits::default(), Arc::new(|_: &str| {}));
        Ok(Self { books: GroupCommit::start_in_task(database, Bookkeeper, limits, ended) })
    }
}

fn open_accounts(database: &Database, accounts: &[OpenAccount]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut books = Books::open(&transaction)?;
    for opening in accounts {
        // Of those that are there already, this is refused.
        let _ = ledger::apply(&mut books, &Command::OpenAccount(opening.clone()))?;
    }
    books.flush()?;
    transaction.commit()?;
    Ok(())
}
