//! The file against the model, across restarts, and what must not become a store.

use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use super::*;
use crate::{
    ledger::{
        AccountState, Leg, LegBody, MemoryState, Prepare,
        tests::{any_command, openings},
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
    let prepare = Command::Prepare(Prepare { key: key.clone(), body: body.clone(), at_ms: 5 });
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

#[tokio::test]
async fn another_bank_cannot_open_the_file() {
    let directory = TempDir::new().unwrap();
    let store = create(&directory);
    store.close().await;
    drop(store);
    let refused = Embedded::open(&directory.path().join("ledger.redb"), "sbi");
    let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("`bank icici v1`, not of `bank sbi v1`"), "{error}");
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
    fn the_file_agrees_with_the_model(batches in vec(vec(any_command(), 1..20), 1..6)) {
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
            let stored = runtime.block_on(store.account(account_id)).unwrap();
            prop_assert_eq!(stored, Some(*account));
        }
        let totals = runtime.block_on(store.totals()).unwrap();
        prop_assert_eq!(totals.in_doubt, model.in_doubt() as u64);
    }
}
