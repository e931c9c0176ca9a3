//! The accounts a workload may use, read from the files the banks and the gateway were started with.
//!
//! A directory holds one `BANK.csv` per bank (`account_id,currency,balance[,state]`) and `users.csv`
//! (`username,bank,account_id`), as `strife accounts generate` writes them.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

/// The file that says whose accounts they are.
const USERS_FILE: &str = "users.csv";

/// The account files cannot be used.
#[derive(Debug, Error)]
pub enum AccountsError {
    /// The directory or a file cannot be read.
    #[error("cannot read {}: {reason}; make account files with `strife accounts generate` and name \
             their directory with --accounts", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A line is not what the file's head promises.
    #[error("{}: {reason}; correct the file or make new ones with `strife accounts generate`",
            path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Line and cause.
        reason: String,
    },
    /// Too few accounts for the workload.
    #[error("{}: {reason}", path.display())]
    TooFew {
        /// The directory.
        path: PathBuf,
        /// What is missing, and what to do.
        reason: String,
    },
}

/// An account that may pay and be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// As the bank knows it.
    pub id: String,
    /// ISO 4217 code.
    pub currency: String,
}

/// The usable accounts of one bank. Never without a pair that shares a currency.
#[derive(Debug, Clone)]
pub struct BankAccounts {
    /// As in `--bank-name`, lower case.
    pub bank: String,
    /// Sorted by currency.
    pub accounts: Vec<Account>,
}

/// An account whose owner is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedAccount {
    /// Who may pay from it.
    pub username: String,
    /// Where it is, lower case.
    pub bank: String,
    /// The account.
    pub account: Account,
}

impl Account {
    /// The account's currency.
    pub fn currency(&self) -> &str {
        &self.currency
    }
}

impl OwnedAccount {
    /// The account's currency.
    pub fn currency(&self) -> &str {
        &self.account.currency
    }
}

/// Everything read from one directory.
#[derive(Debug, Clone)]
pub struct AccountBook {
    dir: PathBuf,
    banks: Vec<BankAccounts>,
    owned: Vec<OwnedAccount>,
}

#[derive(Deserialize)]
struct AccountLine {
    account_id: String,
    currency: String,
    #[serde(default)]
    state: Option<String>,
}

#[derive(Deserialize)]
struct UserLine {
    username: String,
    bank: String,
    account_id: String,
}

impl AccountBook {
    /// Reads every bank's file in `dir`, and `users.csv` if it is there. Frozen accounts are left out.
    pub fn load(dir: &Path) -> Result<Self, AccountsError> {
        let mut banks = Vec::new();
        for (bank, path) in bank_files(dir)? {
            banks.push(BankAccounts { bank, accounts: read_accounts(&path)? });
        }
        let users = dir.join(USERS_FILE);
        let owned = if users.exists() { read_owned(&users, &banks)? } else { Vec::new() };
        Ok(Self { dir: dir.to_owned(), banks, owned })
    }

    /// The banks `names`, or all of them if that is empty; each with two accounts of one currency at
    /// least.
    pub fn banks(&self, names: &[String]) -> Result<Vec<BankAccounts>, AccountsError> {
        let wanted = |bank: &BankAccounts| {
            names.is_empty() || names.iter().any(|name| name.eq_ignore_ascii_case(&bank.bank))
        };
        let missing = names
            .iter()
            .find(|name| !self.banks.iter().any(|bank| name.eq_ignore_ascii_case(&bank.bank)));
        if let Some(name) = missing {
            return Err(self.too_few(format!("there is no {name}.csv")));
        }
        let banks: Vec<_> = self.banks.iter().filter(|bank| wanted(bank)).cloned().collect();
        let lonely = banks.iter().find(|bank| {
            !bank.accounts.windows(2).any(|pair| pair[0].currency == pair[1].currency)
        });
        match lonely {
            Some(bank) => Err(self.too_few(format!(
                "{}.csv needs two active accounts of one currency to transfer between",
                bank.bank
            ))),
            None if banks.is_empty() => Err(self.too_few("there is no account file".to_owned())),
            None => Ok(banks),
        }
    }

    /// The accounts with owners; two of one currency at least.
    pub fn owned(&self) -> Result<Vec<OwnedAccount>, AccountsError> {
        let mut owned = self.owned.clone();
        owned.sort_by(|a, b| a.account.currency.cmp(&b.account.currency));
        if owned.windows(2).any(|pair| pair[0].account.currency == pair[1].account.currency) {
            Ok(owned)
        } else {
            Err(self.too_few(format!("payments need two accounts of one currency in {USERS_FILE}")))
        }
    }

    fn too_few(&self, reason: String) -> AccountsError {
        let reason = format!("{reason}; make account files with `strife accounts generate`");
        AccountsError::TooFew { path: self.dir.clone(), reason }
    }
}

/// Banks by their files' stems, in order of name.
fn bank_files(dir: &Path) -> Result<Vec<(String, PathBuf)>, AccountsError> {
    let unreadable = |error: std::io::Error| AccountsError::Unreadable {
        path: dir.into(),
        reason: error.to_string(),
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_csv = path.extension().is_some_and(|extension| extension == "csv");
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(stem) = stem.filter(|stem| is_csv && *stem != "users") {
            files.push((stem.to_ascii_lowercase(), path.clone()));
        }
    }
    files.sort();
    Ok(files)
}

fn read_accounts(path: &Path) -> Result<Vec<Account>, AccountsError> {
    let mut accounts = Vec::new();
    for line in read_lines::<AccountLine>(path)? {
        let state = line.state.unwrap_or_default();
        if state.is_empty() || state.eq_ignore_ascii_case("active") {
            accounts.push(Account { id: line.account_id, currency: line.currency });
        }
    }
    accounts.sort_by(|a, b| a.currency.cmp(&b.currency));
    Ok(accounts)
}

fn read_owned(path: &Path, banks: &[BankAccounts]) -> Result<Vec<OwnedAccount>, AccountsError> {
    let known: HashMap<(&str, &str), &Account> = banks
        .iter()
        .flat_map(|bank| bank.accounts.iter().map(|a| ((bank.bank.as_str(), a.id.as_str()), a)))
        .collect();
    let mut owned = Vec::new();
    for line in read_lines::<UserLine>(path)? {
        let bank = line.bank.to_ascii_lowercase();
        if let Some(account) = known.get(&(bank.as_str(), line.account_id.as_str())) {
            let account = (*account).clone();
            owned.push(OwnedAccount { username: line.username, bank, account });
        }
    }
    Ok(owned)
}

fn read_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, AccountsError> {
    let failed = |error: csv::Error| match error.kind() {
        csv::ErrorKind::Io(error) => {
            AccountsError::Unreadable { path: path.into(), reason: error.to_string() }
        }
        _ => AccountsError::Malformed { path: path.into(), reason: error.to_string() },
    };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(failed)?;
    reader.deserialize().collect::<Result<_, _>>().map_err(failed)
}
