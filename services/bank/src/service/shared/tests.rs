//! The conformance suite across a real stream, the stream's loss, and strangers.

use super::*;
use crate::{
    ledger::{Transfer, tests::openings},
    money::Amount,
    service::tests::{serve, serve_at},
    store::{Embedded, conformance},
};
use strife_runtime::Shutdown;
use tempfile::TempDir;

const PLAIN: Security = Security::Plaintext;

fn transfer(transaction_id: &str) -> Command {
    Command::Transfer(Transfer {
        transaction_id: transaction_id.to_owned(),
        from: "a".to_owned(),
        to: "b".to_owned(),
        amount: Amount { minor_units: 1, currency: "INR".parse().unwrap() },
        at_ms: 7,
    })
}

#[tokio::test]
async fn shared_conforms() {
    let served = serve(&PLAIN).await;
    let one = Shared::connect(&served.address, "icici", &PLAIN).await.unwrap();
    let other = Shared::connect(&served.address, "icici", &PLAIN).await.unwrap();
    conformance::check(one, other, served.store.clone()).await;
}

#[tokio::test]
async fn several_servers_share_one_store() {
    let served = serve(&PLAIN).await;
    let mut commands = Vec::new();
    for server in 0..3 {
        let shared = Shared::connect(&served.address, "icici", &PLAIN).await.unwrap();
        for n in 0..20 {
            let shared = shared.clone();
            let command = transfer(&format!("{server}-{n}"));
            commands.push(tokio::spawn(async move { shared.apply(command).await }));
        }
    }
    for command in commands {
        assert!(command.await.unwrap().unwrap().is_ok());
    }
    assert_eq!(served.store.account("a").await.unwrap().unwrap().available, 40);
}

#[tokio::test]
async fn a_lost_stream_fails_what_waits_and_comes_back() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ledger.redb");
    let store = Embedded::create(&path, "icici", &openings()).unwrap();
    let shutdown = Shutdown::manual();
    let (address, task) = serve_at("127.0.0.1:0", "icici", &store, &PLAIN, &shutdown).await;
    let shared = Shared::connect(&address, "icici", &PLAIN).await.unwrap();
    assert!(shared.apply(transfer("before")).await.unwrap().is_ok());

    // The stream does not hold up the owner's drain.
    shutdown.request();
    task.await.unwrap();
    let lost = shared.apply(transfer("during")).await;
    assert!(matches!(lost, Err(BankError::OwnerUnavailable { .. })), "{lost:?}");
    let read = shared.account("a").await;
    assert!(matches!(read, Err(BankError::OwnerUnavailable { .. })), "{read:?}");

    let shutdown = Shutdown::manual();
    let (_, _task) = serve_at(&address, "icici", &store, &PLAIN, &shutdown).await;
    loop {
        match shared.apply(transfer("during")).await {
            Ok(verdict) => break assert!(verdict.is_ok()),
            Err(BankError::OwnerUnavailable { .. }) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(store.account("a").await.unwrap().unwrap().available, 98);
}

#[tokio::test]
async fn another_banks_owner_refuses_even_in_the_clear() {
    let served = serve(&PLAIN).await;
    let refused = Shared::connect(&served.address, "sbi", &PLAIN).await;
    let failure = refused.err().map(|failure| failure.to_string()).unwrap_or_default();
    assert!(failure.contains("this is the store of bank icici"), "{failure}");
    assert!(failure.contains("--bank-name"), "{failure}");
}
