//! The conformance suite by two processes' stores on one database, the model, starts, and refusals.

mod lossy;

use std::sync::atomic::Ordering::Relaxed;

use proptest::{collection::vec, prelude::*};
use strife_store::postgres::testing::Server;

use self::lossy::LossyWay;
use super::*;
use crate::{
    ledger::{
        AccountState, Internal, MemoryState, Receipt, Refusal,
        tests::{any_command_of_all, openings},
    },
    store::conformance,
};

/// As another process would open it.
async fn open(url: &str, bank: &str) -> Result<(Postgres, Opened), BankError> {
    let address = Address::parse(url).unwrap();
    Postgres::open(&address, bank, Connections::default(), || Ok(openings())).await
}

async fn refused(url: &str, bank: &str) -> String {
    open(url, bank).await.map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn two_servers_on_one_database_conform() {
    let url = Server::shared().create_database().await;
    let (one, other) = tokio::join!(open(&url, "icici"), open(&url, "icici"));
    let ((one, first), (other, second)) = (one.unwrap(), other.unwrap());
    let created = [first, second].iter().filter(|opened| **opened == Opened::Created).count();
    assert_eq!(created, 1, "the accounts were opened once");
    conformance::check(one.clone(), other, one).await;
}

#[tokio::test]
async fn one_database_holds_many_banks_and_none_that_failed() {
    let server = Server::shared();
    let url = server.create_database().await;
    let (icici, _) = open(&url, "icici").await.unwrap();
    let (sbi, opened) = open(&url, "sbi").await.unwrap();
    assert_eq!(opened, Opened::Created);
    let totals = icici.totals().await.unwrap();
    assert_eq!(totals, sbi.totals().await.unwrap());
    assert_eq!(totals.accounts, openings().len() as u64);

    let address = Address::parse(&url).unwrap();
    let twice = || Ok([openings(), openings()].concat());
    let failed = Postgres::open(&address, "hdfc", Connections::default(), twice).await;
    let said = failed.map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("exists already"), "{said}");
    let none = || Err(BankError::NoAccounts { bank: "hdfc".to_owned(), why: String::new() });
    let failed = Postgres::open(&address, "hdfc", Connections::default(), none).await;
    assert!(matches!(failed, Err(BankError::NoAccounts { .. })));
    assert_eq!(open(&url, "hdfc").await.unwrap().1, Opened::Created);

    let said = refused(&url, &"x".repeat(52)).await;
    assert!(said.contains("at most 51 letters"), "{said}");
    let database = url.rsplit_once('/').unwrap().1;
    let newer = "UPDATE strife_bank_sbi.strife_migrations SET version = 99 \
        WHERE version = (SELECT max(version) FROM strife_bank_sbi.strife_migrations)";
    server.execute(database, newer).await;
    assert!(refused(&url, "sbi").await.contains("newer version (migration 99"));
}

#[tokio::test]
async fn the_journal_sums_to_nothing() {
    let server = Server::shared();
    let url = server.create_database().await;
    let (one, _) = open(&url, "icici").await.unwrap();
    let (other, _) = open(&url, "icici").await.unwrap();
    conformance::check(one.clone(), other, one.clone()).await;
    let client = one.client().await.unwrap();
    client.batch_execute("SET search_path TO strife_bank_icici").await.unwrap();
    let differing = "SELECT count(*) FROM accounts a WHERE a.available + a.held <> \
        (SELECT coalesce(sum(amount), 0) FROM journal WHERE to_account = account_id) - \
        (SELECT coalesce(sum(amount), 0) FROM journal WHERE from_account = account_id)";
    let row = client.query_one(differing, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0, "every balance is what was posted to it");
    let all = "SELECT (SELECT sum(balance) FROM positions) + \
        (SELECT sum(available::numeric + held) FROM accounts) = 0";
    assert!(client.query_one(all, &[]).await.unwrap().get::<_, bool>(0));
}

fn opening(account_id: &str, transaction_id: &str) -> Command {
    Command::OpenAccount(OpenAccount {
        account_id: account_id.to_owned(),
        balance: openings()[0].balance,
        state: AccountState::Active,
        transaction_id: Some(transaction_id.to_owned()),
    })
}

/// The first finds no account and its batch is run again; then it is its own that it finds.
#[tokio::test]
async fn an_opening_whose_commit_is_lost_is_done() {
    let server = Server::shared();
    let url = server.create_database().await;
    let way = LossyWay::to(server.host()).await;
    let (bank, _) = open(&url.replace(&server.host(), &way.host), "icici").await.unwrap();
    way.lose_a_commit.store(true, Relaxed);
    assert_eq!(bank.apply(opening("new", "one")).await.unwrap(), Ok(Receipt::Done));
    assert!(!way.lose_a_commit.load(Relaxed), "nothing was lost");
    let again = bank.apply(opening("new", "two")).await.unwrap();
    assert_eq!(again, Err(Refusal::AccountExists));
    let account = bank.account("new").await.unwrap().unwrap();
    assert_eq!(account.available, openings()[0].balance.minor_units);
}

/// As where a batch is run again while its COMMIT is still under way.
#[tokio::test]
async fn of_two_who_open_an_account_by_one_command_both_have() {
    let url = Server::shared().create_database().await;
    let ((one, _), (other, _)) =
        tokio::try_join!(open(&url, "icici"), open(&url, "icici")).unwrap();
    for round in 0..50 {
        let opening = || opening(&format!("new-{round}"), &format!("opening-{round}"));
        let both = tokio::try_join!(one.apply(opening()), other.apply(opening())).unwrap();
        assert_eq!(both, (Ok(Receipt::Done), Ok(Receipt::Done)), "{round}");
    }
    assert_eq!(one.totals().await.unwrap().accounts, openings().len() as u64 + 50);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Batches by two servers in turn give the verdicts and balances of the model in memory.
    #[test]
    fn the_database_agrees_with_the_model(batches in vec(vec(any_command_of_all(), 1..20), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let url = Server::shared().create_database().await;
            let servers = [open(&url, "icici").await.unwrap().0, open(&url, "icici").await.unwrap().0];
            let mut model = MemoryState::default();
            for opening in openings() {
                let Ok(_) = ledger::apply(&mut model, &Command::OpenAccount(opening));
            }
            for (turn, batch) in batches.into_iter().enumerate() {
                let expected: Vec<Verdict> = batch
                    .iter()
                    .map(|command| match ledger::apply(&mut model, command) {
                        Ok(verdict) => verdict,
                    })
                    .collect();
                let verdicts = servers[turn % 2].apply_all(batch).await.unwrap();
                prop_assert_eq!(verdicts, expected);
            }
            for (account_id, account) in model.accounts() {
                let stored = servers[0].details(account_id).await.unwrap();
                let limits = model.all_limits().get(account_id).copied();
                prop_assert_eq!(stored, Some(AccountDetails { account: *account, limits }));
            }
            let stored = servers[0].legs("", usize::MAX).await.unwrap();
            prop_assert_eq!(stored, conformance::legs_of(&model));
            let totals = servers[1].totals().await.unwrap();
            prop_assert_eq!(totals.in_doubt, model.in_doubt() as u64);
            for (internal, balance) in model.positions() {
                if let Internal::Settlement(currency) = internal {
                    let stored = totals.settlement.get(currency).copied().unwrap_or(0);
                    prop_assert_eq!(stored, *balance);
                }
            }
            Ok(())
        })?;
    }
}
