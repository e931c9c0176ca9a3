//! Who owns which account: the file of `--users`, read once at the start.
//!
//! CSV with the header `username,bank,account_id`, or a JSON array of objects with these keys (a file
//! that ends in `.json`). One account a row, any number a user. A malformed file is refused as a whole,
//! with its name, the line and the reason.

use std::{
    collections::{BTreeSet, HashMap},
    fmt, fs,
    path::Path,
};

use serde::Deserialize;
use strife_runtime::identity::is_name;
use thiserror::Error;

use crate::order::Account;

#[cfg(test)]
mod tests;

/// The header of the CSV form.
const HEADER: [&str; 3] = ["username", "bank", "account_id"];

/// Users and their accounts. Immutable.
#[derive(Debug, Default)]
pub struct Users {
    accounts: HashMap<String, Vec<Account>>,
    owners: HashMap<Account, String>,
    banks: BTreeSet<String>,
}

/// A users file that cannot be used.
#[derive(Debug, Error)]
#[error("{file}{place}: {reason}; correct it and start again, nothing was loaded")]
pub struct MalformedUsers {
    file: String,
    place: Place,
    reason: String,
}

/// Where in the file.
#[derive(Debug, Clone, Copy)]
enum Place {
    File,
    /// From 1.
    Line(u64),
    /// Of a JSON array, from 1: what is read has no line of its own any more.
    Entry(u64),
}

/// What is wrong, and where.
type Flaw = (Place, String);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Line(line) => write!(f, ":{line}"),
            Self::Entry(entry) => write!(f, ", entry {entry}"),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    username: String,
    bank: String,
    account_id: String,
}

impl Users {
    /// Reads a users file.
    pub fn read(path: &Path) -> Result<Self, MalformedUsers> {
        let file = path.display().to_string();
        let malformed =
            |(place, reason): Flaw| MalformedUsers { file: file.clone(), place, reason };
        let text = fs::read_to_string(path)
            .map_err(|error| malformed((Place::File, format!("cannot be read ({error})"))))?;
        let json = path.extension().is_some_and(|extension| extension == "json");
        let rows = if json { rows_of_json(&text) } else { rows_of_csv(&text) };
        Self::from_rows(rows.map_err(malformed)?).map_err(malformed)
    }

    fn from_rows(rows: Vec<(Place, Row)>) -> Result<Self, Flaw> {
        let mut users = Self::default();
        for (place, row) in rows {
            users.insert(row).map_err(|reason| (place, reason))?;
        }
        Ok(users)
    }

    fn insert(&mut self, row: Row) -> Result<(), String> {
        let Row { username, bank, account_id } = row;
        if !is_name(&username) {
            return Err(format!(
                "`{username}` is not a username (1 to 64 of a-z, 0-9, `-` and `_`)"
            ));
        }
        let account = Account { bank: bank.to_ascii_lowercase(), id: account_id };
        account.check().map_err(|malformed| malformed.to_string())?;
        if let Some(owner) = self.owners.insert(account.clone(), username.clone()) {
            return Err(format!("account {account} is already {owner}'s"));
        }
        self.banks.insert(account.bank.clone());
        self.accounts.entry(username).or_default().push(account);
        Ok(())
    }

    /// A user's accounts, in the file's order; `None` if there is no such user.
    pub fn accounts_of(&self, user: &str) -> Option<&[Account]> {
        self.accounts.get(user).map(Vec::as_slice)
    }

    /// Whose account it is, if it is a known user's.
    pub fn owner_of(&self, account: &Account) -> Option<&str> {
        self.owners.get(account).map(String::as_str)
    }

    /// Every bank that a user has an account at, sorted.
    pub fn banks(&self) -> impl Iterator<Item = &str> {
        self.banks.iter().map(String::as_str)
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }
}

fn rows_of_csv(text: &str) -> Result<Vec<(Place, Row)>, Flaw> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| (Place::Line(1), reason_of(&error)))?;
    if header.iter().ne(HEADER) {
        let found = header.iter().collect::<Vec<_>>().join(",");
        let reason = format!("the header must be `{}`, not `{found}`", HEADER.join(","));
        return Err((Place::Line(1), reason));
    }
    let header = header.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| (place_of(error.position()), reason_of(&error)))?;
        let place = place_of(record.position());
        let row = record.deserialize(Some(&header)).map_err(|error| (place, reason_of(&error)))?;
        rows.push((place, row));
    }
    Ok(rows)
}

fn place_of(position: Option<&csv::Position>) -> Place {
    position.map_or(Place::File, |position| Place::Line(position.line()))
}

fn reason_of(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields instead of {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

fn rows_of_json(text: &str) -> Result<Vec<(Place, Row)>, Flaw> {
    let rows: Vec<Row> = serde_json::from_str(text)
        .map_err(|error| (Place::Line(error.line() as u64), error.to_string()))?;
    Ok((1..).map(Place::Entry).zip(rows).collect())
}
