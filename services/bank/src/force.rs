//! `strife admin force`: an operator ends a leg whose decision will never come.

use std::{fmt, time::Duration};

use clap::{Args, ValueEnum};
use strife_proto::{
    bank::v1::{ForceLegRequest, Leg as WireLeg, LegState, bank_admin_client::BankAdminClient},
    gateway::v1::{Decision, DecisionRequest, decision_service_client::DecisionServiceClient},
};
use strife_runtime::{Failure, Role, Security, TlsArgs, connect, executor, tls::Expected};
use tonic::{Code, Status};

use crate::operator::{self, BANK, NAME};

/// How long a gateway may take to say what was decided.
const PATIENCE: Duration = Duration::from_secs(10);

/// End a payment's leg at one bank without its decision
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife admin force abort 9f3a01bc-00000100000000a2 debit --reason 'its store is lost, ticket 4711' \\
    --bank-addr 127.0.0.1:8081 --gateway 127.0.0.1:8080
  strife admin force commit 9f3a01bc-00000100000000a2 credit --reason 'the payer was debited' \\
    --bank-addr 127.0.0.1:8082 --even-so

Every --gateway is asked first what was decided. If one knows, and it is not what you want done, or one may
still decide, or does not answer, nothing is done. With --even-so nobody is asked.

For a leg that is held and whose gateway, with its store, is lost for good: a bank never gives such money
back by itself. Only a leg that is still held can be forced, and what was done cannot be undone. First find
out how the other bank's leg ended, with `strife admin reconcile` or in its log, and do the same here.

Who did it, why and when is kept for ever (a heuristic decision). Should the payment be decided after all,
the bank compares: if it was decided otherwise, `strife admin reconcile` says so from then on.")]
pub struct ForceArgs {
    /// How the leg is to end.
    end: End,
    /// The transaction's name, as banks' logs and `strife admin reconcile` print it.
    transaction_id: String,
    /// Which leg: that of the account that pays or of the one that is paid.
    leg: Leg,
    /// Why, for whoever reads the books: 1 to 500 bytes.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// A server with the bank's own store: the one that owns the file, or any on PostgreSQL.
    #[arg(long, value_name = "HOST:PORT")]
    bank_addr: String,
    /// A gateway that may know what was decided, itself and not the balancer. May be repeated.
    #[arg(long = "gateway", value_name = "HOST:PORT", required_unless_present = "even_so")]
    gateways: Vec<String>,
    /// Whatever was decided, and whoever may know it: the gateway is gone for good, and its store with it.
    #[arg(long)]
    even_so: bool,
    #[command(flatten)]
    tls: TlsArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum End {
    /// Post it: held money leaves the account, promised money arrives.
    Commit,
    /// Give it up: held money is free again, promised money does not come.
    Abort,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Leg {
    Debit,
    Credit,
}

/// `strife admin force`.
pub fn run_force(args: ForceArgs) -> Result<(), Failure> {
    executor::block_on(1, force(args))
}

async fn force(args: ForceArgs) -> Result<(), Failure> {
    let security = Security::load(&args.tls, Role::Admin, NAME)?;
    if !args.even_so {
        for gateway in &args.gateways {
            let said = decision(gateway, &args.transaction_id, &security).await;
            check(args.end, gateway, said)?;
        }
    }
    let mut client = BankAdminClient::new(connect::direct(&args.bank_addr, BANK, &security)?);
    let state = match args.end {
        End::Commit => LegState::Committed,
        End::Abort => LegState::Aborted,
    };
    let end = args.end;
    let (leg, side) = match args.leg {
        Leg::Debit => (WireLeg::Debit, "debit"),
        Leg::Credit => (WireLeg::Credit, "credit"),
    };
    let ForceArgs { transaction_id, reason, bank_addr, .. } = args;
    let request = ForceLegRequest {
        transaction_id: transaction_id.clone(),
        leg: leg.into(),
        state: state.into(),
        reason,
    };
    let answer = client.force_leg(request).await.map_err(|status| failure(&bank_addr, &status))?;
    println!("{}: the {side} of {transaction_id} is {end}, by your word", answer.into_inner().bank);
    Ok(())
}

/// What a gateway says of a transaction; nothing, if it is not of its store, or was never made there.
async fn decision(
    gateway: &str,
    transaction_id: &str,
    security: &Security,
) -> Result<Option<Decision>, Failure> {
    let channel = connect::direct(gateway, Expected::GATEWAY, security)?;
    let mut client = DecisionServiceClient::new(channel);
    let request = DecisionRequest { transaction_id: transaction_id.to_owned() };
    let asked = tokio::time::timeout(PATIENCE, client.get_decision(request)).await;
    let asked = asked.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
    match asked {
        Ok(answer) => Ok(Some(answer.into_inner().decision())),
        Err(status) if status.code() == Code::FailedPrecondition => Ok(None),
        Err(status) => Err(Failure::new(format!(
            "the gateway at {gateway} does not say what was decided ({}); nothing was done. Ask again \
             when it is back; add --even-so if it is gone for good",
            status.message()
        ))),
    }
}

/// Whether what a gateway says is no reason against ending the leg so.
fn check(end: End, gateway: &str, said: Result<Option<Decision>, Failure>) -> Result<(), Failure> {
    let decided = match (end, said?) {
        (_, None) | (End::Commit, Some(Decision::Commit)) | (End::Abort, Some(Decision::Abort)) => {
            return Ok(());
        }
        (_, Some(Decision::Commit)) => End::Commit.to_string(),
        (_, Some(Decision::Abort)) => End::Abort.to_string(),
        (_, Some(Decision::StillActive | Decision::Unspecified)) => {
            return Err(Failure::new(format!(
                "the gateway at {gateway} may still decide this payment; nothing was done. It will tell the \
                 bank: wait for it, or add --even-so"
            )));
        }
    };
    Err(Failure::new(format!(
        "the payment was {decided}, says the gateway at {gateway}, and the bank will be told; nothing was \
         done. To end its leg otherwise, add --even-so"
    )))
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit => "COMMITTED",
            Self::Abort => "ABORTED",
        })
    }
}

fn failure(address: &str, status: &Status) -> Failure {
    match status.code() {
        Code::NotFound => Failure::new(format!(
            "{}; `strife admin reconcile` lists what is held, and where",
            status.message()
        )),
        _ => operator::failure(address, status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decided_otherwise_or_not_yet_is_not_forced() {
        let is_let = |end, said| check(end, "127.0.0.1:8080", Ok(said)).is_ok();
        for end in [End::Commit, End::Abort] {
            assert!(is_let(end, None), "nobody knows");
            assert!(!is_let(end, Some(Decision::StillActive)));
            assert!(!is_let(end, Some(Decision::Unspecified)));
            let gone = Failure::new("no answer".to_owned());
            assert!(check(end, "127.0.0.1:8080", Err(gone)).is_err());
        }
        assert!(is_let(End::Commit, Some(Decision::Commit)));
        assert!(is_let(End::Abort, Some(Decision::Abort)));
        assert!(!is_let(End::Commit, Some(Decision::Abort)));
        assert!(!is_let(End::Abort, Some(Decision::Commit)));
    }
}
