//! `strife admin`: what operators ask of running balancers, banks and gateways.

use clap::{Args, Subcommand};
use strife_runtime::Failure;

/// Look into and change what runs: balancers, accounts, payments, books, events, legs in doubt
#[derive(Args)]
#[command(after_help = "Examples:
  strife admin status --plaintext
  strife admin policy round_robin --control 127.0.0.1:7001
  strife admin policy least_load --pool bank.icici
  strife admin drain 127.0.0.1:9101 --plaintext
  strife admin picks --count 5 --plaintext
  strife admin account freeze A-77 --bank-addr 127.0.0.1:8081
  strife admin payments --gateway 127.0.0.1:8080 --status initiated --status queued
  strife admin reconcile --gateway 127.0.0.1:8080 --bank icici=127.0.0.1:8081 --bank sbi=127.0.0.1:8082
  strife admin events --gateway 127.0.0.1:8080 --follow --follower log --out payments.jsonl")]
pub(crate) struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Subcommand)]
enum AdminCommand {
    #[command(flatten)]
    Balancer(strife_lb::AdminCommand),
    Account(strife_bank::AccountArgs),
    Reconcile(strife_bank::ReconcileArgs),
    Events(strife_gateway::EventsArgs),
    Payments(strife_gateway::PaymentsArgs),
    Force(strife_bank::ForceArgs),
}

pub(crate) fn run(args: AdminArgs) -> Result<(), Failure> {
    match args.command {
        AdminCommand::Balancer(command) => strife_lb::run_admin(command),
        AdminCommand::Account(args) => strife_bank::run_account(args),
        AdminCommand::Reconcile(args) => strife_bank::run_reconcile(args),
        AdminCommand::Events(args) => strife_gateway::run_events(args),
        AdminCommand::Payments(args) => strife_gateway::run_payments(args),
        AdminCommand::Force(args) => strife_bank::run_force(args),
    }
}
