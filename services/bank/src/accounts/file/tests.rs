//! Good files in both forms, and every way to be refused.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

fn read_text(name: &str, text: &str) -> Result<Vec<OpenAccount>, String> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    read(&path, "icici")
        .map_err(|error| error.to_string().replace(&format!("{}/", directory.path().display()), ""))
}

fn check_refused(name: &str, text: &str, expected: &str) {
    let error = read_text(name, text).unwrap_err();
    assert!(error.starts_with(expected), "{error}");
    assert!(error.ends_with("nothing was loaded"), "{error}");
}

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn both_forms_say_the_same() {
    let csv = "account_id,currency,balance,state\na-1,INR,100,\na-2,EUR,0,frozen\n";
    let json = r#"[
        {"account_id": "a-1", "currency": "INR", "balance": 100},
        {"account_id": "a-2", "currency": "EUR", "balance": 0, "state": "frozen"}
    ]"#;
    let accounts = read_text("a.csv", csv).unwrap();
    assert_eq!(accounts, read_text("a.json", json).unwrap());
    assert_eq!(accounts.len(), 2);
    assert_eq!(accounts[0].balance.minor_units, 100);
    assert_eq!(accounts[1].state, AccountState::Frozen);
}

#[test]
fn columns_may_stand_in_any_order() {
    let accounts = read_text("a.csv", " balance , account_id , currency \n5, a ,INR\n").unwrap();
    assert_eq!((accounts[0].account_id.as_str(), accounts[0].balance.minor_units), ("a", 5));
}

#[test]
fn the_examples_are_good() {
    assert!(read(&example("icici.csv"), "icici").unwrap().len() >= 2);
    assert!(read(&example("sbi.json"), "sbi").unwrap().len() >= 2);
}

#[test]
fn malformed_csv_is_refused_with_its_line() {
    let header = "account_id,currency,balance\n";
    let row = |text: &str| format!("{header}a,INR,1\n{text}\n");
    for (text, expected) in [
        ("".to_owned(), "a.csv, line 1: the header has no column account_id"),
        (header.to_owned(), "a.csv, line 1: there is no account in it"),
        ("a,INR,1\nb,INR,2\n".to_owned(), "a.csv, line 1: `a` is not a column"),
        (
            "account_id,currency\na,INR\n".to_owned(),
            "a.csv, line 1: the header has no column balance",
        ),
        (
            "account_id,balance,balance\n".to_owned(),
            "a.csv, line 1: the column balance is there twice",
        ),
        (row("b,INR"), "a.csv, line 3: 2 fields where the header has 3"),
        (row("b,INR,1.5"), "a.csv, line 3: the balance `1.5` is not a whole number"),
        (row("b,INR,"), "a.csv, line 3: the balance `` is not a whole number"),
        (row("b,INR,99999999999999999999"), "a.csv, line 3: the balance `9"),
        (row("b,INR,-1"), "a.csv, line 3: the balance of b is negative (-1)"),
        (row("b,inr,1"), "a.csv, line 3: `inr` is not a currency"),
        (row("a,INR,1"), "a.csv, line 3: account a is on line 2 already"),
        (row(",INR,1"), "a.csv, line 3: `` cannot be an account id"),
        (row("a/b,INR,1"), "a.csv, line 3: `a/b` cannot be an account id"),
        (
            "account_id,currency,balance,state\na,INR,1,closed\n".to_owned(),
            "a.csv, line 2: `closed`",
        ),
    ] {
        check_refused("a.csv", &text, expected);
    }
}

#[test]
fn malformed_json_is_refused_with_its_line() {
    let object = |fields: &str| format!("[\n  {{{fields}}},\n\n  {{\n{fields}}}]");
    let good = r#""account_id": "a", "currency": "INR", "balance": 1"#;
    for (text, expected) in [
        ("[\n\n{]".to_owned(), "a.json, line 3: "),
        ("{}".to_owned(), "a.json, line 1: invalid type: map"),
        ("[]".to_owned(), "a.json, line 1: there is no account in it"),
        (object(good), "a.json, line 4: account a is on line 2 already"),
        (good.replace("1", "1.5"), "a.json, line 1: "),
        (
            format!("[{{{}}}]", good.replace("1", "1.5")),
            "a.json, line 1: invalid type: floating point",
        ),
        (format!("[\n{{{good},\n\"colour\": 1}}]"), "a.json, line 3: unknown field `colour`"),
        ("[\n{\"account_id\": \"a\"}]".to_owned(), "a.json, line 2: missing field `currency`"),
    ] {
        check_refused("a.json", &text, expected);
    }
}

#[test]
fn other_files_are_refused() {
    check_refused("a.txt", "", "a.txt, line 1: the name must end in .csv or .json");
    let error = read(Path::new("no/such.csv"), "icici").unwrap_err().to_string();
    assert!(error.contains("strife accounts generate"), "{error}");
    assert!(error.contains("no/such.csv"), "{error}");
}
