//! The file against the model, across restarts, and what must not become a store.

use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use super::*;
use crate::{
    ledger::{
        AccountState, Leg, LegBody, MemoryState, Prepare, SetLimits,
        tests::{any_command_of_all, openings},
    },
    money::Amount,
    store::conformance,
};

fn create(directory: &TempDir) -> Embedded {
    Embedded::create(&directory.path().join("ledger.redb"), "icici", &openings()).unwrap()
}

fn reopen(directory: &TempDir) -> Embedded {
    Embedded::open(&directory.path().join("ledger.redb"), "icici").unwrap()
}

#[tokio::test]
async fn embedded_conforms() {
    let directory = TempDir::new().unwrap();
    let store = create(&directory);
    conformance::check(store.clone(), store.clone(), store).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_restart() {
    let directory = TempDir::new().unwrap();
    let store = create(&directory);
    let key = LegKey { transaction_id: "p".to_owned(), leg: Leg::Debit };
    let amount = Amount { minor_units: 60, currency: "INR".parse().unwrap() };
    let body = LegBody { account_id: "a".to_owned(), amount, coordinator: "gateway".to_owned() };
    let prepare =
        Command::Prepare(Prepare { key: key.clone(), body: body.clone(), at_ms: 5, maker: None });
    assert!(store.apply(prepare.clone()).await.unwrap().is_ok());
    let totals = store.totals().await.unwrap();
    store.close().await;
    drop(store);

    let store = reopen(&directory);
    assert_eq!(store.totals().await.unwrap(), totals);
    assert_eq!(store.account("a").await.unwrap().map(|a| (a.available, a.held)), Some((40, 60)));
    let found = store.in_doubt(5, 10, |_| true).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].key, found[0].leg.body.as_ref()), (&key, Some(&body)));
    assert!(store.in_doubt(4, 10, |_| true).await.unwrap().is_empty());
    // The retry of the prepare and the late decision find everything as it was.
    assert!(store.apply(prepare).await.unwrap().is_ok());
    assert!(store.apply(Command::Commit(key)).await.unwrap().is_ok());
    assert!(store.in_doubt(u64::MAX, 10, |_| true).await.unwrap().is_empty());
}

/// As a program made it that knew no limits.
fn create_v1(path: &Path) {
    let created = file::create(path, "bank icici v1", |transaction| {
        let mut books = Books::open(transaction).map_err(StoreError::from)?;
        for opening in openings() {
            let command = Command::OpenAccount(opening);
            ledger::apply(&mut books, &command).map_err(StoreError::from)?.unwrap();
        }
        books.flush().map_err(StoreError::from)?;
        assert!(transaction.delete_table(crate::store::tables::LIMITS).unwrap());
        Ok::<_, BankError>(())
    });
    drop(created.unwrap());
}

#[tokio::test]
async fn a_file_of_the_version_before_limits_is_brought_up_to_date() {
    let directory = TempDir::new().unwrap();
    create_v1(&directory.path().join("ledger.redb"));
    for known in [None, Some(5)] {
        let store = reopen(&directory);
        let found = store.details("a").await.unwrap().unwrap();
        assert_eq!(found.account.available, 100);
        assert_eq!(found.limits.and_then(|limits| limits.per_day), known);
        let (account_id, per_day) = ("a".to_owned(), Some(5));
        let set = SetLimits { account_id, per_payment: None, per_day, at_ms: 0 };
        assert!(store.apply(Command::SetLimits(set)).await.unwrap().is_ok());
        store.close().await;
    }
}

#[tokio::test]
async fn another_bank_cannot_open_the_file() {
    let directory = TempDir::new().unwrap();
    let store = create(&directory);
    store.close().await;
    drop(store);
    let refused = Embedded::open(&directory.path().join("ledger.redb"), "sbi");
    let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("`bank icici v4`, not of `bank sbi v4`"), "{error}");
}

#[test]
fn a_load_that_fails_leaves_no_store() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.redb");
    let mut twice = openings();
    twice.push(OpenAccount { state: AccountState::Active, ..twice[0].clone() });
    assert!(Embedded::create(&path, "icici", &twice).is_err());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Batches through the file give the verdicts and balances of the model in memory.
    #[test]
    fn the_file_agrees_with_the_model(batches in vec(vec(any_command_of_all(), 1..20), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = TempDir::new().unwrap();
        let store = create(&directory);
        let mut model = MemoryState::default();
        for opening in openings() {
            let Ok(_) = ledger::apply(&mut model, &Command::OpenAccount(opening));
        }
        for batch in batches {
            let expected: Vec<Verdict> = batch
                .iter()
                .map(|command| match ledger::apply(&mut model, command) {
                    Ok(verdict) => verdict,
                })
                .collect();
            let verdicts = runtime.block_on(store.apply_all(batch)).unwrap();
            prop_assert_eq!(verdicts, expected);
        }
        for (account_id, account) in model.accounts() {
            let stored = runtime.block_on(store.details(account_id)).unwrap();
            let limits = model.all_limits().get(account_id).copied();
            prop_assert_eq!(stored, Some(AccountDetails { account: *account, limits }));
        }
        let stored = runtime.block_on(store.legs("", usize::MAX)).unwrap();
        prop_assert_eq!(stored, conformance::legs_of(&model));
        let totals = runtime.block_on(store.totals()).unwrap();
        prop_assert_eq!(totals.in_doubt, model.in_doubt() as u64);
    }
}
