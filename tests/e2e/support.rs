//! A fleet to test on, clients that call it, and the bare command.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use strife_fleet::{BankSpec, Fleet, FleetSpec};
use strife_proto::{
    bank::v1::{AccountRequest, bank_service_client::BankServiceClient},
    common::v1::Money,
    gateway::v1::{
        AccountRef, BalanceRequest, BalanceResponse, PaymentRequest, PaymentResponse,
        payment_gateway_client::PaymentGatewayClient,
    },
};
use strife_runtime::{Role, Security, TlsArgs, connect, tls::Expected};
use tempfile::TempDir;
use tonic::{Response, Status, transport::Channel};

/// How long a condition that must come true may take. Never asserted as a time; it only ends a test
/// that would otherwise hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long payments may take: banks have time to vote, also on a busy machine with a slow disk.
const PAYMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Units each generated account opens with are at least this many.
pub(crate) const PAYMENT: i64 = 7;

/// A fleet in a directory of its own, both gone when dropped.
pub(crate) struct Booted {
    pub(crate) fleet: Fleet,
    pub(crate) accounts: Vec<Account>,
    _dir: TempDir,
}

/// A line of `users.csv`.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) bank: String,
    pub(crate) account: String,
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_strife")
}

/// Boots a fleet as `change` makes it from a small one.
pub(crate) async fn boot(change: impl FnOnce(&mut FleetSpec)) -> Booted {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = FleetSpec::new(program(), dir.path());
    spec.banks = vec![BankSpec::new("icici", 2), BankSpec::new("sbi", 2)];
    spec.accounts_per_bank = 50;
    spec.payment_timeout = PAYMENT_TIMEOUT;
    change(&mut spec);
    let fleet = Fleet::boot(spec).await.unwrap_or_else(|error| panic!("{error}"));
    let accounts = accounts(&fleet.spec().accounts());
    Booted { fleet, accounts, _dir: dir }
}

fn accounts(dir: &Path) -> Vec<Account> {
    let mut reader = csv::Reader::from_path(dir.join("users.csv")).unwrap();
    let account = |row: csv::StringRecord| Account {
        user: row[0].to_owned(),
        bank: row[1].to_owned(),
        account: row[2].to_owned(),
    };
    reader.records().map(|row| account(row.unwrap())).collect()
}

impl Booted {
    /// The security of another role of this fleet.
    pub(crate) fn security(&self, role: Role, name: &str) -> Security {
        let spec = self.fleet.spec();
        let tls = TlsArgs { certs: spec.certs(), plaintext: spec.plaintext };
        Security::load(&tls, role, name).unwrap()
    }

    /// A channel through the balancer to the pool `authority`, as the load generator.
    pub(crate) fn channel(&self, authority: &str) -> Channel {
        let security = self.security(Role::Loadgen, "1");
        connect::channel(self.fleet.balancer(), authority, Expected::LB, &security).unwrap()
    }

    pub(crate) fn gateway(&self) -> PaymentGatewayClient<Channel> {
        PaymentGatewayClient::new(self.channel("gateway"))
    }

    pub(crate) fn bank(&self, name: &str) -> BankServiceClient<Channel> {
        BankServiceClient::new(self.channel(&format!("bank.{name}")))
    }

    /// The `index`th account of a bank.
    pub(crate) fn account(&self, bank: &str, index: usize) -> &Account {
        self.accounts.iter().filter(|account| account.bank == bank).nth(index).unwrap()
    }

    /// A payment of [`PAYMENT`] units from one bank to another.
    pub(crate) fn payment(&self, id: &str, from: &Account, to: &Account) -> PaymentRequest {
        let reference = |account: &Account| {
            Some(AccountRef { bank: account.bank.clone(), account_id: account.account.clone() })
        };
        PaymentRequest {
            payment_id: id.to_owned(),
            user: from.user.clone(),
            from: reference(from),
            to: reference(to),
            amount: Some(Money { minor_units: PAYMENT, currency: "INR".to_owned() }),
            queue_for_s: 0,
        }
    }

    /// Asks until there is an answer, as a client with a payment id may.
    pub(crate) async fn pay(&self, request: PaymentRequest) -> PaymentResponse {
        let mut gateway = self.gateway();
        until_answered(async || gateway.process_payment(request.clone()).await).await
    }

    /// What users have, from whichever banks answer.
    pub(crate) async fn balances(&self, user: &str) -> BalanceResponse {
        let (mut gateway, request) = (self.gateway(), BalanceRequest { user: user.to_owned() });
        until_answered(async || gateway.get_balance(request.clone()).await).await
    }
}

/// Asks until there is an answer, as whoever may ask twice does.
pub(crate) async fn until_answered<T>(
    mut ask: impl AsyncFnMut() -> Result<Response<T>, Status>,
) -> T {
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer.into_inner(),
                Err(status) => assert!(may_ask_again(&status), "{status}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("there is an answer at last")
}

/// Whether a status means that the call reached no server of the pool, or none any more.
pub(crate) fn is_not_there(status: &Status) -> bool {
    status.code() == tonic::Code::Unavailable && status.message().contains("no server of pool")
}

/// Whether a status means "ask again with the same id".
pub(crate) fn may_ask_again(status: &Status) -> bool {
    use tonic::Code::{Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable};
    matches!(status.code(), Cancelled | DeadlineExceeded | ResourceExhausted | Unavailable)
}

pub(crate) fn validate(account: &Account) -> AccountRequest {
    AccountRequest { account_id: account.account.clone() }
}

/// Bytes of memory that the process of this command has in use, of which `word` is one argument.
pub(crate) fn resident_bytes(command: &str, word: &str) -> u64 {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let is_it = |process: &Path| {
        let words = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        let mut words = words.split('\0');
        words.nth(1) == Some(command) && words.any(|found| found == word)
    };
    let process = processes.into_iter().find(|process| is_it(process));
    let status = fs::read_to_string(process.expect("it runs").join("status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

/// Runs the command to its end.
pub(crate) fn strife(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs a command that must fail: one line that holds all of `expected`, and the exit code.
#[track_caller]
pub(crate) fn refused(arguments: &[&str], code: i32, expected: &[&str]) {
    let output = strife(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for word in expected {
        assert!(last.contains(word), "`{word}` is not in: {said}");
    }
}
