//! `strife admin force`: an operator ends a leg whose decision will never come.

use clap::{Args, ValueEnum};
use strife_proto::bank::v1::{
    ForceLegRequest, Leg as WireLeg, LegState, bank_admin_client::BankAdminClient,
};
use strife_runtime::{Failure, Role, Security, TlsArgs, connect, executor};
use tonic::{Code, Status};

use crate::operator::{self, BANK, NAME};

/// End a payment's leg at one bank without its decision
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife admin force abort 9f3a01bc-00000100000000a2 debit --reason 'gateway lost, ticket 4711' \\
    --bank-addr 127.0.0.1:8081
  strife admin force commit 9f3a01bc-00000100000000a2 credit --reason 'the payer was debited' \\
    --bank-addr 127.0.0.1:8082

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
    let mut client = BankAdminClient::new(connect::direct(&args.bank_addr, BANK, &security)?);
    let (state, end) = match args.end {
        End::Commit => (LegState::Committed, "COMMITTED"),
        End::Abort => (LegState::Aborted, "ABORTED"),
    };
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

fn failure(address: &str, status: &Status) -> Failure {
    match status.code() {
        Code::NotFound => Failure::new(format!(
            "{}; `strife admin reconcile` lists what is held, and where",
            status.message()
        )),
        _ => operator::failure(address, status),
    }
}
