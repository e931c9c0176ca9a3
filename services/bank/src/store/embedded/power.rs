//! A bank's store on a disk that forgets: whatever is acknowledged is there when the power is back, and of
//! what was not, each batch is there whole or not at all.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};
use rand::{SeedableRng, rngs::StdRng};
use redb::Database;
use strife_store::disk::ForgetfulDisk;
use tokio::runtime::Runtime;

use super::*;
use crate::ledger::{
    MemoryState,
    tests::{any_command, openings},
};

/// Power failures in one test.
const FAILURES: usize = 3;

/// The store as it stands on the disk; made there if there is none.
fn open(disk: &ForgetfulDisk) -> Result<Embedded, redb::Error> {
    let database = Database::builder().create_with_backend(disk.clone())?;
    let transaction = database.begin_write()?;
    let mut books = Books::open(&transaction)?;
    for opening in openings() {
        // Of those that are there already, this is refused.
        let _ = ledger::apply(&mut books, &Command::OpenAccount(opening))?;
    }
    books.flush()?;
    transaction.commit()?;
    let books =
        GroupCommit::start_with(database, Bookkeeper, Limits::default(), Arc::new(|_: &str| {}));
    Ok(Embedded { books })
}

fn apply(model: &mut MemoryState, batch: &[Command]) -> Vec<Verdict> {
    let verdict = |command| match ledger::apply(model, command) {
        Ok(verdict) => verdict,
    };
    batch.iter().map(verdict).collect()
}

fn is_as(runtime: &Runtime, store: &Embedded, model: &MemoryState) -> bool {
    let accounts = model.accounts().iter().all(|(account_id, account)| {
        runtime.block_on(store.account(account_id)).unwrap() == Some(*account)
    });
    let totals = runtime.block_on(store.totals()).unwrap();
    accounts && totals.in_doubt == model.in_doubt() as u64
}

/// Applies batches on a disk whose power fails again and again; says what is wrong.
fn check(batches: &[Vec<Command>], failures: &[u64], seed: u64, lies: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut random = StdRng::seed_from_u64(seed);
    let mut disk = ForgetfulDisk::default();
    let mut model = MemoryState::default();
    for opening in openings() {
        let Ok(_) = ledger::apply(&mut model, &Command::OpenAccount(opening));
    }
    drop(open(&disk).map_err(|error| error.to_string())?);
    // What may be there: a batch that nobody was told of is, or is not, and cannot always be seen at once.
    let mut models = vec![model];
    let (mut batches, mut failures) = (batches.iter(), failures.iter());
    loop {
        let store = open(&disk).map_err(|error| format!("not to be opened: {error}"))?;
        models.retain(|model| is_as(&runtime, &store, model));
        if models.is_empty() {
            return Err("what was acknowledged is not there".to_owned());
        }
        let Some(steps) = failures.next() else { return Ok(()) };
        if lies {
            disk.lie();
        }
        disk.fail_after(*steps);
        for batch in batches.by_ref() {
            let Ok(verdicts) = runtime.block_on(store.apply_all(batch.clone())) else {
                let mut with = models.clone();
                with.iter_mut().for_each(|model| drop(apply(model, batch)));
                models.extend(with);
                break;
            };
            models.retain_mut(|model| apply(model, batch) == verdicts);
            if models.is_empty() {
                return Err(format!("{verdicts:?} of {batch:?}"));
            }
        }
        drop(store);
        disk = disk.after_power_failure(&mut random);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_acknowledged_survives_power_failures(
        batches in vec(vec(any_command(), 1..12), 1..30),
        failures in vec(0..120_u64, FAILURES),
        seed: u64,
    ) {
        prop_assert_eq!(check(&batches, &failures, seed, false), Ok(()));
    }
}

/// The test would see it: a disk that does not keep its word loses what was acknowledged.
#[test]
fn a_disk_that_lies_is_found_out() {
    let transfer = |number: usize| {
        let (transaction_id, amount) = (format!("t{number}"), openings()[0].balance);
        let (from, to) = ("a".to_owned(), "b".to_owned());
        let minor_units = 1;
        let amount = crate::money::Amount { minor_units, ..amount };
        vec![Command::Transfer(crate::ledger::Transfer {
            transaction_id,
            from,
            to,
            amount,
            at_ms: 1,
        })]
    };
    let batches: Vec<_> = (0..20).map(transfer).collect();
    assert!((0..20).any(|seed| check(&batches, &[60], seed, true).is_err()));
}
