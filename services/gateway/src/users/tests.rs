//! Both forms of the file, and every way to get one wrong.

use super::*;

fn read(name: &str, text: &str) -> Result<Users, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    let shown = format!("{}/", dir.path().display());
    Users::read(&path).map_err(|error| error.to_string().replace(&shown, ""))
}

fn check_refused(name: &str, text: &str, expected: &str) {
    let refused = read(name, text).unwrap_err();
    assert!(refused.starts_with(expected), "{refused}");
}

fn account(bank: &str, id: &str) -> Account {
    Account { bank: bank.to_owned(), id: id.to_owned() }
}

fn check_johns(users: &Users) {
    let accounts = [account("icici", "A1"), account("sbi", "B1")];
    assert_eq!(users.accounts_of("john_doe"), Some(accounts.as_slice()));
    assert_eq!(users.owner_of(&accounts[1]), Some("john_doe"));
    assert_eq!(users.accounts_of("jane"), None);
    assert_eq!(users.banks().collect::<Vec<_>>(), ["icici", "sbi"]);
    assert_eq!(users.len(), 1);
}

#[test]
fn csv_is_read() {
    let text = "username,bank,account_id\njohn_doe,ICICI,A1\njohn_doe,sbi,B1\n";
    check_johns(&read("users.csv", text).unwrap());
}

#[test]
fn json_is_read() {
    let text = r#"[
        {"username": "john_doe", "bank": "icici", "account_id": "A1"},
        {"username": "john_doe", "bank": "SBI", "account_id": "B1"}
    ]"#;
    check_johns(&read("users.json", text).unwrap());
}

#[test]
fn a_malformed_file_is_refused_with_its_line() {
    let csv = |rows: &str| format!("username,bank,account_id\n{rows}");
    check_refused("u.csv", "user,bank,id\n", "u.csv:1: the header must be `username,bank,");
    check_refused("u.csv", "", "u.csv:1: the header must be");
    check_refused("u.csv", &csv("a,icici,A1\nb,icici\n"), "u.csv:3: 2 fields instead of 3");
    check_refused("u.csv", &csv("J Doe,icici,A1\n"), "u.csv:2: `J Doe` is not a username");
    check_refused("u.csv", &csv("a,icici,\n"), "u.csv:2: `` is not an account id");
    check_refused("u.csv", &csv("a,i c,A1\n"), "u.csv:2: `i c` is not a bank's name");
    let twice = csv("a,icici,A1\nb,sbi,B1\nb,icici,A1\n");
    check_refused("u.csv", &twice, "u.csv:4: account icici/A1 is already a's");
    check_refused("u.json", "[\n{\"username\": \"a\"}\n]", "u.json:2: missing field");
    check_refused("u.json", "[", "u.json:1: EOF");
    let nameless = r#"[{"username": "", "bank": "icici", "account_id": "A1"}]"#;
    check_refused("u.json", nameless, "u.json, entry 1: `` is not a username");
}

#[test]
fn a_missing_file_is_named() {
    let refused = Users::read(Path::new("no/such.csv")).unwrap_err().to_string();
    assert!(refused.starts_with("no/such.csv: cannot be read"), "{refused}");
}
