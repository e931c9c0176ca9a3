//! What operators do to accounts of running banks, and how books are held against payments.

use std::{path::Path, process::Output};

use redb::{Database, ReadableTable, TableDefinition};
use strife_proto::gateway::v1::{AbortReason, PaymentState};

use crate::support::{Account, Booted, PATIENCE, PAYMENT, boot, strife};

/// Legs that are over, as a bank's file has them.
type LegRow = (u8, &'static str, i64, [u8; 3], &'static str, u64);
const FINISHED: TableDefinition<'_, &str, LegRow> = TableDefinition::new("finished");

/// Runs `strife admin` as this fleet's operator.
pub(crate) fn admin(booted: &Booted, arguments: &[&str]) -> Output {
    let certs = booted.fleet.spec().certs().display().to_string();
    strife(&[&["admin"], arguments, &["--certs", &certs]].concat())
}

pub(crate) fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// Does something to an account of icici's; what is printed.
#[track_caller]
fn change(booted: &Booted, what: &str, account: &str, flags: &[&str]) -> String {
    let address = booted.fleet.address("icici").unwrap();
    let flags = [&["account", what, account, "--bank-addr", address], flags].concat();
    let output = admin(booted, &flags);
    assert!(output.status.success(), "{flags:?}: {}", text(&output));
    text(&output)
}

async fn check_payment(booted: &Booted, id: &str, expected: Option<AbortReason>) {
    let (from, to) = (booted.account("icici", 0), booted.account("sbi", 0));
    let answer = booted.pay(booted.payment(id, from, to)).await;
    match expected {
        None => assert_eq!(answer.state(), PaymentState::Committed, "{id}: {}", answer.detail),
        Some(reason) => {
            assert_eq!(answer.state(), PaymentState::Aborted, "{id}");
            assert_eq!(answer.abort_reason(), reason, "{id}: {}", answer.detail);
        }
    }
}

#[tokio::test]
async fn accounts_are_opened_limited_and_frozen_while_payments_go_on() {
    let booted = boot(|_| {}).await;
    let before = booted.fleet.totals().await.unwrap();
    let account = booted.account("icici", 0).account.clone();
    check_payment(&booted, "unlimited", None).await;
    let (less, once) = ((PAYMENT - 1).to_string(), (PAYMENT + 1).to_string());
    let said = change(&booted, "limit", &account, &["--per-payment", &less]);
    assert!(said.contains(&format!("limit per payment  {less}")), "{said}");
    check_payment(&booted, "too much", Some(AbortReason::LimitPerPayment)).await;
    change(&booted, "limit", &account, &["--per-payment", "none", "--per-day", &once]);
    check_payment(&booted, "once", None).await;
    check_payment(&booted, "twice", Some(AbortReason::LimitPerDay)).await;
    let said = change(&booted, "show", &account, &[]);
    assert!(said.contains(&format!("limit per day      {once}, 1 left today")), "{said}");
    change(&booted, "limit", &account, &["--per-day", "none"]);
    assert!(change(&booted, "freeze", &account, &[]).contains("FROZEN"));
    check_payment(&booted, "frozen", Some(AbortReason::AccountFrozen)).await;
    assert!(change(&booted, "unfreeze", &account, &[]).contains("ACTIVE"));
    check_payment(&booted, "thawed", None).await;
    assert!(change(&booted, "open", "A-new", &[]).contains("icici/A-new: ACTIVE, INR"));
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();

    let (owner, server) =
        (booted.fleet.address("icici").unwrap(), booted.fleet.address("icici-1").unwrap());
    for (arguments, expected) in [
        (["account", "open", "A-new", "--bank-addr", owner], "exists at bank icici already"),
        (["account", "show", "nobody", "--bank-addr", owner], "strife admin account open"),
        (["account", "show", "A-new", "--bank-addr", server], "name the one that owns it"),
        (["account", "show", "A-new", "--bank-addr", "127.0.0.1:1"], "no bank answers"),
    ] {
        let output = admin(&booted, &arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output).contains(expected), "{arguments:?}: {}", text(&output));
    }
}

/// Everything that is there, however new.
pub(crate) fn reconcile(booted: &Booted) -> Output {
    let address = |member: &str| booted.fleet.address(member).unwrap();
    let (icici, sbi) = (format!("icici={}", address("icici")), format!("sbi={}", address("sbi")));
    let banks = ["--bank", &icici, "--bank", &sbi, "--settled-after", "0s"];
    admin(booted, &[&["reconcile", "--gateway", address("gateway")], &banks[..]].concat())
}

#[tokio::test]
async fn reconciling_names_what_was_taken_out_of_a_store() {
    let mut booted = boot(|_| {}).await;
    let accounts = [("icici", "sbi"), ("sbi", "icici"), ("icici", "icici")];
    let mut transaction_id = String::new();
    for (number, (from, to)) in accounts.into_iter().cycle().take(30).enumerate() {
        let (from, to) = (booted.account(from, number), booted.account(to, number + 1));
        let mut request = booted.payment(&format!("p{number}"), from, to);
        if number % 10 == 9 {
            request.amount.as_mut().unwrap().minor_units = i64::MAX / 2;
        }
        let answer = booted.pay(request).await;
        if answer.state() == PaymentState::Committed && from.bank != to.bank {
            transaction_id = answer.transaction_id;
        }
    }
    booted.fleet.settled_totals(PATIENCE).await.unwrap();
    let clean = reconcile(&booted);
    assert!(clean.status.success(), "{}", text(&clean));
    assert!(text(&clean).contains("30 transactions: 10 within one bank"), "{}", text(&clean));

    booted.fleet.kill("icici").await.unwrap();
    let taken = take_out(&booted.fleet.spec().dir.join("data/icici/ledger.redb"), &transaction_id);
    booted.fleet.restart("icici").await.unwrap();
    let found = reconcile(&booted);
    assert_eq!(found.status.code(), Some(1), "{}", text(&found));
    let missing =
        format!("{transaction_id}: the payment is COMMITTED, but its {taken} at icici is missing");
    assert!(text(&found).contains(&missing), "{}", text(&found));
    assert!(text(&found).contains("bank icici: settlement sum to"), "{}", text(&found));
    assert!(text(&found).contains("2 findings"), "{}", text(&found));
}

/// Takes the transaction's leg out of a bank's file; which side it was.
fn take_out(store: &Path, transaction_id: &str) -> &'static str {
    let database = Database::open(store).unwrap();
    let transaction = database.begin_write().unwrap();
    let side = {
        let mut finished = transaction.open_table(FINISHED).unwrap();
        let key = |side: &str| format!("{transaction_id}-{side}");
        let is_there = |side: &&str| finished.get(key(side).as_str()).unwrap().is_some();
        let side = ["debit", "credit"].into_iter().find(is_there).unwrap();
        finished.remove(key(side).as_str()).unwrap();
        side
    };
    transaction.commit().unwrap();
    side
}

#[tokio::test]
async fn balances_are_told_without_the_bank_that_is_away() {
    let mut booted = boot(|_| {}).await;
    let at_both = |account: &Account| {
        let is_at = |bank: &str| {
            booted.accounts.iter().any(|other| other.user == account.user && other.bank == bank)
        };
        is_at("icici") && is_at("sbi")
    };
    let user = booted.accounts.iter().find(|account| at_both(account)).unwrap().user.clone();
    for member in ["icici", "icici-1", "icici-2"] {
        booted.fleet.kill(member).await.unwrap();
    }
    for balance in booted.balances(&user).await.accounts {
        let bank = balance.account.unwrap().bank;
        assert_eq!(balance.available.is_none(), bank == "icici", "{bank}");
        assert_eq!(balance.error.contains("bank icici"), bank == "icici", "{}", balance.error);
    }
}
