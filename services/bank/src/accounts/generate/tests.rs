//! What is generated can be read, is the same for the same seed, and leaves nobody without account.

use std::collections::HashSet;

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::accounts::file;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: GenerateArgs,
}

fn parse(out: &Path, flags: &[&str]) -> GenerateArgs {
    let out = out.display().to_string();
    let all = ["generate", "--out", &out].into_iter().chain(flags.iter().copied());
    Cli::try_parse_from(all).unwrap().args
}

/// Every user of the file `(username, bank, account id)`.
fn users(directory: &TempDir) -> Vec<(String, String, String)> {
    let mut reader = csv::Reader::from_path(directory.path().join(USERS_FILE)).unwrap();
    assert_eq!(reader.headers().unwrap(), vec!["username", "bank", "account_id"]);
    reader.deserialize().map(Result::unwrap).collect()
}

fn check(flags: &[&str], banks: &[&str], accounts: usize, expected_users: usize) {
    let directory = TempDir::new().unwrap();
    let written = generate(&parse(directory.path(), flags)).unwrap();
    assert_eq!(written.len(), banks.len() + 1);
    let users = users(&directory);
    let mut held = HashSet::new();
    for bank in banks {
        let path = directory.path().join(format!("{bank}.csv"));
        let read = file::read(&path, bank).unwrap();
        assert_eq!(read.len(), accounts);
        held.extend(read.into_iter().map(|account| ((*bank).to_owned(), account.account_id)));
    }
    let rows: HashSet<_> = users.iter().map(|(_, bank, id)| (bank.clone(), id.clone())).collect();
    assert_eq!(rows, held, "every account has its holder");
    let names: HashSet<_> = users.iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), expected_users);
    assert!(names.iter().all(|name| is_name(name)));
}

#[test]
fn files_are_complete() {
    check(&[], &["icici", "sbi"], 1000, 1000);
    check(
        &["--banks", "5", "--accounts", "10"],
        &["icici", "sbi", "hdfc", "axis", "bank5"],
        10,
        10,
    );
    check(&["--bank-name", "ICICI", "--accounts", "3", "--users", "2"], &["icici"], 3, 2);
    check(&["--accounts", "10", "--users", "15"], &["icici", "sbi"], 10, 15);
    check(&["--accounts", "10", "--users", "20"], &["icici", "sbi"], 10, 20);
}

#[test]
fn the_seed_decides() {
    let text = |seed: &str| {
        let directory = TempDir::new().unwrap();
        let flags = ["--accounts", "20", "--seed", seed, "--balance", "5..1000000"];
        let written = generate(&parse(directory.path(), &flags)).unwrap();
        fs::read_to_string(&written[0]).unwrap()
    };
    assert_eq!(text("1"), text("1"));
    assert_ne!(text("1"), text("2"));
}

#[test]
fn nothing_is_replaced_unasked() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("sbi.csv"), "mine").unwrap();
    let refused = generate(&parse(directory.path(), &[]));
    assert!(matches!(refused, Err(BankError::WouldOverwrite(_))));
    assert!(!directory.path().join("icici.csv").exists());
    assert!(generate(&parse(directory.path(), &["--force"])).is_ok());
}

#[test]
fn what_cannot_be_is_refused() {
    let directory = TempDir::new().unwrap();
    for flags in [
        &["--banks", "0"][..],
        &["--bank-name", "a b"],
        &["--bank-name", "icici", "--bank-name", "ICICI"],
        &["--bank-name", "users"],
        &["--accounts", "1", "--users", "3"],
    ] {
        assert!(generate(&parse(directory.path(), flags)).is_err(), "{flags:?}");
    }
    for flags in [
        &["--balance", "5"][..],
        &["--balance", "5..4"],
        &["--balance", "-1..4"],
        &["--currency", "rupee"],
        &["--accounts", "0"],
    ] {
        let all = ["generate"].into_iter().chain(flags.iter().copied());
        assert!(Cli::try_parse_from(all).is_err(), "{flags:?}");
    }
}
