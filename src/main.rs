//! The one command: parse the command line, call a crate, nothing else.

mod admin;
mod certs;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use strife_runtime::{
    Failure, failpoint,
    telemetry::{self, LogArgs},
};

/// Services allocate much and in small pieces, and free on other threads than they allocate on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A gRPC load balancer and benchmarking toolkit, with a distributed payment system behind it.
#[derive(Parser)]
#[command(
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Examples:
  strife sweep                      compare the policies on a fleet of its own, with charts
  strife up                         the whole system on this machine until Ctrl-C
  strife lb --pool default=127.0.0.1:9101,127.0.0.1:9102 --policy round_robin --plaintext

Exit codes: 0 done, 1 failed, 2 wrong flags or files, 3 the measurement is not valid."
)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Sweep(strife_loadgen::SweepArgs),
    Up(strife_fleet::UpArgs),
    Lb(Box<strife_lb::LbArgs>),
    Bank(strife_bank::BankArgs),
    Gateway(strife_gateway::GatewayArgs),
    Txid(strife_txid::TxidArgs),
    Load(strife_loadgen::LoadArgs),
    Plot(strife_loadgen::PlotArgs),
    Bench(strife_loadgen::BenchArgs),
    Certs(certs::CertsArgs),
    Accounts(strife_bank::AccountsArgs),
    Admin(admin::AdminArgs),
    Replay(strife_lb::ReplayArgs),
}

fn main() -> ExitCode {
    failpoint::arm();
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("strife: {failure}");
            failure.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    telemetry::init(&cli.log)?;
    match cli.command {
        Command::Sweep(args) => strife_loadgen::run_sweep(args),
        Command::Up(args) => strife_fleet::run_up(args, &cli.log),
        Command::Lb(args) => strife_lb::run(*args),
        Command::Bank(args) => strife_bank::run(args),
        Command::Gateway(args) => strife_gateway::run(args),
        Command::Txid(args) => strife_txid::run(args),
        Command::Load(args) => strife_loadgen::run_load(args),
        Command::Plot(args) => strife_loadgen::run_plot(args),
        Command::Bench(args) => strife_loadgen::run_bench(args),
        Command::Certs(args) => certs::run(args),
        Command::Accounts(args) => strife_bank::run_accounts(args),
        Command::Admin(args) => admin::run(args),
        Command::Replay(args) => strife_lb::run_replay(args),
    }
}
