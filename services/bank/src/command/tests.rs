//! Flags, first and later starts, and who is to blame when it goes wrong.

use clap::Parser;
use strife_store::postgres::testing::Server;
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
fn a_store_that_cannot_be_used_says_so() {
    for (flags, expected) in [
        (&["--store", "postgres://u@db/"][..], "names no database"),
        (&["--store", "postgres://u@db/d?sslmode=verify-full"], "sslrootcert=FILE"),
        (&["--store", "127.0.0.1:1", "--accounts", "a.csv"], "one or the other"),
    ] {
        let args = parse(&[flags, &["--plaintext"]].concat()).unwrap();
        let failure = run(args).unwrap_err();
        assert!(failure.to_string().contains(expected), "{failure}");
        assert_eq!(failure.exit_code(), std::process::ExitCode::from(Failure::USAGE));
    }
}

#[tokio::test]
async fn a_database_needs_accounts_once() {
    let url = Server::shared().create_database().await;
    let open = async |flags: &[&str]| {
        let args = parse(&[&["--store", &url], flags].concat()).unwrap();
        let address = Address::parse(&url).unwrap();
        open_database(&args, &address).await.map(drop).map_err(|error| error.to_string())
    };
    let said = open(&[]).await.unwrap_err();
    assert!(said.contains("strife accounts generate") && said.contains("bank icici in"), "{said}");
    assert!(open(&["--accounts", "no/such/file.csv"]).await.unwrap_err().contains("no/such"));
    open(&["--accounts", &example()]).await.unwrap();
    open(&[]).await.unwrap();
    open(&["--accounts", "no/such/file.csv"]).await.unwrap();
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
