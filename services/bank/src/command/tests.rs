//! Flags, first and later starts, and who is to blame when it goes wrong.

use clap::Parser;
use tempfile::TempDir;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: BankArgs,
}

fn parse(flags: &[&str]) -> Result<BankArgs, clap::Error> {
    let all = ["bank", "--bank-name", "ICICI"].into_iter().chain(flags.iter().copied());
    Cli::try_parse_from(all).map(|cli| cli.args)
}

fn example() -> String {
    format!("{}/examples/icici.csv", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_name_is_folded_and_all_else_has_defaults() {
    let args = parse(&[]).unwrap();
    assert_eq!(args.bank_name, "icici");
    assert_eq!((args.port, args.slots, args.max_queue), (8081, 0, 10_000));
}

#[test]
fn flags_that_cannot_be_are_refused() {
    for flags in [
        &["--bank-name", "a b"][..],
        &["--store", "127.0.0.1:1", "--accounts", "a.csv"],
        &["--store", "127.0.0.1:1", "--data", "d"],
        &["--service-time", "5ms"],
        &["--slow", "0"],
        &["--slow", "NaN"],
        &["--report-interval", "0s"],
    ] {
        assert!(parse(flags).is_err(), "{flags:?}");
    }
}

#[test]
fn what_is_not_there_yet_says_so() {
    let args = parse(&["--store", "postgres://db/bank", "--plaintext"]).unwrap();
    let failure = run(args).unwrap_err().to_string();
    assert!(failure.contains("not available yet"), "{failure}");
}

#[test]
fn accounts_are_read_at_the_first_start_only() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data").display().to_string();
    let first = parse(&["--data", &data, "--accounts", &example()]).unwrap();
    drop(open_store(&first).unwrap());
    let later = parse(&["--data", &data, "--accounts", "no/such/file.csv"]).unwrap();
    drop(open_store(&later).unwrap());
    let without = parse(&["--data", &data]).unwrap();
    drop(open_store(&without).unwrap());
}

fn check_refused(flags: &[&str], expected: &str) {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data").display().to_string();
    let args = parse(&[&["--data", &data], flags].concat()).unwrap();
    let error = open_store(&args).map(drop).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
    assert!(!directory.path().join("data/ledger.redb").exists());
}

#[test]
fn a_first_start_without_accounts_says_how_to_make_some() {
    check_refused(&[], "strife accounts generate");
    check_refused(&["--accounts", "no/such/file.csv"], "accounts/icici.csv");
}
