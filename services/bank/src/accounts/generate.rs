//! Makes account files for many banks, and the users who hold the accounts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use strife_runtime::{
    Failure,
    identity::{default_bank_name, is_name},
};

use crate::{BankError, money::Currency};

/// The file of users, beside the banks' files.
pub const USERS_FILE: &str = "users.csv";

/// Make account files for banks and gateway
#[derive(Debug, Args)]
pub struct AccountsArgs {
    #[command(subcommand)]
    command: AccountsCommand,
}

#[derive(Debug, Subcommand)]
enum AccountsCommand {
    Generate(GenerateArgs),
}

/// Make one account file per bank and the file of the users who hold the accounts.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:
  strife accounts generate --banks 4 --accounts 10000 --out accounts
  strife bank --bank-name icici --accounts accounts/icici.csv")]
pub struct GenerateArgs {
    /// How many banks.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub banks: u32,
    /// Names of the banks, instead of icici, sbi, hdfc, axis, bank5, ... Repeat it for more banks.
    #[arg(long, conflicts_with = "banks", value_name = "NAME")]
    pub bank_name: Vec<String>,
    /// Accounts at each bank.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub accounts: u32,
    /// Users; each holds at least one account. By default as many as a bank has accounts, each
    /// with one at every bank.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub users: Option<u32>,
    /// Name of a user, instead of user-000001, user-000002, ... Repeat it for more users.
    #[arg(long = "user", value_name = "NAME")]
    pub user_names: Vec<String>,
    /// Directory to write to.
    #[arg(long, default_value = "accounts", value_name = "DIR")]
    pub out: PathBuf,
    /// Seed of the balances: the same seed, the same files.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Opening balances in minor units, drawn evenly from MIN to MAX.
    #[arg(long, default_value = "100000..10000000", value_name = "MIN..MAX")]
    #[arg(value_parser = balance_range)]
    pub balance: (i64, i64),
    /// Currency of all accounts.
    #[arg(long, default_value = "INR", value_name = "CODE")]
    pub currency: Currency,
    /// Replace files that are there already.
    #[arg(long)]
    pub force: bool,
}

/// `strife accounts`.
pub fn run_accounts(args: AccountsArgs) -> Result<(), Failure> {
    let AccountsCommand::Generate(args) = args.command;
    let written = generate(&args).map_err(|error| Failure::usage(error.to_string()))?;
    for path in written {
        println!("{}", path.display());
    }
    Ok(())
}

/// Writes the files; returns their paths, the users' last. Nothing is written when one of them is
/// there already and may not be replaced.
pub fn generate(args: &GenerateArgs) -> Result<Vec<PathBuf>, BankError> {
    let banks = bank_names(args).map_err(|why| invalid(&args.out, &why))?;
    let total = u64::from(args.accounts) * banks.len() as u64;
    if args.users.is_some_and(|users| u64::from(users) > total) {
        let why = format!("--users may be at most {total}: every user holds an account");
        return Err(invalid(&args.out, &why));
    }
    let files = banks.iter().map(|bank| args.out.join(format!("{bank}.csv")));
    let paths: Vec<PathBuf> = files.chain([args.out.join(USERS_FILE)]).collect();
    if let Some(taken) = paths.iter().find(|path| !args.force && path.exists()) {
        return Err(BankError::WouldOverwrite(taken.clone()));
    }
    if let Some(name) = args.user_names.iter().find(|name| !is_name(name)) {
        let why = format!("`{name}` cannot be a username (1 to 64 of a-z 0-9 _ -)");
        return Err(invalid(&args.out, &why));
    }
    let (per_bank, users) = contents(args, &banks);
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| BankError::File { path, source }
    };
    fs::create_dir_all(&args.out).map_err(file(&args.out))?;
    let unfinished: Vec<_> = paths.iter().map(|path| path.with_extension("csv.new")).collect();
    for (path, text) in unfinished.iter().zip(per_bank.iter().chain([&users])) {
        fs::write(path, text).map_err(file(path))?;
    }
    for (from, to) in unfinished.iter().zip(&paths) {
        fs::rename(from, to).map_err(file(to))?;
    }
    Ok(paths)
}

/// The banks' files and the users' file.
fn contents(args: &GenerateArgs, banks: &[String]) -> (Vec<String>, String) {
    let mut random = StdRng::seed_from_u64(args.seed);
    let (least, most) = args.balance;
    let mut per_bank = vec![String::from("account_id,currency,balance\n"); banks.len()];
    let mut users = String::from("username,bank,account_id\n");
    for index in 0..args.accounts {
        for (bank, (name, text)) in banks.iter().zip(&mut per_bank).enumerate() {
            let account_id = format!("{name}-{:06}", index + 1);
            let balance = random.random_range(least..=most);
            text.push_str(&format!("{account_id},{},{balance}\n", args.currency));
            let holder = holder(args, banks.len(), index, bank);
            users.push_str(&format!("{},{name},{account_id}\n", username(args, holder)));
        }
    }
    (per_bank, users)
}

fn username(args: &GenerateArgs, holder: u64) -> String {
    let named = usize::try_from(holder).ok().and_then(|holder| args.user_names.get(holder));
    named.cloned().unwrap_or_else(|| format!("user-{:06}", holder + 1))
}

/// The user who holds account `index` of the bank numbered `bank`: with no more users than accounts
/// at a bank, everyone has one at every bank; with more, they are dealt out one by one.
fn holder(args: &GenerateArgs, banks: usize, index: u32, bank: usize) -> u64 {
    let users = args.users.unwrap_or(args.accounts);
    if users <= args.accounts {
        return u64::from(index % users);
    }
    (u64::from(index) * banks as u64 + bank as u64) % u64::from(users)
}

fn bank_names(args: &GenerateArgs) -> Result<Vec<String>, String> {
    if args.bank_name.is_empty() {
        return match args.banks {
            0 => Err("--banks must be at least 1".to_owned()),
            banks => Ok((0..banks as usize).map(default_bank_name).collect()),
        };
    }
    let names: Vec<_> = args.bank_name.iter().map(|name| name.to_ascii_lowercase()).collect();
    for (index, name) in names.iter().enumerate() {
        if !is_name(name) || name == "users" {
            return Err(format!("`{name}` cannot be a bank's name (1 to 64 of a-z 0-9 _ -)"));
        }
        if names[..index].contains(name) {
            return Err(format!("the bank {name} is named twice"));
        }
    }
    Ok(names)
}

fn invalid(out: &Path, why: &str) -> BankError {
    let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, why.to_owned());
    BankError::File { path: out.into(), source }
}

fn balance_range(text: &str) -> Result<(i64, i64), String> {
    let malformed = || format!("`{text}` is not MIN..MAX in minor units, such as 1000..50000");
    let (least, most) = text.split_once("..").ok_or_else(malformed)?;
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| malformed());
    match (number(least)?, number(most)?) {
        (least, most) if 0 <= least && least <= most => Ok((least, most)),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests;
