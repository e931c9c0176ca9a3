//! `strife admin account`: an operator opens, freezes, limits and looks at accounts of a running bank.

use clap::{Args, Subcommand};
use strife_proto::{
    bank::v1::{
        AccountDetails, AccountRequest, AccountState, OpenAccountRequest, SetAccountStateRequest,
        SetLimitsRequest, bank_admin_client::BankAdminClient,
    },
    common::v1::Money,
};
use strife_runtime::{Failure, Role, Security, TlsArgs, connect, executor, tls::Expected};
use tonic::{Code, Response, Status, transport::Channel};

/// The name in the operator's certificate.
pub(crate) const NAME: &str = "1";
/// A server of a bank, whichever.
pub(crate) const BANK: Expected = Expected::Roles(&[Role::Bank]);

/// Open, freeze and limit a bank's accounts while it runs
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife admin account open A-77 --balance 500000 --currency INR --bank-addr 127.0.0.1:8081
  strife admin account show A-77 --bank-addr 127.0.0.1:8081
  strife admin account limit A-77 --per-payment 100000 --per-day 200000 --bank-addr 127.0.0.1:8081
  strife admin account limit A-77 --per-day none --bank-addr 127.0.0.1:8081
  strife admin account freeze A-77 --bank-addr 127.0.0.1:8081

Amounts are in minor units (paise, cents). A frozen account neither pays nor is paid; what it promised
before is kept. Days are those of UTC. For a payment from an account opened here, add its line to the
gateway's users file and start the gateway again.")]
pub struct AccountArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Open an account.
    Open {
        #[command(flatten)]
        account: Account,
        /// What is in it, in minor units.
        #[arg(long, default_value_t = 0, value_name = "AMOUNT", value_parser = clap::value_parser!(i64).range(0..))]
        balance: i64,
        /// Of all its amounts, for ever: three upper-case letters.
        #[arg(long, default_value = "INR", value_name = "CODE")]
        currency: String,
    },
    /// Keep an account from paying and being paid.
    Freeze {
        #[command(flatten)]
        account: Account,
    },
    /// Let a frozen account pay and be paid again.
    Unfreeze {
        #[command(flatten)]
        account: Account,
    },
    /// Say how much an account may pay; what is not named stays.
    Limit(LimitArgs),
    /// Print an account.
    Show {
        #[command(flatten)]
        account: Account,
    },
}

#[derive(Debug, Clone, Args)]
struct LimitArgs {
    #[command(flatten)]
    account: Account,
    /// By one payment, in minor units; `none`: any amount; 0: nothing.
    #[arg(long, value_name = "AMOUNT", value_parser = limit, required_unless_present = "per_day")]
    per_payment: Option<Limit>,
    /// On one day of UTC, in minor units; `none`: any amount.
    #[arg(long, value_name = "AMOUNT", value_parser = limit)]
    per_day: Option<Limit>,
}

#[derive(Debug, Clone, Args)]
struct Account {
    /// The account's id.
    account_id: String,
    /// A server with the bank's own store: the one that owns the file, or any on PostgreSQL.
    #[arg(long, value_name = "HOST:PORT")]
    bank_addr: String,
    #[command(flatten)]
    tls: TlsArgs,
}

/// A limit, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<i64>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    let most: Option<i64> = text.parse().ok().filter(|most| *most >= 0);
    most.map(|most| Limit(Some(most)))
        .ok_or_else(|| "expected minor units, 0 or more, or `none`".to_owned())
}

/// `strife admin account`.
pub fn run_account(args: AccountArgs) -> Result<(), Failure> {
    executor::block_on(1, async {
        let details = match args.command {
            Command::Open { account, balance, currency } => account.open(balance, currency).await,
            Command::Freeze { account } => account.set_state(AccountState::Frozen).await,
            Command::Unfreeze { account } => account.set_state(AccountState::Active).await,
            Command::Limit(args) => args.set().await,
            Command::Show { account } => account.show().await,
        }?;
        print!("{}", describe(&details));
        Ok(())
    })
}

impl LimitArgs {
    async fn set(self) -> Result<AccountDetails, Failure> {
        let now = self.account.show().await?;
        let chosen = |flag: Option<Limit>, now| flag.map_or(now, |Limit(most)| most);
        let request = SetLimitsRequest {
            account_id: self.account.account_id.clone(),
            per_payment: chosen(self.per_payment, now.per_payment),
            per_day: chosen(self.per_day, now.per_day),
        };
        let answer = self.account.client()?.set_limits(request).await;
        self.account.answered(answer)
    }
}

impl Account {
    fn client(&self) -> Result<BankAdminClient<Channel>, Failure> {
        let security = Security::load(&self.tls, Role::Admin, NAME)?;
        Ok(BankAdminClient::new(connect::direct(&self.bank_addr, BANK, &security)?))
    }

    async fn open(&self, minor_units: i64, currency: String) -> Result<AccountDetails, Failure> {
        let opening = Some(Money { minor_units, currency });
        let request = OpenAccountRequest { account_id: self.account_id.clone(), opening };
        self.answered(self.client()?.open_account(request).await)
    }

    async fn set_state(&self, state: AccountState) -> Result<AccountDetails, Failure> {
        let (account_id, state) = (self.account_id.clone(), state.into());
        let request = SetAccountStateRequest { account_id, state };
        self.answered(self.client()?.set_account_state(request).await)
    }

    async fn show(&self) -> Result<AccountDetails, Failure> {
        let request = AccountRequest { account_id: self.account_id.clone() };
        self.answered(self.client()?.get_account(request).await)
    }

    fn answered(
        &self,
        answer: Result<Response<AccountDetails>, Status>,
    ) -> Result<AccountDetails, Failure> {
        answer.map(Response::into_inner).map_err(|status| failure(&self.bank_addr, &status))
    }
}

/// What to do about a bank's status.
pub(crate) fn failure(address: &str, status: &Status) -> Failure {
    let said = status.message();
    Failure::new(match status.code() {
        Code::Unimplemented => format!(
            "the bank server at {address} uses another server's store; name the one that owns it \
             (started without --store HOST:PORT)"
        ),
        Code::Unavailable | Code::Unknown | Code::Internal => format!(
            "no bank answers at {address} ({said}); name a server with the bank's own store, and \
             use --plaintext if and only if it does"
        ),
        Code::NotFound => format!("{said}; open it with `strife admin account open`"),
        Code::AlreadyExists => format!("{said}; look at it with `strife admin account show`"),
        _ => said.to_owned(),
    })
}

/// An account, a line each.
fn describe(details: &AccountDetails) -> String {
    let AccountDetails { bank, account_id, currency, available, held, incoming, .. } = details;
    let state = details.state().as_str_name().trim_start_matches("ACCOUNT_STATE_");
    let most = |limit: Option<i64>| limit.map_or("none".to_owned(), |most| most.to_string());
    let left = details.left_today.map(|left| format!(", {left} left today")).unwrap_or_default();
    format!(
        "{bank}/{account_id}: {state}, {currency}, minor units\n\
         available          {available}\n\
         held               {held}\n\
         incoming           {incoming}\n\
         limit per payment  {}\n\
         limit per day      {}{left}\n",
        most(details.per_payment),
        most(details.per_day),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_amounts_or_none() {
        assert_eq!(limit("none"), Ok(Limit(None)));
        assert_eq!(limit("0"), Ok(Limit(Some(0))));
        for wrong in ["", "-1", "1.5", "9999999999999999999", "None"] {
            assert!(limit(wrong).unwrap_err().contains("`none`"), "{wrong}");
        }
    }

    #[test]
    fn an_account_is_described() {
        let mut details = AccountDetails {
            bank: "icici".to_owned(),
            account_id: "A-77".to_owned(),
            currency: "INR".to_owned(),
            available: 500,
            per_day: Some(300),
            left_today: Some(120),
            ..AccountDetails::default()
        };
        details.set_state(AccountState::Frozen);
        let described = describe(&details);
        assert!(described.starts_with("icici/A-77: FROZEN, INR"), "{described}");
        assert!(described.contains("per payment  none"), "{described}");
        assert!(described.contains("per day      300, 120 left today"), "{described}");
    }
}
