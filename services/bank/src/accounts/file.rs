//! Reads a bank's accounts from `account_id,currency,balance[,state]` in CSV, with that header, or
//! from a JSON array of objects of the same fields. Balances are whole minor units.

mod csv;
mod json;

use std::{collections::HashMap, fs, path::Path};

use crate::{
    BankError,
    accounts::is_account_id,
    ledger::{AccountState, OpenAccount},
    money::Amount,
};

/// An account as it stands in a file, and where.
struct Row {
    line: u64,
    account_id: String,
    currency: String,
    balance: i64,
    state: Option<String>,
}

/// Something wrong with a file, and where.
struct Malformed {
    line: u64,
    reason: String,
}

/// All accounts in the file, `.csv` or `.json`, or the first thing that is wrong with it. `bank` is
/// for the advice given when there is no such file.
pub fn read(path: &Path, bank: &str) -> Result<Vec<OpenAccount>, BankError> {
    let bytes = fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => BankError::NoAccounts {
            bank: bank.to_owned(),
            why: format!("there is no file {}", path.display()),
        },
        _ => BankError::File { path: path.into(), source },
    })?;
    let malformed = |Malformed { line, reason }| BankError::MalformedAccounts {
        path: path.into(),
        line,
        reason,
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
        malformed(Malformed { line, reason: "the text is not UTF-8".to_owned() })
    })?;
    let rows = match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) if extension.eq_ignore_ascii_case("csv") => csv::rows(text),
        Some(extension) if extension.eq_ignore_ascii_case("json") => json::rows(text),
        _ => Err(Malformed { line: 1, reason: "the name must end in .csv or .json".to_owned() }),
    };
    rows.and_then(check).map_err(malformed)
}

fn check(rows: Vec<Row>) -> Result<Vec<OpenAccount>, Malformed> {
    if rows.is_empty() {
        return Err(Malformed { line: 1, reason: "there is no account in it".to_owned() });
    }
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut accounts = Vec::with_capacity(rows.len());
    for row in rows {
        let line = row.line;
        let account = account(row).map_err(|reason| Malformed { line, reason })?;
        if let Some(first) = seen.insert(account.account_id.clone(), line) {
            let reason = format!("account {} is on line {first} already", account.account_id);
            return Err(Malformed { line, reason });
        }
        accounts.push(account);
    }
    Ok(accounts)
}

fn account(row: Row) -> Result<OpenAccount, String> {
    let Row { account_id, currency, balance, state, .. } = row;
    if !is_account_id(&account_id) {
        return Err(format!(
            "`{account_id}` cannot be an account id (1 to 64 of A-Z a-z 0-9 . _ -)"
        ));
    }
    if balance < 0 {
        return Err(format!("the balance of {account_id} is negative ({balance})"));
    }
    let currency = currency.parse().map_err(|error| format!("{error}"))?;
    let state = match state.as_deref() {
        None | Some("" | "active") => AccountState::Active,
        Some("frozen") => AccountState::Frozen,
        Some(other) => return Err(format!("`{other}` is not a state (active or frozen)")),
    };
    let balance = Amount { minor_units: balance, currency };
    Ok(OpenAccount { account_id, balance, state, transaction_id: None })
}

#[cfg(test)]
mod tests;
